"""`twm eval`: what is handed to the evaluation, which is replaced by a recorder here, and the tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Call = Callable[..., Any]


def errors(scale: float) -> dict[str, Any]:
    horizon = [{"seconds": s, "error": scale * s, "ade": scale * s / 2, "agents": 7} for s in (1.0, 2.0)]
    return {"ade": scale, "fde": 2 * scale, "minade": scale / 2, "minfde": scale, "by_horizon": horizon, "existence_f1": 0.9}


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []

    def evaluate(run: Path, **settings: Any) -> dict[str, Any]:
        calls.append({"run": run, **settings})
        return {
            "model": errors(0.5),
            "baselines": {"constant_velocity": errors(1.0), "zero_velocity": {**errors(8.0), "existence_f1": None}},
            "existence_f1": 0.9,
            "skill": 0.5,
            "skill_minade": float("nan"),
            "intervals": {"level": 0.95, "unit": "vehicle", "resampled": 20, "skill": (0.4, 0.6), "skill_minade": (0.1, 0.2)},
            "windows": 12,
            "agents": 34,
            "split": "test",
            "samples": 6,
            "seed": 0,
            "protocol": "highway@1s+5s",
            "dataset": "highway",
            "checkpoint": "a/checkpoints/step-4",
            "step": 4,
            "report": {"left out: too short": 3},
        }

    module = ModuleType("twm_core.evaluation")
    module.evaluate = evaluate  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "twm_core.evaluation", module)
    return calls


def test_the_options_reach_the_evaluation(bare: Call, recorder: list[dict[str, Any]]) -> None:
    words = ["a", "--split", "val", "--samples", "3", "--windows", "5", "--seed", "7", "--checkpoint", "latest", "--set", "dataset.path=b"]
    assert bare("eval", *words).status == 0
    (call,) = recorder
    assert {k: v for k, v in call.items() if k not in ("registry", "reporter")} == {
        "run": Path("a"),
        "split": "val",
        "samples": 3,
        "windows": 5,
        "seed": 7,
        "checkpoint": "latest",
        "overrides": {"dataset.path": "b"},
    }


def test_model_and_baselines_are_rows_with_errors_in_metres_and_skill(bare: Call, recorder: list[Any]) -> None:
    rows = [line.split() for line in bare("eval", "a").out.splitlines()]
    assert ["ADE", "m", "FDE", "m", "minADE_6", "m", "minFDE_6", "m", "skill", "existence", "F1"] in rows
    assert ["model", "0.500", "1.000", "0.250", "0.500", "0.500", "0.900"] in rows
    assert ["constant_velocity", "1.000", "2.000", "0.500", "1.000", "0.000", "0.900"] in rows
    assert ["zero_velocity", "8.000", "16.000", "4.000", "8.000", "-7.000", "-"] in rows


def test_errors_by_horizon_protocol_counts_and_intervals_are_printed(bare: Call, recorder: list[Any]) -> None:
    out = bare("eval", "a").out
    assert ["1", "s", "2", "s"] in [line.split() for line in out.splitlines()]
    assert "split test: 12 windows, 34 agents" in out
    assert "highway@1s+5s" in out
    assert "skill on ADE: 0.500, 95 % interval 0.400 to 0.600 (bootstrap over 20 vehicles)" in out
    assert "left out: too short: 3" in out


def test_json_has_null_where_a_number_is_not_known(bare: Call, recorder: list[Any]) -> None:
    answer = json.loads(bare("eval", "a", "--json").out)
    assert answer["skill_minade"] is None
    assert answer["model"]["ade"] == 0.5


def test_what_is_decoded_beside_agents_has_a_table_of_its_own(bare: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate(run: Path, **settings: Any) -> dict[str, Any]:
        horizon = [{"seconds": s / 10, "model": 0.001 * s, "last_value": 0.02, "training_mean": float("nan")} for s in range(1, 9)]
        found = {
            "measure": "error_rate",
            "model": 0.0012,
            "baselines": {"last_value": 0.02, "training_mean": 0.5},
            "skill": {"last_value": 0.94, "training_mean": float("nan")},
            "nll": 12.5,
            "by_horizon": horizon,
        }
        words = {"dataset": "shapes", "split": "test", "protocol": "", "checkpoint": "c", "step": 4, "samples": 6}
        return {**words, "windows": 3, "keys": {"vector.phase": found}, "report": {}}

    module = ModuleType("twm_core.evaluation")
    module.evaluate = evaluate  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "twm_core.evaluation", module)
    out = bare("eval", "a").out
    rows = [line.split() for line in out.splitlines()]
    assert "shapes, split test: 3 windows" in out
    assert "ADE" not in out
    assert ["vector.phase", "error", "rate", "0.0012", "0.02", "0.5", "0.94", "-", "12.5"] in rows
    assert ["0.1", "s", "0.3", "s", "0.5", "s", "0.7", "s", "0.8", "s"] in rows
    assert ["vector.phase", "model", "0.001", "0.003", "0.005", "0.007", "0.008"] in rows
    assert ["training_mean", "-", "-", "-", "-", "-"] in rows


def test_a_run_folder_is_required(bare: Call) -> None:
    outcome = bare("eval")
    assert outcome.status == 2
    assert "error: Missing argument" in outcome.err
