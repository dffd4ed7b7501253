"""The map encoder as a whole: which tokens it gives, what they depend on, frames, and training beside another encoder."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from twm_core.data.roads.raster import Pose
from twm_core.data.schema import MOTION

OPTIONS = [
    pytest.param({"tokens": t, "frame": f, "crop": c}, id=f"{t}-{f}-{c}")
    for t, f, c in itertools.product(("scene", "agents", "both"), ("agent", "scene"), ("features", "pixels"))
]
WITH_AGENTS = [p for p in OPTIONS if p.values[0]["tokens"] != "scene"]
X, Y, HEADING, VX, VY = (MOTION.index(n) for n in ("x", "y", "heading", "vx", "vy"))


def moved(state: Tensor, angle: float, dx: float, dy: float) -> Tensor:
    """The world turned by an angle, then shifted."""
    new, c, s = state.clone(), math.cos(angle), math.sin(angle)
    for x, y in ((X, Y), (VX, VY)):
        new[..., x], new[..., y] = c * state[..., x] - s * state[..., y], s * state[..., x] + c * state[..., y]
    new[..., X] += dx
    new[..., Y] += dy
    new[..., HEADING] += angle
    return new


@pytest.mark.parametrize("options", OPTIONS)
def test_the_tokens_that_were_asked_for_are_given(scenes: Any, options: dict[str, Any]) -> None:
    scene, agents = scenes.encoder(**options)(scenes.batch())
    assert (scene is None) == (options["tokens"] == "agents")
    assert (agents is None) == (options["tokens"] == "scene")
    assert scene is None or scene.shape == (1, scenes.steps, 8)
    assert agents is None or agents.shape == (1, scenes.steps, scenes.agents, 8)


def test_the_scene_token_is_the_same_at_every_step_and_knows_no_agents(scenes: Any) -> None:
    encoder, case = scenes.encoder(), scenes.batch()
    scene = encoder(case).scene
    assert torch.equal(scene, scene[:, :1].expand_as(scene))
    assert torch.equal(encoder(scenes.batch(seed=3)).scene, scene)
    assert not torch.equal(encoder(scenes.batch(pose=Pose(0.0, 10.0, 0.4, 1.0))).scene, scene)


@pytest.mark.parametrize("options", WITH_AGENTS)
def test_masked_agents_change_nothing_and_get_zeros(scenes: Any, options: dict[str, Any]) -> None:
    encoder, case = scenes.encoder(**options), scenes.batch()
    absent = ~case["agents.exists"]
    spoiled = {**case, "agents.state": case["agents.state"].masked_fill(absent[..., None], torch.nan)}
    clean, dirty = encoder(case).agents, encoder(spoiled).agents
    assert torch.equal(clean, dirty)
    assert not clean[absent].any()
    assert clean[case["agents.exists"]].abs().sum(-1).gt(0).all()


@pytest.mark.parametrize("options", WITH_AGENTS)
def test_permuting_the_agents_permutes_their_tokens(scenes: Any, options: dict[str, Any]) -> None:
    encoder, case, order = scenes.encoder(**options), scenes.batch(), torch.tensor([2, 0, 3, 1])
    there = {k: v[:, :, order] if k.startswith("agents.") else v for k, v in case.items()}
    torch.testing.assert_close(encoder(there).agents, encoder(case).agents[:, :, order])


@pytest.mark.parametrize("options", OPTIONS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=5)
@given(angle=st.floats(-4, 4), dx=st.floats(-50, 50), dy=st.floats(-50, 50))
def test_tokens_do_not_change_when_the_world_turns_with_the_raster(
    scenes: Any, options: dict[str, Any], angle: float, dx: float, dy: float
) -> None:
    encoder, pose, case = scenes.encoder(**options), Pose(15.0, 10.0, 0.4, 1.0), scenes.batch()
    c, s = math.cos(angle), math.sin(angle)
    there = Pose(c * pose.x - s * pose.y + dx, s * pose.x + c * pose.y + dy, pose.heading + angle, pose.metres_per_pixel)
    raster, where = scenes.raster(scenes.turned_road(angle, dx, dy), there)
    state = torch.where(case["agents.exists"][..., None], moved(case["agents.state"], angle, dx, dy), 0)
    turned = {**case, "agents.state": state, "map.raster": raster, "map.pose": where}
    for one, other in zip(encoder(case), encoder(turned), strict=True):
        if one is not None:
            torch.testing.assert_close(other, one, atol=2e-2, rtol=1e-2)  # uint8 pixels may differ by one


def test_pixels_in_the_agents_frame_do_not_depend_on_how_the_raster_lies(scenes: Any) -> None:
    """Another raster of the same world, turned and shifted: the same tokens but for interpolation; in the scene's frame others."""
    one, other = scenes.batch(presence=1.0), scenes.batch(pose=Pose(17.0, 9.0, 1.7, 1.0), presence=1.0)
    gap = {}
    for frame in ("agent", "scene"):
        encoder = scenes.encoder(tokens="agents", crop="pixels", frame=frame, crop_metres=16.0, crop_pixels=8)
        a, b = encoder(one).agents, encoder(other).agents
        gap[frame] = float(((a - b).abs().mean() / a.std()).detach())
    assert gap["agent"] < 0.15
    assert gap["scene"] > 2 * gap["agent"]


