"""Promises of metrics: sums of units that add up, of those who are there, and scores as they are declared."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from twm_core.evaluation.interfaces import Floats
from twm_core.testing.batches import BATCH, Fed
from twm_core.testing.checks.check import Check
from twm_core.testing.failure import NotApplicable, broken
from twm_core.testing.readings import largest
from twm_core.testing.subjects.metric import MetricFed, MetricSubject
from twm_core.testing.tolerance import rounding

FILLS = {"not a number": float("nan"), "a million": 1e6}
_FORECAST = ("forecast", "weights", "expected", "forecast_exists", "centre")


def scores_are_as_declared(subject: MetricSubject) -> None:
    """`finish` gives the scores that `scores` names, in the same order; a score at a time names one within the predicted steps."""
    declared = subject.specs.scores
    names = [s.name for s in declared]
    if not names or len(set(names)) < len(names):
        broken(f"scores are called {names}", "give each score a name of its own")
    found = list(subject.instance.finish(subject.usual.sum(axis=0)))
    if found != names:
        broken(f"finish gives {found}, scores() names {names}", "make both from one list")
    end = subject.obs_spec.horizon * subject.obs_spec.dt
    for score in declared:
        if score.at is not None and not 0 < score.at <= end * (1 + rounding(torch.float64, subject.obs_spec.horizon)):
            broken(f"{score.name} is at {score.at:g} s, but {end:g} s are predicted", "name times of predicted steps only")


def sums_are_finite_and_counted(subject: MetricSubject) -> None:
    """`sums` is `[U,K]` of finite float64 numbers: a row for each scored agent, or for each window, as the config's `over` says."""
    columns = subject.usual.shape[-1]
    for pattern in ("ragged", "none", "one", "all"):
        fed = subject.feed(pattern=pattern)
        found = subject.sums(subject.instance, fed)
        units = int(fed.tensors.values["scored"].sum()) if subject.over == "agents" else BATCH
        if not isinstance(found, np.ndarray) or found.dtype != np.float64:
            broken(f"agents: {pattern}: sums are {getattr(found, 'dtype', type(found).__name__)}", "return a float64 array")
        if found.shape != (units, columns):
            broken(f"agents: {pattern}: sums have shape {list(found.shape)} instead of {[units, columns]}", "give one row for each unit")
        if not np.isfinite(found).all():
            broken(f"agents: {pattern}: sums are not finite", "a unit without such a number holds zeros")


def same_input_same_sums(subject: MetricSubject) -> None:
    """Asked twice it gives the same sums, changes no input and draws nothing from torch's global generator."""
    before, fed = torch.get_rng_state(), subject.feed()
    one, two = (subject.sums(subject.instance, fed) for _ in range(2))
    after = torch.get_rng_state()
    torch.set_rng_state(before)
    if not torch.equal(before, after):
        broken("torch's global generator was used", "a metric has no randomness")
    if not np.array_equal(one, two):
        broken("asked twice it gives other sums", "keep nothing between batches")
    for key, value in subject.feed().tensors.values.items():
        if not torch.equal(value, fed.tensors.values[key]):
            broken(f"{key} was changed in place", "use torch.where or a copy")


def rows_add_up(subject: MetricSubject) -> None:
    """The sums of a batch are those of its windows, one after another, so that no number depends on the size of a batch."""
    rows = [subject.sums(subject.instance, subject.fed.take("B", torch.tensor([b]))) for b in range(BATCH)]
    _close(subject, np.concatenate(rows), subject.usual, "window by window", "compute nothing over the batch")


def agents_have_no_order(subject: MetricSubject) -> None:
    """Agents in another order give the same totals."""
    permuted = subject.sums(subject.instance, subject.fed.take("A", torch.tensor([3, 6, 0, 5, 1, 4, 2])))
    _close(subject, permuted.sum(axis=0), subject.usual.sum(axis=0), "with agents in another order", "weigh no slot differently")


def absent_agents_change_nothing(subject: MetricSubject) -> None:
    """Neither the truth where an agent is not there, NaN included, nor what is forecast for empty slots changes a sum."""
    for what, fill in FILLS.items():
        spoiled = subject.sums(subject.instance, _spoiled(subject.fed, fill))
        _close(subject, spoiled, subject.usual, f"with {what} where agents are not there", "replace what is masked with torch.where first")


def empty_slots_change_nothing(subject: MetricSubject) -> None:
    """More empty slots, as a batch with a fuller scene has them, change no sum."""
    padded = replace(subject.fed, tensors=subject.fed.tensors.padded(3, 50.0))
    _close(subject, subject.sums(subject.instance, padded), subject.usual, "with 3 more empty slots", "count agents, not slots")


