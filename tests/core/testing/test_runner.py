"""Running checks: results are counted, nothing runs silently zero times, and foretold failures are held to their word."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from twm_core.component import Component
from twm_core.errors import UsageError
from twm_core.plugin.discovery import Plugin
from twm_core.plugin.registry import Registered
from twm_core.testing import ConformanceFailure, checks, conformance, run_checks

PLUGIN = Plugin(name="zoo", distribution="acme-zoo", version="1.0", value="zoo", status="loaded")
LOSS = Registered(
    component=Component(kind="loss", name="specimen", summary="One of the zoo.", config="zoo_configs:ZooLoss", build="zoo_loss:build"),
    plugin=PLUGIN,
)
WRONG = {"loss/specimen": [{"fault": "has the wrong sign"}]}
SIGN = "loss/specimen/truth_is_best"

ONE_FILE = '''
"""A loss in one file."""
import torch
from pydantic import Field
from twm_core import Component, LossConfig, hookimpl
from twm_core.nn.interfaces import Loss


class EvenConfig(LossConfig):
    factor: float = Field(1.0, description="Factor.")

    def accepts(self, output, latent, seen):
        return None


class Even(Loss):
    def forward(self, outputs, batch):
        return {"even": outputs.posterior.features[0 if outputs.posterior.features.scene is not None else 1].sum() * 0}


def build(config, given):
    return Even()


@hookimpl
def twm_components():
    name = "even"
    return [Component(kind="loss", name=name, summary="Does nothing.", config="even_loss:EvenConfig", build="even_loss:build")]
'''


def test_every_check_of_the_battery_has_a_result_and_counts_its_situations() -> None:
    lines: list[str] = []
    results = run_checks([LOSS], say=lines.append)
    assert [r.check for r in results] == [c.name for c in checks.CHECKS["loss"]]
    skipped = {r.check: r.reason for r in results if r.status == "skipped"}
    assert skipped["older_layouts_can_be_upgraded"] == "its parameters have had one layout only"
    assert {r.status for r in results} == {"passed", "skipped"}
    assert {r.subjects for r in results if r.status == "passed"} == {1, 7}
    assert lines == [f"{len(results)} checks of 1 component: {len(results) - len(skipped)} passed, {len(skipped)} skipped"]


def test_a_failure_names_check_component_situation_and_what_was_seen() -> None:
    results = run_checks([LOSS], options=WRONG, say=lambda line: None)
    (failed,) = [r for r in results if r.status == "failed"]
    assert failed.name == SIGN
    assert isinstance(failed.failure, ConformanceFailure)
    text = str(failed.failure)
    assert text.startswith(
        "loss specimen (acme-zoo 1.0) [fault has the wrong sign; states and existence, deterministic agent latents] fails truth"
    )
    assert "hint: look at the sign" in text


def test_no_component_is_an_error() -> None:
    with pytest.raises(UsageError, match="there is no component to check"):
        run_checks([])


def test_a_foretold_failure_is_expected_and_an_unforetold_success_is_not() -> None:
    quiet = {"say": lambda line: None}
    wrong = {r.name: r.status for r in run_checks([LOSS], options=WRONG, expected_failures={SIGN: "known"}, **quiet)}
    right = {r.name: r.status for r in run_checks([LOSS], expected_failures={SIGN: "known"}, **quiet)}
    assert (wrong[SIGN], right[SIGN]) == ("expected", "unexpected")


def test_a_stale_name_among_expected_failures_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean 'loss/specimen/truth_is_best'"):
        run_checks([LOSS], expected_failures={"loss/specimen/truth_is_bes": "typo"})


def test_unknown_components_and_fields_in_options_are_errors() -> None:
    with pytest.raises(UsageError, match="options name 'loss/other'"):
        run_checks([LOSS], options={"loss/other": [{}]})
    with pytest.raises(UsageError, match="options of loss/specimen"):
        run_checks([LOSS], options={"loss/specimen": [{"colour": 1}]})


def test_a_battery_that_shrinks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(checks.CHECKS, "loss", checks.CHECKS["loss"][:-1])
    with pytest.raises(UsageError, match="has 16 checks, 17 are written down"):
        run_checks([LOSS])


def test_every_check_says_what_it_promises() -> None:
    for battery in checks.CHECKS.values():
        assert [c.name for c in battery if len(c.promise) < 40] == []


@pytest.fixture
def one_file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "even_loss.py"
    path.write_text(ONE_FILE, encoding="utf-8")
    yield path
    sys.modules.pop("even_loss", None)


def test_conformance_is_a_parametrised_pytest_test_of_a_file(one_file: Path) -> None:
    test = conformance(file=one_file, expected_failures={"loss/even/something_is_trained": "it does nothing"})
    (mark,) = test.pytestmark  # type: ignore[attr-defined]
    assert mark.args == ("name", [f"loss/even/{c.name}" for c in checks.CHECKS["loss"]])
    test("loss/even/builds_its_kind")
    with pytest.raises(pytest.xfail.Exception, match="it does nothing"):
        test("loss/even/something_is_trained")
    with pytest.raises(pytest.skip.Exception, match="one-file plugin"):
        test("loss/even/config_is_torch_free")


def test_conformance_refuses_unknown_distributions_and_components() -> None:
    with pytest.raises(UsageError, match="no installed distribution 'twn' has plugins; did you mean 'twm'"):
        conformance("twn")
    with pytest.raises(UsageError, match="twm has no component 'hubr'; did you mean 'huber'"):
        conformance("twm", components=["hubr"])
    with pytest.raises(UsageError, match="takes a distribution or a file"):
        conformance()


def test_the_kit_is_usable_without_pytest() -> None:
    code = "import sys, twm_core.testing; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
