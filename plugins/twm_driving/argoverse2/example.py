"""Writes the example scene as an Argoverse 2 forecasting scenario and as a sensor log, files and columns as the official ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from twm_core.extras import need
from twm_driving.example_scene import DT, STEPS, example_agents, example_crossing, example_edges, example_lanes

FORECAST = "00000000-aaaa-4bbb-8ccc-000000000001"
LOG = "00000000-aaaa-3bbb-8ccc-000000000002"
START = 315_969_000_000_000_000
"""Nanoseconds of the first step; the published timestamps lie there too."""

KINDS = {"car": "vehicle", "pedestrian": "pedestrian", "bicycle": "cyclist"}
CATEGORIES = {"car": "REGULAR_VEHICLE", "pedestrian": "PEDESTRIAN", "bicycle": "BICYCLIST"}
PITCH = 0.05
"""Radians by which the example's road leads downhill, so that a reader that forgets the third dimension is found out."""

AXLE = 1.34
"""Metres from the centre of the vehicle back to the origin of its frame."""


def _points(line: Any) -> list[dict[str, float]]:
    return [{"x": round(float(x), 2), "y": round(float(y), 2), "z": 0.0} for x, y in line]


def write_map(path: Path) -> None:
    """The lanes, the drivable area and the crossing of the example as a map archive."""
    lanes = {
        str(lane.id): {
            "id": lane.id,
            "is_intersection": False,
            "lane_type": "VEHICLE",
            "left_lane_boundary": _points(lane.left_boundary),
            "left_lane_mark_type": "DASHED_WHITE",
            "right_lane_boundary": _points(lane.right_boundary),
            "right_lane_mark_type": "SOLID_WHITE",
            "successors": [lane.successor] if lane.successor else [],
            "predecessors": [lane.predecessor] if lane.predecessor else [],
            "left_neighbor_id": lane.left or None,
            "right_neighbor_id": lane.right or None,
        }
        for lane in example_lanes()
    }
    left, right = example_edges()
    area = np.concatenate([right, left[::-1], right[:1]])
    a, b, c, d = _points(example_crossing())
    archive = {
        "pedestrian_crossings": {"21": {"id": 21, "edge1": [a, d], "edge2": [b, c]}},
        "lane_segments": lanes,
        "drivable_areas": {"31": {"id": 31, "area_boundary": _points(area)}},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(archive))


def write_forecasting(folder: Path) -> list[Path]:
    """One scenario folder; agent 2 is the focal track, the pedestrian is scored, the cyclist is not."""
    home = folder / FORECAST
    write_map(home / f"log_map_archive_{FORECAST}.json")
    table: dict[str, list[Any]] = {}

    def add(**row: Any) -> None:
        for name, value in row.items():
            table.setdefault(name, []).append(value)

    for agent in example_agents():
        for step in np.flatnonzero(agent.valid):
            add(
                observed=bool(step < 50),
                track_id="AV" if agent.name == "1" else agent.name,
                object_type=KINDS[agent.kind],
                object_category={"1": 1, "2": 3, "3": 2, "4": 1}[agent.name],
                timestep=int(step),
                position_x=float(agent.x[step]),
                position_y=float(agent.y[step]),
                heading=agent.heading,
                velocity_x=agent.vx,
                velocity_y=agent.vy,
                scenario_id=FORECAST,
                start_timestamp=float(START),
                end_timestamp=float(START + (STEPS - 1) * DT * 1e9),
                num_timestamps=STEPS,
                focal_track_id="2",
                city="austin",
                map_id=1,
                slice_id="example",
            )
    pa, parquet = need("pyarrow", "data"), need("pyarrow.parquet", "data")
    parquet.write_table(pa.table(table), home / f"scenario_{FORECAST}.parquet")
    return [home]


def _turn(yaw: float, pitch: float) -> tuple[list[float], Any]:
    """Quaternion (w, x, y, z) and matrix of a turn by pitch about y and then by yaw about z."""
    cy, sy, cp, sp = np.cos(yaw / 2), np.sin(yaw / 2), np.cos(pitch / 2), np.sin(pitch / 2)
    about_z = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    about_y = np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]])
    return [cy * cp, -sy * sp, cy * sp, sy * cp], about_z @ about_y


def _product(a: list[float], b: list[float]) -> list[float]:
    """The quaternion of the turn b followed by the turn a."""
    (w, x, y, z), (s, i, j, k) = a, b
    return [w * s - x * i - y * j - z * k, w * i + x * s + y * k - z * j, w * j - x * k + y * s + z * i, w * k + x * j - y * i + z * s]


def write_log(folder: Path) -> list[Path]:
    """One log folder: the vehicle drives downhill, boxes stand upright in the city, sweeps are some milliseconds off."""
    home = folder / LOG
    write_map(home / "map" / f"log_map_archive_{LOG}____PIT_city_00001.json")
    wobble = np.random.default_rng(0).integers(-3_000_000, 3_000_000, STEPS)
    times = (START + np.arange(STEPS) * 100_000_000 + wobble).astype(np.int64)
    ego, *others = example_agents()
    quaternion, turn = _turn(ego.heading, PITCH)
    origin = np.stack([ego.x, ego.y, np.zeros(STEPS)], axis=1) - turn @ np.array([AXLE, 0.0, 0.0])
    names = ("qw", "qx", "qy", "qz")
    poses = {"timestamp_ns": times, **{n: np.full(STEPS, q) for n, q in zip(names, quaternion, strict=True)}}
    poses |= {f"t{axis}_m": origin[:, i] for i, axis in enumerate("xyz")}
    boxes: dict[str, list[Any]] = {}
    for agent in others:
        for step in np.flatnonzero(agent.valid):
            own = _product([quaternion[0], *(-v for v in quaternion[1:])], _turn(agent.heading, 0.0)[0])
            at = turn.T @ (np.array([agent.x[step], agent.y[step], 0.0]) - origin[step])
            row = {
                "timestamp_ns": int(times[step]),
                "track_uuid": agent.name,
                "category": CATEGORIES[agent.kind],
                "length_m": agent.length,
                "width_m": agent.width,
                "height_m": agent.height,
                **dict(zip(names, own, strict=True)),
                **dict(zip(("tx_m", "ty_m", "tz_m"), at.tolist(), strict=True)),
                "num_interior_pts": 0 if agent.name == "4" else 20,
            }
            for name, value in row.items():
                boxes.setdefault(name, []).append(value)
    pa, feather = need("pyarrow", "data"), need("pyarrow.feather", "data")
    feather.write_feather(pa.table(boxes), home / "annotations.feather")
    feather.write_feather(pa.table(poses), home / "city_SE3_egovehicle.feather")
    return [home]
