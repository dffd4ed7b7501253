"""What the user did not name ends no evaluation: it is left out with its reason; what the user named fails with its error."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from twm_cli.options.words import parse_setting
from twm_core.errors import DataError, PluginError, TwmError, UsageError
from twm_core.evaluation import selection
from twm_core.evaluation.evaluate import Request, evaluate
from twm_core.plugin.registry import Registry, discover

FAULTY = '''
"""Baselines and metrics with one fault each."""
import sys

import numpy as np
from pydantic import Field

from twm_core import BaselineConfig, Component, ForecastSpec, MetricConfig, UsageError, hookimpl
from twm_core.evaluation.interfaces import Forecaster, Metric
from twm_core.specs import Score


class Config(BaselineConfig):
    def accepts(self, seen):
        return None

    def gives(self, seen):
        return ForecastSpec(states=("x", "y"))


class NeedsOption(Config):
    weights: str | None = Field(None, description="Where the weights are.")


class Raises(Config):
    def accepts(self, seen):
        raise RuntimeError("accepts nothing")


class Faulty(Forecaster):
    def __init__(self, given):
        self.gives = ForecastSpec(states=("x", "y"))

    def forecast(self, observed, *, steps, samples, generator):
        raise RuntimeError("no forecast today")


class Unfit(Faulty):
    def fit(self, windows):
        raise ValueError("cannot be fitted")


class Exits(Faulty):
    def fit(self, windows):
        sys.exit(0)


class Stopped(Faulty):
    def fit(self, windows):
        raise KeyboardInterrupt


def build_raises(config, given):
    raise RuntimeError("cannot be built")


def build(config, given):
    if getattr(config, "weights", "") is None:
        raise UsageError("it needs its weights", "set weights")
    return Faulty(given)


def build_unfit(config, given):
    return Unfit(given)


def build_exits(config, given):
    return Exits(given)


def build_stopped(config, given):
    return Stopped(given)


class CountConfig(MetricConfig):
    def accepts(self, seen, forecast):
        return None

    def scores(self, seen, samples):
        return (Score(name="count", unit="", better="lower"),)


class Count(Metric):
    def sums(self, forecast, truth):
        raise RuntimeError("cannot count")

    def finish(self, sums):
        return {}


def build_count(config, given):
    return Count()


class Unfinished(Metric):
    def sums(self, forecast, truth):
        return np.ones((int(truth.scored.sum()), 1))

    def finish(self, totals):
        raise RuntimeError("cannot finish")


def build_unfinished(config, given):
    return Unfinished()


class Crooked(Unfinished):
    def finish(self, totals):
        return {"count": totals[..., 0]}

    def curves(self, totals):
        raise RuntimeError("cannot draw")


def build_crooked(config, given):
    return Crooked()


NAMES = {
    "needs-option": ("NeedsOption", "build"),
    "accepts-raises": ("Raises", "build"),
    "build-raises": ("Config", "build_raises"),
    "fit-raises": ("Config", "build_unfit"),
    "exits": ("Config", "build_exits"),
    "forecast-raises": ("Config", "build"),
    "not-there": ("Config", "nothing"),
}
METRICS = ("count", "unfinished", "crooked")


@hookimpl
def twm_components():
    here = __name__
    rows = [Component(kind="baseline", name=n, summary="A test.", config=f"{here}:{c}", build=f"{here}:{b}") for n, (c, b) in NAMES.items()]
    config = f"{here}:CountConfig"
    counts = [Component(kind="metric", name=n, summary="A test.", config=config, build=f"{here}:build_{n}") for n in METRICS]
    return [*rows, *counts]
'''

WHY = {
    "needs-option": "it needs its weights",
    "accepts-raises": "RuntimeError: accepts nothing",
    "build-raises": "RuntimeError: cannot be built",
    "fit-raises": "ValueError: cannot be fitted",
    "exits": "SystemExit: 0",
    "forecast-raises": "RuntimeError: no forecast today",
    "not-there": "build 'faulty_rivals:nothing' does not exist",
}

COUNTS = {"count": "cannot count", "unfinished": "cannot finish", "crooked": "cannot draw"}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """twm's components and a plugin with faulty ones."""
    file = tmp_path_factory.mktemp("faulty") / "faulty_rivals.py"
    file.write_text(FAULTY, encoding="utf-8")
    return discover(environ={}, files=[file])


