"""Small recordings of traffic on a straight road, and stores of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from twm_core.data.features.derive import derive
from twm_core.data.recording import Recording
from twm_core.data.scenario import INTERPOLATED, OBSERVED, Lane, RoadMap
from twm_core.data.store.writing.write_store import write_store
from twm_core.specs import AGENT_TYPES


def straight_road() -> RoadMap:
    """Two lanes along +x, 4 m wide, centres at y = 0 and y = 4."""
    lanes = []
    for name, y in (("right", 0.0), ("left", 4.0)):
        line = np.asarray([[x, y] for x in range(-50, 551, 50)], dtype=np.float64)
        side = np.asarray([0.0, 2.0])
        neighbour = {"left": "left"} if name == "right" else {"right": "right"}
        lanes.append(Lane(id=name, centre=line, width=4.0, left_boundary=line + side, right_boundary=line - side, **neighbour))
    return RoadMap(tuple(lanes))


def recording(
    name: str, *, steps: int = 60, agents: int = 6, dt: float = 0.1, seed: int = 0, road: bool = True, **changes: Any
) -> Recording:
    """Cars that enter one after another and some of which leave early, with wavering speeds; lanes are those of the map."""
    rng = np.random.default_rng(seed)
    first = np.asarray([0 if i < agents // 2 else 3 * i for i in range(agents)], dtype=np.int64)
    length = np.asarray([steps - f - (5 if i % 3 == 2 else 0) for i, f in enumerate(first.tolist())], dtype=np.int64)
    x, y = [], []
    for i, n in enumerate(length.tolist()):
        speed = 10 + rng.normal(size=n).cumsum() * 0.1
        x.append(100.0 * (i // 2) / agents + 5 * i + np.cumsum(speed * dt))
        y.append(4.0 * (i % 2) + rng.normal(size=n).cumsum() * 0.01)
    rows = int(length.sum())
    fields: dict[str, Any] = {
        "id": name,
        "site": "bridge",
        "group": name,
        "dt": dt,
        "steps": steps,
        "track": tuple(str(i) for i in range(agents)),
        "type": np.full(agents, AGENT_TYPES.index("car"), dtype=np.int64),
        "first": first,
        "length": length,
        "columns": {"x": np.concatenate(x), "y": np.concatenate(y), "length": np.full(rows, 4.5), "width": np.full(rows, 1.9)},
        "code": np.full(rows, OBSERVED, dtype=np.uint8),
        "road": straight_road() if road else None,
    }
    return Recording(**{**fields, **changes})


def between_keyframes(made: Recording, every: int) -> Recording:
    """The recording as a publisher would give it who saw each `every`-th step only and interpolated the others linearly."""
    columns = {name: values.copy() for name, values in made.columns.items()}
    code = made.code.copy()
    keyframe = np.arange(made.steps) % every == 0
    for i in range(len(made.track)):
        rows = slice(int(made.offset[i]), int(made.offset[i] + made.length[i]))
        step = made.first[i] + np.arange(made.length[i])
        # Ends are kept: what is beyond the last keyframe could not be interpolated.
        seen = keyframe[step] | (step == step[0]) | (step == step[-1])
        for name in ("x", "y"):
            columns[name][rows] = np.interp(step, step[seen], columns[name][rows][seen])
        code[rows] = np.where(keyframe[step], OBSERVED, INTERPOLATED)
    return replace(made, columns=columns, code=code, anchors=keyframe)


def store(path: Path, recordings: Sequence[Recording], features: tuple[str, ...] | None = None) -> Path:
    """The recordings as a store."""
    return write_store(path, [derive(r, features=features) for r in recordings])
