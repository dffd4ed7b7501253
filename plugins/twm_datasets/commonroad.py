"""The dataset `commonroad`: CommonRoad files as scenarios, cut into windows, split without leaks (see `holdout`).

    vx, vy = speed (cos heading, sin heading)          ax, ay, yaw_rate = backward differences (see `motion`)

The file gives a speed along the orientation; it is taken as it is (in the NGSIM files it differs from differenced positions by 0.05 m/s
in the median but by several m/s at junctions). The file's accelerations are not read: they need not be causal. At a track's first step
the differences are 0 and `fresh` is 1.

Coordinates and lanelet numbers are local to a map; the site of a file is its place: `US101` for all maps of that road, `Lanker-2`,
`Peach-4` and so on for junctions. A lane token stands for `site:lanelet` at junctions, where all files share one map, and for
`site:n`, the n-th lane from the left, on the roads of `ONE_ROAD`, whose maps number their lanelets anew. Tokens are hashes into the
declared capacities, so they depend neither on the order of files nor on which other files are there; shared tokens are counted in the
report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from twm_core.angles import wrap
from twm_core.data.dataset import SPLITS
from twm_core.data.features.lanes import locate
from twm_core.data.features.leaders import find_leaders
from twm_core.data.motion import backward_difference
from twm_core.data.roads.lane_lines import make_lanes
from twm_core.data.roads.map_crops import RasterOptions
from twm_core.data.scenario import OBSERVED, Lane, RoadMap, Scenario
from twm_core.data.windows.protocol import WindowProtocol
from twm_core.data.windows.scenario_dataset import ScenarioDataset
from twm_core.errors import DataError
from twm_core.specs import DatasetSpecs
from twm_datasets.commonroad_sites import ONE_ROAD, site_of
from twm_datasets.commonroad_xml import RawFile, read_file
from twm_datasets.config import COMMONROAD_FEATURES, CommonRoadConfig
from twm_datasets.holdout import Holdout, RecordedFile, hold_out
from twm_datasets.tokens import shared, token


def build(config: CommonRoadConfig, specs: DatasetSpecs) -> ScenarioDataset:
    """Read every file, split, and return the dataset.

    Raises:
        DataError: The path is not there or holds no file, or a file is malformed or sampled otherwise.
    """
    scenarios, recorded, notes = read_folder(config)
    holdout = hold_out(recorded)
    splits: dict[str, list[Scenario]] = {name: [] for name in SPLITS}
    for scenario, file in zip(scenarios, recorded, strict=True):
        splits[holdout.file[file.name]].append(_owned(scenario, file, holdout))
    stride = config.steps("eval_stride_seconds", config.dt)
    protocol = WindowProtocol(context=specs.obs_spec.context, horizon=specs.obs_spec.horizon, stride=stride, max_agents=config.max_agents)
    return ScenarioDataset(
        obs_spec=specs.obs_spec,
        action=specs.action,
        splits=splits,
        protocol=protocol,
        train_stride=config.steps("stride_seconds", config.dt),
        train_agents=config.train_agents,
        mirror=config.mirror,
        scale=config.scale,
        raster=RasterOptions(size=config.raster_size, metres_per_pixel=config.metres_per_pixel) if config.raster else None,
        notes={name: {**_counts(name, recorded, holdout), **notes} for name in SPLITS},
    )


def read_folder(config: CommonRoadConfig) -> tuple[list[Scenario], list[RecordedFile], dict[str, int]]:
    """All files of `config.path` in order of name, as scenarios and as the split sees them, and counts for the report.

    Raises:
        DataError: See `build`.
    """
    scenarios: list[Scenario] = []
    recorded: list[RecordedFile] = []
    static = 0
    lane_keys: set[str] = set()
    for path in find_files(config.path):
        raw = read_file(path)
        if abs(raw.dt - config.dt) > 1e-9:
            raise DataError(
                f"{raw.name}: timeStepSize is {raw.dt:g} s, the dataset's dt is {config.dt:g} s",
                f"put files of one time step in a folder, or set dt = {raw.dt:g}",
            )
        scenario = to_scenario(raw, lanes=config.lanes, sites=config.sites)
        scenarios.append(scenario)
        recording = scenario.site.split("-")[0]
        recorded.append(RecordedFile(scenario.id, recording, scenario.site, {t.id: t.rows[:, 3] for t in raw.tracks}))
        static += raw.static
        assert scenario.road is not None  # `to_scenario` always sets it
        lane_keys.update(lane_names(scenario.site, scenario.road.lanes))
    sites = {s.site for s in scenarios}
    notes = {
        "static obstacles left out": static,
        "lanes that share a token": shared(lane_keys, config.lanes),
        "sites that share a token": shared(sites, config.sites),
    }
    return scenarios, recorded, notes


def find_files(path: str) -> list[Path]:
    """The XML files of a folder by name, or the one file.

    Raises:
        DataError: No path was given, it is not there, or the folder holds none.
    """
    if not path:
        raise DataError("dataset commonroad: no path was given", "set path to a folder of CommonRoad XML files")
    place = Path(path)
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise DataError(f"dataset commonroad: {path} is not there", "give an existing folder of CommonRoad XML files, or one such file")
    found = sorted(p for p in place.iterdir() if p.suffix == ".xml" and p.is_file())
    if not found:
        raise DataError(f"dataset commonroad: {path} holds no .xml file", "files must lie in the folder itself, not in folders below it")
    return found


def lane_names(site: str, lanes: Sequence[Lane]) -> list[str]:
    """The name behind the token of each lane (see the module's text)."""
    if site not in ONE_ROAD:
        return [f"{site}:{lane.id}" for lane in lanes]
    left = {lane.id: lane.left for lane in lanes}
    names = []
    for lane in lanes:
        seen, here = {lane.id}, lane.left
        while here is not None and here not in seen:
            seen.add(here)
            here = left[here]
        names.append(f"{site}:{len(seen)}")
    return names


def to_scenario(raw: RawFile, *, lanes: int, sites: int) -> Scenario:
    """One file as a scenario; `lanes` and `sites` are the token capacities.

    Every row depends on its own track up to its own step, and on who else is there at that step, only. The origin is the first point
    of the map (else of the first track), so it knows no future either.
    """
    rows = np.concatenate([t.rows for t in raw.tracks])
    length = np.asarray([len(t.rows) for t in raw.tracks], dtype=np.int64)
    starts = np.zeros(len(rows), dtype=bool)
    starts[np.cumsum(length) - length] = True
    first = raw.lanelets[0].left_bound[0] if raw.lanelets else rows[0, :2]
    origin = (float(np.round(first[0])), float(np.round(first[1])))
    xy, heading, speed = rows[:, :2] - origin, wrap(rows[:, 2]), rows[:, 3]
    vx, vy = speed * np.cos(heading), speed * np.sin(heading)
    road = RoadMap(make_lanes(raw.lanelets, origin))
    on = locate(xy, heading, road.lanes)
    step = np.concatenate([t.first + np.arange(len(t.rows)) for t in raw.tracks]).astype(np.int64)
    front = find_leaders(step, xy, heading, np.stack([vx, vy], axis=1))
    columns = {
        "x": xy[:, 0],
        "y": xy[:, 1],
        "heading": heading,
        "vx": vx,
        "vy": vy,
        "ax": backward_difference(vx, starts, raw.dt),
        "ay": backward_difference(vy, starts, raw.dt),
        "yaw_rate": backward_difference(heading, starts, raw.dt, angle=True),
        "length": np.repeat([t.length for t in raw.tracks], length),
        "width": np.repeat([t.width for t in raw.tracks], length),
        "leader_gap": front.gap,
        "leader_speed": front.speed,
        "leader_known": front.known,
        "fresh": starts.astype(np.float64),
    }
    state = np.stack([columns[n] if n in columns else getattr(on, n) for n in COMMONROAD_FEATURES], axis=1)
    site = site_of(raw.benchmark)
    tokens = np.asarray([0, *(token(name, lanes) for name in lane_names(site, road.lanes))], dtype=np.int64)
    begin = np.asarray([t.first for t in raw.tracks], dtype=np.int64)
    return Scenario(
        id=Path(raw.name).stem,
        site=site,
        dt=raw.dt,
        steps=int((begin + length).max()),
        features=COMMONROAD_FEATURES,
        state=state.astype(np.float32),
        code=np.full(len(rows), OBSERVED, dtype=np.uint8),
        first=begin,
        length=length,
        track=tuple(t.id for t in raw.tracks),
        type=np.asarray([t.type for t in raw.tracks], dtype=np.int64),
        lane=tokens[on.lane + 1],
        road=road,
        origin=origin,
        site_token=token(site, sites),
    )


def _owned(scenario: Scenario, file: RecordedFile, holdout: Holdout) -> Scenario:
    """The scenario with the tracks marked that its split may score."""
    split = holdout.file[file.name]
    eligible = np.asarray([holdout.owner[file.recording, vehicle] == split for vehicle in scenario.track], dtype=bool)
    return replace(scenario, eligible=eligible)


def _counts(split: str, recorded: Sequence[RecordedFile], holdout: Holdout) -> dict[str, int]:
    """Vehicles of the split, and vehicles of other splits that its files show without scoring them."""
    shown = {(f.recording, vehicle) for f in recorded if holdout.file[f.name] == split for vehicle in f.speed}
    own = {v for v in shown if holdout.owner[v] == split}
    return {"vehicles": len(own), "vehicles of other splits shown as context": len(shown) - len(own)}
