"""`twm data import`: options of readers, what it reports, what it refuses, and how it is interrupted and continued."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_plugin import write

from twm_cli.data.importing import report_text
from twm_core.data.store.reading import open_store

Call = Callable[..., Any]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two recordings, one with rows that are lost."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    write(folder / "a.lines", seed=0)
    write(folder / "b.lines", "lost", "lost", "lost", seed=1)
    return folder


def test_it_says_what_was_imported(data: Call, files: Path, tmp_path: Path) -> None:
    outcome = data("import", "lines", files, "--out", tmp_path / "x.twm")
    assert outcome.status == 0
    assert outcome.out.splitlines()[:2] == [
        "imported    2 sources, 2 scenarios, 4 agents, 140 states, 8.0 s",
        "skipped     rows marked lost: 3",
    ]
    assert f"next        twm data show {tmp_path / 'x.twm'}" in outcome.out
    assert "source 2/2" in outcome.err
    assert len(open_store(tmp_path / "x.twm")) == 2


def test_json_is_one_object_with_the_same_numbers(data: Call, files: Path, tmp_path: Path) -> None:
    report = json.loads(data("import", "lines", files, "--out", tmp_path / "x.twm", "--json").out)
    numbers = {n: report[n] for n in ("sources", "scenarios", "agents", "states", "seconds", "skipped", "bad", "resumed")}
    assert numbers == {
        "sources": 2,
        "scenarios": 2,
        "agents": 4,
        "states": 140,
        "seconds": pytest.approx(8.0),
        "skipped": {"rows marked lost": 3},
        "bad": {},
        "resumed": False,
    }


def test_fields_of_the_reader_are_options_with_their_types(data: Call, files: Path, tmp_path: Path) -> None:
    words = [
        "--reader.metres",
        "0.5",
        "--reader.kind=pedestrian",
        "--no-reader.strict",
        "--reader.names",
        '{a = "b"}',
        "--reader.site",
        "lines",
    ]
    outcome = data("import", *words, "lines", files / "a.lines", "--out", tmp_path / "x.twm")
    assert outcome.status == 0, outcome.err
    store = open_store(tmp_path / "x.twm")
    options = store.manifest.readers[0].options
    assert options["metres"] == 0.5
    assert (options["kind"], options["strict"], options["names"], options["site"]) == ("pedestrian", False, {"a": "b"}, "lines")
    scenario = store.scenario(0)
    x = scenario.state[:40, scenario.features.index("x")] + scenario.origin[0]
    assert x[10] == pytest.approx(1.2 * 10 * 0.5, abs=1e-4)


def test_help_shows_the_fields_of_the_reader_with_range_and_default(data: Call) -> None:
    out = " ".join(data("import", "lines", "--help").out.split())
    assert "reader lines (file 0.3" in out or "reader lines (" in out
    assert "--reader.metres <float range> Metres to one unit. (above 0) [default: 1.0; x<=10]" in out
    assert "--reader.strict / --no-reader.strict" in out
    assert "--reader.scenario_seconds" in out


def test_only_the_features_that_are_named_are_stored(data: Call, files: Path, tmp_path: Path) -> None:
    assert data("import", "lines", files, "--out", tmp_path / "x.twm", "--features", "x,y, heading,vx,vy").status == 0
    assert open_store(tmp_path / "x.twm").features == ("x", "y", "heading", "vx", "vy")


def test_map_chooses_the_reader_of_any_table(data: Call, files: Path, tmp_path: Path) -> None:
    (tmp_path / "columns.toml").write_text("track = 'id'\n")
    for words in ([], ["columns"]):
        out = tmp_path / f"{len(words)}.twm"
        outcome = data("import", "--map", tmp_path / "columns.toml", *words, files, "--out", out)
        assert outcome.status == 0, outcome.err
        assert open_store(out).manifest.readers[0].name == "columns"


def test_append_adds_and_restart_begins_again(data: Call, files: Path, tmp_path: Path) -> None:
    store = tmp_path / "x.twm"
    assert data("import", "lines", files / "a.lines", "--out", store).status == 0
    again = data("import", "lines", files / "b.lines", "--out", store)
    assert again.status == 2
    assert "is there already" in again.err
    assert "--append" in again.err
    outcome = data("import", "lines", files / "b.lines", "--out", store, "--append")
    assert outcome.status == 0, outcome.err
    assert open_store(store).ids == ("a", "b")


def test_bad_input_leaves_nothing_behind_and_names_file_and_row(data: Call, files: Path, tmp_path: Path) -> None:
    write(files / "c.lines", "3 x y z")
    outcome = data("import", "lines", files, "--out", tmp_path / "x.twm")
    assert outcome.status == 2
    assert outcome.err.splitlines()[-2:] == ["error: c.lines, row 71: '3 x y z' is not four numbers", "hint: repair the row"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["recordings"]


def test_bad_sources_can_be_left_out_and_are_counted(data: Call, files: Path, tmp_path: Path) -> None:
    write(files / "c.lines", "3 x y z")
    outcome = data("import", "lines", files, "--out", tmp_path / "x.twm", "--skip-bad")
    assert outcome.status == 0
    assert "bad         c: c.lines, row 71: '3 x y z' is not four numbers" in outcome.out
    assert "2 sources, 2 scenarios" in outcome.out


def test_an_interrupted_import_is_continued_by_the_same_command(
    data: Call, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(files / "b.lines", "interrupt", seed=1)
    words = ("import", "lines", files, "--out", tmp_path / "x.twm")
    outcome = data(*words)
    assert outcome.status == 130
    assert outcome.err.splitlines()[-1] == f"interrupted; the same command continues the import into {tmp_path / 'x.twm'}"
    assert (tmp_path / "x.twm.partial").is_dir()
    assert not (tmp_path / "x.twm").exists()
    monkeypatch.setenv("LINES_GO_ON", "1")
    resumed = data(*words)
    assert resumed.status == 0, resumed.err
    assert "continued   1 source finished before the interruption" in resumed.out
    assert data(*words[:-1], tmp_path / "whole.twm").status == 0
    for file in ("manifest.json", "shards/000000.safetensors"):
        assert (tmp_path / "x.twm" / file).read_bytes() == (tmp_path / "whole.twm" / file).read_bytes()


def test_control_c_ends_a_real_import_with_130(tmp_path: Path, lines_plugin: Path) -> None:
    for i in range(400):
        write(tmp_path / f"{i}.lines", seed=i)
    words = ["data", "import", "-p", lines_plugin, "lines", tmp_path, "--out", tmp_path / "x.twm"]
    environ = {**os.environ, "TWM_DISABLE_PLUGINS": "*"}
    process = subprocess.Popen(
        [sys.executable, "-m", "twm_cli", *map(str, words)], env=environ, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    journal = tmp_path / "x.twm.partial" / "journal.jsonl"
    while not (journal.exists() and journal.stat().st_size) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=600)[1]
    assert process.returncode == 130, err
    assert "the same command continues" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["linse", "FILES"], "no reader is called 'linse'", "did you mean 'lines'?"),
        (["lines", "nowhere"], "nowhere does not exist", "check the spelling"),
        (["lines"], "no files are named", "twm data import READER FILES... --out X.twm"),
        (["lines", "FILES", "--reader.metre", "2"], "has no such field; did you mean '--reader.metres'?", "its fields: site,"),
        (["lines", "FILES", "--reader.metres", "20"], "Invalid value for '--reader.metres'", "twm data import --help"),
        (["lines", "FILES", "--reader.metres", "0"], "--reader.metres = 0.0: Input should be greater than 0", "fields of reader lines"),
        (["lines", "FILES", "--reader.metres", "abc"], "got 'abc'", "twm data import --help"),
        (
            ["lines", "FILES", "--reader.names", "abc"],
            "--reader.names = 'abc': Input should be a valid dictionary",
            "fields of reader lines",
        ),
        (["lines", "FILES", "--features", "x,y,headding"], "there is no feature 'headding'; did you mean 'heading'?", "there are x, y"),
        (["lines", "FILES", "--features", ","], "names no feature", "there are x, y"),
        (["lines", "FILES", "--append"], "no store", "twm data import"),
        (["lines", "EMPTY"], "no .lines files in", "give a folder that has some"),
        (["--map", "nowhere.toml", "FILES"], "nowhere.toml does not exist", "check the spelling"),
    ],
)
def test_a_mistake_is_one_message_and_a_hint(data: Call, files: Path, tmp_path: Path, words: list[str], message: str, hint: str) -> None:
    (tmp_path / "empty").mkdir()
    named = {"FILES": files, "EMPTY": tmp_path / "empty"}
    outcome = data("import", *[named.get(w, w) for w in words], "--out", tmp_path / "x.twm")
    assert outcome.status == 2
    assert outcome.out == ""
    error, told = [line for line in outcome.err.splitlines() if not line.startswith("source")]
    assert error.startswith("error: ")
    assert message in error
    assert told.startswith("hint: ")
    assert hint in told
    assert not (tmp_path / "x.twm").exists()


@pytest.mark.parametrize(("out", "message"), [("x", "the name of a store ends in .twm"), ("nowhere/x.twm", "there is no folder")])
def test_the_place_of_the_store_is_checked_first(data: Call, files: Path, tmp_path: Path, out: str, message: str) -> None:
    outcome = data("import", "lines", files, "--out", tmp_path / out)
    assert outcome.status == 2
    assert message in outcome.err


def test_an_import_without_a_place_is_refused(data: Call, files: Path) -> None:
    outcome = data("import", "lines", files)
    assert outcome.status == 2
    assert "Missing option '--out'" in outcome.err


def test_scenarios_without_a_map_are_counted_in_words() -> None:
    counts = {"sources": 1, "scenarios": 4, "agents": 9, "states": 90, "seconds": 8.0, "resumed": False}
    facts = {**counts, "without_map": 3, "skipped": {}, "bad": {}, "left_out": (), "store": "x.twm"}
    assert "no map      3 scenarios without a road map: lane features are 0" in report_text(facts).splitlines()
    assert "no map" not in report_text({**facts, "without_map": 0})


def test_the_file_of_a_mapping_is_recorded_by_what_it_holds(
    data: Call, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "columns.toml").write_text("track = 'id'\n")
    monkeypatch.chdir(tmp_path)
    for i, spelled in enumerate(("columns.toml", "./columns.toml", tmp_path / "columns.toml")):
        assert data("import", "--map", spelled, files, "--out", f"{i}.twm").status == 0
    manifests = [(tmp_path / f"{i}.twm" / "manifest.json").read_bytes() for i in range(3)]
    assert manifests[0] == manifests[1] == manifests[2]
    recorded = open_store(tmp_path / "0.twm").manifest.readers[0].options["mapping"]
    assert recorded == {"file": "columns.toml", "sha256": hashlib.sha256(b"track = 'id'\n").hexdigest()}
