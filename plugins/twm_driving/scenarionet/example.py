"""Writes the example scene as a ScenarioNet pickle, with the keys and arrays that its Waymo converter writes, and the index beside it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from twm_driving.example_scene import (
    DT,
    LANE_WIDTH,
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

NAME = "example-0001"
KINDS = {"car": "VEHICLE", "pedestrian": "PEDESTRIAN", "bicycle": "CYCLIST"}


def _track(agent: ExampleAgent) -> dict[str, Any]:
    seen = agent.valid

    def over(value: Any) -> Any:
        return np.where(seen, value, 0.0).astype(np.float64)

    state = {
        "position": np.stack([over(agent.x), over(agent.y), np.zeros(STEPS)], axis=1),
        "length": over(agent.length),
        "width": over(agent.width),
        "height": over(agent.height),
        "heading": over(agent.heading),
        "velocity": np.stack([over(agent.vx), over(agent.vy)], axis=1),
        "valid": seen.copy(),
    }
    kind = KINDS[agent.kind]
    return {"type": kind, "state": state, "metadata": {"track_length": STEPS, "type": kind, "object_id": agent.name, "dataset": "example"}}


def example_scenario() -> dict[str, Any]:
    """The scenario as a dict."""
    features: dict[str, Any] = {
        str(lane.id): {
            "type": "LANE_SURFACE_STREET",
            "polyline": lane.centre,
            "polygon": np.concatenate([lane.left_boundary, lane.right_boundary[::-1], lane.left_boundary[:1]]),
            "width": np.full((len(lane.centre), 2), LANE_WIDTH / 2),
            "speed_limit_kmh": 50,
            "entry_lanes": [str(lane.predecessor)] if lane.predecessor else [],
            "exit_lanes": [str(lane.successor)] if lane.successor else [],
            "left_neighbor": [{"feature_id": str(lane.left)}] if lane.left else [],
            "right_neighbor": [{"feature_id": str(lane.right)}] if lane.right else [],
        }
        for lane in example_lanes()
    }
    for i, edge in enumerate(example_edges()):
        features[f"edge_{i}"] = {"type": "ROAD_EDGE_BOUNDARY", "polyline": edge}
    features["crossing"] = {"type": "CROSSWALK", "polygon": example_crossing()}
    shown = [None, *["LANE_STATE_STOP"] * (LIGHT_GREEN - 1), *["LANE_STATE_GO"] * (STEPS - LIGHT_GREEN)]
    light = {
        "type": "TRAFFIC_LIGHT",
        "state": {"object_state": shown},
        "lane": str(LIGHT_LANE),
        "stop_point": np.array([*LIGHT_STOP, 0.0]),
        "metadata": {"track_length": STEPS, "type": "TRAFFIC_LIGHT", "object_id": str(LIGHT_LANE)},
    }
    return {
        "id": NAME,
        "version": "example",
        "length": STEPS,
        "metadata": {
            "ts": np.arange(STEPS) * DT,
            "metadrive_processed": False,
            "coordinate": "right-handed",
            "dataset": "example",
            "scenario_id": NAME,
            "sdc_id": "1",
            "tracks_to_predict": {"2": {"track_id": "2", "difficulty": 0}, "3": {"track_id": "3", "difficulty": 0}},
        },
        "tracks": {agent.name: _track(agent) for agent in example_agents()},
        "dynamic_map_states": {str(LIGHT_LANE): light},
        "map_features": features,
    }


def write_scenario(folder: Path) -> list[Path]:
    """A folder with one scenario and the index."""
    home = folder / "scenarionet"
    home.mkdir(parents=True, exist_ok=True)
    file = f"sd_example_v1_{NAME}.pkl"
    (home / file).write_bytes(pickle.dumps(example_scenario(), protocol=4))
    (home / "dataset_mapping.pkl").write_bytes(pickle.dumps({file: ""}, protocol=4))
    return [home]