def test_a_baseline_that_fails_and_was_not_named_is_one_row_and_changes_no_number(
    trained: Path, registry: Registry, faulty: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request(target=trained, samples=2, windows=2)
    usual = evaluate(request, registry=registry)
    monkeypatch.setattr(selection, "MORE_METRICS", (*selection.MORE_METRICS, *COUNTS))
    found = evaluate(request, registry=faulty)
    rows = {row["name"]: row for row in found["left_out"]}
    assert {n for n in rows if rows[n]["kind"] == "baseline"} == set(WHY)
    for name, why in WHY.items():
        assert rows[name]["why"].startswith(why)
        assert rows[name]["whose"].startswith(f"baseline {name} (file ")
        assert sum(name in note for note in found["notes"]) == 1
    assert {n for n in rows if rows[n]["kind"] == "metric"} == set(COUNTS)
    for name, why in COUNTS.items():
        assert rows[name]["why"].startswith(f"RuntimeError: {why}")
    assert not any("\n" in note for note in found["notes"])
    assert usual["left_out"] == []
    assert repr(found["forecasters"]) == repr(usual["forecasters"])
    assert repr(found["metrics"]) == repr(usual["metrics"])


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("needs-option", UsageError, "it needs its weights"),
        ("build-raises", RuntimeError, "cannot be built"),
        ("fit-raises", ValueError, "cannot be fitted"),
        ("exits", PluginError, "baseline exits .* tried to end the program"),
        ("forecast-raises", RuntimeError, "no forecast today"),
        ("not-there", PluginError, "does not exist"),
    ],
)
def test_a_baseline_that_the_user_named_fails_with_its_error(
    trained: Path, faulty: Registry, name: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        evaluate(Request(target=trained, samples=1, windows=1, baselines=(name,)), registry=faulty)


@pytest.mark.parametrize("name", COUNTS)
def test_a_metric_that_the_user_named_fails_with_its_error(trained: Path, faulty: Registry, name: str) -> None:
    with pytest.raises(RuntimeError, match=COUNTS[name]):
        evaluate(Request(target=trained, samples=1, windows=1, metrics=(name,), baselines=("zero-velocity",)), registry=faulty)


def test_a_baseline_whose_option_the_user_sets_is_named(trained: Path, faulty: Registry) -> None:
    overrides = {"baseline.needs-option.weights": "w"}
    with pytest.raises(RuntimeError, match="no forecast today"):
        evaluate(Request(target=trained, samples=1, windows=1, overrides=overrides), registry=faulty)


def test_an_interruption_is_no_failure_of_a_baseline(trained: Path, tmp_path: Path) -> None:
    file = tmp_path / "stopped_rivals.py"
    file.write_text(FAULTY.replace('("Config", "build_exits")', '("Config", "build_stopped")'), encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        evaluate(Request(target=trained, samples=1, windows=1), registry=discover(environ={}, files=[file]))


def test_the_user_leaves_out_what_is_usual(trained: Path, registry: Registry) -> None:
    usual = evaluate(Request(target=trained, samples=2, windows=1), registry=registry)
    request = Request(target=trained, samples=2, windows=1, without=("kalman", "twm:idm", "metric/existence", "constant-velocity"))
    found = evaluate(request, registry=registry)
    assert set(usual["forecasters"]) - set(found["forecasters"]) == {"kalman", "idm", "constant-velocity"}
    assert set(usual["metrics"]) - set(found["metrics"]) == {"existence"}
    before, after = (each["forecasters"]["zero-velocity"]["scores"] for each in (usual, found))
    assert after == {name: before[name] for name in after}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"without": ("kalmn",)}, "--without kalmn: this evaluation has no baseline or metric of that name; did you mean 'kalman'"),
        ({"without": ("metric/kalman",)}, "has no baseline or metric of that name"),
        ({"without": ("kalman",), "baselines": ("kalman",)}, "--baseline kalman and --without kalman contradict each other"),
    ],
)
def test_what_cannot_be_left_out_is_an_error(trained: Path, registry: Registry, request_: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate(Request(target=trained, samples=1, windows=1, **request_), registry=registry)


def nothing_drives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows in which no vehicle drives, as a store of pedestrians has them: `idm` counts only pedestrians."""
    import twm_baselines.idm as idm

    monkeypatch.setattr(idm, "VEHICLES", ())


def test_idm_where_nothing_drives_is_left_out_and_its_remedies_work(
    trained: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_drives(monkeypatch)
    found = evaluate(Request(target=trained, samples=1, windows=1), registry=registry)
    assert [row["name"] for row in found["left_out"]] == ["idm"]
    assert found["left_out"][0]["why"].startswith("no vehicle drives on")
    assert "kalman" in found["forecasters"]
    with pytest.raises(DataError, match="no vehicle drives on") as caught:
        evaluate(Request(target=trained, samples=1, windows=1, baselines=("idm",)), registry=registry)
    words = shlex.split(caught.value.hint or "")
    settings = dict(parse_setting(words[i + 1]) for i, word in enumerate(words) if word == "--set")
    assert len(settings) == 6
    given = Request(target=trained, samples=1, windows=1, baselines=("idm",), overrides=settings)
    assert "idm" in evaluate(given, registry=registry)["forecasters"]


def test_an_evaluation_of_nothing_says_why_nothing_is_left(trained: Path, faulty: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "METRICS", ("count",))
    monkeypatch.setattr(selection, "MORE_METRICS", ())
    with pytest.raises(TwmError, match=r"there is no metric to evaluate with: metric count \(file .*cannot count"):
        evaluate(Request(target=trained, samples=1, windows=1), registry=faulty)
