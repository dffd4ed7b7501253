"""Promises of baselines, and of everybody else's forecasters: forecasts as declared, of those who are there, from what was observed.

Where futures are drawn, two runs whose tensors have other shapes or another order draw other futures. They are then compared on average:
the means of many futures may be six standard errors apart, and a little for rounding.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from twm_core.errors import TwmError
from twm_core.testing.batches import AGENTS, BATCH, EXISTS, Fed, synthetic
from twm_core.testing.checks.check import Check
from twm_core.testing.failure import NotApplicable, broken
from twm_core.testing.readings import Reading, Readings, distance, finite, largest, same, take
from twm_core.testing.subjects.baseline import FURTHER, SAMPLES, BaselineSubject
from twm_core.testing.tolerance import rounding
from twm_core.testing.turning import moved, moved_batch, turn_apart
from twm_core.testing.windows import SyntheticWindows

MANY = 256
FILLS = {"not a number": float("nan"), "infinity": float("inf"), "a million": 1e6}


def forecasts_are_as_declared(subject: BaselineSubject) -> None:
    """Forecasts hold what `gives` declares, for as many steps as are asked for: states `[B,S,H,A,F]` as float32 with x and y first.

    There are as many futures as are asked for, or one where they do not differ (`several` is False).
    """
    declared = subject.specs.gives
    if subject.instance.gives != declared:
        broken(f"`gives` is {subject.instance.gives}, the config declares {declared}", "return one spec from both")
    if declared.states[:2] != ("x", "y"):
        broken(f"the states are {declared.states}", "x and y come first")
    for steps, samples in ((subject.obs_spec.horizon, SAMPLES), (FURTHER, SAMPLES), (FURTHER, 1)):
        found = subject.forecast(subject.instance, subject.fed, steps=steps, samples=samples)
        futures = samples if declared.several else 1
        lead = {
            "states": (found.states, [BATCH, futures, steps, AGENTS, len(declared.states)]),
            "weights": (found.weights, [BATCH, futures, AGENTS]),
            "expected": (found.expected, [BATCH, steps, AGENTS, 2]),
            "exists": (found.exists, [BATCH, futures, steps, AGENTS]),
        }
        for name, (value, shape) in lead.items():
            if value is not None and list(value.shape) != shape:
                broken(f"{name} has shape {list(value.shape)} instead of {shape}", f"{samples} futures of {steps} steps were asked for")
        if found.states.dtype != torch.float32:
            broken(f"states are {found.states.dtype}", "give float32")
        for name, has, says in (
            ("exists", found.exists is not None, declared.exists),
            ("log_density", found.log_density is not None, declared.density),
        ):
            if has != says:
                broken(f"{name} is {'given' if has else 'missing'}, but `gives` declares {says}", "declare what is given")
        if found.log_density is not None and list(found.log_density(found.mean()).shape) != [BATCH, steps, AGENTS]:
            broken(f"log_density gives {list(found.log_density(found.mean()).shape)}", "give a number for each window, step and agent")


def forecasts_are_finite(subject: BaselineSubject) -> None:
    """For whoever is there at the last observed step everything is a finite number: one who has just come, one alone, or a full scene."""
    for pattern in ("ragged", "none", "one", "all"):
        readings = subject.read(subject.instance, subject.feed(pattern=pattern))
        finite(readings, f"agents: {pattern}", "an agent seen once has no earlier step")


def probabilities_are_probabilities(subject: BaselineSubject) -> None:
    """Weights are not negative and add to 1 over the futures; existence lies between 0 and 1."""
    for name, reading in subject.usual.items():
        value = reading.counted()
        if name == "weights":
            there = subject.fed.values[EXISTS][:, -1]
            total = torch.where(there, value.sum(dim=1), torch.ones(()))
            if bool((value < 0).any()) or distance(total, torch.ones_like(total)) > rounding(total.dtype, subject.summands):
                broken(f"weights add up to {float(total.min()):.4g} .. {float(total.max()):.4g}", "normalize over the axis S")
        if name == "exists" and not bool(((value >= 0) & (value <= 1)).all()):
            broken("existence is no probability", "apply a sigmoid")


def draws_nothing_unasked(subject: BaselineSubject) -> None:
    """Neither fitting nor forecasting draws from torch's global generator: futures come from the generator that is passed in."""
    before = torch.get_rng_state()
    built = subject.build()
    built.fit(SyntheticWindows(subject.obs_spec))
    subject.read(built, subject.fed)
    after = torch.get_rng_state()
    torch.set_rng_state(before)
    if not torch.equal(before, after):
        broken("torch's global generator was used", "pass `generator` on to every torch.rand, randn or multinomial")


