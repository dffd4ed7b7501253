"""`twm data doctor`: how findings are told, which reader reads, and exit statuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_plugin import write

Call = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One clean recording."""
    made = tmp_path / "recordings"
    made.mkdir()
    write(made / "a.lines")
    return made


def test_a_clean_recording_has_no_findings(data: Call, folder: Path) -> None:
    outcome = data("doctor", folder, "--reader", "lines")
    assert outcome.status == 0
    assert outcome.out.splitlines() == ["1 source, 1 recording, 2 agents, 70 states, 4.0 s", "", "no findings"]


def test_a_finding_says_where_how_bad_why_and_what_an_import_does(data: Call, folder: Path) -> None:
    write(folder / "a.lines", *(f"3 {t} {5 * t + 60 * (t >= 12)} 30" for t in range(5, 25)))
    outcome = data("doctor", folder, "--reader", "lines", "--reader.step_seconds", "0.2")
    assert outcome.status == 0
    lines = outcome.out.splitlines()
    assert lines[2:4] == ["jumps: 1 (places)", "worst       a, track 3, step 12: 65.0 m in 0.2 s"]
    labels = [line[:12].strip() for line in lines]
    for label in ("because", "import", "you"):
        assert label in labels
    assert lines[-1] == "1 kind of findings"


def test_json_has_every_finding_with_its_meaning(data: Call, folder: Path) -> None:
    write(folder / "b.lines", "lost", seed=3)
    told = json.loads(data("doctor", folder, "--reader", "lines", "--json").out)
    assert {n: told[n] for n in ("reader", "sources", "recordings", "agents", "states")} == {
        "reader": "lines",
        "sources": 2,
        "recordings": 2,
        "agents": 4,
        "states": 140,
    }
    names = [f["name"] for f in told["findings"]]
    assert names == ["left-out", "overlap"]  # b is a moved
    assert told["findings"][0]["examples"] == [
        {"source": "b", "recording": "", "text": "1 rows marked lost", "severity": 1.0, "track": None, "step": None}
    ]
    assert set(told["findings"][0]) == {"name", "count", "title", "unit", "threshold", "imported", "remedy", "examples"}


def test_files_that_an_import_would_refuse_are_a_finding_and_status_1(data: Call, folder: Path) -> None:
    write(folder / "c.lines", "3 x y z")
    outcome = data("doctor", folder, "--reader", "lines")
    assert outcome.status == 1
    assert "files that cannot be read: 1 (sources)" in outcome.out
    assert "worst       c: c.lines, row 71: '3 x y z' is not four numbers" in outcome.out


def test_without_a_reader_those_that_find_something_are_tried(data: Call, twm: Call, folder: Path, tmp_path: Path) -> None:
    several = data("doctor", folder)
    assert several.status == 2
    assert "several readers read these files: columns, lines" in several.err
    assert "hint: choose one: --reader NAME" in several.err
    (tmp_path / "empty").mkdir()
    nobody = data("doctor", tmp_path / "empty")
    assert nobody.status == 2
    assert "no reader finds anything in" in nobody.err


def test_the_only_reader_that_reads_is_named(twm: Call, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra data")
    assert twm("data", "example", "drone-csv", tmp_path / "x").status == 0
    outcome = twm("data", "doctor", tmp_path / "x")
    assert outcome.status == 0, outcome.err
    assert "reader drone-csv: the only one that reads these files" in outcome.err


def test_the_length_of_short_tracks_can_be_chosen(data: Call, folder: Path) -> None:
    assert "short tracks" not in data("doctor", folder, "--reader", "lines").out
    assert "short tracks: 1 (tracks)" in data("doctor", folder, "--reader", "lines", "--shortest", "35").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["FOLDER", "--reader", "line"], "no reader is called 'line'"),
        (["FOLDER", "--reader", "lines", "--reader.metre", "1"], "has no such field; did you mean '--reader.metres'?"),
        (["FOLDER", "--reader.metres", "1"], "option --reader.metres without a reader"),
        (["nowhere", "--reader", "lines"], "nowhere does not exist"),
        (["FOLDER", "--shortest", "0"], "Invalid value for '--shortest'"),
        ([], "Missing argument"),
    ],
)
def test_a_mistake_is_one_message(data: Call, folder: Path, words: list[str], message: str) -> None:
    outcome = data("doctor", *[{"FOLDER": folder}.get(w, w) for w in words])
    assert outcome.status == 2
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 2
