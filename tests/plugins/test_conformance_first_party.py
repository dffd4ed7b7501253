"""twm's own components go through the same conformance kit as everybody's, with small sizes and in each of their layouts.

The recorded datasets need files; where those are not at hand their checks are skipped, and say so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twm_core.testing import conformance

DATA = Path(__file__).parents[2].parent / "shared" / "data"
GRU: dict[str, Any] = {"hidden": 16}
RSSM: dict[str, Any] = {"deter": 16, "hidden": 8, "groups": 3, "classes": 4, "heads": 2}
HIGHWAY: dict[str, Any] = {
    "runs": 1,
    "evaluation_runs": 1,
    "run_seconds": 12.0,
    "warm_up_seconds": 20.0,
    "train_sites": ["straight-3"],
    "test_sites": ["bends-2"],
}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "dataset/highway": [HIGHWAY, {**HIGHWAY, "actions": True}],
    "encoder/multiagent": [{"width": 16, "heads": 2}],
    "dynamics/gru": [{**GRU, "layout": "scene"}, {**GRU, "layout": "agents"}, {**GRU, "n_layers": 2}],
    "dynamics/rssm-cat": [{**RSSM, "layout": "scene"}, {**RSSM, "layout": "agents"}, {**RSSM, "heads": 0}],
    "decoder/agents": [{"width": 16}, {"width": 16, "existence": False}],
}
for name, folder in (("commonroad", "commonroad_ngsim"), ("ethucy", "eth_ucy")):
    if (DATA / folder).is_dir():
        OPTIONS[f"dataset/{name}"] = [{"path": str(DATA / folder)}]

test_conformance = conformance("twm", options=OPTIONS)
