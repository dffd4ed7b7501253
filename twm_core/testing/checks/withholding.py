"""Promises of dynamics about observations that are withheld from the state: scheduled sampling and missing frames rest on them.

Where `withheld` is true the posterior is the prior, as for an agent that is not there, and a state is never begun by it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from twm_core.nn.interfaces import Trace
from twm_core.nn.state import State, map_state
from twm_core.testing.batches import AGENTS, BATCH, STEPS, Fed
from twm_core.testing.checks.check import Check
from twm_core.testing.checks.dynamics import TOKENS, beliefs
from twm_core.testing.readings import Reading, Readings, same
from twm_core.testing.subjects import DynamicsSubject


def _masks(subject: DynamicsSubject) -> list[Tensor]:
    """What is withheld: everybody's steps `[B,T]`, among them the first one, and single agents' `[B,T,A]` where each has a latent."""
    steps = torch.zeros(BATCH, STEPS, dtype=torch.bool)
    steps[0, :2] = True
    steps[1, 2] = True
    steps[2, 1] = True
    steps[2, 3:] = True
    if subject.specs.latent.layout != "agents":
        return [steps]
    agents = torch.rand((BATCH, STEPS, AGENTS), generator=torch.Generator().manual_seed(17)) < 0.5
    return [steps, agents]


def _run(subject: DynamicsSubject, fed: Fed, withheld: Tensor) -> Trace:
    with torch.no_grad():
        return subject.observe(subject.instance, fed, withheld=withheld)


def _read(subject: DynamicsSubject, state: State, where: Tensor) -> Readings:
    """What a state determines before sampling, counted where the mask is true."""
    with torch.no_grad():
        found = subject.belief(subject.instance, state, "any", "BT", None, quiet=True)
    return {k: Reading(r.value, r.axes, where) for k, r in found.items()}


def nothing_withheld_is_no_mask(subject: DynamicsSubject) -> None:
    """A mask that withholds nothing gives what no mask gives."""
    usual = beliefs(subject, subject.fed)
    for mask in _masks(subject):
        trace = _run(subject, subject.fed, torch.zeros_like(mask))
        for state, wanted, name in zip(trace, usual, ("posterior", "prior"), strict=True):
            got = subject.belief(subject.instance, state, name, "BT", subject.fed.exists)
            same(
                got,
                wanted,
                f"with an empty mask of shape {list(mask.shape)}",
                "treat None as a mask that is false throughout",
                summands=subject.summands,
            )


def withheld_tokens_are_not_seen(subject: DynamicsSubject) -> None:
    """What the tokens of a withheld step are, NaN included, changes neither posterior nor prior of any step."""
    for mask in _masks(subject):
        usual = _run(subject, subject.fed, mask)
        for fill in (9.0, float("nan")):
            values = dict(subject.fed.values)
            for key in TOKENS:
                if key in values and (mask.dim() == 2 or key == "embedding.agents"):
                    hidden = mask.reshape(*mask.shape, *(1,) * (values[key].dim() - mask.dim()))
                    values[key] = torch.where(hidden, fill, values[key])
            spoiled = _run(subject, Fed(values, subject.fed.axes), mask)
            for got, wanted, name in zip(spoiled, usual, ("posterior", "prior"), strict=True):
                same(
                    subject.belief(subject.instance, got, name, "BT", None),
                    subject.belief(subject.instance, wanted, name, "BT", None),
                    f"with {fill} for tokens withheld by a mask of shape {list(mask.shape)}",
                    "replace withheld tokens with torch.where, and correct only where presence().corrected",
                    summands=subject.summands,
                )


def withheld_steps_keep_their_prior(subject: DynamicsSubject) -> None:
    """At a withheld step the posterior is the prior; while everything was withheld so far, it is the initial state."""
    per_agent = subject.specs.latent.layout == "agents"
    lead = (BATCH, AGENTS) if per_agent else (BATCH,)
    initial = map_state(lambda x: x[:, None].expand(x.shape[0], STEPS, *x.shape[1:]), subject.instance.initial(lead))
    for mask in _masks(subject):
        hidden = mask if mask.dim() == 1 + len(lead) else mask.unsqueeze(-1).expand(BATCH, STEPS, AGENTS)
        corrected = ~hidden if subject.fed.exists is None or not per_agent else ~hidden & subject.fed.exists
        begun = corrected.long().cumsum(dim=1) > 0
        trace = _run(subject, subject.fed, mask)
        for wanted, where, what in ((trace.prior, hidden & begun, "their prior"), (initial, ~begun, "the initial state")):
            got, known = (_read(subject, state, where) for state in (trace.posterior, wanted))
            same(
                got,
                known,
                f"posteriors of withheld steps against {what}",
                "presence() gives `corrected` and `has_started`",
                summands=subject.summands,
            )


WITHHOLDING = (
    Check(nothing_withheld_is_no_mask, needs=("same_seed_same_result",)),
    Check(withheld_tokens_are_not_seen, needs=("same_seed_same_result",)),
    Check(
        withheld_steps_keep_their_prior,
        needs=("withheld_tokens_are_not_seen", "absent_agents_keep_their_prior", "unseen_agents_stay_initial", "posterior_is_causal"),
    ),
)
