"""The loop over time of `observe`, the one place where the RSSM is sequential.

Everything that does not depend on the step before is made for the whole sequence outside (`model.py`). Rows `R` are scenes, or scenes x
agents; what is stochastic is flat, `[R,W]` for samples and `[R,W']` for the numbers that fix their distribution. Masks are applied in
here, while a step is in the cache, and only at the steps where they change something.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from twm_rssm.cell import Step
from twm_rssm.correction import Correcting
from twm_rssm.deferred import Projection
from twm_rssm.geometry import PoseAttention
from twm_rssm.gru_cell import GRUStep
from twm_rssm.interaction import Message, attention_bias
from twm_rssm.latents import Latents


class Parts(NamedTuple):
    """What the steps of one sequence are made of."""

    cell: Step | GRUStep
    interaction: Message | None
    posterior: Projection
    prior: Projection
    family: Latents
    correction: Correcting | None = None

    def step(
        self, deter: Tensor, stoch_in: Tensor, action_part: Tensor | None, bias: Tensor | None, pose_attention: PoseAttention | None = None
    ) -> Tensor:
        """The next deter `[R,D]`; `stoch_in` is what the cell's `stoch_in` gives, `bias` who may be attended to, `seen` where they are."""
        inputs = self.cell.inputs(deter, stoch_in)
        message = None
        if self.interaction is not None and bias is not None:
            message = self.interaction(self.cell.message_input(deter, inputs), bias, pose_attention)
        return self.cell(deter, inputs, action_part, message)


class Sequence(NamedTuple):
    """What the scan reads, prepared for the whole sequence, time first."""

    tokens: Tensor  # T R hidden: the embedding's part of the posterior
    action_parts: Tensor | None  # T R ...: the action's part of the cell
    attended: Tensor | None  # T B A bool: who may be attended to
    pose_attention: PoseAttention | None  # T B ...: where they are
    noise: Tensor  # T R variables
    corrections: Tensor | None  # T R hidden: the embedding's part of the correction of deter
    forced: Tensor | None  # T R shape: samples to use instead
    masks: Masks


class Masks(NamedTuple):
    """What masks change at each step; None where they change nothing."""

    keep: list[Tensor | None]  # R 1: 0 where the state is dropped before the step
    begun: list[Tensor | None]  # R 1: 0 where nothing has been seen so far
    carried: list[Tensor | None]  # n: the rows that have begun and are not corrected


def masks(keep: Tensor, begun: Tensor, corrected: Tensor) -> Masks:
    """Masks for the steps of a sequence from bool `[T,R]` each. Asks the device once, so that no step has to."""
    carried = begun & ~corrected
    counts = torch.stack(((~keep).sum(1), (~begun).sum(1), carried.sum(1))).tolist()
    rows = iter(carried.nonzero()[:, 1].split([n for n in counts[2] if n]))

    def factors(mask: Tensor, missing: list[int]) -> list[Tensor | None]:
        return [x if n else None for x, n in zip(mask.unsqueeze(-1).float().unbind(0), missing, strict=True)]

    return Masks(factors(keep, counts[0]), factors(begun, counts[1]), [next(rows) if n else None for n in counts[2]])


class Scanned(NamedTuple):
    """What the scan gives for each step."""

    deter: list[Tensor]  # R D
    stoch: list[Tensor]  # R W
    stats: list[Tensor]  # R W'
    posterior_deter: list[Tensor]  # R D: initial for rows that have not begun


class Start(NamedTuple):
    """A learned initial state."""

    deter: Tensor  # 1 D
    stoch: Tensor  # 1 W


def scan(parts: Parts, sequence: Sequence, deter: Tensor, stoch: Tensor, start: Start | None) -> Scanned:
    """Run through a sequence.

    Args:
        parts: What a step is made of.
        sequence: Inputs of every step.
        deter: Carried in, `[R,D]`.
        stoch: Carried in, `[R,W]`.
        start: The initial state; None is zero.
    """
    cell, posterior, family = parts.cell, parts.posterior, parts.family
    tokens, noise = sequence.tokens.unbind(0), sequence.noise.unbind(0)
    corrections = None if sequence.corrections is None else sequence.corrections.unbind(0)
    action_parts = None if sequence.action_parts is None else sequence.action_parts.unbind(0)
    forced = None if sequence.forced is None else sequence.forced.unbind(0)
    keep, begun, carried = sequence.masks
    start_deter, start_stoch = (None, None) if start is None else start
    out = Scanned([], [], [], [])
    for t in range(len(tokens)):
        bias = None if sequence.attended is None else attention_bias(sequence.attended[t])
        stoch_in = cell.stoch_in(_begun(stoch, keep[t], start_stoch))
        pose_attention = None if sequence.pose_attention is None else sequence.pose_attention.at(t)
        deter = parts.step(
            _begun(deter, keep[t], start_deter), stoch_in, None if action_parts is None else action_parts[t], bias, pose_attention
        )
        out.deter.append(deter)
        raw = posterior(deter, tokens[t])
        rows = carried[t]
        if rows is not None:
            raw = raw.index_copy(0, rows, parts.prior(deter[rows]).to(raw.dtype))
        stats = family.stats(raw)
        stoch = family.sample(stats, noise[t], None if forced is None else forced[t]).flatten(1)
        stoch, stats = _begun(stoch, begun[t], start_stoch), _begun(stats.flatten(1), begun[t], None)
        if parts.correction is not None and corrections is not None:
            believed = parts.correction(deter, corrections[t])
            # What is carried by its prior was not seen.
            deter = believed if rows is None else believed.index_copy(0, rows, deter[rows])
        out.posterior_deter.append(_begun(deter, begun[t], start_deter))
        out.stoch.append(stoch)
        out.stats.append(stats)
    return out


def _begun(x: Tensor, keep: Tensor | None, start: Tensor | None) -> Tensor:
    """`x` `[R,W]` where `keep` `[R,1]` is 1, else the initial `start` `[1,W]`; without one it is zero. No `keep` keeps everything."""
    if keep is None:
        return x
    return x * keep if start is None else torch.where(keep > 0, x, start)