def equal_weights_are_no_weights(subject: MetricSubject) -> None:
    """Futures without weights are equally probable: giving each the same weight changes nothing."""
    futures = subject.fed.tensors.values["forecast"].shape[1]
    bare = subject.fed.without("weights", "expected")
    scored = bare.tensors.values["scored"]
    equal = torch.full((scored.shape[0], futures, scored.shape[1]), 1 / futures)
    weighed = replace(bare, tensors=Fed({**bare.tensors.values, "weights": equal}, {**bare.tensors.axes, "weights": "BSA"}))
    without, with_weights = (subject.sums(subject.instance, fed) for fed in (bare, weighed))
    _close(subject, with_weights, without, "with equal weights", "read `weights` None as 1 / S")


def truth_is_best(subject: MetricSubject) -> None:
    """Of a perfect forecast every score in metres that is better when lower is 0."""
    names = [s.name for s in subject.specs.scores if s.better == "lower" and s.unit == "m"]
    if not names:
        raise NotApplicable("no score is a distance that should be small")
    perfect = subject.feed(deviation=0.0)
    found = subject.instance.finish(subject.sums(subject.instance, perfect).sum(axis=0))
    allowed = rounding(torch.float32, subject.summands) * (1 + largest(perfect.tensors.values["forecast"]))
    for name in names:
        if not abs(float(found[name])) <= allowed:
            broken(f"{name} of a perfect forecast is {float(found[name]):.4g} m", "compare the same steps of forecast and truth")


def finish_takes_resamples(subject: MetricSubject) -> None:
    """`finish` takes totals with any leading axes, leaves them as they are, and gives NaN, without a warning, where nothing was counted."""
    total = subject.usual.sum(axis=0)
    stack = np.stack([total, 2 * total, np.zeros_like(total), 3 * total]).reshape(2, 2, -1)
    before = stack.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        together = subject.instance.finish(stack)
        alone = [subject.instance.finish(row) for row in before.reshape(4, -1)]
    if not np.array_equal(stack, before):
        broken("the totals were changed", "work on a copy")
    for name, values in together.items():
        if np.shape(values) != (2, 2):
            broken(f"{name} of totals with leading axes (2, 2) has shape {np.shape(values)}", "compute over the last axis only")
        each = np.asarray([float(a[name]) for a in alone])
        _close(subject, np.asarray(values).reshape(-1), each, f"{name} of several totals at once", "compute over the last axis only")
        if not np.isnan(each[2]):
            broken(f"{name} of nothing is {each[2]}", "give NaN where nothing was counted")


def _close(subject: MetricSubject, got: Floats, wanted: Floats, what: str, hint: str) -> None:
    if got.shape != wanted.shape:
        broken(f"{what}: shape {list(got.shape)} instead of {list(wanted.shape)}", hint)
    apart = np.where(np.isnan(got) & np.isnan(wanted), 0.0, np.abs(got - wanted) / (1 + np.abs(wanted)))
    worst = float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0))
    if not worst <= rounding(torch.float32, subject.summands):  # the tensors are float32, the sums float64
        broken(f"{what}: numbers differ by {worst:.3g}", hint)


def _spoiled(fed: MetricFed, fill: float) -> MetricFed:
    v = fed.tensors.values
    ever = v["past_exists"].any(dim=1) | v["here"].any(dim=1)  # B A

    def spoil(value: Tensor, mask: Tensor) -> Tensor:
        return torch.where(mask.reshape(*mask.shape, *(1,) * (value.dim() - mask.dim())), value, torch.full_like(value, fill))

    made = (*_FORECAST, "past", "future", "past_exists", "here", "scored", "vehicle")
    values = {**v, **fed.tensors.without(made).spoiled(fill).values}
    for key, mask in (("past", v["past_exists"]), ("future", v["here"])):
        values[key] = spoil(v[key], mask)
    for key in _FORECAST:
        if key in v:
            lead = ever.reshape(ever.shape[0], *(1,) * (fed.tensors.axes[key].index("A") - 1), ever.shape[1])
            values[key] = spoil(v[key], lead)
    for key in ("agents.scored", "agents.track"):
        values[key] = v[key]
    return replace(fed, tensors=replace(fed.tensors, values=values))


METRIC = (
    Check(sums_are_finite_and_counted, needs=("builds_its_kind",)),
    Check(scores_are_as_declared, needs=("sums_are_finite_and_counted",)),
    Check(same_input_same_sums, needs=("sums_are_finite_and_counted",)),
    Check(rows_add_up, needs=("same_input_same_sums",)),
    Check(agents_have_no_order, needs=("same_input_same_sums",)),
    Check(absent_agents_change_nothing, needs=("same_input_same_sums",)),
    Check(empty_slots_change_nothing, needs=("same_input_same_sums", "absent_agents_change_nothing")),
    Check(equal_weights_are_no_weights, needs=("same_input_same_sums",)),
    Check(truth_is_best, needs=("scores_are_as_declared", "same_input_same_sums")),
    Check(finish_takes_resamples, needs=("scores_are_as_declared",)),
)