def test_an_agents_token_depends_on_its_own_pose_only(scenes: Any) -> None:
    encoder, case = scenes.encoder(), scenes.batch(presence=1.0)
    state = case["agents.state"].clone()
    state[:, 1, 2, X] += 5
    change = (encoder({**case, "agents.state": state}).agents - encoder(case).agents).abs().sum(-1)[0] > 1e-6
    assert change.nonzero().tolist() == [[1, 2]]


def test_no_road_and_no_raster_are_told_apart(scenes: Any) -> None:
    case = scenes.batch(presence=1.0)
    empty = {**case, "map.raster": torch.zeros_like(case["map.raster"])}
    off = {**empty, "map.pose": case["map.pose"] + torch.tensor([1e4, 0, 0, 0])}
    for crop in ("features", "pixels"):
        encoder = scenes.encoder(crop=crop)
        assert not torch.allclose(encoder(empty).agents, encoder(off).agents)


@pytest.mark.parametrize(
    "encoder", [{"encoder.multiagent.width": 16, "encoder.multiagent.pair_width": 8}, {"encoder.multiagent.frame": "world"}]
)
@pytest.mark.parametrize("tokens", ["scene", "agents", "both"])
def test_two_encoders_together_train_two_steps(encoder: dict[str, Any], tokens: str) -> None:
    from twm_core.nn.build import build_dataset, build_world_model
    from twm_core.plugin.registry import discover
    from twm_core.recipe.assembly import assemble
    from twm_core.recipe.layers import default_layer, file_layer, option_layer, resolve

    tiny = file_layer(Path(__file__).parents[2] / "tiny.toml").values["dataset"]
    options: dict[str, Any] = {
        **{f"dataset.{k}": v for k, v in tiny.items() if k != "component"},
        "dataset.raster": True,
        "dataset.raster_size": 32,
        "dataset.metres_per_pixel": 4.0,
        "dataset.mirror": 0.5,
        "encoder.components": ["multiagent", "roadmap"],
        **encoder,
        "encoder.roadmap.tokens": tokens,
        "encoder.roadmap.width": 8,
        "encoder.roadmap.channels": 4,
        "encoder.roadmap.layers": 3,
        "dynamics.component": "gru",
        "dynamics.hidden": 16,
        "dynamics.layout": "scene" if tokens == "scene" else "auto",
        "training.batch": 2,
    }
    plan = assemble(resolve([default_layer(), *(option_layer(k, v, "test") for k, v in options.items())]), discover(environ={}))
    assert [p.name for p in plan.parts["encoder"]] == ["multiagent", "roadmap"]
    dataset, model = build_dataset(plan), build_world_model(plan, seed=0)
    windows, generator = dataset.windows("train"), torch.Generator().manual_seed(0)
    model.collect_statistics(windows.batch([0, 1]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    before = {n: p.detach().clone() for n, p in model.encoders["roadmap"].named_parameters()}
    for k in range(2):
        total, _ = model.loss(dataset.augment(windows.batch([2 * k, 2 * k + 1]), generator), generator=generator)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        assert torch.isfinite(total)
    assert any(not torch.equal(p, before[n]) for n, p in model.encoders["roadmap"].named_parameters())
