"""`twm eval`: what is handed to the evaluation, which is replaced by a recorder here, and the tables in every format."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Call = Callable[..., Any]
SCORES = {
    "ade": {"metric": "displacement", "unit": "m", "better": "lower", "at": None, "over": "agents"},
    "minade": {"metric": "displacement", "unit": "m", "better": "lower", "at": None, "over": "agents"},
    "miss_rate": {"metric": "miss-rate", "unit": "", "better": "lower", "at": None, "over": "agents"},
    "error@1s": {"metric": "displacement", "unit": "m", "better": "lower", "at": 1.0, "over": "agents"},
    "error@2s": {"metric": "displacement", "unit": "m", "better": "lower", "at": 2.0, "over": "agents"},
    "minjointade": {"metric": "joint-displacement", "unit": "m", "better": "lower", "at": None, "over": "windows"},
}


def forecaster(scale: float, kind: str, *, skill: float) -> dict[str, Any]:
    values = {"ade": scale, "minade": scale / 2, "miss_rate": 0.25, "error@1s": scale, "error@2s": 2 * scale, "minjointade": scale}
    return {
        "kind": kind,
        "whose": kind,
        "conditional": False,
        "scores": values,
        "intervals": {n: (0.9 * v, 1.1 * v) for n, v in values.items()},
        "skill": {"ade": {"value": skill, "interval": (skill - 0.1, skill + 0.1)}},
    }


RESULT: dict[str, Any] = {
    "target": "a",
    "forecasters": {
        "model": forecaster(0.5, "model", skill=0.5),
        "constant-velocity": forecaster(1.0, "baseline", skill=0.0),
        "zero_&_velocity": {**forecaster(8.0, "baseline", skill=-7.0), "scores": {"ade": 8.0}, "intervals": {"ade": (7.0, float("nan"))}},
    },
    "scores": SCORES,
    "clusters": {
        "agents": {"unit": "vehicle", "resampled": 20, "level": 0.95, "resamples": 1000},
        "windows": {"unit": "window", "resampled": 12, "level": 0.95, "resamples": 1000},
    },
    "comparable": {"protocol hash": "0123456789abcdef" * 4},
    "windows": 12,
    "agents": 34,
    "split": "test",
    "samples": 6,
    "seed": 0,
    "futures": "latent",
    "protocol": "highway@1s+5s",
    "dataset": "highway",
    "checkpoint": "a/checkpoints/step-4",
    "step": 4,
    "notes": [],
    "report": {"data: left out: too short": 3},
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """Stands in for that of the evaluation, so that no torch is needed."""

    target: Path | None
    dataset: str | None
    protocol: str | None
    baselines: tuple[str, ...]
    metrics: tuple[str, ...]
    without: tuple[str, ...]
    split: str | None
    samples: int | None
    windows: int | None
    seed: int
    checkpoint: str
    futures: str
    overrides: dict[str, Any]


def replaced(monkeypatch: pytest.MonkeyPatch, result: dict[str, Any]) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []

    def evaluate(request: Request, **settings: Any) -> dict[str, Any]:
        calls.append({**vars(request), **settings})
        return result

    module = ModuleType("twm_core.evaluation.evaluate")
    module.evaluate, module.Request = evaluate, Request  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "twm_core.evaluation.evaluate", module)
    return calls


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    return replaced(monkeypatch, RESULT)


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_the_options_reach_the_evaluation(bare: Call, recorder: list[dict[str, Any]]) -> None:
    words = ["a", "--split", "val", "--samples", "3", "--windows", "5", "--seed", "7", "--checkpoint", "latest", "--set", "dataset.fps=2"]
    words += ["--baseline", "kalman", "--baseline", "idm", "--metric", "nll", "--protocol", "p", "--futures", "modes", "--data", "b"]
    words += ["--dataset", "d", "--against", "c.json", "--out", "x.json", "--without", "crps"]
    assert bare("eval", *words).status == 0
    (call,) = recorder
    assert {k: v for k, v in call.items() if k not in ("registry", "reporter")} == {
        "target": Path("a"),
        "dataset": "d",
        "protocol": "p",
        "baselines": ("kalman", "idm"),
        "metrics": ("nll",),
        "without": ("crps",),
        "split": "val",
        "samples": 3,
        "windows": 5,
        "seed": 7,
        "checkpoint": "latest",
        "futures": "modes",
        "overrides": {"dataset.path": "b", "dataset.fps": 2},
        "against": Path("c.json"),
        "out": Path("x.json"),
    }


def test_what_is_not_given_is_left_to_the_protocol(bare: Call, recorder: list[dict[str, Any]]) -> None:
    assert bare("eval", "a").status == 0
    (call,) = recorder
    assert [call[k] for k in ("protocol", "split", "samples", "windows", "baselines", "metrics")] == [None, None, None, None, (), ()]


def test_forecasters_are_rows_with_scores_and_intervals(bare: Call, recorder: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    out = rows(bare("eval", "a").out)
    assert ["ADE", "m", "minADE_6", "m", "miss", "rate"] in out
    assert ["model", "0.500", "[0.450,", "0.550]", "0.250", "[0.225,", "0.275]", "0.250", "[0.225,", "0.275]"] in out
    assert ["zero_&_velocity", "8.000", "-", "-"] in out  # an interval that is not known is not printed


def test_joint_scores_skills_and_horizons_have_tables_of_their_own(bare: Call, recorder: list[Any]) -> None:
    text = bare("eval", "a").out
    out = rows(text)
    assert "marginal: mean over agents (95 % intervals: bootstrap over 20 vehicles)" in text
    assert "joint: mean over windows (95 % intervals: bootstrap over 12 windows)" in text
    assert ["minJointADE_6", "m"] in out
    assert ["1", "s", "2", "s"] in out
    assert ["constant-velocity", "1.000", "[0.900,", "1.100]", "2.000", "[1.800,", "2.200]"] in out
    assert "skill: 1 - score / score of constant-velocity" in text
    assert ["model", "0.500", "[0.400,", "0.600]"] in out


def test_what_was_evaluated_is_printed(bare: Call, recorder: list[Any]) -> None:
    out = bare("eval", "a").out
    assert "highway, split test: 12 windows, 34 agents" in out
    assert "highway@1s+5s (hash 0123456789abcdef)" in out
    assert "a/checkpoints/step-4 (step 4)" in out
    assert "6 from rollouts of its latents" in out
    assert "data: left out: too short: 3" in out


def test_forecasts_that_know_the_actions_are_marked(bare: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {**RESULT["forecasters"]["model"], "conditional": True}
    replaced(monkeypatch, {**RESULT, "forecasters": {"model": told}})
    assert "the model is told the true actions" in bare("eval", "a").out


def test_a_comparison_is_a_table_of_differences_and_p_values(bare: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    score = {"mine": 0.5, "other": 0.75, "difference": -0.25, "interval": (-0.3, -0.2), "p": 0.002, "unit": "vehicle"}
    against = {"result": "b.json", "forecaster": "model", "whose": "the model"}
    replaced(monkeypatch, {**RESULT, "comparison": {"forecaster": "model", "against": against, "scores": {"ade": score}}})
    out = bare("eval", "a", "--against", "b.json").out
    assert "model against model of b.json, in pairs" in out
    assert ["ADE", "m", "0.500", "0.750", "-0.250", "[-0.300,", "-0.200]", "0.002"] in rows(out)


def test_json_has_null_where_a_number_is_not_known(bare: Call, recorder: list[Any]) -> None:
    answer = json.loads(bare("eval", "a", "--json").out)
    assert answer["forecasters"]["zero_&_velocity"]["intervals"]["ade"] == [7.0, None]
    assert answer["forecasters"]["model"]["scores"]["ade"] == 0.5


def test_markdown_has_a_table_under_each_heading(bare: Call, recorder: list[Any]) -> None:
    out = bare("eval", "a", "--format", "markdown").out
    assert "## highway@1s+5s, split test, 6 futures: 12 windows, 34 agents" in out
    assert "|  | ADE m | minADE_6 m | miss rate |\n| --- | ---: | ---: | ---: |\n| model | 0.500 [0.450, 0.550] |" in out


def test_latex_escapes_what_is_special_and_balances_its_environments(bare: Call, recorder: list[Any]) -> None:
    out = bare("eval", "a", "--format", "latex").out
    assert r"zero\_\&\_velocity & 8.000 & - & - \\" in out
    assert r"\caption{marginal: mean over agents (95 \% intervals: bootstrap over 20 vehicles)}" in out
    assert out.count(r"\begin{tabular}") == out.count(r"\end{tabular}") == 4
    assert r"\begin{tabular}{lrrr}" in out


def test_csv_has_every_digit_and_a_line_for_each_number(bare: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = forecaster(1 / 3, "model", skill=0.1)
    replaced(monkeypatch, {**RESULT, "forecasters": {"model": exact}})
    lines = list(csv.DictReader(io.StringIO(bare("eval", "a", "--format", "csv").out)))
    assert [line["score"] for line in lines] == list(SCORES)
    assert float(lines[0]["value"]) == 1 / 3
    assert (lines[3]["seconds"], lines[0]["seconds"]) == ("1", "")
    assert (float(lines[0]["skill"]), lines[1]["skill"]) == (0.1, "")


def test_tables_are_written_to_a_file_of_another_name(bare: Call, recorder: list[dict[str, Any]], tmp_path: Path) -> None:
    file = tmp_path / "table.tex"
    assert bare("eval", "a", "--format", "latex", "--out", file).out == ""
    assert file.read_text(encoding="utf-8").startswith("% highway@1s+5s")
    assert recorder[0]["out"] is None


def test_the_path_of_the_data_is_given_once(bare: Call, recorder: list[Any]) -> None:
    outcome = bare("eval", "a", "--data", "b", "--set", "dataset.path=c")
    assert outcome.status == 2
    assert "say the same twice" in outcome.err
    assert recorder == []


def test_what_is_decoded_beside_agents_has_a_table_of_its_own(bare: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    horizon = [{"seconds": s / 10, "model": 0.001 * s, "last_value": 0.02, "training_mean": float("nan")} for s in range(1, 9)]
    found = {
        "measure": "error_rate",
        "model": 0.0012,
        "baselines": {"last_value": 0.02, "training_mean": 0.5},
        "skill": {"last_value": 0.94, "training_mean": float("nan")},
        "nll": 12.5,
        "by_horizon": horizon,
    }
    words = {"dataset": "shapes", "split": "test", "protocol": "shapes", "checkpoint": "c", "step": 4, "samples": 6}
    replaced(monkeypatch, {**words, "windows": 3, "keys": {"vector.phase": found}, "report": {}})
    out = bare("eval", "a").out
    assert "shapes, split test: 3 windows" in out
    assert "ADE" not in out
    assert ["vector.phase", "error", "rate", "0.0012", "0.02", "0.5", "0.94", "-", "12.5"] in rows(out)
    assert ["0.1", "s", "0.3", "s", "0.5", "s", "0.7", "s", "0.8", "s"] in rows(out)
    assert ["vector.phase", "model", "0.001", "0.003", "0.005", "0.007", "0.008"] in rows(out)
    assert ["training_mean", "-", "-", "-", "-", "-"] in rows(out)


def test_something_to_evaluate_is_required(bare: Call) -> None:
    outcome = bare("eval")
    assert outcome.status == 2
    assert "error: there is nothing to evaluate" in outcome.err
