"""Scenes turned by any angle, and scenes without some of their agents."""

from __future__ import annotations

import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.data.schema import EXISTENCE_CODES, POSE, TRAFFIC_FEATURES, traffic_observations
from twm_core.data.windows.augmentation import augment_traffic
from twm_core.specs import KeySpec

NAMES = tuple(TRAFFIC_FEATURES)
STATE = traffic_observations(features=NAMES, dt=0.1, context=2, horizon=2, protocol="test").get("agents.state")
POSES = KeySpec(key="map.pose", axes="B D", shape=(len(POSE),), features=POSE)


def scene(size: int = 16, agents: int = 5) -> Batch:
    generator = torch.Generator().manual_seed(1)
    exists = torch.rand(size, 4, agents, generator=generator) < 0.8
    # As batches come: agents before time in memory.
    values = torch.randn(size, agents, 4, len(NAMES), generator=generator).transpose(1, 2) * exists[..., None]
    return {
        "agents.state": values,
        "agents.exists": exists,
        "agents.code": exists.to(torch.uint8),
        "agents.scored": exists.all(dim=1),
        "agents.type": torch.ones(size, agents, dtype=torch.int64),
        "agents.track": torch.arange(agents).repeat(size, 1),
        "agents.lane": torch.ones(size, 4, agents, dtype=torch.int64),
        "map.pose": torch.randn(size, 4, generator=generator),
        "map.raster": torch.zeros(size, 3, 2, 2, dtype=torch.uint8),
        "dt": torch.full((size,), 0.1),
    }


def column(values: Tensor, name: str) -> Tensor:
    return values[..., STATE.index(name)]


def turned(before: Batch, **options: float) -> Batch:
    generator = torch.Generator().manual_seed(4)
    return augment_traffic(before, STATE, mirror=0.0, scale=0.0, generator=generator, pose=POSES, **options)  # pyrefly: ignore


def test_a_turned_scene_keeps_every_distance_speed_and_relative_direction() -> None:
    before = scene()
    after = turned(before, rotate=True)
    a, b, here = before["agents.state"], after["agents.state"], before["agents.exists"]

    def relative(values: Tensor) -> Tensor:
        """Positions of all agents in the frame of the first, at each step, with the raster's centre behind them."""
        heading = column(values, "heading")[:, :, :1]
        x, y = (column(values, n) - column(values, n)[:, :, :1] for n in ("x", "y"))
        return torch.stack([x * heading.cos() + y * heading.sin(), y * heading.cos() - x * heading.sin()], dim=-1)

    both = here & here[:, :, :1]
    torch.testing.assert_close(relative(a)[both], relative(b)[both], rtol=1e-4, atol=1e-5)
    for u, v in (("vx", "vy"), ("ax", "ay")):
        angle = [torch.atan2(column(s, v), column(s, u)) - column(s, "heading") for s in (a, b)]
        torch.testing.assert_close(angle[0][here].cos(), angle[1][here].cos(), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(torch.hypot(column(a, u), column(a, v)), torch.hypot(column(b, u), column(b, v)))
    same = [n for n in NAMES if TRAFFIC_FEATURES[n].frame != "world"]
    for name in same:
        assert torch.equal(column(a, name), column(b, name)), name
    assert not b[~here].any()
    assert column(b, "heading").abs().max() <= torch.pi
    assert not torch.allclose(column(a, "x"), column(b, "x"))


def test_a_turned_scene_stays_where_it_was_and_its_raster_with_it() -> None:
    before = scene()
    after = turned(before, rotate=True)
    for i in range(len(before["dt"])):
        here = before["agents.exists"][i, 0]
        assert here.any()
        for name in ("x", "y"):
            means = [float(column(s["agents.state"], name)[i, 0][here].mean()) for s in (before, after)]
            assert abs(means[0] - means[1]) < 1e-5
        first = int(here.nonzero()[0, 0])
        at = [[column(s["agents.state"], name)[i, 0, first] for name in ("x", "y")] for s in (before, after)]
        poses = [s["map.pose"][i] for s in (before, after)]
        away = [torch.hypot(pose[0] - x, pose[1] - y) for (x, y), pose in zip(at, poses, strict=True)]
        torch.testing.assert_close(away[0], away[1], rtol=1e-4, atol=1e-4)
        change = column(after["agents.state"], "heading")[i, 0, first] - column(before["agents.state"], "heading")[i, 0, first]
        torch.testing.assert_close(torch.cos(after["map.pose"][i, 2] - before["map.pose"][i, 2]), torch.cos(change), rtol=1e-3, atol=1e-4)
    assert torch.equal(after["map.pose"][:, 3], before["map.pose"][:, 3])


def test_dropped_agents_are_as_padding_and_one_scored_agent_stays() -> None:
    before = scene(200)
    after = turned(before, dropout=0.5)
    gone = after["agents.track"] == -1
    assert 0.3 < float(gone.float().mean()) < 0.5
    assert bool((after["agents.scored"].any(dim=1) == before["agents.scored"].any(dim=1)).all())
    every = gone[:, None].expand_as(before["agents.exists"])
    assert not after["agents.state"][every].any()
    assert not after["agents.exists"][every].any()
    assert after["agents.code"][every].eq(EXISTENCE_CODES.index("padding")).all()
    for key in ("agents.scored", "agents.type"):
        assert not after[key][gone].any()
    assert not after["agents.lane"][every].any()
    for key in ("agents.state", "agents.exists", "agents.code", "agents.lane"):
        assert torch.equal(after[key][~every], before[key][~every])
    assert torch.equal(after["map.raster"], before["map.raster"])


def test_turning_and_dropping_do_not_change_which_scenes_are_mirrored() -> None:
    before = scene()
    plain, more = (
        augment_traffic(before, STATE, mirror=0.5, scale=0.0, generator=torch.Generator().manual_seed(2), dropout=d) for d in (0.0, 0.3)
    )
    here = more["agents.exists"]
    assert torch.equal(plain["agents.state"][here], more["agents.state"][here])
