"""Promises of decoders: the keys of the spec, distributions that work, rollouts that agree with single steps, and free frames."""

from __future__ import annotations

import torch
from torch import Tensor

from twm_core.nn.distributions import Distribution
from twm_core.nn.interfaces import Anchor, Features
from twm_core.testing.batches import AGENTS, BATCH, STEPS, Fed
from twm_core.testing.checks.check import Check
from twm_core.testing.failure import NotApplicable, broken
from twm_core.testing.readings import distance, largest, same, take
from twm_core.testing.subjects import DecoderSubject
from twm_core.testing.tolerance import rounding
from twm_core.testing.turning import moved, turn_apart


def _decoded(subject: DecoderSubject, fed: Fed | None = None) -> dict[str, Distribution]:
    with torch.no_grad():
        return subject.decode(subject.instance, subject.fed if fed is None else fed)


def keys_match_the_spec(subject: DecoderSubject) -> None:
    """`forward` and `rollout` return a distribution for each key of the output spec, `ahead` for those it marks so, and nothing else."""
    with torch.no_grad():
        every = {
            "forward": (_decoded(subject), False),
            "rollout": (subject.roll(subject.instance, subject.fed), False),
            "ahead": (subject.ahead(subject.instance, subject.fed), True),
        }
        for name, (decoded, ahead) in every.items():
            promised = set(subject.keys(ahead=ahead))
            if set(decoded) != promised:
                broken(
                    f"{name} returns {sorted(decoded)}, the spec promises {sorted(promised)}", "name every decoded key in the output spec"
                )
            wrong = [k for k, d in decoded.items() if not isinstance(d, Distribution)]
            if wrong:
                broken(f"{name} returns no Distribution for {wrong}", "wrap tensors in a class derived from Distribution")


def distributions_work(subject: DecoderSubject) -> None:
    """Mean, mode and sample have the shape of a value, log_prob the leading axes of one; all are finite for agents that exist."""
    for key, distribution, leading, exists in _everything(subject):
        shape = subject.value_shape(key, leading)
        lead = [*leading, AGENTS] if subject.per_agent(key) else leading
        draw = distribution.sample(torch.Generator().manual_seed(2))
        values = {"mean": distribution.mean, "mode": distribution.mode, "sample": draw}
        log_prob = distribution.log_prob(draw.detach())
        if list(log_prob.shape)[: len(lead)] != lead or log_prob.dim() > len(shape):
            broken(f"log_prob of {key} has shape {list(log_prob.shape)}, leading axes are {lead}", "sum over the features of a value only")
        for name, value in values.items():
            if list(value.shape) != shape:
                broken(f"{name} of {key} has shape {list(value.shape)}, a value has {shape}", "one number for each named feature")
        for name, value in {**values, "log_prob": log_prob}.items():
            counted = value[exists.expand(value.shape[: len(lead)])] if exists is not None and subject.per_agent(key) else value
            if not bool(torch.isfinite(counted.double()).all()):
                broken(f"{name} of {key} is not finite", "bound scales away from 0")


def _everything(subject: DecoderSubject) -> list[tuple[str, Distribution, list[int], Tensor | None]]:
    """Every decoded key with its distribution, the sizes of its leading axes, and who exists there."""
    exists = subject.fed.exists
    with torch.no_grad():
        whole = subject.ahead(subject.instance, subject.fed)
    start = None if exists is None else exists[:, 0][:, None, None]
    steps = [(k, d, [BATCH, STEPS], exists) for k, d in _decoded(subject).items()]
    return [*steps, *((k, d, [BATCH, 1, subject.specs.obs_spec.horizon], start) for k, d in whole.items())]


def samples_follow_the_generator(subject: DecoderSubject) -> None:
    """A draw depends on the generator that is passed in, and on nothing else."""
    for key, distribution, _, _ in _everything(subject):
        before = torch.get_rng_state()
        one, two = (distribution.sample(torch.Generator().manual_seed(4)) for _ in range(2))
        after = torch.get_rng_state()
        torch.set_rng_state(before)
        if not torch.equal(before, after) or distance(one.double(), two.double()) > 0:
            broken(f"samples of {key} ignore the generator", "pass `generator` on to every torch.rand and randn")


def distributions_can_be_mapped(subject: DecoderSubject) -> None:
    """`map` with an index gives the distribution of these entries, and `detach` cuts the gradient."""
    decoded = {**subject.decode(subject.instance, subject.fed), **subject.ahead(subject.instance, subject.fed)}
    for key, distribution in decoded.items():
        part = distribution.map(lambda x: x[1:3])
        densities = part.log_prob(distribution.mode[1:3]), distribution.log_prob(distribution.mode)[1:3]
        for got, wanted in ((part.mean, distribution.mean[1:3]), densities):
            worst = distance(got, wanted)
            if not worst <= rounding(wanted.dtype, subject.summands):
                broken(
                    f"{key}: mapping an index gives another distribution, off by {worst:.3g}",
                    "apply the function to every tensor, expanded",
                )
        if distribution.detach().mean.requires_grad:
            broken(f"{key}: detach leaves a gradient", "apply the function to every tensor")


