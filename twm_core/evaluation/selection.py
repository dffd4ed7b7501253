"""Who is scored and by what: baselines and metrics are chosen, checked against the data, built and fitted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from twm_core.data.dataset import Dataset
from twm_core.errors import AssemblyError, Mismatch, TwmError
from twm_core.evaluation.components import baseline_config, metric_config
from twm_core.evaluation.engine import Candidate
from twm_core.evaluation.interfaces import Forecaster, Metric
from twm_core.evaluation.left_out import BASELINE, METRIC, LeftOut
from twm_core.evaluation.result import REFERENCE
from twm_core.plugin.discovery import canonical
from twm_core.plugin.registry import TWM, Registry
from twm_core.recipe.chosen import Chosen, choose, shown_name
from twm_core.reporting import Reporter
from twm_core.specs import BaselineSpecs, ForecastSpec, MetricSpecs, ObservationSpec

METRICS = ("displacement", "joint-displacement", "existence")
"""Metrics that are printed where no protocol names others."""
MORE_METRICS = ("miss-rate", "heading", "collision", "nll", "energy-score")
"""Metrics that are printed beside them where they are installed."""


def default_metrics(registry: Registry) -> list[str]:
    """Metrics of an evaluation without a protocol."""
    installed = {r.component.name for r in registry.components(METRIC)}
    return [*METRICS, *(n for n in MORE_METRICS if n in installed)]


def choose_metrics(
    registry: Registry,
    names: Sequence[str],
    options: Mapping[str, Mapping[str, Any]],
    *,
    asked: Sequence[str] = (),
    own: str = TWM,
    left_out: LeftOut | None = None,
) -> dict[str, Chosen]:
    """Metrics by name, each with its options.

    Args:
        registry: Installed components.
        names: Which.
        options: Fields by name.
        asked: Those that the user named.
        own: The distribution that declares the others (see `Registry.find`).
        left_out: Gets those that the user did not name and that cannot be used; None to fail with the first.
    """
    rows = LeftOut() if left_out is None else left_out
    found: dict[str, Chosen] = {}
    for name in dict.fromkeys(names):
        named = left_out is None or name in asked or name in options
        with rows.unless_named(METRIC, name, _whose(registry, METRIC, name, own), named=named):
            chosen = choose(registry, METRIC, name, options.get(name), own=None if name in asked else own)
            found[chosen.name] = chosen
    return found


def usual_baselines(registry: Registry, names: Sequence[str] | None, *, asked: Sequence[str] = (), own: str = TWM) -> list[str]:
    """Names of the baselines of an evaluation: those that the user named, constant velocity, and the others.

    Args:
        registry: Installed components.
        names: The others; every installed one by default.
        asked: Those that the user named.
        own: The distribution that declares the others.
    """
    every = [shown_name(registry, r, own) for r in registry.components(BASELINE)]
    wanted = list(dict.fromkeys([*asked, REFERENCE, *(every if names is None else names)]))
    if REFERENCE not in every and REFERENCE not in asked:
        wanted.remove(REFERENCE)
    return wanted


def choose_baselines(
    registry: Registry,
    obs_spec: ObservationSpec,
    names: Sequence[str] | None,
    options: Mapping[str, Mapping[str, Any]],
    *,
    asked: Sequence[str] = (),
    own: str = TWM,
    named: Collection[str] = (),
    without: Collection[str] = (),
) -> tuple[dict[str, Chosen], LeftOut, LeftOut]:
    """Baselines by name, constant velocity always among them where it fits; those that do not fit, and those that fail.

    Args:
        registry: Installed components.
        obs_spec: Spec of the windows.
        names: Which; all that fit by default.
        options: Fields by name.
        asked: Those that the user named: that one of them does not fit is an error.
        own: The distribution that declares the others (see `Registry.find`).
        named: Those of the others of which the user set an option: a failure of one of them is an error.
        without: Those that the user leaves out.

    Raises:
        AssemblyError: One of `asked` does not fit.
        TwmError: One of `asked` or `named` fails. One that the user did not name is left out.
    """
    found: dict[str, Chosen] = {}
    unfit, failed = LeftOut(), LeftOut()
    for name in usual_baselines(registry, names, asked=asked, own=own):
        if name in without:
            continue
        with failed.unless_named(BASELINE, name, _whose(registry, BASELINE, name, own), named=name in asked or name in named):
            chosen = choose(registry, BASELINE, name, options.get(name), own=None if name in asked else own)
            refused = baseline_config(chosen).accepts(obs_spec)
            if refused is None:
                found[chosen.name] = chosen
            elif name in asked:
                raise does_not_fit(chosen, refused)
            else:
                unfit.add(BASELINE, name, chosen.whose, f"it {refused.message}")
    return found, unfit, failed


def _whose(registry: Registry, kind: str, name: str, own: str) -> str:
    """What messages call a component that may not be there."""
    try:
        return registry.find(kind, name, own=own).whose
    except TwmError:
        return f"{kind} {name}"


def fitted(chosen: Chosen, dataset: Dataset, reporter: Reporter | None = None) -> Forecaster:
    """A baseline, built and fitted on the training windows if it has anything to learn."""
    forecaster: Forecaster = chosen.build(BaselineSpecs(obs_spec=dataset.obs_spec))
    if type(forecaster).fit is not Forecaster.fit:
        forecaster.fit(dataset.windows("train"))
        if reporter is not None:
            reporter.note(f"{chosen.whose} was fitted to the training windows")
    return forecaster


def candidate(
    name: str,
    whose: str,
    forecaster: Forecaster,
    chosen: Mapping[str, Chosen],
    obs_spec: ObservationSpec,
    samples: int,
    *,
    model: bool = False,
    left_out: LeftOut | None = None,
    named: Collection[str] = (),
) -> Candidate:
    """A forecaster with the metrics that fit it.

    Args:
        name: Its name in the result.
        whose: What messages call it.
        forecaster: The forecaster, fitted.
        chosen: The metrics of the evaluation.
        obs_spec: Spec of the windows.
        samples: Futures that are asked for.
        model: Whether it is a world model.
        left_out: Gets metrics that fail; None to fail with the first.
        named: Metrics that the user named: a failure of one of them is an error.
    """
    rows = LeftOut() if left_out is None else left_out
    metrics: dict[str, Metric] = {}
    for metric, choice in chosen.items():
        with rows.unless_named(METRIC, metric, choice.whose, named=left_out is None or metric in named):
            if metric_config(choice).accepts(obs_spec, forecaster.gives) is None:
                metrics[metric] = choice.build(MetricSpecs(obs_spec=obs_spec, forecast=forecaster.gives, samples=samples))
    return Candidate(name, "model" if model else "baseline", whose, forecaster, metrics)


def refuse_useless(asked: Sequence[str], chosen: Mapping[str, Chosen], obs_spec: ObservationSpec, gives: Sequence[ForecastSpec]) -> None:
    """That a metric which the user named fits no forecaster is an error.

    Raises:
        AssemblyError: There is such a metric.
    """
    for name in asked:
        metric = chosen.get(name) or next(c for c in chosen.values() if _names(name, c))
        refused = [metric_config(metric).accepts(obs_spec, spec) for spec in gives]
        reasons = [r for r in refused if r is not None]
        if reasons and len(reasons) == len(refused):
            raise does_not_fit(metric, reasons[0])


def _names(name: str, chosen: Chosen) -> bool:
    distribution, colon, bare = name.rpartition(":")
    return bare == chosen.registered.component.name and (not colon or canonical(distribution) == chosen.registered.plugin.distribution)


def does_not_fit(chosen: Chosen, refused: Mismatch) -> AssemblyError:
    """The error that says why a component does not fit the data."""
    return AssemblyError(f"{chosen.whose} does not fit: it needs {refused.needs}; got {refused.got}", refused.remedy or "leave it out")
