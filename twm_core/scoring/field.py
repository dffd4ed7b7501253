"""Who is scored and by what: baselines and metrics are chosen, checked against the data, built and fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twm_core.data.dataset import Dataset
from twm_core.errors import AssemblyError, Mismatch, PluginError
from twm_core.registry import Registry
from twm_core.reporting import Reporter
from twm_core.scoring.components import Chosen, baseline_config, choose, metric_config
from twm_core.scoring.engine import Entrant
from twm_core.scoring.evaluation import REFERENCE
from twm_core.scoring.interfaces import Forecaster
from twm_core.specs import BaselineGiven, ForecastSpec, MetricGiven, ObservationSpec

METRICS = ("displacement", "joint-displacement", "existence")
"""Metrics that are always printed where no protocol names others."""
MORE_METRICS = ("miss-rate", "heading", "collision", "nll", "energy-score")
"""Metrics that are printed beside them where they are installed."""


def default_metrics(registry: Registry) -> list[str]:
    """Metrics of an evaluation without a protocol."""
    installed = {r.component.name for r in registry.components("metric")}
    return [*METRICS, *(n for n in MORE_METRICS if n in installed)]


def choose_metrics(
    registry: Registry, names: Sequence[str], options: Mapping[str, Mapping[str, Any]], *, asked: Sequence[str] = ()
) -> dict[str, Chosen]:
    """Metrics by name, each with its options; a bare name that nobody `asked` for is twm's."""
    chosen = (choose(registry, "metric", n, options.get(n), own=None if n in asked else "twm") for n in dict.fromkeys(names))
    return {c.name: c for c in chosen}


def choose_baselines(
    registry: Registry,
    seen: ObservationSpec,
    names: Sequence[str] | None,
    options: Mapping[str, Mapping[str, Any]],
    *,
    asked: Sequence[str] = (),
) -> tuple[dict[str, Chosen], list[str], list[str]]:
    """Baselines by name, constant velocity always among them where it fits; remarks on those that do not fit, and on defective ones.

    Args:
        registry: Installed components.
        seen: Spec of the windows.
        names: Which; all that fit by default.
        options: Fields by name.
        asked: Those that a person asked for: that one of them does not fit is an error.

    Raises:
        AssemblyError: One of `asked` does not fit.
        PluginError: One of `asked` is defective. One that nobody asked for is left out, so that it harms nobody else's numbers.
    """
    every = [
        r.qualified if registry.shared("baseline", r.component.name) and r.plugin.distribution != "twm" else r.component.name
        for r in registry.components("baseline")
    ]
    wanted = list(dict.fromkeys([*asked, REFERENCE, *(every if names is None else names)]))
    if REFERENCE not in every and REFERENCE not in asked:
        wanted.remove(REFERENCE)
    found: dict[str, Chosen] = {}
    left_out: list[str] = []
    defective: list[str] = []
    for name in wanted:
        try:
            chosen = choose(registry, "baseline", name, options.get(name), own=None if name in asked else "twm")
        except PluginError as error:
            if name in asked:
                raise
            defective.append(f"left out: {error.message}")
            continue
        refused = baseline_config(chosen).accepts(seen)
        if refused is None:
            found[chosen.name] = chosen
        elif name in asked:
            raise does_not_fit(chosen, refused)
        else:
            left_out.append(f"{chosen.whose} is left out: it {refused.message}")
    return found, left_out, defective


def fitted(chosen: Chosen, dataset: Dataset, reporter: Reporter | None = None) -> Forecaster:
    """A baseline, built and fitted on the training windows if it has anything to learn."""
    forecaster: Forecaster = chosen.build(BaselineGiven(seen=dataset.seen))
    if type(forecaster).fit is not Forecaster.fit:
        forecaster.fit(dataset.windows("train"))
        if reporter is not None:
            reporter.note(f"{chosen.whose} was fitted to the training windows")
    return forecaster


def entrant(
    name: str, whose: str, forecaster: Forecaster, chosen: Mapping[str, Chosen], seen: ObservationSpec, samples: int, *, model: bool = False
) -> Entrant:
    """A forecaster with the metrics that fit it."""
    fits = {m: c for m, c in chosen.items() if metric_config(c).accepts(seen, forecaster.gives) is None}
    metrics = {m: c.build(MetricGiven(seen=seen, forecast=forecaster.gives, samples=samples)) for m, c in fits.items()}
    return Entrant(name, "model" if model else "baseline", whose, forecaster, metrics)


def refuse_useless(asked: Sequence[str], chosen: Mapping[str, Chosen], seen: ObservationSpec, gives: Sequence[ForecastSpec]) -> None:
    """That a metric which a person asked for fits no forecaster is an error.

    Raises:
        AssemblyError: There is such a metric.
    """
    for name in asked:
        metric = chosen[name.rpartition(":")[2]]
        refused = [metric_config(metric).accepts(seen, spec) for spec in gives]
        reasons = [r for r in refused if r is not None]
        if reasons and len(reasons) == len(refused):
            raise does_not_fit(metric, reasons[0])


def does_not_fit(chosen: Chosen, refused: Mismatch) -> AssemblyError:
    """The error that says why a component does not fit the data."""
    return AssemblyError(f"{chosen.whose} does not fit: it needs {refused.needs}; got {refused.got}", refused.remedy or "leave it out")