def input_stays_as_it_is(subject: BaselineSubject) -> None:
    """The tensors that are passed in are not changed."""
    fed = subject.fed.spoiled(5.0)
    before = {k: v.clone() for k, v in fed.values.items()}
    subject.forecast(subject.instance, fed)
    for key, value in fed.values.items():
        if not torch.equal(value, before[key]):
            broken(f"{key} was changed in place", "use torch.where or a copy instead of assigning into the input")


def same_seed_same_forecast(subject: BaselineSubject) -> None:
    """The same generator gives the same futures, from the same instance and from another one fitted on the same windows."""
    same(
        subject.read(subject.instance, subject.fed), subject.usual, "asked twice", "keep no state between calls", summands=subject.summands
    )
    same(subject.read(subject.fitted(), subject.fed), subject.usual, "fitted twice", "fitting draws nothing", summands=subject.summands)


def several_futures_differ(subject: BaselineSubject) -> None:
    """Where `several` is declared, no two futures are the same."""
    if not subject.specs.gives.several:
        raise NotApplicable("it has one future")
    futures = subject.usual["states"].counted()
    for i in range(1, SAMPLES):
        if torch.equal(futures[:, i], futures[:, 0]):
            broken(f"future {i} is future 0", "draw each future by itself, or declare several = False")


def targets_are_not_read(subject: BaselineSubject) -> None:
    """Keys with the role `target`, were they there, change nothing."""
    whole = synthetic(subject.obs_spec, seed=3).take("T", torch.arange(subject.obs_spec.context))
    targets = {k.key: whole.values[k.key] for k in subject.obs_spec.keys if k.role == "target"}
    fed = Fed({**subject.fed.values, **targets}, whole.axes, whole.classes)
    same(
        subject.read(subject.instance, fed),
        subject.usual,
        f"with {', '.join(targets)}",
        "read keys with role `input` only",
        summands=subject.summands,
    )


def absent_agents_change_nothing(subject: BaselineSubject) -> None:
    """What stands in the batch where an agent does not exist, NaN and infinity included, changes no forecast of those who are there."""
    for what, fill in FILLS.items():
        readings = subject.read(subject.instance, subject.fed.spoiled(fill))
        same(
            readings,
            subject.usual,
            f"with {what} where agents do not exist",
            "replace what is masked with torch.where before using it",
            summands=subject.summands,
        )


def empty_slots_change_nothing(subject: BaselineSubject) -> None:
    """More empty slots, as a batch with a fuller scene has them, change no forecast."""
    padded = take(_compared(subject, subject.fed.padded(3, 50.0)), "A", range(AGENTS))
    _agree(padded, _compared(subject, subject.fed), "with 3 more empty slots", "count agents, not slots", summands=subject.summands)


def agents_have_no_order(subject: BaselineSubject) -> None:
    """Permuting the agents permutes their forecasts."""
    order = torch.tensor([3, 6, 0, 5, 1, 4, 2])
    permuted = take(_compared(subject, subject.fed.take("A", order)), "A", torch.argsort(order))
    hint = "use no position of a slot"
    _agree(permuted, _compared(subject, subject.fed), "with agents in another order", hint, summands=subject.summands)


def batch_rows_are_independent(subject: BaselineSubject) -> None:
    """A window has the same forecast alone as in company."""
    together = _compared(subject, subject.fed)
    for row in range(BATCH):
        index = torch.tensor([row])
        alone = _compared(subject, subject.fed.take("B", index))
        _agree(alone, take(together, "B", index), f"window {row} alone", "compute nothing over the batch", summands=subject.summands)


def unfitted_it_works_or_says_so(subject: BaselineSubject) -> None:
    """Before `fit`, or after it saw nobody, it forecasts (where there is little to learn) or raises an error that says what to do."""
    for what, windows in (("before fit", None), ("fitted on empty windows", SyntheticWindows(subject.obs_spec, pattern="none"))):
        built = subject.build()
        try:
            if windows is not None:
                built.fit(windows)
            readings = subject.read(built, subject.fed)
        except TwmError as error:
            if not error.hint:
                broken(f"{what} it says only: {error.message}", "say in the hint what to do")
            continue
        finite(readings, what, "without anything learned use a default, or raise UsageError")


