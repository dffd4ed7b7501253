"""The config of `rssm-cat`: what it accepts, what it says of the latent, and how many parameters follow from it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from twm_core import ActionSpec, DynamicsSpecs, EmbeddingSpec, Feature, Mismatch
from twm_core.component import Component
from twm_rssm.config import RSSMCatConfig
from twm_rssm.plugin import twm_components

SCENE, AGENTS = EmbeddingSpec(scene=7), EmbeddingSpec(agents=5)


def test_the_plugin_and_its_config_import_no_torch_and_no_numpy() -> None:
    code = "import sys, twm_rssm.plugin, twm_rssm.config; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert [c.name for c in twm_components()] == ["rssm-cat", "rssm-gauss"]
    assert all(isinstance(c, Component) for c in twm_components())


def test_auto_takes_agents_when_there_are_agent_tokens() -> None:
    config = RSSMCatConfig(deter=32, groups=3, classes=4)
    assert config.latent(EmbeddingSpec(scene=7, agents=5), None).layout == "agents"
    latent = config.latent(SCENE, None)
    assert (latent.layout, latent.width, latent.family, latent.deter, latent.groups, latent.classes) == (
        "scene",
        44,
        "categorical",
        32,
        3,
        4,
    )


@pytest.mark.parametrize(
    ("layout", "embedding", "needs", "remedy"),
    [
        ("agents", SCENE, "agent tokens for layout 'agents'", "set layout to 'scene' or 'auto'"),
        ("scene", AGENTS, "a scene token for layout 'scene'", "set layout to 'agents' or 'auto'"),
        ("auto", EmbeddingSpec(), "a scene token for layout 'scene'", "choose an encoder that gives tokens"),
    ],
)
def test_missing_tokens_are_refused_with_a_remedy(layout: Any, embedding: EmbeddingSpec, needs: str, remedy: str) -> None:
    with pytest.raises(Mismatch) as caught:
        RSSMCatConfig(layout=layout).latent(embedding, None)
    assert caught.value.needs == needs
    assert caught.value.remedy == remedy


def test_one_action_for_each_agent_does_not_fit_a_scene_latent() -> None:
    action = ActionSpec(layout="agents", features=(Feature(name="a"),))
    with pytest.raises(Mismatch, match="one action for the scene") as caught:
        RSSMCatConfig().latent(SCENE, action)
    assert "choose an encoder with agent tokens" in str(caught.value.remedy)
    assert "set dataset.actions to false" in str(caught.value.remedy)
    assert RSSMCatConfig().latent(AGENTS, action).layout == "agents"


def test_sizes_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValidationError, match="deter 250 is not a multiple of blocks 8"):
        RSSMCatConfig(deter=250)
    with pytest.raises(ValidationError, match="hidden 130 is not a multiple of heads 4"):
        RSSMCatConfig(hidden=130)


def official_count(d: int, h: int, s: int, blocks: int, e: int, u: int, dyn: int, obs: int, img: int) -> int:
    """Parameters of the official recurrent core, posterior and prior, counted from its layer shapes."""

    def linear(i: int, o: int) -> int:
        return i * o + o

    inputs = [d, s] + ([u] if u else [])
    core = sum(linear(i, h) + h for i in inputs)
    core += blocks * (d // blocks + len(inputs) * h) * (d // blocks) + d + d
    core += (dyn - 1) * (d * d // blocks + d + d)
    core += blocks * (d // blocks) * (3 * d // blocks) + 3 * d
    posterior = linear(d + e, h) + h + (obs - 1) * (linear(h, h) + h) + linear(h, s)
    prior = linear(d, h) + h + (img - 1) * (linear(h, h) + h) + linear(h, s)
    return core + posterior + prior


@pytest.mark.parametrize(("u", "dyn", "obs", "img"), [(0, 1, 1, 2), (6, 1, 1, 2), (3, 2, 3, 1)])
def test_the_number_of_parameters_is_the_official_one(u: int, dyn: int, obs: int, img: int) -> None:
    from twm_rssm.model import build

    config = RSSMCatConfig(layout="scene", deter=64, hidden=32, groups=4, classes=8, dynlayers=dyn, obslayers=obs, imglayers=img)
    action = ActionSpec(layout="scene", features=tuple(Feature(name=f"u{i}") for i in range(u))) if u else None
    embedding = EmbeddingSpec(scene=48)
    model = build(config, DynamicsSpecs(embedding=embedding, action=action, latent=config.latent(embedding, action)))
    assert sum(p.numel() for p in model.parameters()) == official_count(64, 32, 32, 8, 48, u, dyn, obs, img)


def test_the_first_weights_depend_on_the_seed_alone(make: Callable[..., Any]) -> None:
    one, same, other = (make(scene=4, seed=s).state_dict() for s in (0, 0, 1))
    assert all(bool((one[k] == same[k]).all()) for k in one)
    assert any(bool((one[k] != other[k]).any()) for k in one)
