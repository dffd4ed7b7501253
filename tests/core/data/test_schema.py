"""The schema of traffic batches: keys, roles, and seconds that must be whole steps."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twm_core import Feature, UsageError
from twm_core.data.schema import (
    EXISTENCE_CODES,
    LEADER_FEATURES,
    MOTION,
    RASTER_CHANNELS,
    TRAFFIC_FEATURES,
    TrafficConfig,
    agent_actions,
    traffic_observations,
)


def test_every_feature_stands_under_its_own_name() -> None:
    assert all(name == feature.name for name, feature in TRAFFIC_FEATURES.items())
    assert set(MOTION) <= set(TRAFFIC_FEATURES)


def test_only_what_turns_or_shifts_with_the_world_is_a_world_feature() -> None:
    world = {"x", "y", "vx", "vy", "ax", "ay", "heading", "velocity_direction"}
    assert {n for n, f in TRAFFIC_FEATURES.items() if f.frame == "world"} == world
    assert {n for n, f in TRAFFIC_FEATURES.items() if f.kind == "angle"} == {"heading", "velocity_direction", "lane_angle"}


def test_what_tells_of_agents_in_front_and_behind_are_features() -> None:
    assert set(LEADER_FEATURES) <= set(TRAFFIC_FEATURES)
    assert TRAFFIC_FEATURES["time_headway"].unit == TRAFFIC_FEATURES["time_to_collision"].unit == "s"


def test_the_keys_that_may_know_the_future_are_targets() -> None:
    seen = traffic_observations(features=MOTION, dt=0.1, context=3, horizon=2, protocol="p", lanes=4, sites=2)
    assert {k.key for k in seen.keys if k.role == "target"} == {"agents.code", "agents.scored", "agents.track", "scenario"}
    assert seen.get("agents.lane").classes == 4
    assert seen.get("site").classes == 2
    assert seen.get("agents.code").classes == len(EXISTENCE_CODES)
    assert seen.get("agents.state").shape == (len(MOTION),)


def test_lanes_sites_and_maps_are_left_out_where_there_are_none() -> None:
    seen = traffic_observations(features=MOTION, dt=0.1, context=3, horizon=2, protocol="p")
    assert not any(seen.has(k) for k in ("agents.lane", "site", "map.raster", "map.pose"))


def test_a_map_raster_comes_with_its_pose() -> None:
    seen = traffic_observations(features=MOTION, dt=0.1, context=3, horizon=2, protocol="p", raster_size=16)
    raster, pose = seen.get("map.raster"), seen.get("map.pose")
    assert (raster.axes, raster.shape, raster.dtype) == ("B C H W", (len(RASTER_CHANNELS), 16, 16), "uint8")
    assert [pose.index(n) for n in ("x", "y", "heading", "metres_per_pixel")] == [0, 1, 2, 3]
    assert (raster.role, pose.role) == ("input", "input")


def test_features_keep_the_order_of_the_dataset() -> None:
    features = ("length", *reversed(MOTION))
    state = traffic_observations(features=features, dt=0.1, context=1, horizon=0, protocol="p").get("agents.state")
    assert tuple(f.name for f in state.features) == features


def test_a_dataset_without_motion_is_refused() -> None:
    with pytest.raises(UsageError, match="traffic features lack heading, vy"):
        traffic_observations(features=("x", "y", "vx"), dt=0.1, context=1, horizon=0, protocol="p")


def test_agent_actions_take_features_or_names_with_units() -> None:
    action = agent_actions(("acceleration", "m/s^2"), Feature(name="change", kind="categorical", size=3))
    assert (action.layout, action.width) == ("agents", 4)
    assert action.features[0] == Feature(name="acceleration", unit="m/s^2")


@given(st.integers(1, 500), st.sampled_from([0.04, 0.1, 0.2, 0.4, 0.5, 1 / 3, 1 / 30]))
def test_whole_numbers_of_steps_are_accepted(steps: int, dt: float) -> None:
    assert TrafficConfig(observed_seconds=steps * dt).steps("observed_seconds", dt) == steps


@given(st.integers(0, 500), st.sampled_from([0.04, 0.1, 0.4, 1.0]), st.floats(0.05, 0.95))
def test_fractions_of_a_step_are_refused(steps: int, dt: float, part: float) -> None:
    with pytest.raises(UsageError, match=r"dataset field observed_seconds = .* s is not a whole number of steps of"):
        TrafficConfig(observed_seconds=(steps + part) * dt).steps("observed_seconds", dt)


def test_predicting_nothing_is_zero_steps() -> None:
    assert TrafficConfig(predicted_seconds=0).steps("predicted_seconds", 0.1) == 0


def test_the_schema_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, twm_core.data.schema; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
