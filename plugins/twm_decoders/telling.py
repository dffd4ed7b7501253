"""From what the network of the decoder `agents` emits to distributions of states and of existence.

Axes of what was emitted, of one step: courses `M` before agents, `[...,M,A,N]`; over a rollout `[B,S,M,H,A,N]`. Those of distributions:
`[...,A]` and `[B,S,H,A]`, with the courses of a mixture behind the agents. `N` is 5, or more where other features follow the motion.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from twm_core.nn.distributions import Bernoulli, Distribution
from twm_decoders.config import MOTION
from twm_decoders.gaussian import GaussianMotion
from twm_decoders.mixture import MixtureMotion
from twm_decoders.motion import Motion
from twm_decoders.others import Others, WiderGaussianMotion, WiderMotion
from twm_decoders.parametrisation import Course, Parametrisation

STATE, EXISTS = "agents.state", "agents.exists"
NUMBERS = len(MOTION)


class Emitted(NamedTuple):
    """What the network says of one step, for `M` courses.

    Attributes:
        change: The numbers in the units of the features, those of the motion first, `[...,M,A,N]`.
        noise: Their standard deviations, `[...,M,A,N]`.
        choice: Logits of the courses, `[...,A,M]`.
        exists: Logits of existence, `[...,A]`.
    """

    change: Tensor
    noise: Tensor | None
    choice: Tensor | None
    exists: Tensor | None


def tell(course: Course, said: Emitted, unit: Tensor, angles: Tensor) -> dict[str, Distribution]:
    """Distributions of states, whose deviations are the noise of what was said.

    Args:
        course: States `[...,M,A,N]`.
        said: What was emitted.
        unit: Fixed unit of errors, `[N]`.
        angles: Which of the features after the motion are angles, bool `[N-5]`.
    """
    told: dict[str, Distribution] = {}
    if said.choice is not None:
        assert said.noise is not None
        modes, std = course.states.movedim(-3, -2), said.noise.movedim(-3, -2)
        told[STATE] = MixtureMotion(modes, course.heading.movedim(-2, -1), unit, std, said.choice)
    else:
        states, heading = course.states.squeeze(-3), course.heading.squeeze(-2)
        told[STATE] = _state(states, heading, unit, None if said.noise is None else said.noise.squeeze(-3), angles)
    if said.exists is not None:
        told[EXISTS] = Bernoulli(said.exists)
    return told


def tell_rollout(course: Course, said: Emitted, scale: Parametrisation, angles: Tensor, dt: Tensor) -> dict[str, Distribution]:
    """Distributions over the steps of a rollout.

    Args:
        course: States `[B,S,M,H,A,N]`.
        said: What was emitted; existence and choice have the axes of distributions.
        scale: Says how noise adds up.
        angles: As in `tell`.
        dt: Seconds of a step, `[B,S]`.
    """
    found = Course(course.states.movedim(2, 3), course.heading.movedim(2, 3))  # B S H M A
    if said.noise is None:
        return tell(found, said, scale.unit, angles)
    # The first step's features choose a course for the whole rollout.
    choice = None if said.choice is None else said.choice[:, :, :1].expand(*found.heading.shape[:3], -1, -1)
    std = scale.spread(said.noise, course.heading, of_modes(dt, course.states.shape[2])).movedim(2, 3)
    told = tell(found, said._replace(noise=std, choice=choice), scale.unit, angles)
    noise = said.noise.movedim(2, 4)  # B S H A M N
    memory = scale.memory(noise[..., 0, :] if choice is None else noise, dt)
    state = told[STATE]
    if isinstance(state, WiderGaussianMotion):
        state.others.steps = True
        state = state.motion
    assert isinstance(state, GaussianMotion | MixtureMotion)
    state.memory = memory
    return told


def of_modes(dt: Tensor, modes: int) -> Tensor:
    """Seconds of a step `[...]` for each course, `[...,M]`."""
    return dt.unsqueeze(-1).expand(*dt.shape, modes)


def own(x: Tensor) -> Tensor:
    """Entries `[B,S,m,m,A,N]` of `[B,S,M,M,A,N]`, as `[B,S,M,A,N]`."""
    return x.squeeze(3) if x.shape[3] == 1 else x.diagonal(dim1=2, dim2=3).movedim(-1, 2)


def blend(logit: Tensor, choice: Tensor | None) -> Tensor:
    """Logit `[B,S,A]` of the mean probability of existence over the courses `[B,S,M,A]`, weighted by `choice` `[B,S,1,A,M]`."""
    if choice is None:
        return logit.squeeze(2)
    weight = choice.squeeze(2).log_softmax(dim=-1).movedim(-1, 2)
    return torch.logsumexp(weight + F.logsigmoid(logit), dim=2) - torch.logsumexp(weight + F.logsigmoid(-logit), dim=2)


def _state(states: Tensor, heading: Tensor, unit: Tensor, std: Tensor | None, angles: Tensor) -> Distribution:
    """The distribution of states `[...,A,N]` without modes."""
    (loc, wide), (fixed, units) = _parted(states), _parted(unit)
    deviation, others = (None, units.expand_as(wide)) if std is None else _parted(std)
    motion = Motion(loc, heading, fixed) if deviation is None else GaussianMotion(loc, heading, fixed, deviation)
    if not wide.shape[-1]:
        return motion
    return (WiderMotion if std is None else WiderGaussianMotion)(motion, Others(wide, units, others, angles))


def _parted(x: Tensor) -> tuple[Tensor, Tensor]:
    """The motion's entries on the last axis, and those of the other features."""
    return x[..., :NUMBERS], x[..., NUMBERS:]
