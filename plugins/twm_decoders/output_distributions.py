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
from twm_decoders.further_features import FurtherFeatures, WiderGaussianMotion, WiderMotion
from twm_decoders.gaussian import GaussianMotion
from twm_decoders.mixture import MixtureMotion
from twm_decoders.motion import Motion
from twm_decoders.parametrisation import Parametrisation, Trajectory

STATE, EXISTS = "agents.state", "agents.exists"
NUMBERS = len(MOTION)


class HeadOutputs(NamedTuple):
    """What the network says of one step, for `M` courses.

    Attributes:
        delta: The numbers in the units of the features, those of the motion first, `[...,M,A,N]`.
        noise: Their standard deviations, `[...,M,A,N]`.
        mode_logits: Logits of the courses, `[...,A,M]`.
        exists: Logits of existence, `[...,A]`.
    """

    delta: Tensor
    noise: Tensor | None
    mode_logits: Tensor | None
    exists: Tensor | None


def step_distributions(trajectory: Trajectory, outputs: HeadOutputs, unit: Tensor, angles: Tensor) -> dict[str, Distribution]:
    """Distributions of states, whose deviations are the noise of what was said.

    Args:
        trajectory: States `[...,M,A,N]`.
        outputs: Outputs of the heads.
        unit: Fixed unit of errors, `[N]`.
        angles: Which of the features after the motion are angles, bool `[N-5]`.
    """
    distributions: dict[str, Distribution] = {}
    if outputs.mode_logits is not None:
        assert outputs.noise is not None
        modes, std = trajectory.states.movedim(-3, -2), outputs.noise.movedim(-3, -2)
        distributions[STATE] = MixtureMotion(modes, trajectory.heading.movedim(-2, -1), unit, std, outputs.mode_logits)
    else:
        states, heading = trajectory.states.squeeze(-3), trajectory.heading.squeeze(-2)
        distributions[STATE] = _state(states, heading, unit, None if outputs.noise is None else outputs.noise.squeeze(-3), angles)
    if outputs.exists is not None:
        distributions[EXISTS] = Bernoulli(outputs.exists)
    return distributions


def rollout_distributions(
    trajectory: Trajectory, outputs: HeadOutputs, scale: Parametrisation, angles: Tensor, dt: Tensor
) -> dict[str, Distribution]:
    """Distributions over the steps of a rollout.

    Args:
        trajectory: States `[B,S,M,H,A,N]`.
        outputs: Outputs of the heads; existence and mode logits have the axes of distributions.
        scale: Says how noise adds up.
        angles: As in `step_distributions`.
        dt: Seconds of a step, `[B,S]`.
    """
    found = Trajectory(trajectory.states.movedim(2, 3), trajectory.heading.movedim(2, 3))  # B S H M A
    if outputs.noise is None:
        return step_distributions(found, outputs, scale.unit, angles)
    # The first step's features choose a course for the whole rollout.
    mode_logits = None if outputs.mode_logits is None else outputs.mode_logits[:, :, :1].expand(*found.heading.shape[:3], -1, -1)
    std = scale.spread(outputs.noise, trajectory.heading, of_modes(dt, trajectory.states.shape[2])).movedim(2, 3)
    distributions = step_distributions(found, outputs._replace(noise=std, mode_logits=mode_logits), scale.unit, angles)
    noise = outputs.noise.movedim(2, 4)  # B S H A M N
    memory = scale.memory(noise[..., 0, :] if mode_logits is None else noise, dt)
    state = distributions[STATE]
    if isinstance(state, WiderGaussianMotion):
        state.further.steps = True
        state = state.motion
    assert isinstance(state, GaussianMotion | MixtureMotion)
    state.memory = memory
    return distributions


def of_modes(dt: Tensor, modes: int) -> Tensor:
    """Seconds of a step `[...]` for each course, `[...,M]`."""
    return dt.unsqueeze(-1).expand(*dt.shape, modes)


def own(x: Tensor) -> Tensor:
    """Entries `[B,S,m,m,A,N]` of `[B,S,M,M,A,N]`, as `[B,S,M,A,N]`."""
    return x.squeeze(3) if x.shape[3] == 1 else x.diagonal(dim1=2, dim2=3).movedim(-1, 2)


def blend(logit: Tensor, mode_logits: Tensor | None) -> Tensor:
    """Logit `[B,S,A]` of the mean probability of existence over the courses `[B,S,M,A]`, weighted by `mode_logits` `[B,S,1,A,M]`."""
    if mode_logits is None:
        return logit.squeeze(2)
    weight = mode_logits.squeeze(2).log_softmax(dim=-1).movedim(-1, 2)
    return torch.logsumexp(weight + F.logsigmoid(logit), dim=2) - torch.logsumexp(weight + F.logsigmoid(-logit), dim=2)


def _state(states: Tensor, heading: Tensor, unit: Tensor, std: Tensor | None, angles: Tensor) -> Distribution:
    """The distribution of states `[...,A,N]` without modes."""
    (loc, wide), (fixed, units) = _parted(states), _parted(unit)
    deviation, further = (None, units.expand_as(wide)) if std is None else _parted(std)
    motion = Motion(loc, heading, fixed) if deviation is None else GaussianMotion(loc, heading, fixed, deviation)
    if not wide.shape[-1]:
        return motion
    return (WiderMotion if std is None else WiderGaussianMotion)(motion, FurtherFeatures(wide, units, further, angles))


def _parted(x: Tensor) -> tuple[Tensor, Tensor]:
    """The motion's entries on the last axis, and those of the other features."""
    return x[..., :NUMBERS], x[..., NUMBERS:]
