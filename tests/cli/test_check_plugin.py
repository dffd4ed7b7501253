"""`twm check-plugin`: results of every check, what a component costs, and an exit status that a script can use."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from twm_core.testing.checks import COUNTS

Call = Callable[..., Any]

BRIER = '''
"""A loss in one file; with the wrong sign where WRONG is set."""
from twm_core import Component, LossConfig, Mismatch, hookimpl

WRONG = {wrong}


class {cls}(LossConfig):
    def accepts(self, output, latent, seen):
        return None if output.has("agents.exists") else Mismatch("existence", output)

    def branches(self):
        return frozenset({{"prediction"}})


@hookimpl
def twm_components():
    return [Component(kind="loss", name="{name}", summary="A loss.", config="{stem}:{cls}", build="{stem}:build")]


def build(config, given):
    from twm_core.nn.batches import observed_before
    from twm_core.nn.interfaces import Loss
    from twm_core.nn.masking import masked_mean

    class Score(Loss):
        def forward(self, outputs, batch):
            exists = batch["agents.exists"]
            error = (outputs.prediction["agents.exists"].mean - exists.float()).square()
            return {{"score": (-1 if WRONG else 1) * masked_mean(error, observed_before(exists, batch["is_first"]))}}

    return Score()
'''


@pytest.fixture
def loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], Path]]:
    """Writes the file, sound or wrong; its module is forgotten after the test."""
    monkeypatch.setenv("COLUMNS", "200")

    def write(wrong: bool) -> Path:
        stem = "wrong_score" if wrong else "right_score"
        file = tmp_path / f"{stem}.py"
        file.write_text(BRIER.format(wrong=wrong, cls="ScoreConfig", name="score", stem=stem), encoding="utf-8")
        return file

    yield write
    for module in ("right_score", "wrong_score"):
        sys.modules.pop(module, None)


def test_a_sound_file_passes_and_shows_counts_costs_and_what_was_skipped(twm: Call, loss: Callable[[bool], Path]) -> None:
    outcome = twm("check-plugin", loss(False))
    assert outcome.status == 0, outcome.err
    head, row, *_ = outcome.out.splitlines()
    assert head.split() == ["COMPONENT", "CHECKS", "PASSED", "BUILD", "MS", "USE", "MS", "PARAMETERS", "CHECKS", "S", "GREW", "MIB"]
    cells = row.split()
    assert cells[:2] == ["loss/score", str(COUNTS["loss"])]
    assert float(cells[3]) >= 0
    assert float(cells[4]) > 0
    assert cells[5] == "0"
    assert "loss/score/older_layouts_can_be_upgraded  its parameters have had one layout only" in outcome.out
    assert re.fullmatch(rf"{COUNTS['loss']} checks of 1 component: \d+ passed, \d+ skipped", outcome.out.splitlines()[-1])


def test_a_broken_promise_ends_with_status_1_and_says_what_to_do(twm: Call, loss: Callable[[bool], Path]) -> None:
    outcome = twm("check-plugin", loss(True))
    assert outcome.status == 1
    assert re.search(r"^failed +loss/score/truth_is_best: ", outcome.out, flags=re.MULTILINE)
    assert "hint: loss/score/truth_is_best: look at the sign" in outcome.out
    assert "1 failed" in outcome.out.splitlines()[-1]


def test_a_foretold_failure_passes_and_one_that_does_not_come_fails(twm: Call, loss: Callable[[bool], Path]) -> None:
    assert twm("check-plugin", loss(True), "--expect", "loss/score/truth_is_best").status == 0
    outcome = twm("check-plugin", loss(False), "--expect", "loss/score/truth_is_best")
    assert outcome.status == 1
    assert "unexpected loss/score/truth_is_best" in outcome.out
    stale = twm("check-plugin", loss(False), "--expect", "loss/score/truth_is_bets")
    assert stale.status == 2
    assert "did you mean 'loss/score/truth_is_best'" in stale.err


def test_json_has_every_result_and_the_costs(twm: Call, loss: Callable[[bool], Path]) -> None:
    found = json.loads(twm("check-plugin", loss(True), "--json").out)
    assert found["passed"] is False
    assert len(found["results"]) == COUNTS["loss"]
    assert set(found["results"][0]) == {"component", "check", "status", "situations", "reason", "hint"}
    (cost,) = found["costs"]
    assert set(cost) == {"component", "build", "use", "parameters", "checks", "grown", "unmeasured"}
    assert cost["checks"] > 0


def test_variants_come_from_a_file(twm: Call, tmp_path: Path) -> None:
    file = tmp_path / "variants.toml"
    file.write_text('[["dynamics/gru"]]\nhidden = 8\nlayout = "scene"\n[["dynamics/gru"]]\nhidden = 4\n', encoding="utf-8")
    outcome = twm("check-plugin", "twm", "--component", "gru", "--options", file)
    assert outcome.status == 0, outcome.out
    assert f"{COUNTS['dynamics']} checks of 1 component" in outcome.out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[[", "is no TOML"),
        ('"dynamics/gru" = 3', "'dynamics/gru' is no list of tables"),
        ('[["dynamics/gur"]]\n', "options name 'dynamics/gur'"),
        ('[["dynamics/gru"]]\nhiden = 3\n', "options of dynamics/gru"),
        (None, "cannot read"),
    ],
)
def test_a_bad_file_of_variants_is_one_message(twm: Call, tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "variants.toml"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    outcome = twm("check-plugin", "twm", "--component", "gru", "--options", file)
    assert outcome.status == 2
    assert message in outcome.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["acme-worlds"], "no installed distribution 'acme-worlds' has plugins"),
        (["twm", "--component", "grru"], "twm has no component 'grru'; did you mean 'gru'"),
        (["absent.py"], "plugin file 'absent.py' does not exist"),
    ],
)
def test_what_cannot_be_checked_is_a_user_error(twm: Call, words: list[str], message: str) -> None:
    outcome = twm("check-plugin", *words)
    assert outcome.status == 2
    assert message in outcome.err


def test_no_component_is_an_error_and_not_a_success(twm: Call, tmp_path: Path) -> None:
    file = tmp_path / "empty_plugin.py"
    file.write_text("from twm_core import hookimpl\n\n\n@hookimpl\ndef twm_run_finished(reason):\n    pass\n", encoding="utf-8")
    outcome = twm("check-plugin", file)
    assert outcome.status == 2
    assert "there is no component to check" in outcome.err


def test_a_use_that_raises_is_not_measured_and_says_why() -> None:
    from twm_core.testing.cost import measure

    class Raises:
        instance = None

        def build(self) -> object:
            return object()

        def use(self) -> None:
            raise ValueError("no such thing")

    found = measure("loss/x", Raises(), checks=0.0, grown=0)  # pyrefly: ignore[bad-argument-type]
    assert found.build is not None
    assert (found.use, found.unmeasured) == (None, "ValueError: no such thing")
