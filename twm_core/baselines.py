"""Forecasts that need no learning, printed beside every model. Each maps the last known situation to positions `[B,1,H,A,2]`.

zero velocity            p
constant velocity        p + v t
constant turn rate       speed and yaw rate stay: an arc of radius |v| / yaw rate (only where the data has a yaw rate)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.specs import ObservationSpec

Baseline = Callable[[Batch, ObservationSpec, int, int], Tensor]
"""(batch, its spec, last observed step, steps to predict) to positions `[B,1,H,A,2]`."""


def _columns(batch: Batch, seen: ObservationSpec, now: int, names: tuple[str, ...]) -> list[Tensor]:
    state = seen.get("agents.state")
    return [batch["agents.state"][:, now, :, state.index(n)][:, None] for n in names]


def _times(batch: Batch, steps: int) -> Tensor:
    return torch.arange(1, steps + 1, device=batch["dt"].device)[None, :, None] * batch["dt"][:, None, None]


def zero_velocity(batch: Batch, seen: ObservationSpec, now: int, steps: int) -> Tensor:
    """Everybody stays where they are."""
    x, y = _columns(batch, seen, now, ("x", "y"))
    return torch.stack([x, y], dim=-1).expand(-1, steps, -1, -1)[:, None]


def constant_velocity(batch: Batch, seen: ObservationSpec, now: int, steps: int) -> Tensor:
    """Everybody keeps the last velocity."""
    x, y, vx, vy = _columns(batch, seen, now, ("x", "y", "vx", "vy"))
    t = _times(batch, steps)
    return torch.stack([x + vx * t, y + vy * t], dim=-1)[:, None]


def constant_turn_rate(batch: Batch, seen: ObservationSpec, now: int, steps: int) -> Tensor:
    """Everybody keeps the last speed and yaw rate: the velocity turns by w t, its integral is the arc."""
    x, y, vx, vy, w = _columns(batch, seen, now, ("x", "y", "vx", "vy", "yaw_rate"))
    t = _times(batch, steps)
    angle = w * t
    # sin(a)/w and (1 - cos(a))/w with their limits at w = 0.
    along = t * torch.sinc(angle / torch.pi)
    across = t * torch.sinc(angle / (2 * torch.pi)) * (angle / 2).sin()
    return torch.stack([x + vx * along - vy * across, y + vy * along + vx * across], dim=-1)[:, None]


def baselines_for(seen: ObservationSpec) -> dict[str, Baseline]:
    """The baselines that this data allows, by name."""
    found: dict[str, Baseline] = {"zero_velocity": zero_velocity, "constant_velocity": constant_velocity}
    if any(f.name == "yaw_rate" for f in seen.get("agents.state").features):
        found["constant_turn_rate"] = constant_turn_rate
    return found
