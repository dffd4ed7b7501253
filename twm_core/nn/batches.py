"""Cutting and anchoring batches in time, by the axes that their spec names."""

from __future__ import annotations

import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.nn.interfaces import Anchor
from twm_core.specs import ObservationSpec


def slice_time(batch: Batch, obs_spec: ObservationSpec, start: int, stop: int) -> Batch:
    """The steps `start .. stop - 1` of every key with a time axis; keys without one, and target keys, are treated alike.

    Targets without a time axis may know the future; they are left out, so that nothing that reads the result can use them.
    """
    cut: Batch = {}
    for spec in obs_spec.keys:
        if spec.role == "target" or spec.key not in batch:
            continue
        cut[spec.key] = batch[spec.key][:, start:stop] if " T" in f" {spec.axes}" else batch[spec.key]
    if "action" in batch:
        cut["action"] = batch["action"][:, start:stop]
    return cut


def previous_anchor(batch: Batch) -> Anchor | None:
    """For each step the situation one step before it, leading axes `[B,T]`; None for batches without agents.

    Nothing precedes the first step, nor one at which an episode begins: their anchors say that nobody exists.
    """
    if "agents.state" not in batch:
        return None
    state, exists = batch["agents.state"], batch["agents.exists"]
    return Anchor(
        state=torch.cat([state[:, :1], state[:, :-1]], dim=1),
        exists=torch.cat([torch.zeros_like(exists[:, :1]), exists[:, :-1]], dim=1) & follows(batch["is_first"])[..., None],
        dt=batch["dt"][:, None],
    )


def anchor_at(batch: Batch, step: int) -> Anchor | None:
    """The situation at `step`, leading axis `[B]`, from which a rollout starts."""
    if "agents.state" not in batch:
        return None
    return Anchor(state=batch["agents.state"][:, step], exists=batch["agents.exists"][:, step], dt=batch["dt"])


def follows(is_first: Tensor) -> Tensor:
    """Whether a step goes on from the one before it: not the first step, nor one at which an episode begins. Bool `[B,T]` to `[B,T]`."""
    return torch.cat([torch.zeros_like(is_first[:, :1]), ~is_first[:, 1:]], dim=1)


def same_episode(is_first: Tensor, start: int) -> Tensor:
    """Which steps from `start` on belong to the episode of the step before `start`. Bool `[B,T]` to `[B,T-start]`."""
    return is_first[:, start:].cumsum(dim=1) == 0


def observed_before(exists: Tensor, is_first: Tensor) -> Tensor:
    """Whether an agent has existed at some step before this one, in the same episode.

    Args:
        exists: bool `[B,T,A]`.
        is_first: bool `[B,T]`.

    Returns:
        bool `[B,T,A]`.
    """
    steps = torch.arange(exists.shape[1], device=exists.device)[:, None]
    last = torch.where(exists, steps, -1).cummax(dim=1).values
    before = torch.cat([torch.full_like(last[:, :1], -1), last[:, :-1]], dim=1)
    begin = torch.where(is_first[..., None], steps, 0).cummax(dim=1).values
    return before >= begin
