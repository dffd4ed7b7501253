"""`twm data info | validate | pack | unpack | show | readers | example` on a small store."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_plugin import write

from twm_core.data.store.reading import open_store

Call = Callable[..., Any]


@pytest.fixture
def store(data: Call, tmp_path: Path) -> Path:
    """Two scenarios of 40 steps with two cars each; three rows were lost."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    write(folder / "a.lines", seed=0)
    write(folder / "b.lines", "lost", "lost", "lost", seed=1)
    out = tmp_path / "x.twm"
    assert data("import", "lines", folder, "--out", out).status == 0
    return out


def test_info_shows_what_is_in_a_store(data: Call, store: Path) -> None:
    outcome = data("info", store)
    assert outcome.status == 0
    assert outcome.out.startswith(f"{store}: 2 scenarios, 4 agents, 140 states, 8.0 s, ")
    assert "sites       yard 2\n" in outcome.out
    assert "steps of    0.1 s 2 (scenarios)\n" in outcome.out
    assert "skipped     rows marked lost: 3\n" in outcome.out
    assert "citation    Nobody, 2026.\n" in outcome.out
    assert "backward differences of x" in outcome.out


def test_info_as_json_has_what_scripts_want(data: Call, store: Path) -> None:
    facts = json.loads(data("info", store, "--json").out)
    wanted = {n: facts[n] for n in ("scenarios", "agents", "states", "seconds", "sites", "dt", "skipped", "agents_by_type")}
    assert wanted == {
        "scenarios": 2,
        "agents": 4,
        "states": 140,
        "seconds": pytest.approx(8.0),
        "sites": {"yard": 2},
        "dt": {"0.1": 2},
        "skipped": {"rows marked lost": 3},
        "agents_by_type": {"car": 4},
    }


@pytest.mark.parametrize("command", ["info", "validate", "show"])
def test_what_is_no_store_is_refused(data: Call, tmp_path: Path, command: str) -> None:
    (tmp_path / "empty").mkdir()
    for name, message in (("nowhere.twm", "there is no store"), ("empty", "is not a store")):
        outcome = data(command, tmp_path / name)
        assert outcome.status == 2
        assert message in outcome.err
        assert "hint: give the .twm folder" in outcome.err


def test_a_whole_store_is_valid(data: Call, store: Path) -> None:
    outcome = data("validate", store)
    assert outcome.status == 0
    assert "is whole: 2 sources, 2 scenarios, 4 agents, 140 states, 0 roads" in outcome.out
    assert json.loads(data("validate", store, "--json").out)["problems"] == []


def test_a_damaged_store_is_not_valid_and_every_problem_is_a_line(data: Call, store: Path) -> None:
    shard = store / "shards" / "000000.safetensors"
    values = bytearray(shard.read_bytes())
    values[-5] ^= 255
    shard.write_bytes(values)
    (store / "stray.txt").write_text("?")
    outcome = data("validate", store)
    assert outcome.status == 1
    assert len(outcome.out.splitlines()) == 2
    assert "000000.safetensors was changed" in outcome.out
    assert "stray.txt is not named in the manifest" in outcome.out
    told = json.loads(data("validate", store, "--json").out)
    assert (told["valid"], len(told["problems"])) == (False, 2)


@pytest.mark.parametrize(("name", "words"), [("x.tar", []), ("x.parquet", []), ("tables", ["--format", "parquet"])])
def test_a_packed_store_is_unpacked_to_the_same_values(data: Call, store: Path, tmp_path: Path, name: str, words: list[str]) -> None:
    assert data("pack", store, tmp_path / name, *words).status == 0
    outcome = data("unpack", tmp_path / name, "--out", tmp_path / "y.twm")
    assert outcome.out == f"{tmp_path / 'y.twm'}: 2 scenarios, 4 agents, 140 states\n"
    for one, two in zip(open_store(store).scenarios, open_store(tmp_path / "y.twm").scenarios, strict=True):
        assert (one.id, one.track, one.features) == (two.id, two.track, two.features)
        np.testing.assert_array_equal(one.state, two.state)
        np.testing.assert_array_equal(one.code, two.code)
    assert data("validate", tmp_path / "y.twm").status == 0


