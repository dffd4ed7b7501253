"""Mirror images and other sizes of a scene, against the geometry that they stand for."""

from __future__ import annotations

import math

import torch

from twm_core.data.dataset import Windows
from twm_core.data.schema import TRAFFIC_FEATURES, traffic_observations
from twm_core.data.windows.augmentation import augment_traffic
from twm_core.data.windows.loader import TrainingBatches

NAMES = tuple(TRAFFIC_FEATURES)
STATE = traffic_observations(features=NAMES, dt=0.1, context=2, horizon=2, protocol="test").get("agents.state")


def scene(size: int = 64) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(size, 4, 3, len(NAMES), generator=generator)
    return {"agents.state": values, "agents.lane": torch.ones(size, 4, 3, dtype=torch.int64)}


def column(batch: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    return batch["agents.state"][..., STATE.index(name)]


def test_a_mirrored_scene_has_left_and_right_exchanged_and_nothing_else() -> None:
    before = scene()
    after = augment_traffic(before, STATE, mirror=1.0, scale=0.0, generator=torch.Generator().manual_seed(0))
    for name in ("x", "vx", "ax", "length", "width", "lane_end", "speed_limit", "lane_known", "fresh"):
        assert torch.equal(column(after, name), column(before, name)), name
    lateral = ("leader_offset", "leader_drift", "follower_offset", "follower_drift", "velocity_direction")
    for name in ("y", "vy", "ay", "heading", "yaw_rate", "lane_offset", "lane_angle", "lane_turn_20", "lane_turn_50", *lateral):
        assert torch.equal(column(after, name), -column(before, name)), name
    assert torch.equal(column(after, "lane_left"), column(before, "lane_right"))
    assert torch.equal(column(after, "lane_right"), column(before, "lane_left"))
    assert not after["agents.lane"].any()


def test_every_feature_of_traffic_is_thought_of() -> None:
    # A new feature must be added to the tables of augmentation or to this list.
    unchanged = {
        "x",
        "vx",
        "ax",
        "length",
        "width",
        "lane_end",
        "speed_limit",
        "lane_known",
        "fresh",
        "leader_gap",
        "leader_speed",
        "leader_known",
        "follower_gap",
        "follower_speed",
        "follower_known",
        "time_headway",
        "time_to_collision",
    }
    changed = {
        "velocity_direction",
        "leader_offset",
        "leader_drift",
        "follower_offset",
        "follower_drift",
        "y",
        "vy",
        "ay",
        "heading",
        "yaw_rate",
        "lane_offset",
        "lane_angle",
        "lane_turn_20",
        "lane_turn_50",
        "lane_left",
        "lane_right",
    }
    assert unchanged | changed == set(NAMES)


def test_a_scaled_scene_keeps_its_times_and_angles() -> None:
    before = scene()
    after = augment_traffic(before, STATE, mirror=0.0, scale=0.25, generator=torch.Generator().manual_seed(0))
    factor = column(after, "x") / column(before, "x")
    assert factor.min() > 1 / 1.26
    assert factor.max() < 1.26
    assert factor.std() > 0.05
    one = factor[:, 0, 0]
    for name in ("y", "vx", "vy", "ax", "ay", "length", "width", "lane_offset", "lane_end", "speed_limit", "follower_gap", "leader_drift"):
        torch.testing.assert_close(column(after, name), column(before, name) * one[:, None, None], rtol=1e-4, atol=1e-5)
    for name in ("heading", "yaw_rate", "lane_angle", "lane_left", "velocity_direction", "time_headway", "time_to_collision"):
        assert torch.equal(column(after, name), column(before, name)), name


def test_a_circle_stays_a_circle_driven_at_the_same_yaw_rate() -> None:
    # v = w r: with w kept, speed and radius grow alike.
    w, r = 0.3, 50.0
    values = torch.zeros(1, 4, 1, len(NAMES))
    for t in range(4):
        angle = w * 0.1 * t
        row = {"x": r * math.sin(angle), "y": r * (1 - math.cos(angle)), "vx": w * r * math.cos(angle), "vy": w * r * math.sin(angle)}
        for name, value in (row | {"heading": angle, "yaw_rate": w}).items():
            values[0, t, 0, STATE.index(name)] = value
    after = augment_traffic({"agents.state": values}, STATE, mirror=1.0, scale=0.5, generator=torch.Generator().manual_seed(3))
    speed = torch.hypot(column(after, "vx"), column(after, "vy"))
    centre = speed / w
    distance = torch.hypot(column(after, "x"), column(after, "y") + centre)
    torch.testing.assert_close(distance, centre, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(column(after, "yaw_rate"), torch.full_like(speed, -w))


def test_the_batch_that_comes_in_is_left_alone() -> None:
    before = scene()
    copies = {k: v.clone() for k, v in before.items()}
    augment_traffic(before, STATE, mirror=0.5, scale=0.2, generator=torch.Generator().manual_seed(0))
    assert all(torch.equal(before[k], copies[k]) for k in copies)


class _Numbers(Windows):
    def __len__(self) -> int:
        return 5

    def batch(self, indices):
        return {"x": torch.tensor(list(indices), dtype=torch.float32)}

    def report(self) -> dict[str, int]:
        return {}


def test_augmentation_is_a_function_of_seed_and_batch_number_alone() -> None:
    def noisy(batch, generator):
        return {"x": batch["x"] + torch.rand(len(batch["x"]), generator=generator)}

    one, two = (TrainingBatches(_Numbers(), batch=3, seed=4, augment=noisy) for _ in range(2))
    later = two[7]["x"]
    assert torch.equal([one[k]["x"] for k in range(8)][7], later)
    assert not torch.equal(one[7]["x"] - one[7]["x"].floor(), one[2]["x"] - one[2]["x"].floor())
