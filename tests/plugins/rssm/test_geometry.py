"""Attention by relative poses: what it may know, what it may not, and that imagination is told where agents have moved."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from twm_core.errors import AssemblyError, UsageError
from twm_core.nn.build import build_dataset, build_world_model
from twm_core.nn.interfaces import Embedding, Features, Trace
from twm_core.nn.state import at_time
from twm_core.nn.world_model import WorldModel
from twm_core.plugin.registry import discover
from twm_core.recipe.assembly import Plan, assemble
from twm_core.recipe.layers import default_layer, option_layer, resolve
from twm_core.specs import DynamicsSpecs, EmbeddingSpec
from twm_rssm.config import RSSMGaussConfig
from twm_rssm.geometry import pairs
from twm_rssm.model import RSSM, build

BATCH, STEPS, AGENTS, WIDTH = 2, 6, 4, 5
SMALL: dict[str, Any] = {"deter": 16, "hidden": 8, "heads": 2, "blocks": 2, "stoch": 4}


def dynamics(*, moved: bool = True, **options: Any) -> RSSM:
    """An RSSM for agents; `moved` off the zeros at which geometry begins."""
    config = RSSMGaussConfig(**{**SMALL, "geometry": True, **options})
    embedding = EmbeddingSpec(agents=WIDTH)
    torch.manual_seed(0)
    made = build(config, DynamicsSpecs(embedding=embedding, action=None, latent=config.latent(embedding, None)))
    if moved and made.interaction is not None and made.interaction.geometry is not None:
        for parameter in made.interaction.geometry.parameters():
            parameter.data += 0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
    return made


def scene(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, motion, and who is there: one agent leaves, one comes, one is never there."""
    source = torch.Generator().manual_seed(seed)
    tokens = torch.randn(BATCH, STEPS, AGENTS, WIDTH, generator=source)
    motion = 10 * torch.randn(BATCH, STEPS, AGENTS, 5, generator=source)
    exists = torch.ones(BATCH, STEPS, AGENTS, dtype=torch.bool)
    exists[0, 4:, 1], exists[0, :2, 2], exists[1, :, 3] = False, False, False
    return tokens, motion, exists


def observe(made: RSSM, tokens: Tensor, motion: Tensor | None, exists: Tensor, first: Tensor | None = None) -> Trace:
    is_first = torch.zeros(BATCH, STEPS, dtype=torch.bool) if first is None else first
    is_first[:, 0] = True
    with torch.no_grad():
        return made.observe(Embedding(None, tokens), None, is_first, exists, motion=motion, generator=torch.Generator().manual_seed(7))


def turned(motion: Tensor, angle: float, x: float, y: float) -> Tensor:
    px, py, heading, vx, vy = motion.unbind(-1)
    c, s = math.cos(angle), math.sin(angle)
    return torch.stack([c * px - s * py + x, s * px + c * py + y, heading + angle, c * vx - s * vy, s * vx + c * vy], dim=-1)


def test_what_one_sees_of_another_turns_and_shifts_with_the_world() -> None:
    _, motion, exists = scene()
    one, known = pairs(motion.double(), exists)
    other, _ = pairs(turned(motion.double(), 1.0, 30.0, -20.0), exists)
    torch.testing.assert_close(one * known[..., None], other * known[..., None], atol=1e-3, rtol=1e-3)
    ahead = pairs(torch.tensor([[0.0, 0.0, math.pi / 2, 0.0, 5.0], [0.0, 20.0, math.pi / 2, 0.0, 7.0]]), torch.ones(2).bool())[0][0, 1]
    torch.testing.assert_close(ahead, torch.tensor([math.log(21), 0.0, math.log(3), 0.0, 1.0, 0.0, 1 / 3, 1.0]), atol=1e-5, rtol=1e-5)


def test_it_begins_as_plain_attention() -> None:
    tokens, motion, exists = scene()
    made, plain = dynamics(moved=False), dynamics(geometry=False)
    plain.load_state_dict({k: v for k, v in made.state_dict().items() if "geometry" not in k})
    torch.testing.assert_close(observe(made, tokens, motion, exists).prior.deter, observe(plain, tokens, None, exists).prior.deter)


def test_a_prior_knows_where_others_were_but_not_where_they_are() -> None:
    tokens, motion, exists = scene()
    made = dynamics()
    before = observe(made, tokens, motion, exists).prior.deter
    later = motion.clone()
    later[:, 3:] += 5.0 * torch.randn(later[:, 3:].shape, generator=torch.Generator().manual_seed(1))
    after = observe(made, tokens, later, exists).prior.deter
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4], after[:, 4])


def test_the_first_step_of_an_episode_knows_no_poses() -> None:
    tokens, motion, exists = scene()
    first = torch.zeros(BATCH, STEPS, dtype=torch.bool)
    first[:, 3] = True
    made = dynamics()
    later = motion.clone()
    later[:, :3] += 5.0
    later[:, :3, 0] -= 20.0
    one, other = (observe(made, tokens, m, exists, first.clone()).prior.deter for m in (motion, later))
    assert torch.equal(one[:, 3:], other[:, 3:])
    assert not torch.allclose(one[:, 2], other[:, 2])


