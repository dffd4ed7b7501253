"""What holds for every baseline and any scene: it follows a turned world, knows no order of agents, and reads the observed steps only."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from baseline_scenes import FEATURES, Given, forecast, forecaster, scene, spec
from hypothesis import given
from hypothesis import strategies as st

from twm_core.nn.batches import slice_time

OBS_SPEC = spec()
NAMES = [f.name for f in OBS_SPEC.get("agents.state").features]
IDM = {"desired_speed": 30.0, "compliance": 1.0, "headway": 1.5, "standstill": 2.0, "acceleration": 1.0, "braking": 1.5}
KALMAN = {"process": 0.5, "measurement": 0.1, "speed": 3.0}
ALL: dict[str, tuple[str, dict[str, Any]]] = {
    "zero velocity": ("zero-velocity", {}),
    "last velocity": ("constant-velocity", {}),
    "mean velocity": ("constant-velocity", {"estimate": "mean"}),
    "sampled velocity": ("sampled-constant-velocity", {}),
    "line": ("least-squares", {}),
    "turn rate": ("constant-turn-rate", {}),
    "kalman": ("kalman", KALMAN),
    "kalman with acceleration": ("kalman", {**KALMAN, "model": "acceleration"}),
    "drivers": ("idm", IDM),
}
MADE = {title: forecaster(name, OBS_SPEC, **options) for title, (name, options) in ALL.items()}
WORLD = {"x", "y", "heading", "vx", "vy"}


def traffic(seed: int, agents: int = 5, steps: int = 7):
    """Cars anywhere on a field, who come, go and hide; each is there at one step at least."""
    source = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=source)

    values = {n: draw(steps, agents) for n in FEATURES}
    values["x"], values["y"] = 60 * values["x"], 10 * values["y"]
    values["heading"] = 0.5 * values["heading"]
    speed = 12 * draw(steps, agents)
    values["vx"], values["vy"] = speed * values["heading"].cos(), speed * values["heading"].sin()
    for flag in ("fresh", "leader_known", "lane_known"):
        values[flag] = (values[flag] > 0.5).float()
    values["leader_gap"], values["length"], values["speed_limit"] = (
        40 * values["leader_gap"],
        4 + values["length"],
        20 * values["speed_limit"],
    )
    there = draw(steps, agents) < 0.7
    there[0] |= ~there[:3].any(dim=0)
    states = [[{n: float(values[n][t, a]) for n in NAMES} if there[t, a] else None for t in range(steps)] for a in range(agents)]
    return scene(OBS_SPEC, *states)


def turned(states: torch.Tensor, names: list[str], angle: float, shift: tuple[float, float]) -> torch.Tensor:
    """States `[...,F]` in another world, written out feature by feature."""
    out = states.clone()
    at = {n: names.index(n) for n in WORLD}
    for a, b, (dx, dy) in (("x", "y", shift), ("vx", "vy", (0.0, 0.0))):
        x, y = states[..., at[a]], states[..., at[b]]
        out[..., at[a]] = x * math.cos(angle) - y * math.sin(angle) + dx
        out[..., at[b]] = x * math.sin(angle) + y * math.cos(angle) + dy
    out[..., at["heading"]] = states[..., at["heading"]] + angle
    return out


@pytest.mark.parametrize("title", ALL)
@given(seed=st.integers(0, 10_000), angle=st.floats(-3.1, 3.1), x=st.floats(-50, 50), y=st.floats(-50, 50))
def test_turning_and_shifting_the_world_turns_and_shifts_every_future(title: str, seed: int, angle: float, x: float, y: float) -> None:
    batch = slice_time(traffic(seed), OBS_SPEC, 0, 3)
    other = {**batch, "agents.state": turned(batch["agents.state"], NAMES, angle, (x, y))}
    one, two = (forecast(MADE[title], OBS_SPEC, b, samples=3, steps=6).states for b in (batch, other))
    wanted = turned(one, ["x", "y", "heading", "vx", "vy"], angle, (x, y))
    difference = two - wanted
    difference[..., 2] = torch.atan2(difference[..., 2].sin(), difference[..., 2].cos())
    there = batch["agents.exists"].any(dim=1)[:, None, None, :, None]
    assert float((difference * there).abs().max()) < 5e-3


@pytest.mark.parametrize("title", [t for t in ALL if not MADE[t].gives.several])
@given(seed=st.integers(0, 10_000), order=st.permutations(range(5)))
def test_permuting_agents_permutes_forecasts(title: str, seed: int, order: list[int]) -> None:
    batch = slice_time(traffic(seed), OBS_SPEC, 0, 3)
    other = {k: v[..., order, :] if k == "agents.state" else v[..., order] if k.startswith("agents.") else v for k, v in batch.items()}
    one, two = (forecast(MADE[title], OBS_SPEC, b).states for b in (batch, other))
    torch.testing.assert_close(two, one[:, :, :, order], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("title", ALL)
def test_nothing_after_the_observed_steps_nor_a_target_is_read(title: str) -> None:
    whole = traffic(3)
    noise = dict(whole)
    for key in ("agents.state", "agents.exists"):
        noise[key] = whole[key].clone()
        noise[key][:, 3:] = torch.nan if key == "agents.state" else ~whole[key][:, 3:]
    poison = {"agents.code": torch.full((1, 3, 5), 9, dtype=torch.uint8), "agents.scored": torch.zeros(1, 5, dtype=torch.bool)}
    usual = forecast(MADE[title], OBS_SPEC, slice_time(whole, OBS_SPEC, 0, 3), samples=3).states
    assert torch.equal(forecast(MADE[title], OBS_SPEC, slice_time(noise, OBS_SPEC, 0, 3), samples=3).states, usual)
    assert torch.equal(forecast(MADE[title], OBS_SPEC, {**slice_time(whole, OBS_SPEC, 0, 3), **poison}, samples=3).states, usual)


@pytest.mark.parametrize("title", ALL)
def test_a_longer_forecast_begins_like_a_shorter_one(title: str) -> None:
    batch = slice_time(traffic(8), OBS_SPEC, 0, 3)
    short, long = (forecast(MADE[title], OBS_SPEC, batch, steps=s).mean() for s in (2, 9))
    torch.testing.assert_close(long[:, :2], short)


@pytest.mark.parametrize("name", ["kalman", "idm"])
def test_what_is_fitted_depends_on_the_windows_that_it_is_fitted_on_alone(name: str) -> None:
    one, other = Given(traffic(1, agents=8)), Given(traffic(2, agents=8))
    first, again, different = (forecaster(name, OBS_SPEC) for _ in range(3))
    first.fit(one)
    forecast(first, OBS_SPEC, slice_time(traffic(5), OBS_SPEC, 0, 3))
    again.fit(one)
    different.fit(other)
    batch = slice_time(traffic(4), OBS_SPEC, 0, 3)
    usual = forecast(first, OBS_SPEC, batch).states
    assert torch.equal(forecast(again, OBS_SPEC, batch).states, usual)
    assert not torch.equal(forecast(different, OBS_SPEC, batch).states, usual)
