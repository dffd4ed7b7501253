"""Every pairing of the first components: what `check` accepts trains two steps, what it refuses says how to mend it."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from twm_core.assembly import Plan, assemble
from twm_core.data.dataset import Dataset
from twm_core.errors import AssemblyError
from twm_core.recipe import default_layer, file_layer, option_layer, resolve
from twm_core.registry import discover

TINY = file_layer(Path(__file__).parents[1] / "tiny.toml")
DATA = {k: v for k, v in TINY.values["dataset"].items() if k != "component"}
SMALL: dict[str, Any] = {
    **{f"dataset.{k}": v for k, v in DATA.items()},
    "encoder.multiagent.width": 16,
    "encoder.multiagent.pair_width": 8,
    "decoder.agents.width": 16,
    "training.batch": 2,
}
RSSM = {"deter": 16, "hidden": 16, "groups": 2, "classes": 4}
REGISTRY = discover(environ={})

CASES = list(
    itertools.product(("gru", "rssm-cat"), ("auto", "agents", "scene"), (False, True), ("none", "mean", "attention"), ("sum", "concat"))
)


def plan_of(dynamics: str, layout: str, actions: bool, pooling: str, embeddings: str) -> Plan:
    options = {
        **SMALL,
        "dynamics.component": dynamics,
        "dynamics.layout": layout,
        "dataset.actions": actions,
        "encoder.multiagent.pooling": pooling,
        "encoder.multiagent.embeddings": embeddings,
        **({"dynamics.hidden": 16} if dynamics == "gru" else {f"dynamics.{k}": v for k, v in RSSM.items()}),
    }
    return assemble(resolve([default_layer(), *(option_layer(k, v, "test") for k, v in options.items())]), REGISTRY)


def is_refused(layout: str, actions: bool, pooling: str) -> bool:
    """A scene latent needs a scene token, and takes no action of each agent."""
    return layout == "scene" and (pooling == "none" or actions)


@cache
def dataset(actions: bool) -> Dataset:
    from twm_core.nn.build import build_dataset

    return build_dataset(plan_of("gru", "auto", actions, "mean", "sum"))


@pytest.mark.parametrize(("dynamics", "layout", "actions", "pooling", "embeddings"), [c for c in CASES if not is_refused(c[1], c[2], c[3])])
def test_an_accepted_pairing_trains_two_steps(dynamics: str, layout: str, actions: bool, pooling: str, embeddings: str) -> None:
    import torch

    from twm_core.nn.build import build_world_model

    model = build_world_model(plan_of(dynamics, layout, actions, pooling, embeddings), seed=0)
    windows = dataset(actions).windows("train")
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    model.collect_statistics(windows.batch([0, 1]))
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    for k in range(2):
        total, _ = model.loss(windows.batch([2 * k, 2 * k + 1]), generator=generator)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        assert torch.isfinite(total)
    assert any(not torch.equal(p, before[n]) for n, p in model.dynamics.named_parameters(prefix="dynamics"))


@pytest.mark.parametrize(("dynamics", "layout", "actions", "pooling", "embeddings"), [c for c in CASES if is_refused(c[1], c[2], c[3])])
def test_a_refused_pairing_names_both_sides_and_a_remedy(dynamics: str, layout: str, actions: bool, pooling: str, embeddings: str) -> None:
    with pytest.raises(AssemblyError) as refusal:
        plan_of(dynamics, layout, actions, pooling, embeddings)
    assert f"dynamics {dynamics} (twm " in refusal.value.message
    assert "encoder multiagent (twm " in refusal.value.message
    # The remedy that it names works.
    assert refusal.value.hint is not None
    assert "layout" in refusal.value.hint
    plan_of(dynamics, "agents", actions, pooling, embeddings)
