"""`twm data split`: what is printed and written; that nothing leaks is tested with `twm_core.data.windows.splits`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_plugin import write

from twm_core.data.store.reading import open_store

Call = Callable[..., Any]


@pytest.fixture
def store(data: Call, tmp_path: Path) -> Path:
    """Ten scenarios of 40 steps (4 s), at sites north (6) and south (4), with cars 1 (40 states) and 2 (30)."""
    out = tmp_path / "x.twm"
    for site, seeds in (("north", range(6)), ("south", range(6, 10))):
        folder = tmp_path / site
        folder.mkdir()
        for seed in seeds:
            write(folder / f"{site}-{seed}.lines", seed=seed)
        more = ["--append"] if site == "south" else []
        assert data("import", "lines", folder, "--reader.site", site, "--out", out, *more).status == 0
    return out


def test_by_site_a_place_is_in_one_split(data: Call, store: Path) -> None:
    outcome = data("split", store, "--by", "site", "--val", "0", "--train", "0.6", "--test", "0.4", "--json")
    assert outcome.status == 0, outcome.err
    splits = json.loads(outcome.out)["splits"]
    assert {n: (s["scenarios"], s["vehicles"], s["agents"], s["states"], s["seconds"]) for n, s in splits.items()} == {
        "train": (6, 12, 12, 420, 24),
        "val": (0, 0, 0, 0, 0),
        "test": (4, 8, 8, 280, 16),
    }
    written = open_store(store).manifest.splits
    assert {p["scenario"] for p in written["test"]} == {f"south-{i}" for i in range(6, 10)}


def test_sites_can_be_named(data: Call, store: Path) -> None:
    words = ["--by", "site", "--val", "0", "--sites", "test=north", "--json"]
    splits = json.loads(data("split", store, *words).out)["splits"]
    assert (splits["train"]["scenarios"], splits["test"]["scenarios"]) == (4, 6)


def test_by_time_states_add_up(data: Call, store: Path) -> None:
    splits = json.loads(data("split", store, "--by", "time", "--json").out)["splits"]
    assert splits["train"]["steps left out between splits"] == 0
    # A vehicle that drives across a cut is scored before it only; what is left of its scenario has nothing to score.
    assert 30 <= sum(s["seconds"] for s in splits.values()) <= 40
    assert 500 < sum(s["states"] for s in splits.values()) <= 700
    assert sum(s["vehicles"] for s in splits.values()) == 20


def test_by_vehicle_the_seed_decides(data: Call, store: Path) -> None:
    words = ("split", store, "--by", "vehicle", "--train", "0.5", "--val", "0", "--test", "0.5")
    assert data(*words).status == 0
    one = open_store(store).manifest.splits
    assert data(*words).status == 0
    assert open_store(store).manifest.splits == one
    assert data(*words, "--seed", "1").status == 0
    assert open_store(store).manifest.splits != one


def test_the_table_has_a_row_for_each_split_and_says_what_falls_between(data: Call, store: Path) -> None:
    lines = data("split", store, "--by", "time", "--gap-seconds", "1").out.splitlines()
    assert lines[0] == f"{store}, split by time"
    assert lines[1].split() == ["SPLIT", "SCENARIOS", "SECONDS", "VEHICLES", "AGENTS", "STATES", "CONTEXT"]
    assert [line.split()[0] for line in lines[2:5]] == ["train", "val", "test"]
    (between,) = [line for line in lines if line.startswith("between the splits: ")]
    assert int(between.split()[-2]) > 0
    assert "splits      train " in data("info", store).out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Missing option '--by'"),
        (["--by", "place"], "Invalid value for '--by'"),
        (["--by", "site"], "cannot fill"),
        (["--by", "site", "--sites", "test=east"], "there is no site east"),
        (["--by", "site", "--sites", "tests=north"], "--sites 'tests=north' is not of the form SPLIT=A,B"),
        (["--by", "time", "--sites", "test=north"], "--sites has no meaning with --by time"),
        (["--by", "site", "--gap-seconds", "1"], "--gap-seconds has no meaning with --by site"),
        (["--by", "time", "--train", "0", "--val", "0", "--test", "0"], "shares of train, val and test are 0, 0, 0"),
        (["--by", "time", "--train", "-1"], "Invalid value for '--train'"),
    ],
)
def test_a_mistake_is_one_message_and_changes_nothing(data: Call, store: Path, words: list[str], message: str) -> None:
    before = (store / "manifest.json").read_bytes()
    outcome = data("split", store, *words)
    assert outcome.status == 2
    assert message in outcome.err
    assert (outcome.err.count("error: "), outcome.err.count("hint: ")) == (1, 1)
    assert (store / "manifest.json").read_bytes() == before
