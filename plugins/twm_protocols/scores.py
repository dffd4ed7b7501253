"""Metrics and baselines that several protocols fix. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Fields = Mapping[str, Any]

MARGINAL: Mapping[str, Fields] = {"displacement": {}}
JOINT: Mapping[str, Fields] = {"joint-displacement": {}, "existence": {}, "presence": {}}
SPREAD: Mapping[str, Fields] = {n: {} for n in ("miss-rate", "nll", "energy-score", "crps", "calibration", "collision")}
WALKING: Mapping[str, Fields] = {
    n: {} for n in ("zero-velocity", "constant-velocity", "sampled-constant-velocity", "least-squares", "constant-turn-rate", "kalman")
}
DRIVING: Mapping[str, Fields] = {n: {} for n in ("zero-velocity", "constant-velocity", "constant-turn-rate", "kalman", "idm")}