def test_packing_into_the_store_or_over_a_folder_is_refused(data: Call, store: Path, tmp_path: Path) -> None:
    inside = data("pack", store, store / "x.tar")
    assert (inside.status, "lies in the store itself" in inside.err) == (2, True)
    folder = data("pack", store, tmp_path)
    assert (folder.status, "is a folder" in folder.err) == (2, True)


def test_unpacking_something_else_is_refused(data: Call, store: Path, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_text("no tar")
    for file in (tmp_path / "x.tar", tmp_path / "recordings", tmp_path / "nowhere.tar"):
        outcome = data("unpack", file, "--out", tmp_path / "y.twm")
        assert outcome.status == 2, file
        assert not (tmp_path / "y.twm").exists()
    assert "the name of a store ends in .twm" in data("unpack", tmp_path / "x.tar", "--out", tmp_path / "y").err


def test_show_draws_a_picture_and_an_animation_beside_the_store(data: Call, store: Path, tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image", reason="needs the extra viz")
    outcome = data("show", store, "--scenario", "b")
    assert outcome.status == 0, outcome.err
    assert outcome.out.splitlines()[0] == "scenario    1: b, site yard"
    for suffix, format in ((".png", "PNG"), (".gif", "GIF")):
        with pillow.open(tmp_path / f"x-1{suffix}") as picture:
            assert picture.format == format
    assert len(list(tmp_path.glob("x-*"))) == 2


@pytest.mark.parametrize(("out", "made"), [("p.png", ["p.png"]), ("p.gif", ["p.gif"]), ("p", ["p.gif", "p.png"])])
def test_the_suffix_decides_what_is_drawn(data: Call, store: Path, tmp_path: Path, out: str, made: list[str]) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra viz")
    assert data("show", store, "--out", tmp_path / out).status == 0
    assert sorted(p.name for p in tmp_path.glob("p*")) == made


def test_only_the_seconds_asked_for_are_drawn(data: Call, store: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra viz")
    outcome = data("show", store, "--out", tmp_path / "p", "--from", "1", "--to", "2.5", "--renderer.gif.fps", "5", "--json")
    assert outcome.status == 0, outcome.err
    png, gif = json.loads(outcome.out)
    assert (png["first"], png["last"], png["frames"]) == (10, 25, 1)
    assert (gif["first"], gif["last"], gif["every"]) == (10, 25, 2)
    assert gif["scenario"] == "a"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scenario", "7"], "has no scenario '7'"),
        (["--scenario", "zzz"], "has no scenario 'zzz'"),
        (["--out", "p.jpg"], "the chosen renderers write .png and .gif"),
        (["--out", "nowhere/p.png"], "there is no folder nowhere"),
        (["--from", "5"], "nothing lies between --from 5 and --to 3.9"),
        (["--from", "3", "--to", "1"], "nothing lies between --from 3 and --to 1"),
        (["--renderer.gif.fps", "0"], "--renderer.gif.fps = 0.0: Input should be greater than 0"),
        (["--renderer", "jpeg"], "no renderer is called 'jpeg'"),
        (["--renderer", "png", "--renderer.gif.fps", "3"], "no option --renderer.gif.fps: renderer png (twm "),
        (["--renderer.png.titel", "x"], "did you mean '--renderer.png.title'?"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_one_message(
    data: Call, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra viz")
    monkeypatch.chdir(tmp_path)
    outcome = data("show", store, *words)
    assert outcome.status == 2
    assert message in outcome.err
    assert "hint: " in outcome.err
    assert not list(tmp_path.glob("*.png"))


def test_readers_are_listed(data: Call) -> None:
    assert "lines    Rows of text (lines)." in data("readers").out
    assert [r["name"] for r in json.loads(data("readers", "--json").out)] == ["columns", "lines"]


def test_an_example_can_be_imported_as_it_says(data: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = data("example", "lines", "try")
    written, advice = outcome.out.splitlines()
    assert written == "try/example.lines"
    assert re.fullmatch(r"next        twm data import -p \S+/data_lines\.py lines try --out try\.twm", advice)
    assert data("import", "lines", "try", "--out", "try.twm").status == 0
    again = data("example", "lines", "try")
    assert (again.status, "try is not empty" in again.err) == (2, True)
    shutil.rmtree("try")
    unknown = data("example", "line", "try")
    assert (unknown.status, "did you mean 'lines'?" in unknown.err) == (2, True)
    assert not (tmp_path / "try").exists()
