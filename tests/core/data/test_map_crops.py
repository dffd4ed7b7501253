"""Map rasters of windows: where they lie, that a crop is what drawing in its pose gives, and that they know no future."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from twm_core.data.roads.map_crops import MapCrops, RasterOptions, crop, draw_whole, scene_pose
from twm_core.data.roads.raster import Pose, draw_road
from twm_core.data.scenario import OBSERVED, Lane, RoadMap, Scenario
from twm_core.data.schema import MOTION, POSE, traffic_observations
from twm_core.data.windows.protocol import WindowProtocol
from twm_core.data.windows.scenario_dataset import ScenarioDataset
from twm_core.errors import DataError

ANGLE = np.linspace(0, 2, 60)
BEND = Lane(id="bend", centre=30 * np.stack([np.sin(ANGLE), 1 - np.cos(ANGLE)], axis=1), width=4.0)
CROSS = Lane(id="cross", centre=np.linspace([-20.0, 30.0], [60.0, 10.0], 30), width=6.0)
ROAD = RoadMap(lanes=(BEND, CROSS))
OPTIONS = RasterOptions(size=32, metres_per_pixel=1.0)


def scenario(road: RoadMap | None = ROAD, *, name: str = "s", agents: int = 3, steps: int = 8, seed: int = 0) -> Scenario:
    random = np.random.default_rng(seed)
    state = random.normal(size=(agents * steps, len(MOTION))).astype(np.float32) * 5
    return Scenario(
        id=name,
        site="here",
        dt=0.5,
        steps=steps,
        features=MOTION,
        state=state,
        code=np.full(agents * steps, OBSERVED, dtype=np.uint8),
        first=np.zeros(agents, dtype=np.int64),
        length=np.full(agents, steps, dtype=np.int64),
        track=tuple(f"t{i}" for i in range(agents)),
        type=np.ones(agents, dtype=np.int64),
        road=road,
    )


def dataset(scenarios: list[Scenario], raster: RasterOptions | None = OPTIONS, **options: float) -> ScenarioDataset:
    size = raster.size if raster else 0
    seen = traffic_observations(features=MOTION, dt=0.5, context=3, horizon=2, protocol="p", raster_size=size)
    protocol = WindowProtocol(context=3, horizon=2, stride=2)
    return ScenarioDataset(obs_spec=seen, action=None, splits={"train": scenarios}, protocol=protocol, raster=raster, **options)


def test_a_crop_shows_what_drawing_in_its_pose_shows() -> None:
    random, whole = np.random.default_rng(0), draw_whole(ROAD, 1.0)
    error: dict[float, list[float]] = {0.0: [], 0.02: []}
    for _ in range(40):
        x, y, heading = random.uniform((-10, -10, -4), (40, 40, 4))
        cut = crop(whole, Pose(x, y, heading, 1.0), 32).astype(int)
        for wrong, found in error.items():
            found.append(abs(cut - draw_road(ROAD, Pose(x, y, heading + wrong, 1.0), (32, 32))).mean())
    # Of 255; what remains is blur. A heading that is off by a fiftieth of a radian shows.
    assert np.mean(error[0.0]) < 2.5
    assert np.mean(error[0.02]) > 1.4 * np.mean(error[0.0])


def test_beyond_the_map_a_crop_is_empty() -> None:
    assert not crop(draw_whole(ROAD, 1.0), Pose(500.0, 0.0, 0.0, 1.0), 32).any()
    assert not crop(draw_whole(RoadMap(), 1.0), Pose(0.0, 0.0, 0.0, 1.0), 32).any()


def test_the_scene_lies_at_the_median_position_along_the_mean_heading_of_the_first_step_with_anyone() -> None:
    state = np.zeros((3, 4, len(MOTION)), dtype=np.float32)
    exists = np.array([[0, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]], dtype=bool)
    x, y, heading = (MOTION.index(n) for n in ("x", "y", "heading"))
    state[1, :, x], state[1, :, y] = [1, 2, 9, 1e6], [-1, 5, 0, 1e6]
    state[1, :, heading] = [math.pi - 0.1, -math.pi + 0.1, math.pi - 0.3, 1.0]
    state[2] = 77.0
    expected = np.angle(np.exp(1j * np.array([math.pi - 0.1, -math.pi + 0.1, math.pi - 0.3])).sum())
    pose = scene_pose(MOTION, state, exists, 2.5)
    np.testing.assert_allclose(pose, (2.0, 0.0, expected, 2.5), atol=1e-6)
    assert scene_pose(MOTION, state, np.zeros_like(exists), 2.5) == (0, 0, 0, 2.5)


def test_a_batch_has_a_raster_and_a_pose_for_each_window() -> None:
    batch = dataset([scenario(), scenario(name="other", seed=1)]).windows("train").batch([0, 1, 3])
    assert batch["map.raster"].shape == (3, 3, 32, 32)
    assert batch["map.raster"].dtype == torch.uint8
    assert batch["map.pose"].shape == (3, len(POSE))
    assert batch["map.raster"].flatten(1).any(dim=1).all()
    state, exists = batch["agents.state"][1, :3].numpy(), batch["agents.exists"][1, :3].numpy()
    pose = scene_pose(MOTION, state, exists, 1.0)
    np.testing.assert_allclose(batch["map.pose"][1], pose, rtol=1e-6)
    np.testing.assert_array_equal(batch["map.raster"][1], crop(draw_whole(ROAD, 1.0), pose, 32))


def test_without_options_there_is_no_raster() -> None:
    batch = dataset([scenario(None)], raster=None).windows("train").batch([0])
    assert not any(k.startswith("map.") for k in batch)


def test_a_scenario_without_a_map_is_refused() -> None:
    with pytest.raises(DataError, match="scenario bare: a map raster is asked for, but it has no road map") as caught:
        dataset([scenario(), scenario(None, name="bare")]).windows("train")
    assert caught.value.hint == "set dataset.raster to false"


def test_equal_maps_are_drawn_once() -> None:
    again = RoadMap(lanes=tuple(replace(lane, centre=lane.centre.copy()) for lane in ROAD.lanes))
    crops = MapCrops([scenario(), scenario(again, name="b"), scenario(RoadMap(lanes=(BEND,)), name="c")], OPTIONS)
    for s in crops.scenarios:
        crops.window(s, np.zeros((1, 1, len(MOTION)), dtype=np.float32), np.ones((1, 1), dtype=bool))
    assert len(crops._drawings) == 2


def test_steps_after_the_first_do_not_move_the_raster() -> None:
    one, other = scenario(), scenario(seed=5)
    first = np.repeat(one.first - one.offset, one.length) + np.arange(len(one.state)) == 0
    mixed = replace(other, state=np.where(first[:, None], one.state, other.state))
    a, b = (dataset([s]).windows("train").batch([0]) for s in (one, mixed))
    assert torch.equal(a["map.raster"], b["map.raster"])
    assert torch.equal(a["map.pose"], b["map.pose"])
    assert not torch.equal(a["agents.state"], b["agents.state"])


def test_the_fingerprint_knows_the_map_and_the_size_of_the_raster() -> None:
    prints = {
        dataset([scenario()]).fingerprint(),
        dataset([scenario(RoadMap(lanes=(BEND,)))]).fingerprint(),
        dataset([scenario()], RasterOptions(size=32, metres_per_pixel=2.0)).fingerprint(),
        dataset([scenario()], None).fingerprint(),
    }
    assert len(prints) == 4
    assert dataset([scenario()], None).fingerprint() == dataset([scenario(None)], None).fingerprint()


@pytest.mark.parametrize(("mirror", "scale"), [(1.0, 0.0), (0.0, 0.5), (1.0, 0.5)])
def test_an_augmented_raster_is_the_one_of_the_augmented_road(mirror: float, scale: float) -> None:
    data = dataset([scenario()], mirror=mirror, scale=scale)
    before = data.windows("train").batch([0])
    copy = {k: v.clone() for k, v in before.items()}
    after = data.augment(before, torch.Generator().manual_seed(3))
    assert all(torch.equal(before[k], copy[k]) for k in copy)
    x = MOTION.index("x")
    factor = float(after["agents.state"][0, 0, 0, x] / before["agents.state"][0, 0, 0, x])
    by = np.array([factor, -factor if mirror else factor])
    moved = RoadMap(lanes=tuple(Lane(id=lane.id, centre=lane.centre * by, width=lane.width * factor) for lane in ROAD.lanes))
    pose = Pose(*(float(v) for v in after["map.pose"][0]))
    assert pose.metres_per_pixel == pytest.approx(factor)
    drawn = draw_road(moved, pose, (32, 32)).astype(int)
    assert abs(drawn - after["map.raster"][0].numpy().astype(int)).mean() < 4
    moved_pose = scene_pose(MOTION, after["agents.state"][0, :3].numpy(), after["agents.exists"][0, :3].numpy(), factor)
    np.testing.assert_allclose(pose, moved_pose, rtol=1e-4, atol=1e-5)
