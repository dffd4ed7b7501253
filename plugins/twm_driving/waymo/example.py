"""Writes the example scene as a TFRecord file of one Waymo `Scenario`, with an encoder of its own.

Field numbers stand here as literals, so that the tables of the reader are not tested against themselves.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from twm_driving.example_scene import (
    DT,
    LIGHT_GREEN,
    LIGHT_LANE,
    LIGHT_STOP,
    STEPS,
    ExampleAgent,
    ExampleLane,
    example_agents,
    example_crossing,
    example_edges,
    example_lanes,
)
from twm_driving.waymo.tfrecord import record

NAME = "example0000000001"
KINDS = {"car": 1, "pedestrian": 2, "bicycle": 3}
LIMIT_MPH = 30.0


def varint(value: int) -> bytes:
    """A number; negative ones as 64 bits."""
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """A field of the kinds int32, int64, bool or enumeration."""
    return varint(field << 3) + varint(value)


def double(field: int, value: float) -> bytes:
    """A field of the kind double."""
    return varint(field << 3 | 1) + struct.pack("<d", value)


def single(field: int, value: float) -> bytes:
    """A field of the kind float."""
    return varint(field << 3 | 5) + struct.pack("<f", value)


def block(field: int, data: bytes) -> bytes:
    """A field of the kinds string, message or packed."""
    return varint(field << 3 | 2) + varint(len(data)) + data


def _point(x: float, y: float) -> bytes:
    return double(1, x) + double(2, y) + double(3, 0.0)


def _points(field: int, line: Any) -> bytes:
    return b"".join(block(field, _point(float(x), float(y))) for x, y in line)


def _state(agent: ExampleAgent, step: int) -> bytes:
    if not agent.valid[step]:
        return number(11, 0)
    return (
        double(2, float(agent.x[step]))
        + double(3, float(agent.y[step]))
        + double(4, 0.0)
        + single(5, agent.length)
        + single(6, agent.width)
        + single(7, agent.height)
        + single(8, agent.heading)
        + single(9, agent.vx)
        + single(10, agent.vy)
        + number(11, 1)
    )


def _track(agent: ExampleAgent) -> bytes:
    states = b"".join(block(3, _state(agent, step)) for step in range(STEPS))
    return number(1, int(agent.name)) + number(2, KINDS[agent.kind]) + states


def _lane(lane: ExampleLane) -> bytes:
    def neighbour(field: int, other: int) -> bytes:
        return block(field, number(1, other) + number(2, 0) + number(3, 5) + number(4, 0) + number(5, 5)) if other else b""

    body = double(1, LIMIT_MPH) + number(2, 2) + _points(8, lane.centre)
    # entry_lanes is declared packed; exit_lanes is written unpacked here, which readers must accept too.
    body += block(9, varint(lane.predecessor)) if lane.predecessor else b""
    body += number(10, lane.successor) if lane.successor else b""
    return number(1, lane.id) + block(3, body + neighbour(11, lane.left) + neighbour(12, lane.right))


def _dynamic(step: int) -> bytes:
    if step == 0:
        return b""
    shown = 4 if step < LIGHT_GREEN else 6
    return block(1, number(1, LIGHT_LANE) + number(2, shown) + block(3, _point(*LIGHT_STOP)))


def example_scenario() -> bytes:
    """The scenario as a serialised proto."""
    features = [_lane(lane) for lane in example_lanes()]
    features += [number(1, 41 + i) + block(5, number(1, 1) + _points(2, edge)) for i, edge in enumerate(example_edges())]
    features.append(number(1, 51) + block(8, _points(1, example_crossing())))
    features.append(number(1, 61) + block(7, number(1, LIGHT_LANE) + block(2, _point(*LIGHT_STOP))))
    body = block(5, NAME.encode())
    body += b"".join(double(1, float(t)) for t in np.arange(STEPS) * DT)
    body += number(10, 10)
    body += b"".join(block(2, _track(agent)) for agent in example_agents())
    body += b"".join(block(7, _dynamic(step)) for step in range(STEPS))
    body += b"".join(block(8, feature) for feature in features)
    body += number(6, 0) + number(4, 2) + block(11, number(1, 1) + number(2, 1)) + block(11, number(1, 2) + number(2, 2))
    return body


def write_tfrecord(folder: Path) -> list[Path]:
    """One file of one record, named like the official ones."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "example.tfrecord-00000-of-00001"
    path.write_bytes(record(example_scenario()))
    return [path]
