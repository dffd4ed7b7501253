"""The map rasters of `highway`: vehicles drive on them, lanes agree with them, and mirror images stay consistent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.data.roads.raster import Pose, to_pixels
from twm_core.data.schema import RASTER_CHANNELS
from twm_core.data.windows.scenario_dataset import ScenarioDataset
from twm_core.specs import DatasetSpecs
from twm_highway.config import HighwayConfig
from twm_highway.model import build

SIZE = 96


def make(**fields: Any) -> ScenarioDataset:
    small: dict[str, Any] = {"runs": 1, "evaluation_runs": 1, "run_seconds": 12.0, "warm_up_seconds": 30.0}
    sites = {"train_sites": ("on-ramp-3",), "test_sites": ("bends-2",)}
    config = HighwayConfig(**{**small, **sites, "raster": True, "raster_size": SIZE, "metres_per_pixel": 1.0, **fields})
    seen, action = config.observations()
    dataset = build(config, DatasetSpecs(obs_spec=seen, action=action))
    assert isinstance(dataset, ScenarioDataset)
    return dataset


@pytest.fixture(scope="module")
def dataset() -> ScenarioDataset:
    return make(mirror=1.0, scale=0.25)


def under_vehicles(dataset: ScenarioDataset, batch: Batch, channel: str, *, lane_centre: bool = False) -> Tensor:
    """The channel's value, 0 to 1, at every vehicle inside the raster (or at the centre of its lane beside it)."""
    state, exists = batch["agents.state"].double().numpy(), batch["agents.exists"].numpy()
    at = {n: state[..., dataset.obs_spec.get("agents.state").index(n)] for n in ("x", "y", "heading", "lane_offset", "lane_angle")}
    if lane_centre:
        along = at["heading"] - at["lane_angle"]
        at["x"], at["y"] = at["x"] + at["lane_offset"] * np.sin(along), at["y"] - at["lane_offset"] * np.cos(along)
    found = []
    for b, raster in enumerate(batch["map.raster"].numpy()):
        pose = Pose(*(float(v) for v in batch["map.pose"][b]))
        pixel = np.floor(to_pixels(np.stack([at["x"][b], at["y"][b]], axis=-1), pose, (SIZE, SIZE))).astype(int)
        inside = exists[b] & (pixel >= 0).all(-1) & (pixel < SIZE).all(-1)
        found.append(raster[RASTER_CHANNELS.index(channel)][pixel[inside][:, 1], pixel[inside][:, 0]] / 255)
    return torch.from_numpy(np.concatenate(found))


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("augmented", [False, True])
def test_vehicles_drive_on_the_drivable_area_and_lanes_have_their_centre_lines(
    dataset: ScenarioDataset, split: str, augmented: bool
) -> None:
    windows = dataset.windows(split)
    batch = windows.batch(range(min(4, len(windows))))
    if augmented:
        batch = dataset.augment(batch, torch.Generator().manual_seed(0))
    drivable = under_vehicles(dataset, batch, "drivable")
    assert len(drivable) > 100
    assert drivable.mean() > 0.99
    assert under_vehicles(dataset, batch, "centre", lane_centre=True).mean() > 0.6
    assert under_vehicles(dataset, batch, "boundary", lane_centre=True).mean() < 0.05


def test_the_scene_is_in_the_middle_and_drives_along_the_columns(dataset: ScenarioDataset) -> None:
    batch = dataset.windows("train").batch([0, 1])
    state, pose = dataset.obs_spec.get("agents.state"), dataset.obs_spec.get("map.pose")
    here = batch["agents.exists"][:, 0]
    for b in range(2):
        first = batch["agents.state"][b, 0][here[b]]
        for name in ("x", "y"):
            values = first[:, state.index(name)]
            assert float(batch["map.pose"][b, pose.index(name)]) == pytest.approx(np.median(values.numpy()), abs=1e-4)
        away = first[:, state.index("heading")] - batch["map.pose"][b, pose.index("heading")]
        assert torch.cos(away).min() > 0.7


def test_the_raster_is_off_by_default_and_costs_nothing_then() -> None:
    seen, _ = HighwayConfig().observations()
    assert not seen.has("map.raster")
    dataset = make(raster=False)
    assert "map.raster" not in dataset.windows("train").batch([0])
    assert dataset.fingerprint() != make().fingerprint()
