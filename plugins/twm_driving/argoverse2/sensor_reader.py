"""Reader `argoverse2-sensor`: annotated logs of the Argoverse 2 sensor dataset.

One folder per log. `annotations.feather` has a row per box and lidar sweep (10 Hz): timestamp, track, category, size, and the pose of its
centre IN THE FRAME OF THE RECORDING VEHICLE; `city_SE3_egovehicle.feather` has the pose of that vehicle in the city at the same
timestamps (and many more); `map/log_map_archive_*.json` is the vector map. Boxes are turned into the city frame in three dimensions,

    R = R_ego R_box,   p = R_ego p_box + p_ego,   heading = atan2(R[1, 0], R[0, 0]),

before heights are dropped. Timestamps are irregular by some milliseconds: a step is a sweep, and where sweeps are missing the difference
divided by 0.1 s, rounded. Velocities are not given. Format: av2-api, `av2.datasets.sensor`.

The recording vehicle has no box. It becomes the track `AV`: a Ford Fusion Hybrid of 4.877 x 2.0 x 1.473 m (the size of the ego box in the
test log of av2-api) whose centre lies 1.34 m ahead of the origin of its frame, the middle of the rear axle (wheelbase 2.85 m, length
4.87 m: an estimate of some centimetres).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.files import find_files
from twm_core.data.importing.reader import Reader, Skipped, Source
from twm_core.data.importing.tracks import Rows
from twm_core.data.recording import Recording
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_driving.argoverse2.arrow_table import Kind, read_columns
from twm_driving.argoverse2.example import write_log
from twm_driving.argoverse2.map import read_map
from twm_driving.argoverse2.reader import CREDITS, DT, EGO
from twm_driving.config import Argoverse2SensorConfig
from twm_driving.scenes import MOST_STEPS, Scene, recordings
from twm_driving.values import Floats, checked

POSES = "city_SE3_egovehicle.feather"

EGO_SIZE = (4.877, 2.0, 1.473)
"""Length, width and height of the recording vehicle in metres."""

EGO_CENTRE = 1.34
"""Metres from the origin of the vehicle's frame (rear axle) forward to the centre of its box."""

EGO_CATEGORY = "EGO_VEHICLE"
"""Category of boxes of the recording vehicle, which a few files have; they lie at the origin of the frame, not at the centre."""

CITIES = {"ATX": "austin", "DTW": "dearborn", "MIA": "miami", "PAO": "palo-alto", "PIT": "pittsburgh", "WDC": "washington-dc"}
"""Codes in the names of maps, and the names that the forecasting dataset has for the same cities."""

TYPES = {
    "REGULAR_VEHICLE": "car",
    "LARGE_VEHICLE": "truck",
    "BUS": "bus",
    "SCHOOL_BUS": "bus",
    "ARTICULATED_BUS": "bus",
    "BOX_TRUCK": "truck",
    "TRUCK": "truck",
    "TRUCK_CAB": "truck",
    "MOTORCYCLE": "motorcycle",
    "MOTORCYCLIST": "motorcycle",
    "BICYCLE": "bicycle",
    "BICYCLIST": "bicycle",
    "PEDESTRIAN": "pedestrian",
    "OFFICIAL_SIGNALER": "pedestrian",
    "WHEELCHAIR": "pedestrian",
    "STROLLER": "pedestrian",
    "WHEELED_RIDER": "other",
    "WHEELED_DEVICE": "other",
    "VEHICULAR_TRAILER": "other",
    "RAILED_VEHICLE": "other",
    "DOG": "other",
    "ANIMAL": "other",
}
STATIC = (
    "BOLLARD",
    "CONSTRUCTION_CONE",
    "CONSTRUCTION_BARREL",
    "SIGN",
    "STOP_SIGN",
    "MESSAGE_BOARD_TRAILER",
    "TRAFFIC_LIGHT_TRAILER",
    "MOBILE_PEDESTRIAN_SIGN",
    "MOBILE_PEDESTRIAN_CROSSING_SIGN",
)
"""Categories that never move."""

POSE: dict[str, Kind] = {
    "timestamp_ns": "int",
    "qw": "float",
    "qx": "float",
    "qy": "float",
    "qz": "float",
    "tx_m": "float",
    "ty_m": "float",
    "tz_m": "float",
}
BOX: dict[str, Kind] = {
    **POSE,
    "track_uuid": "text",
    "category": "text",
    "length_m": "float",
    "width_m": "float",
    "height_m": "float",
    "num_interior_pts": "int",
}