def test_who_is_not_there_changes_nothing_and_agents_have_no_order() -> None:
    tokens, motion, exists = scene()
    made = dynamics()
    usual = observe(made, tokens, motion, exists).prior.deter
    spoiled = torch.where(exists[..., None], motion, float("nan"))
    assert torch.equal(observe(made, tokens, spoiled, exists).prior.deter, usual)
    order = torch.tensor([2, 0, 3, 1])
    is_first = torch.zeros(BATCH, STEPS, dtype=torch.bool)
    is_first[:, 0] = True
    with torch.no_grad():  # means do not depend on the order in which noise is drawn; the first prior after one step is one
        one = made.observe(Embedding(None, tokens[:, :1]), None, is_first[:, :1], exists[:, :1], motion=motion[:, :1])
        state = at_time(one.posterior, 0)._replace(stoch=torch.zeros_like(at_time(one.posterior, 0).stoch))
        start = exists[:, 0]
        future = made.imagine(state, 1, exists=start).deter[:, 0, 0]
        permuted = made.imagine(type(state)(*(x[:, order] for x in state)), 1, exists=start[:, order])
    torch.testing.assert_close(permuted.deter[:, 0, 0], future[:, order])


def test_imagination_is_told_where_agents_have_moved() -> None:
    tokens, motion, exists = scene()
    made = dynamics()
    state = at_time(observe(made, tokens, motion, exists).posterior, STEPS - 1)
    asked: list[tuple[tuple[int, ...], Tensor]] = []

    def moves(features: Features, before: Tensor) -> Tensor:
        assert features.agents is not None
        asked.append((tuple(features.agents.shape[:2]), before.clone()))
        return before + torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0])

    def stands(features: Features, before: Tensor) -> Tensor:
        return before

    def imagine(moves: Any) -> Tensor:
        with torch.no_grad():
            return made.imagine(state, 4, exists=exists[:, -1], samples=3, moves=moves, generator=torch.Generator().manual_seed(0)).deter

    going, standing = imagine(moves), imagine(stands)
    assert [lead for lead, _ in asked] == [(3 * BATCH, AGENTS)] * 4
    wanted = torch.where(exists[:, -1, :, None], motion[:, -1], 0.0).repeat_interleave(3, dim=0) + torch.tensor([2.0, 0, 0, 0, 0])
    torch.testing.assert_close(asked[2][1], wanted)
    # Everybody went the same way, so that nothing is nearer; adding 1 m rounds positions.
    torch.testing.assert_close(going, standing, rtol=1e-5, atol=1e-5)

    def apart(features: Features, before: Tensor) -> Tensor:
        return before * 1.5

    other = imagine(apart)
    assert torch.equal(other[:, :, 0], standing[:, :, 0])
    assert not torch.allclose(other[:, :, 1:], standing[:, :, 1:])


# In a world model


def plan(**options: Any) -> Plan:
    chosen = {
        "dataset.runs": 1,
        "dataset.evaluation_runs": 1,
        "dataset.run_seconds": 6.0,
        "dataset.warm_up_seconds": 20.0,
        "dataset.train_sites": ["straight-3"],
        "dataset.test_sites": ["bends-2"],
        "dataset.predicted_seconds": 1.0,
        "encoder.multiagent.width": 16,
        "encoder.multiagent.heads": 2,
        "dynamics.deter": 16,
        "dynamics.hidden": 8,
        "dynamics.heads": 2,
        "dynamics.blocks": 2,
        "dynamics.geometry": True,
        **options,
    }
    return assemble(resolve([default_layer(), *(option_layer(k, v, "test") for k, v in chosen.items())]), discover())


@pytest.fixture(scope="module")
def model() -> tuple[WorldModel, Any]:
    made = plan()
    windows = build_dataset(made).windows("train")
    built = build_world_model(made, seed=0)
    built.collect_statistics(windows.batch(range(4)))
    for parameter in built.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
    return built, windows


def test_a_forecast_depends_on_where_others_are_and_training_reaches_every_parameter(model: tuple[WorldModel, Any]) -> None:
    built, windows = model
    batch = windows.batch(range(4))
    total, _ = built.loss(batch, generator=torch.Generator().manual_seed(0))
    built.zero_grad()
    total.backward()
    reached = {n for n, p in built.named_parameters() if "geometry" in n and p.grad is not None and bool((p.grad != 0).any())}
    assert reached == {n for n, _ in built.named_parameters() if "geometry" in n}


def test_motion_that_is_decoded_is_what_is_imagined_with(model: tuple[WorldModel, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    built, windows = model
    built.eval()
    batch = windows.batch([0])
    told: list[Tensor] = []
    geometry = built.dynamics.interaction.geometry  # type: ignore[attr-defined]
    original = geometry.forward

    def spy(motion: Tensor, here: Tensor) -> Any:
        told.append(motion)
        return original(motion, here)

    monkeypatch.setattr(geometry, "forward", spy)
    future = built.forecast(batch, samples=2, generator=torch.Generator().manual_seed(0))["agents.state"].mean
    names = built.output.get("agents.state").features
    wanted = future[..., [names.index(n) for n in ("x", "y")]]  # 1 S H A 2
    here = batch["agents.exists"][0, built.obs_spec.context - 1]
    assert len(told) == 1 + built.obs_spec.horizon  # once for what was observed, then at each step
    for t, motion in enumerate(told[2:]):
        torch.testing.assert_close(motion[:, here, :2], wanted[0, :, t][:, here], atol=0.05, rtol=0)


def test_what_cannot_tell_poses_is_refused() -> None:
    with pytest.raises(UsageError, match="geometry needs heads"):
        plan(**{"dynamics.heads": 0})
    with pytest.raises(AssemblyError, match=r"a latent for each agent, since geometry is on"):
        plan(**{"dynamics.layout": "scene"})
    with pytest.raises(AssemblyError, match=r"attends by poses of agents, and none of decoder modes .* decodes x, y, heading, vx, vy"):
        plan(**{"decoder.components": ["modes"], "loss.components": ["modes"]})
