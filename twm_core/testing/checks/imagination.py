"""Promises of dynamics in imagination: it is the same step as observing, it samples, and it obeys actions in time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from twm_core.nn.interfaces import Features
from twm_core.nn.state import State, at_time, map_state
from twm_core.testing.batches import BATCH, STEPS
from twm_core.testing.checks.check import Check
from twm_core.testing.checks.dynamics import beliefs
from twm_core.testing.failure import NotApplicable, broken
from twm_core.testing.readings import Reading, Readings, distance, same, take
from twm_core.testing.subjects import DynamicsSubject
from twm_core.testing.subjects.dynamics import FROM, HORIZON, generator
from twm_core.testing.tolerance import rounding


def _actions(subject: DynamicsSubject) -> Tensor:
    if subject.specs.action is None:
        raise NotApplicable("there are no actions")
    return subject.fed.values["action"]


def _imagine(
    subject: DynamicsSubject, state: State, actions: Any, *, steps: int = HORIZON, samples: int = 1, seed: int = 7, quiet: bool = False
) -> Readings:
    exists = subject.fed.exists
    now = None if exists is None else exists[:, FROM]
    with torch.no_grad():
        imagined = subject.instance.imagine(state, steps, actions, exists=now, samples=samples, generator=generator(seed))
        return subject.belief(subject.instance, imagined, "imagined", "BSH", None if now is None else now[:, None, None], quiet=quiet)


def _long_actions(subject: DynamicsSubject, *, seed: int = 21) -> Tensor | None:
    if subject.specs.action is None:
        return None
    usual = subject.fed.values["action"]
    return torch.randn((BATCH, HORIZON, *usual.shape[2:]), generator=torch.Generator().manual_seed(seed))


def _first(mask: Tensor | None) -> Tensor | None:
    """The mask `[B,1,1,A]` of imagined states for one of their samples."""
    return None if mask is None else mask[:, 0]


def imagining_is_the_prior(subject: DynamicsSubject) -> None:
    """The first imagined step from a posterior has the distribution that `observe` gives as the prior of the next step."""
    fed, trace = subject.fed, subject.trace
    exists, actions = fed.exists, fed.values.get("action")
    with torch.no_grad():
        prior = subject.belief(subject.instance, trace.prior, "first step", "BT", exists, quiet=True)
        for t in range(STEPS - 1):
            now = None if exists is None else exists[:, t]
            imagined = subject.instance.imagine(
                at_time(trace.posterior, t), 1, None if actions is None else actions[:, t : t + 1], exists=now, generator=generator(7)
            )
            both = None if exists is None else (exists[:, t] & exists[:, t + 1])[:, None]
            got = subject.belief(subject.instance, map_state(lambda x: x[:, 0], imagined), "first step", "BT", both, quiet=True)
            wanted = {k: Reading(r.value, r.axes, None if r.mask is None else both) for k, r in take(prior, "T", [t + 1]).items()}
            same(
                got,
                wanted,
                f"imagined from step {t}, against the prior of step {t + 1}",
                "use one function for both",
                summands=subject.summands,
            )


def samples_differ(subject: DynamicsSubject) -> None:
    """Futures of a stochastic latent differ from sample to sample and with the generator's seed, those of a deterministic one do not."""
    start = at_time(subject.trace.posterior, FROM)
    readings = _imagine(subject, start, _long_actions(subject), samples=3)
    others = _imagine(subject, start, _long_actions(subject), samples=3, seed=8)
    features = [k for k in readings if k.endswith("features")]
    across = max(distance(readings[k].value[:, 0], readings[k].value[:, 1], _first(readings[k].mask)) for k in features)
    seeds = max(distance(readings[k].value, others[k].value, readings[k].mask) for k in features)
    allowed = rounding(torch.get_default_dtype(), subject.summands)
    if subject.stochastic and min(across, seeds) <= allowed:
        what = "all samples are equal" if across <= allowed else "another seed gives the same samples"
        broken(what, "draw S samples of every state from the generator")
    if not subject.stochastic and max(across, seeds) > allowed:
        broken(f"samples differ by {max(across, seeds):.3g}, but the spec says family 'none'", "declare the family that it is")


