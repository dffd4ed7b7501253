"""Tables from data to numbers, with tiny models on tiny recordings: what is written, what is not done twice, what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twm_core.errors import TwmError, UsageError
from twm_core.evaluation.evaluate import Request, evaluate
from twm_core.plugin.registry import Registry
from twm_core.reproduction.result import combine
from twm_core.reproduction.run import reproduce
from twm_core.reproduction.table import Table, load_table, table_names
from twm_datasets import ethucy

pytestmark = pytest.mark.xdist_group("reproduction")  # the fixture `made` costs more than all tests that use it

TINY = {
    "encoder.multiagent.width": 8,
    "encoder.multiagent.heads": 2,
    "encoder.multiagent.pair_width": 8,
    "dynamics.deter": 8,
    "dynamics.hidden": 4,
    "dynamics.blocks": 2,
    "dynamics.classes": 4,
    "decoder.agents.width": 8,
    "decoder.modes.modes": 3,
    "decoder.modes.width": 8,
    "loss.rollout.samples": 2,
    "training.steps": 2,
    "training.batch": 2,
    "training.validate_every": 2,
    "training.checkpoint_every": 1,
    "training.validate_samples": 2,
}
TABLE: dict[str, Any] = {
    "about": {"summary": "Tiny."},
    "protocol": "ethucy-sgan",
    "fields": {"counts": False},
    "parts": {"field": "fold", "values": ["hotel", "zara1"]},
    "seeds": [0, 1],
    "shown": ["ade", "minade"],
    "models": {"tiny": {"preset": "crowd", "options": TINY, "seeds": 1}},
    "rows": [
        {"name": "still", "baseline": "zero-velocity"},
        {"name": "steady", "baseline": "constant-velocity"},
        {"name": "whole", "model": "tiny", "futures": "modes"},
        {"name": "rolled", "model": "tiny", "futures": "latent"},
    ],
    "bars": [{"row": "whole", "score": "minade", "most": 1e9}, {"row": "still", "score": "ade", "most": 0.0}],
}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The standard files, tiny: three people on random walks who come one after another."""
    place = tmp_path_factory.mktemp("recordings")
    for i, name in enumerate(ethucy.RECORDINGS):
        for other, (sub, ending) in enumerate((("all_data", ""), ("train", "_train"), ("val", "_val"))):
            file = place / "raw" / sub / f"{name}{ending}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            random = np.random.default_rng(i + 100 * other)
            rows = [
                (f * 10, p + 1, *xy) for p in range(3) for f, xy in enumerate(random.normal(size=(26, 2)).cumsum(axis=0) * 0.4) if f >= p
            ]
            file.write_text("".join("\t".join(f"{v:g}" for v in row) + "\n" for row in sorted(rows)))
    return place


