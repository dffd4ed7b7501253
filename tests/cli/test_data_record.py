"""`twm data record`: episodes of a simulator as a store. The simulator is the one that `twm new-plugin` writes, in one file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from twm_core.data.store.reading import open_store
from twm_core.plugin.scaffold import new_plugin

Call = Callable[..., Any]


@pytest.fixture
def record(twm: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    """Call `twm data record ring` with the rendered simulator on the path."""
    made = new_plugin("zz-ring", kind="simulator", component="ring", parent=tmp_path)
    monkeypatch.syspath_prepend(str(made.folder / "src"))
    plugin = tmp_path / "ring_plugin.py"
    plugin.write_text((made.folder / "src/zz_ring/plugin.py").read_text(encoding="utf-8"), encoding="utf-8")
    before = set(sys.modules)
    yield lambda *words: twm("data", "record", "-p", plugin, *words)
    for module in set(sys.modules) - before:
        del sys.modules[module]


def test_episodes_become_scenarios_of_their_seeds(record: Call, tmp_path: Path) -> None:
    out = tmp_path / "ring.twm"
    words = ["ring", "--simulator.cars", "5", "--episodes", "2", "--seconds", "8", "--warm-up", "4", "--seed", "7", "--out", out]
    outcome = record(*words)
    assert outcome.status == 0, outcome.err
    assert outcome.out.splitlines() == [
        "recorded    2 scenarios, 10 agents, 410 states",
        f"store       {out}",
        f"next        twm data show {out}",
    ]
    store = open_store(out)
    assert list(store.ids) == ["ring/7", "ring/8"]
    first, second = store.scenario(0), store.scenario(1)
    assert first.steps == 41  # 8 s at 5 Hz, both ends
    assert {"vx", "vy", "ax", "heading"} <= set(first.features)
    assert not (first.state == second.state).all()  # another seed
    (reader,) = store.manifest.readers
    assert (reader.name, reader.options["cars"]) == ("simulator ring", 5)


def test_the_same_seed_gives_the_same_store_and_json_says_what_it_holds(record: Call, tmp_path: Path) -> None:
    one, two = tmp_path / "one.twm", tmp_path / "two.twm"
    facts = json.loads(record("ring", "--seconds", "4", "--out", one, "--json").out)
    assert facts["scenarios"] == 1
    assert facts["simulator"].endswith(":ring")
    assert record("ring", "--seconds", "4", "--out", two).status == 0
    for file in sorted(p.relative_to(one) for p in one.rglob("*.safetensors")):
        assert (one / file).read_bytes() == (two / file).read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rign"], "no simulator is called 'rign'"),
        (["ring", "--simulator.carz", "3"], "did you mean '--simulator.cars'?"),
        (["ring", "--simulator.cars", "0"], "--simulator.cars"),
        (["ring", "--seconds", "0.01"], "cannot be recorded in steps of 0.2 s"),
        (["ring", "--episodes", "0"], "--episodes"),
    ],
)
def test_what_cannot_be_recorded_is_one_message_and_leaves_nothing(record: Call, tmp_path: Path, words: list[str], message: str) -> None:
    outcome = record(*words, "--out", tmp_path / "x.twm")
    assert outcome.status == 2, outcome.out
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert not list(tmp_path.glob("*x.twm*"))


def test_a_store_that_is_there_is_left_alone(record: Call, tmp_path: Path) -> None:
    out = tmp_path / "ring.twm"
    assert record("ring", "--seconds", "2", "--out", out).status == 0
    before = (out / "manifest.json").read_bytes()
    outcome = record("ring", "--seconds", "4", "--out", out)
    assert outcome.status == 2
    assert "is there already" in outcome.err
    assert (out / "manifest.json").read_bytes() == before
    assert record("ring", "--out", tmp_path / "ring").status == 2


def test_help_shows_the_fields_of_the_simulator(record: Call) -> None:
    text = record("ring", "--help").out
    assert "--simulator.cars" in text
    assert "--warm-up" in text
