"""`selective-ssm` keeps every promise of dynamics, in each layout and with one layer and several."""

from __future__ import annotations

from typing import Any

from twm_core.testing import conformance

SMALL: dict[str, Any] = {"width": 8, "states": 3}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "dynamics/selective-ssm": [
        {**SMALL, "layout": "scene"},
        {**SMALL, "layout": "agents", "n_layers": 2},
        {**SMALL, "n_layers": 3, "expand": 1, "conv": 2},
    ]
}

test_conformance = conformance("twm-plugin-demo", options=VARIANTS)
