"""Writes the example scene as a JSON scenario with the keys that GPUDrive writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twm_driving.example_scene import (
    LIGHT_GREEN,
    LIGHT_LANE,
    LIGHT_STOP,
    STEPS,
    ExampleAgent,
    example_agents,
    example_crossing,
    example_edges,
    example_lanes,
)

NAME = "example0000000002"
KINDS = {"car": "vehicle", "pedestrian": "pedestrian", "bicycle": "cyclist"}
GONE = -10000.0


def _object(agent: ExampleAgent) -> dict[str, Any]:
    def over(values: Any) -> list[Any]:
        return [value if agent.valid[step] else GONE for step, value in enumerate(values)]

    x, y = over(agent.x.tolist()), over(agent.y.tolist())
    vx, vy = over([agent.vx] * STEPS), over([agent.vy] * STEPS)
    z = over([0.0] * STEPS)
    return {
        "position": [{"x": a, "y": b, "z": c} for a, b, c in zip(x, y, z, strict=True)],
        "width": agent.width,
        "length": agent.length,
        "height": agent.height,
        "heading": over([agent.heading] * STEPS),
        "velocity": [{"x": a, "y": b} for a, b in zip(vx, vy, strict=True)],
        "valid": agent.valid.tolist(),
        "goalPosition": {"x": float(agent.x[-1]), "y": float(agent.y[-1]), "z": 0.0},
        "type": KINDS[agent.kind],
        "id": int(agent.name),
        "mark_as_expert": False,
    }


def _road(kind: str, number: int, element: int, line: Any) -> dict[str, Any]:
    geometry = [{"x": float(x), "y": float(y), "z": 0.0} for x, y in line]
    return {"geometry": geometry, "type": kind, "map_element_id": element, "id": number}


def example_scenario() -> dict[str, Any]:
    """The scenario as an object."""
    roads = [_road("lane", lane.id, 2, lane.centre) for lane in example_lanes()]
    roads += [_road("road_edge", 41 + i, 15, edge) for i, edge in enumerate(example_edges())]
    roads += [_road("crosswalk", 51, 18, example_crossing()), _road("stop_sign", 61, 17, [LIGHT_STOP])]
    times = list(range(1, STEPS))
    light = {
        "state": ["stop" if step < LIGHT_GREEN else "go" for step in times],
        "x": [LIGHT_STOP[0]] * len(times),
        "y": [LIGHT_STOP[1]] * len(times),
        "z": [0.0] * len(times),
        "time_index": times,
    }
    return {
        "name": f"tfrecord-00000-of-00001_{NAME}.json",
        "scenario_id": NAME,
        "objects": [_object(agent) for agent in example_agents()],
        "roads": roads,
        "tl_states": {str(LIGHT_LANE): light},
        "metadata": {
            "sdc_track_index": 0,
            "objects_of_interest": [2],
            "tracks_to_predict": [{"track_index": 1, "difficulty": 1}, {"track_index": 2, "difficulty": 2}],
        },
    }


def write_json(folder: Path) -> list[Path]:
    """One file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"tfrecord-00000-of-00001_{NAME}.json"
    path.write_text(json.dumps(example_scenario()))
    return [path]