def rotations(table: dict[str, NDArray[Any]], file: str) -> Floats:
    """Rotation matrices `[R, 3, 3]` of the quaternions of a table, which are normalized first.

    Raises:
        DataError: A quaternion is far from unit length; the message names the row.
    """
    q = np.stack([table[n] for n in ("qw", "qx", "qy", "qz")], axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        size = np.sqrt((q**2).sum(axis=1))
    wrong = ~(np.abs(size - 1) < 0.01)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{file}, row {row + 1}: the quaternion has length {size[row]:g}, not 1 ({int(wrong.sum())} such rows)", "repair the row"
        )
    w, x, y, z = (q / size[:, None]).T
    return np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], axis=1),
            np.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], axis=1),
            np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], axis=1),
        ],
        axis=1,
    )


def translations(table: dict[str, NDArray[Any]], file: str) -> Floats:
    """Translations `[R, 3]` of a table.

    Raises:
        DataError: One is not a finite number of metres; the message names the row.
    """
    found = np.stack([table[n] for n in ("tx_m", "ty_m", "tz_m")], axis=1)
    wrong = ~(np.abs(found) <= 1e8).all(axis=1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(f"{file}, row {row + 1}: the translation is {found[row].tolist()} ({int(wrong.sum())} such rows)", "repair the row")
    return found


def steps_of(timestamps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Steps `[S]` of sorted, different timestamps in nanoseconds: one on, or more where sweeps are missing.

    Differences are rounded one by one, so that a clock that runs a little slow does not skip a step after some minutes.
    """
    seconds = np.diff(timestamps).astype(np.float64) * 1e-9
    return np.concatenate([[0], np.cumsum(np.maximum(1, np.round(seconds / DT)))]).astype(np.int64)


class Argoverse2SensorReader(Reader):
    """Reads annotated logs."""

    credits = CREDITS

    def __init__(self, config: Argoverse2SensorConfig) -> None:
        self.config = config

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        # Where a log has several annotation files, the one with the official name is read.
        def accept(path: Path) -> bool:
            annotations = path.suffix == ".feather" and path.stem.startswith("annotations")
            return annotations and path == min(path.parent.glob("annotations*.feather"), key=_official)

        def beside(path: Path) -> list[Path]:
            poses, maps = path.with_name(POSES), sorted(path.parent.glob("map/log_map_archive_*.json"))
            return [*([poses] if poses.exists() else []), *maps[:1]]

        what = "Argoverse 2 sensor logs (annotations.feather)"
        found = find_files(paths, accept, what=what, named=lambda path: path.parent)
        return [Source(name, (path, *beside(path))) for name, path in found]

    def read(self, source: Source) -> Iterator[Recording | Skipped]:
        boxes = source.files[0]
        poses = next((f for f in source.files if f.name == POSES), None)
        maps = [f for f in source.files if f.suffix == ".json"]
        if poses is None:
            raise DataError(f"{source.name}: has no {POSES} beside {boxes.name}", "boxes cannot be placed without the poses of the vehicle")
        counts: Counter[str] = Counter()
        rows = self._rows(read_columns(boxes, BOX), read_columns(poses, POSE), boxes.name, poses.name, counts)
        if not maps:
            counts["maps that are not there"] += 1
        scene = Scene(
            id=source.name,
            file=boxes.name,
            site=self.config.site or (_city(maps[0]) if maps else source.name),
            dt=DT,
            steps=int(rows.step.max()) + 1,
            ego=EGO,
            road=read_map(maps[0], counts) if maps else None,
        )
        yield from recordings(rows, scene, self.config.scenario_seconds, counts)

    def _rows(
        self, boxes: dict[str, NDArray[Any]], poses: dict[str, NDArray[Any]], file: str, pose_file: str, counts: Counter[str]
    ) -> Rows:
        sweeps, sweep = np.unique(boxes["timestamp_ns"], return_inverse=True)
        ego_turn, ego_at, ego_row = self._ego(poses, sweeps, sweep, file, pose_file)
        turn = ego_turn[sweep] @ rotations(boxes, file)
        at = np.einsum("rij,rj->ri", ego_turn[sweep], translations(boxes, file)) + ego_at[sweep]
        step = steps_of(sweeps)
        if step[-1] >= MOST_STEPS:
            row = int(np.argmax(boxes["timestamp_ns"])) + 1
            raise DataError(
                f"{file}, row {row}: lies {step[-1] * DT:g} s after the first", f"at most {MOST_STEPS} steps are read; repair it"
            )
        keep, line = self._kept(boxes, counts), np.arange(1, len(sweep) + 1)
        columns = {
            "x": at[:, 0],
            "y": at[:, 1],
            "heading": np.arctan2(turn[:, 1, 0], turn[:, 0, 0]),
            **{name: boxes[f"{name}_m"] for name in ("length", "width", "height")},
        }
        columns = checked({n: v[keep] for n, v in columns.items()}, lambda r: f"{file}, row {line[keep][r]}", counts)
        centre = ego_at + EGO_CENTRE * ego_turn[:, :, 0]
        own = {
            "x": centre[:, 0],
            "y": centre[:, 1],
            "heading": np.arctan2(ego_turn[:, 1, 0], ego_turn[:, 0, 0]),
            **{name: np.full(len(sweeps), size) for name, size in zip(("length", "width", "height"), EGO_SIZE, strict=True)},
        }
        category = [AGENT_TYPES.index(TYPES.get(c, "other")) for c in boxes["category"][keep]]
        return Rows(
            track=np.concatenate([boxes["track_uuid"][keep], np.full(len(sweeps), EGO, dtype=object)]),
            step=np.concatenate([step[sweep][keep], step]),
            columns={name: np.concatenate([columns[name], own[name]]) for name in columns},
            type=np.array([*category, *[AGENT_TYPES.index("car")] * len(sweeps)], dtype=np.int64),
            line=np.concatenate([line[keep], ego_row + 1]),
        )

    def _ego(
        self, poses: dict[str, NDArray[Any]], sweeps: NDArray[np.int64], sweep: NDArray[np.int64], file: str, pose_file: str
    ) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """Rotation, translation and row of the vehicle's pose at every sweep."""
        order = np.argsort(poses["timestamp_ns"], kind="stable")
        at = np.clip(np.searchsorted(poses["timestamp_ns"][order], sweeps), 0, len(order) - 1)
        found = order[at]
        lacking = poses["timestamp_ns"][found] != sweeps
        if lacking.any():
            missing = int(np.flatnonzero(lacking)[0])
            row = int(np.flatnonzero(sweep == missing)[0]) + 1
            raise DataError(
                f"{file}, row {row}: {pose_file} has no pose at timestamp {sweeps[missing]} ({int(lacking.sum())} such timestamps)",
                "annotations and poses must come from the same log",
            )
        return rotations(poses, pose_file)[found], translations(poses, pose_file)[found], found

    def _kept(self, boxes: dict[str, NDArray[Any]], counts: Counter[str]) -> NDArray[np.bool_]:
        category = boxes["category"]
        own = category == EGO_CATEGORY
        counts["boxes of the recording vehicle, whose pose is read instead"] += int(own.sum())
        keep = ~own
        if not self.config.static:
            static = keep & np.isin(category.astype(str), STATIC)
            counts["rows of things that never move"] += int(static.sum())
            keep &= ~static
        few = keep & (boxes["num_interior_pts"] < self.config.min_points)
        counts[f"boxes with fewer than {self.config.min_points} lidar points"] += int(few.sum())
        keep &= ~few
        counts["boxes without any lidar point (kept)"] += int((keep & (boxes["num_interior_pts"] <= 0)).sum())
        known = np.isin(category.astype(str), [*TYPES, *STATIC, EGO_CATEGORY])
        counts["boxes of unknown categories (kept as other)"] += int((keep & ~known).sum())
        return keep

    def example(self, folder: Path) -> list[Path]:
        return write_log(folder)


def _official(path: Path) -> tuple[int, str]:
    return len(path.name), path.name


def _city(path: Path) -> str:
    """The city in the name of a map, `log_map_archive_<log>____PIT_city_57819.json`."""
    code = path.stem.rpartition("____")[2].partition("_city_")[0]
    return CITIES.get(code, code)


def build(config: Argoverse2SensorConfig) -> Argoverse2SensorReader:
    """The reader."""
    return Argoverse2SensorReader(config)