def the_world_has_no_north(subject: BaselineSubject) -> None:
    """Turning and shifting the world turns and shifts the forecasts.

    A forecaster that knows the place it was trained at says so by a config field `frame` with the value `world`, and is left alone.
    """
    if getattr(subject.config, "frame", "") == "world":
        raise NotApplicable("it forecasts in the world's frame")
    hint = "forecast displacements in the frame of each agent"
    known = {f.name: f for f in subject.obs_spec.get("agents.state").features}
    usual, turned = (_compared(subject, fed) for fed in (subject.fed, moved_batch(subject.fed, subject.obs_spec)))
    if subject.specs.gives.several:
        mean = usual["mean"]
        moved_mean = replace(mean, value=moved(mean.value, (known["x"], known["y"])))
        _agree(turned, {"mean": moved_mean, "error": usual["error"]}, "in a turned and shifted world", hint, summands=subject.summands)
        return
    columns = [i for i, name in enumerate(subject.specs.gives.states) if name in known]
    features = [known[subject.specs.gives.states[i]] for i in columns]
    wanted = moved(usual["states"].value[..., columns], features)
    difference = turn_apart(turned["states"].value[..., columns], wanted, features)
    worst = largest(difference, usual["states"].mask)
    if not worst <= rounding(difference.dtype, subject.summands) * (1 + largest(wanted, usual["states"].mask)):
        broken(f"in a turned and shifted world it is off by {worst:.3g}", hint)


def _compared(subject: BaselineSubject, fed: Fed) -> Readings:
    """What can be compared between runs of other shapes: everything, or of drawn futures their mean position and its standard error."""
    if not subject.specs.gives.several:
        return subject.read(subject.instance, fed)
    found = subject.forecast(subject.instance, fed, samples=MANY)
    position = found.states[..., :2].double()
    weights = (
        torch.full(found.states.shape[:2], 1 / MANY)[..., None].expand(-1, -1, position.shape[3])
        if found.weights is None
        else found.weights
    )
    weights = weights.double()[:, :, None, :, None]  # B S 1 A 1
    mean = (weights * position).sum(dim=1)
    # The larger of both axes, which does not depend on the frame.
    variance = (weights * (position - mean[:, None]).square()).sum(dim=1).amax(dim=-1, keepdim=True).expand_as(mean)
    error = (variance * weights.square().sum(dim=1)).sqrt()
    there = fed.values[EXISTS][:, -1, :][:, None]
    return {"mean": Reading(mean, "BHA", there), "error": Reading(error, "BHA", there)}


def _agree(got: Readings, wanted: Readings, what: str, hint: str, *, summands: int) -> None:
    if "error" not in wanted:
        same(got, wanted, what, hint, summands=summands)
        return
    rounded = rounding(torch.float32, summands)  # of float32 positions, whose means are float64
    mean, other = got["mean"].counted(), wanted["mean"].counted()
    allowed = 6 * (got["error"].counted().square() + wanted["error"].counted().square()).sqrt() + rounded * (1 + other.abs())
    over = ((mean - other).abs() - allowed).nan_to_num(nan=torch.inf)
    if bool((over > 0).any()):
        broken(f"{what}: mean positions differ by {float((mean - other).abs().nan_to_num(nan=torch.inf).max()):.3g} m", hint)


BASELINE = (
    Check(forecasts_are_as_declared, needs=("builds_its_kind",)),
    Check(forecasts_are_finite, needs=("forecasts_are_as_declared",)),
    Check(probabilities_are_probabilities, needs=("forecasts_are_finite",)),
    Check(input_stays_as_it_is, needs=("builds_its_kind",)),
    Check(draws_nothing_unasked, needs=("builds_its_kind",)),
    Check(same_seed_same_forecast, needs=("forecasts_are_finite", "draws_nothing_unasked", "input_stays_as_it_is")),
    Check(several_futures_differ, needs=("same_seed_same_forecast",)),
    Check(targets_are_not_read, needs=("same_seed_same_forecast",)),
    Check(absent_agents_change_nothing, needs=("same_seed_same_forecast",)),
    Check(empty_slots_change_nothing, needs=("absent_agents_change_nothing", "several_futures_differ")),
    Check(agents_have_no_order, needs=("absent_agents_change_nothing", "several_futures_differ")),
    Check(batch_rows_are_independent, needs=("same_seed_same_forecast", "several_futures_differ")),
    Check(the_world_has_no_north, needs=("same_seed_same_forecast", "several_futures_differ")),
    Check(unfitted_it_works_or_says_so, needs=("forecasts_are_finite",)),
)
