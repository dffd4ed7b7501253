"""What a forecaster may start from: for each agent the last observed step at which it was there, and how long ago that was.

An agent that is hidden at the last observed step goes on from where it was last seen. One that was not seen at all (an empty slot) stands
at the origin: whatever is forecast for it is a finite number that means nothing. Steps before an `is_first` belong to another episode.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.data.schema import MOTION
from twm_core.specs import ObservationSpec


class Observed(NamedTuple):
    """The observed steps of a batch.

    Attributes:
        state: `[B,C,A,F]`, zeros where an agent is not there.
        exists: bool `[B,C,A]`, in the episode of the last step.
        last: `[B,A,F]`, the state at the last step at which an agent was there.
        age: `[B,A]`, seconds since then.
        dt: `[B]`, seconds of a step.
    """

    state: Tensor
    exists: Tensor
    last: Tensor
    age: Tensor
    dt: Tensor


def observe(batch: Batch) -> Observed:
    """The observed steps of a batch that ends with the last of them."""
    first, exists = batch["is_first"], batch["agents.exists"]
    steps = torch.arange(first.shape[1], device=first.device)
    begin = torch.where(first, steps, 0).amax(dim=1)  # B
    exists = exists & (steps[None, :] >= begin[:, None])[..., None]
    state = torch.where(exists[..., None], batch["agents.state"], 0.0)
    at = torch.where(exists, steps[:, None], -1).amax(dim=1)  # B A, -1: never
    index = at.clamp_min(0)[:, None, :, None].expand(-1, 1, -1, state.shape[-1])
    age = torch.where(at >= 0, steps[-1] - at, 0) * batch["dt"][:, None]
    return Observed(state, exists, state.gather(1, index)[:, 0], age, batch["dt"])


def columns(state: Tensor, obs_spec: ObservationSpec, names: tuple[str, ...]) -> list[Tensor]:
    """Features of `[...,F]` by name, `[...]` each."""
    spec = obs_spec.get("agents.state")
    return [state[..., spec.index(n)] for n in names]


def motion(observed: Observed, obs_spec: ObservationSpec) -> list[Tensor]:
    """x, y, heading, vx, vy when last seen, `[B,1,A]` each: ready for an axis of predicted steps."""
    return [c[:, None] for c in columns(observed.last, obs_spec, MOTION)]


def times(observed: Observed, steps: int) -> Tensor:
    """Seconds from when an agent was last seen to each predicted step, `[B,H,A]`."""
    ahead = torch.arange(1, steps + 1, device=observed.dt.device)[None, :, None] * observed.dt[:, None, None]
    return ahead + observed.age[:, None]