@pytest.fixture(scope="module")
def made(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """A table that was reproduced in full, with its folder and its text."""
    out = tmp_path_factory.mktemp("out")
    result, text = reproduce("tiny", Table.model_validate(TABLE), data=recordings, out=out, jobs=2)
    return out, result, text


def numbers(scores: dict[str, float | None]) -> dict[str, float]:
    return {k: math.nan if v is None else v for k, v in scores.items()}


def test_every_row_has_every_part_and_the_mean_over_them(made: tuple[Path, dict[str, Any], str]) -> None:
    out, result, _ = made
    assert json.loads((out / "tiny.json").read_text()) == result
    assert set(result["rows"]) == {"still", "steady", "whole", "rolled"}
    for row in result["rows"].values():
        assert set(row) == {"hotel", "zara1", "mean"}
        one, two, mean = (numbers(row[p]) for p in ("hotel", "zara1", "mean"))
        assert mean == pytest.approx({k: (one[k] + two[k]) / 2 for k in one}, nan_ok=True)
        assert {"ade", "fde", "minade", "minjointade"} <= {k for k, v in one.items() if math.isfinite(v)}


def test_a_row_says_what_an_evaluation_says(made: tuple[Path, dict[str, Any], str], recordings: Path, registry: Registry) -> None:
    out, result, _ = made
    overrides = {"dataset.path": str(recordings), "protocol.ethucy-sgan.fold": "hotel", "protocol.ethucy-sgan.counts": False}
    request = Request(protocol="ethucy-sgan", baselines=("constant-velocity",), overrides=overrides)
    alone = evaluate(request, registry=registry)["forecasters"]["constant-velocity"]["scores"]
    assert numbers(result["rows"]["steady"]["hotel"]) == pytest.approx(alone, nan_ok=True)
    model = Request(protocol="ethucy-sgan", target=out / "runs" / "tiny-hotel-0", futures="latent", overrides=overrides)
    found = evaluate(model, registry=registry)["forecasters"]["model"]["scores"]
    assert numbers(result["rows"]["rolled"]["hotel"]) == pytest.approx(found, rel=1e-5, nan_ok=True)
    assert result["rows"]["rolled"]["hotel"]["minade"] != result["rows"]["whole"]["hotel"]["minade"]


def test_costs_machine_seeds_and_bars_are_told(made: tuple[Path, dict[str, Any], str]) -> None:
    _, result, text = made
    assert set(result["seeds"]["whole"]) == {"0"}  # the model asks for one seed of the table's two
    assert result["costs"]["most_parameters"] > 0
    assert result["costs"]["cpu_seconds"] >= result["costs"]["training_cpu_seconds"] > 0
    assert result["costs"]["peak_bytes"] > 1e7
    assert result["machine"]["cores"] >= 1
    assert [(b["row"], b["held"]) for b in result["bars"]] == [("whole", True), ("still", False)]
    assert "| steady |" in text
    assert "bar: still, mean ade at most 0:" in text
    assert "missed" in text


def test_what_was_done_is_not_done_again(made: tuple[Path, dict[str, Any], str], recordings: Path) -> None:
    out, result, _ = made
    heard: list[str] = []
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")}
    again, _ = reproduce("tiny", Table.model_validate(TABLE), data=recordings, out=out, jobs=1, say=heard.append)
    assert heard == ["tiny: 4 pieces of work, 4 of them done before, 1 at once"]
    assert again["rows"] == result["rows"]
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")} == before


def test_a_run_that_has_ended_is_only_evaluated_again(made: tuple[Path, dict[str, Any], str], recordings: Path) -> None:
    out, result, _ = made
    (out / "results" / "tiny-hotel-0.json").unlink()
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")}
    again, _ = reproduce("tiny", Table.model_validate(TABLE), data=recordings, out=out, jobs=1)
    assert again["rows"] == result["rows"]
    assert again["costs"]["training_cpu_seconds"] == result["costs"]["training_cpu_seconds"]
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")} == before


def test_results_of_another_table_are_refused(made: tuple[Path, dict[str, Any], str], recordings: Path) -> None:
    other = {**TABLE, "models": {"tiny": {"preset": "crowd", "options": {**TINY, "training.lr": 0.5}, "seeds": 1}}}
    with pytest.raises(UsageError, match="made from another table or with other options"):
        reproduce("tiny", Table.model_validate(other), data=recordings, out=made[0], jobs=1)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"parts": ["zara3"]}, "the table has no part 'zara3'; did you mean 'zara1'"),
        ({"rows": ["rold"]}, "the table has no row 'rold'; did you mean 'rolled'"),
        ({"seeds": 3}, "the table has 2 seeds, 3 were asked for"),
    ],
)
def test_what_a_table_does_not_have_is_refused(how: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        reproduce("tiny", Table.model_validate(TABLE), data=tmp_path, out=tmp_path, **how)
    assert list(tmp_path.iterdir()) == []


def test_a_piece_of_work_that_fails_says_why_and_where_its_output_is(tmp_path: Path) -> None:
    cut = {**TABLE, "rows": TABLE["rows"][:1], "models": {}, "bars": []}
    with pytest.raises(TwmError, match=r"baselines-(hotel|zara1) failed with status 1") as caught:
        reproduce("tiny", Table.model_validate(cut), data=tmp_path, out=tmp_path / "out")
    assert "raw" in str(caught.value)
    assert "logs" in str(caught.value.hint)


def test_rows_of_other_windows_do_not_stand_in_one_table() -> None:
    table = Table.model_validate({**TABLE, "rows": TABLE["rows"][:2], "models": {}, "bars": []})
    from twm_core.reproduction.jobs import Job

    def done(name: str, windows: str) -> tuple[Job, dict[str, Any]]:
        row = table.rows[0 if name == "a" else 1]
        costs = {"evaluation": {"seconds": 1.0, "cpu_seconds": 1.0}}
        result = {"rows": {row.name: {"ade": 1.0}}, "comparable": {"windows": windows}, "costs": costs, "peak_bytes": 1}
        return Job(name, "hotel", None, (row,), {}), result

    assert combine("t", table, [done("a", "3"), done("b", "3")], parts=["hotel"])["rows"]["still"]["mean"] == {"ade": 1.0}
    with pytest.raises(TwmError, match="other conditions than other rows of hotel: windows"):
        combine("t", table, [done("a", "3"), done("b", "4")], parts=["hotel"])


def test_a_score_that_is_missing_somewhere_has_no_mean() -> None:
    table = Table.model_validate({**TABLE, "rows": TABLE["rows"][:1], "models": {}, "bars": []})
    from twm_core.reproduction.jobs import Job

    results = []
    for part, value in (("hotel", 1.0), ("zara1", math.nan)):
        costs = {"evaluation": {"seconds": 1.0, "cpu_seconds": 1.0}}
        found = {"rows": {"still": {"ade": value}}, "comparable": {}, "costs": costs, "peak_bytes": 1}
        results.append((Job(part, part, None, table.rows, {}), found))
    assert combine("t", table, results, parts=["hotel", "zara1"])["rows"]["still"]["mean"] == {"ade": None}


@pytest.mark.parametrize("name", table_names())
def test_tables_that_come_along_are_whole(name: str, registry: Registry) -> None:
    title, table = load_table(name)
    assert title == name
    protocol = registry.find("protocol", table.protocol)
    assert table.parts is None or table.parts.field in protocol.load_config().model_fields
    assert len(table.names) >= 1
    for row in table.rows:
        if row.baseline is not None:
            registry.find("baseline", row.baseline)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": [{"name": "a"}]}, "names a baseline or a model, one of them"),
        ({"rows": [{"name": "a", "model": "none"}]}, "there is no model 'none'"),
        ({"bars": [{"row": "none", "score": "ade", "most": 1.0}]}, "there is no row 'none'"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
    ],
)
def test_a_table_with_a_mistake_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Table.model_validate({**TABLE, **change})
