"""A scenario as one record of the spool: the tensors of a shard, and the facts that the index will hold."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.scenario import INTERPOLATED, LIGHT_STATES, OBSERVED, OCCLUDED, Scenario
from twm_core.data.schema import EXISTENCE_CODES
from twm_core.data.store.manifest import SHARD_AXES, shard_columns
from twm_core.data.store.tensors import DTYPES, text_bytes
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES


def action_width(scenario: Scenario) -> int:
    """Number of columns of `action`, 0 without actions."""
    return 0 if scenario.action is None else scenario.action.shape[1]


def record_of(scenario: Scenario) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The facts of a scenario that go into the journal, and its tensors.

    Raises:
        DataError: It holds impossible codes, types or lights.
    """
    _check(scenario)
    lights = scenario.lights
    empty = np.zeros(0)
    arrays: dict[str, NDArray[Any]] = {
        "first": scenario.first,
        "length": scenario.length,
        "offset": scenario.offset,
        "type": scenario.type,
        "lane": empty if scenario.lane is None else scenario.lane,
        "light_stop": np.zeros((0, 2)) if lights is None else lights.stop,
        "state": scenario.state,
        "action": np.zeros((0, 1)) if scenario.action is None else scenario.action,
        "code": scenario.code,
        "eligible": empty if scenario.eligible is None else scenario.eligible,
        "anchors": empty if scenario.anchors is None else scenario.anchors,
        "light_state": empty if lights is None else lights.state.reshape(-1),
        "text": text_bytes({"tracks": list(scenario.track), "lights": [] if lights is None else list(lights.lane)}),
        "lane_names": text_bytes(list(scenario.lane_names)) if scenario.lane_names else empty,
    }
    columns = shard_columns(len(scenario.features), action_width(scenario))
    arrays = {c.name: np.ascontiguousarray(arrays[c.name], dtype=DTYPES[c.dtype]) for c in columns}
    lengths = {c.axis: len(arrays[c.name]) for c in columns}
    facts = {
        "id": scenario.id,
        "site": scenario.site,
        "group": scenario.group,
        "start": float(scenario.start),
        "dt": float(scenario.dt),
        "steps": int(scenario.steps),
        "origin": [float(v) for v in scenario.origin],
        "ego": -1 if scenario.ego is None else int(scenario.ego),
        "provenance": json.dumps(dict(scenario.provenance), sort_keys=True),
        "codes": np.bincount(scenario.code, minlength=len(EXISTENCE_CODES)).tolist(),
        "types": np.bincount(scenario.type, minlength=len(AGENT_TYPES)).tolist(),
        "count": [lengths.get(axis, 0) for axis in SHARD_AXES],
        "lane_names": hashlib.sha256(arrays["lane_names"].tobytes()).hexdigest(),
    }
    return facts, arrays


def _check(scenario: Scenario) -> None:
    bad = ~np.isin(scenario.code, (OBSERVED, INTERPOLATED, OCCLUDED))
    if bad.any():
        raise DataError(f"scenario {scenario.id}: row {int(np.flatnonzero(bad)[0])} has the code {int(scenario.code[bad][0])}")
    if len(scenario.type) and not (scenario.type.min() >= 0 and scenario.type.max() < len(AGENT_TYPES)):
        raise DataError(f"scenario {scenario.id}: a track has a type beyond the {len(AGENT_TYPES)} agent types")
    lights = scenario.lights
    if lights is not None and (
        lights.state.shape != (len(lights.lane), scenario.steps)
        or lights.stop.shape != (len(lights.lane), 2)
        or int(lights.state.max(initial=0)) >= len(LIGHT_STATES)
    ):
        raise DataError(f"scenario {scenario.id}: its lights are not {len(lights.lane)} lights at {scenario.steps} steps")