def actions_matter(subject: DynamicsSubject) -> None:
    """Other actions lead to other priors and other futures."""
    actions = _actions(subject)
    _, usual = beliefs(subject, subject.fed)
    _, prior = beliefs(subject, subject.fed.put(action=-2 * actions))
    allowed = rounding(actions.dtype, subject.summands)
    if max(distance(prior[k].value, usual[k].value, usual[k].mask) for k in usual) <= allowed:
        broken("priors are the same whatever the actions", "feed actions[:, t] to the step that leads to t + 1")
    start, longer = at_time(subject.trace.posterior, FROM), _long_actions(subject)
    assert longer is not None
    one, other = _imagine(subject, start, longer), _imagine(subject, start, -2 * longer)
    if max(distance(one[k].value, other[k].value, one[k].mask) for k in one) <= allowed:
        broken("imagined futures are the same whatever the actions", "feed actions[:, h] to imagined step h")


def imagined_past_is_closed(subject: DynamicsSubject) -> None:
    """An imagined step does not depend on the actions after it."""
    _actions(subject)
    longer = _long_actions(subject)
    assert longer is not None
    changed = torch.cat([longer[:, :2], -longer[:, 2:]], dim=1)
    start = at_time(subject.trace.posterior, FROM)
    upto = range(2)
    one, other = _imagine(subject, start, longer), _imagine(subject, start, changed)
    same(
        take(other, "H", upto),
        take(one, "H", upto),
        "the first two imagined steps with other actions later",
        "actions[:, h] lead to imagined step h",
        summands=subject.summands,
    )


def policies_are_actions(subject: DynamicsSubject) -> None:
    """A policy that always chooses the same gives the future of those actions, and sees the features of `B * S` states."""
    actions = _actions(subject)[:, 0]
    repeated = actions[:, None].expand(-1, HORIZON, *actions.shape[1:])
    asked: list[Features] = []

    def policy(features: Features) -> Tensor:
        asked.append(features)
        return actions.repeat_interleave(2, dim=0)

    start = at_time(subject.trace.posterior, FROM)
    same(
        _imagine(subject, start, policy, samples=2),
        _imagine(subject, start, repeated, samples=2),
        "a constant policy against constant actions",
        summands=subject.summands,
    )
    seen = asked[0].scene if asked[0].scene is not None else asked[0].agents
    if len(asked) != HORIZON or seen is None or seen.shape[0] != 2 * BATCH:
        broken(
            f"the policy was asked {len(asked)} times for {None if seen is None else seen.shape[0]} states",
            "ask once a step for B * S states",
        )


def absent_agents_are_not_imagined_with(subject: DynamicsSubject) -> None:
    """In imagination the states of agents that do not take part change nothing for those that do."""
    exists = subject.fed.exists
    if exists is None or subject.specs.latent.layout != "agents":
        raise NotApplicable("there is no latent for each agent")
    start, now = at_time(subject.trace.posterior, FROM), exists[:, FROM]
    source = torch.Generator().manual_seed(13)

    def spoil(x: Tensor) -> Tensor:
        mask = now.reshape(*now.shape, *(1,) * (x.dim() - 2))
        return torch.where(mask, x, 3 * torch.randn(x.shape, generator=source).to(x.dtype))

    actions = _long_actions(subject)
    usual = _imagine(subject, start, actions)
    same(
        _imagine(subject, map_state(spoil, start), actions),
        usual,
        "with other states of absent agents",
        "mask the attention between agents",
        summands=subject.summands,
    )


IMAGINING = (
    Check(imagining_is_the_prior, needs=("shapes_match_the_spec", "posterior_is_causal", "prior_is_blind")),
    Check(samples_differ, needs=("shapes_match_the_spec", "same_seed_same_result")),
    Check(actions_matter, needs=("shapes_match_the_spec", "same_seed_same_result")),
    Check(imagined_past_is_closed, needs=("shapes_match_the_spec", "same_seed_same_result", "actions_matter")),
    Check(policies_are_actions, needs=("shapes_match_the_spec", "same_seed_same_result")),
    Check(absent_agents_are_not_imagined_with, needs=("shapes_match_the_spec", "same_seed_same_result")),
)
