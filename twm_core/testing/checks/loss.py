"""Promises of losses: finite scalar terms that train something, count nobody who is not there, and prefer the truth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from twm_core.devices import accelerator
from twm_core.testing.batches import EXISTS, Fed
from twm_core.testing.checks.check import Check
from twm_core.testing.failure import NotApplicable, broken
from twm_core.testing.readings import Reading, distance, finite, same
from twm_core.testing.subjects import LossSubject
from twm_core.testing.subjects.loss import LossFed
from twm_core.testing.tolerance import rounding, rounding_of_products

PADDING = 3
RUBBISH = 50.0


def _terms(subject: LossSubject, fed: LossFed) -> dict[str, Reading]:
    with torch.no_grad():
        return subject.read(subject.instance, fed)


def _agents(subject: LossSubject) -> None:
    if EXISTS not in subject.fed.batch.values:
        raise NotApplicable("no agents are seen")


def terms_are_finite_scalars(subject: LossSubject) -> None:
    """At least one term is returned, and each is a finite scalar, in scenes with and without agents; so are the gradients."""
    for pattern in ("ragged", "none", "one", "all"):
        if pattern != "ragged" and EXISTS not in subject.fed.batch.values:
            continue
        terms, found = subject.learn(subject.instance, subject.feed(pattern=pattern))
        if not terms:
            broken("no term is returned", "return a mapping from name to scalar")
        for name, term in terms.items():
            if term.value.dim():
                broken(f"term {name} has shape {list(term.value.shape)}", "average it to a scalar")
        finite(terms, f"agents: {pattern}", "divide by a count of at least 1")
        for name, gradient in found.items():
            if not bool(torch.isfinite(gradient).all()):
                broken(f"agents: {pattern}: the gradient of {name} is not finite", "mask the input of a root or division, not its result")


def something_is_trained(subject: LossSubject) -> None:
    """The terms have a gradient that is not zero with respect to something that was decoded or believed."""
    _, found = subject.learn(subject.instance, subject.fed)
    if not any(bool((g != 0).any()) for g in found.values()):
        broken("every gradient is zero", "do not detach what is to be trained")


def only_its_branches_are_read(subject: LossSubject) -> None:
    """Without the decoded branches that `branches()` does not name, the terms are the same."""
    with torch.no_grad():
        try:
            terms = subject.read(subject.instance, subject.fed, only=subject.branches)
        except (KeyError, AttributeError, TypeError) as error:
            broken(f"reads a branch that branches() does not name: {type(error).__name__} {error}", "name every branch in branches()")
    same(
        terms,
        _terms(subject, subject.fed),
        f"with the branches {sorted(subject.branches)} only",
        "name every branch in branches()",
        summands=subject.summands,
    )


def batch_order_does_not_matter(subject: LossSubject) -> None:
    """Rows of the batch in another order give the same terms."""
    turned = subject.fed.take("B", torch.tensor([2, 0, 1]))
    same(
        _terms(subject, turned), _terms(subject, subject.fed), "with rows in another order", "average over rows", summands=subject.summands
    )


def agents_have_no_order(subject: LossSubject) -> None:
    """Agents in another order give the same terms."""
    _agents(subject)
    turned = subject.fed.take("A", torch.tensor([3, 6, 0, 5, 1, 4, 2]))
    same(
        _terms(subject, turned),
        _terms(subject, subject.fed),
        "with agents in another order",
        "weigh no slot differently",
        summands=subject.summands,
    )


def absent_agents_change_nothing(subject: LossSubject) -> None:
    """Neither the truth (NaN included) nor states and latents decoded where an agent does not exist change a term or a gradient.

    What is decoded for `agents.exists` counts for absent agents too and stays as it is here.
    """
    _agents(subject)
    usual, found = subject.learn(subject.instance, subject.fed)
    leaves = _spoil(subject, subject.fed)
    for what, batch in (("not a number", subject.fed.batch.spoiled(float("nan"))), ("a million", subject.fed.batch.spoiled(1e6))):
        terms, other = subject.learn(subject.instance, LossFed(batch, leaves))
        same(
            terms,
            usual,
            f"with {what} where agents do not exist",
            "replace what is masked with torch.where before using it",
            summands=subject.summands,
        )
        for name, gradient in found.items():
            mask = _mask(subject, name, subject.fed)
            worst = distance(other[name], gradient, mask)
            if not worst <= rounding(gradient.dtype, subject.summands):
                broken(
                    f"with {what} where agents do not exist the gradient of {name} differs by {worst:.3g}",
                    "clean the input with torch.where",
                )


def empty_slots_change_nothing(subject: LossSubject) -> None:
    """More padding slots, as a batch with a fuller scene has them, change no term: averages are over agents, not over slots."""
    _agents(subject)
    batch, leaves = (fed.padded(PADDING, RUBBISH) for fed in (subject.fed.batch, subject.fed.leaves))
    same(
        _terms(subject, LossFed(batch, leaves)),
        _terms(subject, subject.fed),
        f"with {PADDING} more empty slots",
        "divide by the sum of the mask",
        summands=subject.summands,
    )


def truth_is_best(subject: LossSubject) -> None:
    """The sum of the terms is not larger for outputs at the truth than for outputs beside it."""
    perfect, beside = (_total(_terms(subject, subject.feed(deviation=d))) for d in (0.0, 0.5))
    if perfect > beside + rounding(torch.float32, subject.summands) * (1 + abs(beside)):
        broken(f"the truth costs {perfect:.4g}, something beside it {beside:.4g}", "look at the sign")


def same_input_same_terms(subject: LossSubject) -> None:
    """Asked twice with the same input it gives the same terms, changes no input and draws nothing from the global generator."""
    before, fed = torch.get_rng_state(), subject.feed()
    one, two = _terms(subject, fed), _terms(subject, fed)
    after = torch.get_rng_state()
    torch.set_rng_state(before)
    if not torch.equal(before, after):
        broken("torch's global generator was used", "a loss has no randomness")
    same(two, one, "asked twice", "keep no state between calls", summands=subject.summands)
    fresh = subject.feed()
    for part, usual in ((fed.batch, fresh.batch), (fed.leaves, fresh.leaves)):
        for key, value in part.values.items():
            if not torch.equal(value, usual.values[key]):
                broken(f"{key} was changed in place", "use torch.where or a copy")


def another_device_agrees(subject: LossSubject) -> None:
    """On a GPU the terms are those of the CPU, but for rounding. Skipped where there is no GPU."""
    device = accelerator()
    if device is None:
        raise NotApplicable("this machine has no GPU")
    module, fed = subject.build().to(device), subject.fed
    with torch.no_grad():
        there = subject.read(module, LossFed(fed.batch.to(str(device)), fed.leaves.to(str(device))))
    found = {k: Reading(r.value.cpu(), r.axes) for k, r in there.items()}
    same(
        found,
        _terms(subject, fed),
        f"on {device}",
        "create tensors on the device of the input",
        within=rounding_of_products(subject.layers),
    )


def _total(terms: dict[str, Reading]) -> float:
    return float(sum(r.value for r in terms.values()))


def _mask(subject: LossSubject, name: str, fed: LossFed) -> Tensor | None:
    """Where a leaf is about an agent that exists (in rollouts: that existed at the start and exists at the step); None for all."""
    axes, exists = fed.leaves.axes[name], fed.batch.values[EXISTS]
    if "A" not in axes or name.endswith(EXISTS):
        return None
    if "S" in axes:
        return (exists[:, subject.start :] & exists[:, subject.start - 1, None])[:, None]
    return exists


def _spoil(subject: LossSubject, fed: LossFed) -> Fed:
    values: dict[str, Any] = {}
    for name, value in fed.leaves.values.items():
        mask = _mask(subject, name, fed)
        if mask is None:
            values[name] = value
        else:
            wide = mask.reshape(*mask.shape, *(1,) * (value.dim() - mask.dim()))
            values[name] = torch.where(wide, value, torch.full_like(value, RUBBISH).cumsum(dim=-1))
    return replace(fed.leaves, values=values)


LOSS = (
    Check(terms_are_finite_scalars, needs=("builds_its_kind",)),
    Check(same_input_same_terms, needs=("terms_are_finite_scalars",)),
    Check(something_is_trained, needs=("terms_are_finite_scalars",)),
    Check(only_its_branches_are_read, needs=("same_input_same_terms",)),
    Check(batch_order_does_not_matter, needs=("same_input_same_terms",)),
    Check(agents_have_no_order, needs=("same_input_same_terms",)),
    Check(absent_agents_change_nothing, needs=("same_input_same_terms",)),
    Check(empty_slots_change_nothing, needs=("same_input_same_terms", "absent_agents_change_nothing")),
    Check(truth_is_best, needs=("same_input_same_terms",)),
    Check(another_device_agrees, needs=("same_input_same_terms",)),
)
