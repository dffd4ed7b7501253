"""Promises of dynamics while observing: what a state may depend on, in time and among agents.

`action[:, t]` leads to step `t + 1`; `posterior[t]` knows observations up to and including `t`; `prior[t]` those before `t`.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from twm_core.nn.state import State, at_time, map_state
from twm_core.testing.batches import AGENTS, BATCH, STEPS, Fed
from twm_core.testing.checks.check import Check
from twm_core.testing.failure import NotApplicable, broken
from twm_core.testing.readings import Reading, Readings, distance, finite, same, shapes, take
from twm_core.testing.subjects import DynamicsSubject
from twm_core.testing.tolerance import rounding

TOKENS = ("embedding.scene", "embedding.agents")


def beliefs(subject: DynamicsSubject, fed: Fed, *, state: State | None = None, exists: Tensor | None = None) -> tuple[Readings, Readings]:
    """Posterior and prior readings of a sequence, masked by the usual existence."""
    mask = subject.fed.exists if exists is None else exists
    with torch.no_grad():
        trace = subject.observe(subject.instance, fed, state=state)
        return (
            subject.belief(subject.instance, trace.posterior, "posterior", "BT", mask),
            subject.belief(subject.instance, trace.prior, "prior", "BT", mask),
        )


def initial_state_has_its_shape(subject: DynamicsSubject) -> None:
    """`initial` gives a finite state with the asked leading axes, whose features have the widths of the spec."""
    latent = subject.specs.latent
    lead = (BATCH,) if latent.layout == "scene" else (BATCH, AGENTS)
    with torch.no_grad():
        features = subject.instance.features(subject.instance.initial(lead))
    parts = {k: Reading(v, "") for k, v in (("scene", features.scene), ("agents", features.agents)) if v is not None}
    finite(parts, "features of the initial state")
    wanted = {k: s for k, s in (("scene", latent.scene), ("agents", latent.agents)) if s is not None}
    found = shapes(parts)
    for name, width in wanted.items():
        shape = [*lead, width] if name == "agents" or latent.layout == "scene" else [BATCH, width]
        if found.get(name) != shape:
            broken(f"{name} features of initial({lead}) have shape {found.get(name)} instead of {shape}", "use batch_shape as it is given")


def family_is_what_the_spec_says(subject: DynamicsSubject) -> None:
    """A stochastic latent has a distribution for each of its states, a deterministic one has none."""
    distribution = subject.instance.distribution(subject.trace.posterior)
    if (distribution is not None) != subject.stochastic:
        broken(
            f"the spec says family {subject.specs.latent.family!r}, distribution() gives {type(distribution).__name__}",
            "implement distribution()",
        )


def divergence_is_a_divergence(subject: DynamicsSubject) -> None:
    """KL(posterior || prior) is finite and not negative, one number for each latent, and zero between equal distributions."""
    if not subject.stochastic:
        raise NotApplicable("there is no distribution")
    with torch.no_grad():
        posterior, prior = (subject.instance.distribution(s) for s in subject.trace)
        between, within = posterior.kl(prior), posterior.kl(posterior)
    layout = subject.specs.latent.layout
    wanted = {"scene": ((BATCH, STEPS),), "agents": ((BATCH, STEPS, AGENTS),)}.get(layout, ((BATCH, STEPS), (BATCH, STEPS, AGENTS)))
    if tuple(between.shape) not in wanted:
        broken(f"kl has shape {list(between.shape)} instead of {list(wanted[0])}", "sum over the variables of a latent")
    allowed = rounding(between.dtype, subject.summands)
    if not bool((between >= -allowed).all()) or not bool(torch.isfinite(between).all()):
        broken(f"KL(posterior || prior) reaches {float(between.min()):.3g}", "KL(p || q) = sum p (log p - log q)")
    if distance(within, torch.zeros_like(within)) > allowed:
        broken(f"KL of a distribution with itself reaches {float(within.abs().max()):.3g}", "KL(p || p) is 0")


def prior_is_blind(subject: DynamicsSubject) -> None:
    """`prior[t]` does not depend on the tokens of step `t` or later."""
    _, usual = beliefs(subject, subject.fed)
    other = subject.feed(seed=1)
    for t in (0, 1, 3):
        _, prior = beliefs(subject, subject.fed.splice(other, t, TOKENS))
        upto = range(t + 1)
        same(
            take(prior, "T", upto),
            take(usual, "T", upto),
            f"prior of step {t} with other tokens from step {t} on",
            "predict before looking",
            summands=subject.summands,
        )


def prior_is_blind_to_presence(subject: DynamicsSubject) -> None:
    """`prior[t]` does not depend on who exists at step `t` or later; births and deaths are to be predicted, too."""
    exists = subject.fed.exists
    if exists is None:
        raise NotApplicable("no agents are seen")
    _, usual = beliefs(subject, subject.fed)
    for t in (1, 3):
        changed = torch.cat([exists[:, :t], ~exists[:, t:]], dim=1)
        _, prior = beliefs(subject, subject.fed.put(agents__exists=changed), exists=exists)
        upto = range(t + 1)
        same(
            take(prior, "T", upto),
            take(usual, "T", upto),
            f"prior of step {t} with others there at step {t}",
            "mask with who was there before",
            summands=subject.summands,
        )


def posterior_is_causal(subject: DynamicsSubject) -> None:
    """`posterior[t]` depends neither on what is seen after `t`, nor on who is there then, nor on the actions from `t` on."""
    usual, _ = beliefs(subject, subject.fed)
    other, mask = subject.feed(seed=1), subject.fed.exists
    for t in (0, 2):
        changed = subject.fed.splice(other, t + 1, TOKENS).splice(other, t, ("action",))
        if mask is not None:
            changed = changed.put(agents__exists=torch.cat([mask[:, : t + 1], ~mask[:, t + 1 :]], dim=1))
        posterior, _ = beliefs(subject, changed, exists=mask)
        upto = range(t + 1)
        same(
            take(posterior, "T", upto),
            take(usual, "T", upto),
            f"posterior up to step {t} with another future",
            "actions[:, t] lead to step t + 1",
            summands=subject.summands,
        )


def resets_forget(subject: DynamicsSubject) -> None:
    """From a step with `is_first` on nothing before it counts, carried state included; rows without it are not touched."""
    at = 3
    first = subject.fed.values["is_first"].clone()
    first[0, at] = True
    reset = subject.fed.put(is_first=first)
    other = subject.feed(seed=1)
    keep = [k for k in (*TOKENS, "action") if k in reset.values]
    changed = other.splice(reset, at, keep)
    changed = reset.put(**{k.replace(".", "__"): changed.values[k] for k in keep})
    if subject.fed.exists is not None:
        e = subject.fed.exists
        changed = changed.put(agents__exists=torch.cat([~e[:, :at], e[:, at:]], dim=1))
    row, after = torch.tensor([0]), range(at, STEPS)
    here, there = beliefs(subject, reset), beliefs(subject, changed, exists=subject.fed.exists)
    for a, b in zip(there, here, strict=True):
        same(
            take(take(a, "B", row), "T", after),
            take(take(b, "B", row), "T", after),
            "after a reset, with another past",
            "drop state and action at is_first",
            summands=subject.summands,
        )
    rest = torch.tensor([1, 2])
    for a, b in zip(here, beliefs(subject, subject.fed), strict=True):
        same(take(a, "B", rest), take(b, "B", rest), "rows without the reset", "reset row by row", summands=subject.summands)
    carried = beliefs(subject, subject.fed, state=at_time(subject.trace.posterior, STEPS - 1))
    for a, b in zip(carried, beliefs(subject, subject.fed), strict=True):
        same(
            a,
            b,
            "a sequence that starts with is_first, with a carried state",
            "is_first drops the carry as well",
            summands=subject.summands,
        )


def steps_match_the_sequence(subject: DynamicsSubject) -> None:
    """Observing step by step with the carried posterior is observing the sequence.

    Compared is what each step determines before sampling, from the very states of the sequence. The action that leads to a step is the
    `first_action` of the chunk that begins with it.
    """
    fed = subject.fed
    actions = fed.values.get("action")
    with torch.no_grad():
        trace = subject.observe(subject.instance, fed)
        for t in range(STEPS):
            index = torch.tensor([t])
            one = fed.take("T", index)
            carried = None if t == 0 else at_time(trace.posterior, t - 1)
            before = None if actions is None or t == 0 else actions[:, t - 1]
            step = subject.observe(subject.instance, one, state=carried, first_action=before)
            for name, got, whole in (("posterior", step.posterior, trace.posterior), ("prior", step.prior, trace.prior)):
                alone = subject.belief(subject.instance, got, name, "BT", one.exists, quiet=True)
                within = subject.belief(subject.instance, whole, name, "BT", fed.exists, quiet=True)
                same(
                    alone,
                    take(within, "T", index),
                    f"step {t} alone",
                    "the state must carry all that the next step needs",
                    summands=subject.summands,
                )


def independent_agents_influence_nobody(subject: DynamicsSubject) -> None:
    """Where `independent` is true, every agent has a latent, and what is seen of one agent changes no latent of another one: training then
    leaves out empty slots."""
    if not subject.instance.independent:
        raise NotApplicable("it does not say that its agents are independent")
    exists = subject.fed.exists
    if subject.specs.latent.layout != "agents" or exists is None:
        broken("`independent` is true with one latent for the scene", "set it where the layout is 'agents' only")
    apart = torch.arange(AGENTS) % 2 == 0
    other = subject.feed(seed=3).values
    mixed = {k: torch.where(apart.view(1, 1, -1, 1), v, other[k]) if k == "embedding.agents" else v for k, v in subject.fed.values.items()}
    mask = exists & apart
    usual, changed = (beliefs(subject, fed, exists=mask) for fed in (subject.fed, replace(subject.fed, values=mixed)))
    for name, one, two in zip(("posterior", "prior"), changed, usual, strict=True):
        per_agent = {k: r for k, r in two.items() if "A" in r.axes}
        hint = "leave `independent` at False where agents hear of one another"
        same({k: one[k] for k in per_agent}, per_agent, f"{name} with other agents seen otherwise", hint, summands=subject.summands)


def absent_agents_keep_their_prior(subject: DynamicsSubject) -> None:
    """An agent that was seen and is not there has its prior as posterior."""
    exists = subject.fed.exists
    if exists is None or subject.specs.latent.layout != "agents":
        raise NotApplicable("there is no latent for each agent")
    seen = exists.long().cumsum(dim=1) > 0
    with torch.no_grad():
        posterior, prior = (
            {k.partition(", ")[2]: r for k, r in subject.belief(subject.instance, s, "any", "BT", seen & ~exists, quiet=True).items()}
            for s in subject.trace
        )
    same(
        posterior,
        prior,
        "posterior of absent agents against their prior",
        "correct with what is seen only where exists is true",
        summands=subject.summands,
    )


def unseen_agents_stay_initial(subject: DynamicsSubject) -> None:
    """Before an agent is seen for the first time its posterior is the initial state."""
    exists = subject.fed.exists
    if exists is None or subject.specs.latent.layout != "agents":
        raise NotApplicable("there is no latent for each agent")
    unseen = exists.long().cumsum(dim=1) == 0
    with torch.no_grad():
        initial = map_state(lambda x: x[:, None].expand(x.shape[0], STEPS, *x.shape[1:]), subject.instance.initial((BATCH, AGENTS)))
        wanted = subject.belief(subject.instance, initial, "any", "BT", unseen)
        got = subject.belief(subject.instance, subject.trace.posterior, "any", "BT", unseen)
    same(
        got,
        wanted,
        "posterior of agents not seen yet",
        "keep the initial state until exists is true for the first time",
        summands=subject.summands,
    )


OBSERVING = (
    Check(initial_state_has_its_shape, needs=("builds_its_kind",)),
    Check(family_is_what_the_spec_says, needs=("builds_its_kind",)),
    Check(divergence_is_a_divergence, needs=("family_is_what_the_spec_says",)),
    Check(prior_is_blind, needs=("same_seed_same_result",)),
    Check(prior_is_blind_to_presence, needs=("same_seed_same_result", "prior_is_blind")),
    Check(posterior_is_causal, needs=("same_seed_same_result", "prior_is_blind_to_presence")),
    Check(resets_forget, needs=("same_seed_same_result", "batch_rows_are_independent")),
    Check(
        steps_match_the_sequence,
        needs=("same_seed_same_result", "posterior_is_causal", "prior_is_blind", "resets_forget", "batch_rows_are_independent"),
    ),
    Check(independent_agents_influence_nobody, needs=("same_seed_same_result", "absent_agents_change_nothing")),
    Check(absent_agents_keep_their_prior, needs=("same_seed_same_result", "prior_is_blind")),
    Check(unseen_agents_stay_initial, needs=("same_seed_same_result", "initial_state_has_its_shape")),
)