def steps_are_decoded_alone(subject: DecoderSubject) -> None:
    """`forward` decodes every entry of the leading axes by itself."""
    with torch.no_grad():
        whole = subject.tell(_decoded(subject), "forward", "BT", subject.fed.exists)
        for t in range(STEPS):
            one = subject.fed.take("T", torch.tensor([t]))
            alone = subject.tell(_decoded(subject, one), "forward", "BT", one.exists)
            same(alone, take(whole, "T", [t]), f"step {t} alone", "memory belongs into the dynamics", summands=subject.summands)


def one_step_is_a_rollout(subject: DecoderSubject) -> None:
    """A rollout of one step is what `forward` decodes from the same anchor."""
    one = subject.fed.take("T", torch.tensor([0]))
    features, anchor = subject.split(one)
    future = Features(*(None if x is None else x[:, None] for x in features))
    start = None if one.exists is None else one.exists[:, :1]
    with torch.no_grad():
        rolled = subject.instance.rollout(future, None if anchor is None else Anchor(*(x[:, 0] for x in anchor)))
        forward = subject.tell(_decoded(subject, one), "step", "BT", start)
        got = subject.tell({k: d.map(_only_future) for k, d in rolled.items()}, "step", "BT", start)
    same(
        got, forward, "rollout of one step against forward", "decode the first step of a rollout as forward does", summands=subject.summands
    )


def _only_future(x: Tensor) -> Tensor:
    """`[B,1,H,...]` as `[B,H,...]`."""
    return x[:, 0]


def rollout_is_causal(subject: DecoderSubject) -> None:
    """Step `h` of a rollout does not depend on the features of later steps."""
    fed, upto = subject.fed, range(2)
    changed = fed.splice(subject.feed(seed=1), 2, ("rollout.scene", "rollout.agents"))
    start = None if fed.exists is None else fed.exists[:, 0][:, None, None]
    with torch.no_grad():
        usual, other = (subject.tell(subject.roll(subject.instance, f), "rollout", "BSH", start) for f in (fed, changed))
    same(
        take(other, "H", upto),
        take(usual, "H", upto),
        "the first two steps with other features later",
        "integrate forward in time",
        summands=subject.summands,
    )


def futures_are_decoded_alone(subject: DecoderSubject) -> None:
    """Each of the `S` futures of a rollout is decoded without regard to the others."""
    start = None if subject.fed.exists is None else subject.fed.exists[:, 0][:, None, None]
    with torch.no_grad():
        both = subject.tell(subject.roll(subject.instance, subject.fed), "rollout", "BSH", start)
        single = subject.roll(subject.instance, subject.fed, samples=1)
        same(
            subject.tell(single, "rollout", "BSH", start),
            take(both, "S", [0]),
            "one future alone",
            "treat futures like rows of a batch",
            summands=subject.summands,
        )


def frames_are_free(subject: DecoderSubject) -> None:
    """Turning and shifting the world turns and shifts the decoded states.

    A decoder of absolute states says so by a config field `parametrisation` with the value `absolute`, and is left alone.
    """
    if getattr(subject.config, "parametrisation", "") == "absolute":
        raise NotApplicable("it decodes absolute states")
    states = [k for k in subject.specs.output.keys if k.key in ("agents.state", "agents.futures")]
    if "anchor.state" not in subject.fed.values or not states:
        raise NotApplicable("no states of agents are decoded")
    known = subject.specs.obs_spec.get("agents.state")
    turned = subject.fed.put(anchor__state=moved(subject.fed.values["anchor.state"], known.features))
    exists = subject.fed.exists
    assert exists is not None
    start = exists[:, 0][:, None, None]
    by_step = [("forward", exists, subject.decode), ("rollout", start, subject.roll)]
    with torch.no_grad():
        for key in states:
            features = [known.features[known.index(n)] for n in key.features]
            for name, lead, run in [("ahead", start, subject.ahead)] if key.ahead else by_step:
                straight = run(subject.instance, subject.fed)[key.key].mean
                got = run(subject.instance, turned)[key.key].mean
                difference = turn_apart(got, moved(straight, features), features)
                there = lead.expand(difference.shape[:-1])
                worst = largest(difference, there)
                if not worst <= rounding(got.dtype, subject.summands) * (1 + largest(straight, there)):
                    broken(f"{name} in a turned and shifted world is off by {worst:.3g}", "decode changes in the frame of each agent")


DECODER = (
    Check(keys_match_the_spec, needs=("builds_its_kind",)),
    Check(distributions_work, needs=("keys_match_the_spec", "shapes_match_the_spec", "results_are_finite")),
    Check(samples_follow_the_generator, needs=("keys_match_the_spec", "results_are_finite")),
    Check(distributions_can_be_mapped, needs=("keys_match_the_spec", "results_are_finite")),
    Check(steps_are_decoded_alone, needs=("keys_match_the_spec", "same_seed_same_result", "batch_rows_are_independent")),
    Check(futures_are_decoded_alone, needs=("shapes_match_the_spec", "same_seed_same_result")),
    Check(
        one_step_is_a_rollout, needs=("shapes_match_the_spec", "same_seed_same_result", "rollout_is_causal", "futures_are_decoded_alone")
    ),
    Check(rollout_is_causal, needs=("shapes_match_the_spec", "same_seed_same_result")),
    Check(frames_are_free, needs=("shapes_match_the_spec", "same_seed_same_result")),
)
