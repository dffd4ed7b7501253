"""The intelligent driver model (Treiber, Hennecke, Helbing, Phys. Rev. E 62, 2000), and vehicles that are rolled forward by it together.

    dv/dt = a [1 - (v / v0)^4] - a (s* / s)^2,      s* = s0 + max(0, v T + v dv / (2 sqrt(a b)))

with gap s (bumper to bumper) and closing speed dv. Nobody brakes harder than b because of the desired speed alone, nor harder than
`HARDEST` at all. Between two steps of the data it is integrated in steps of at most `STEP` seconds at constant acceleration; who would go
backwards stops where the braking distance says.

Shapes: `[B,A]` for what is known of agents, `[B,H,A]` for what becomes of them. Distances are along each agent's own way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

HARDEST = 8.0
"""m/s^2: what tyres give on a dry road."""

STEP = 0.1
"""Seconds."""

_LEAST_GAP = 0.1


@dataclass(frozen=True)
class Parameters:
    """What drivers want.

    Attributes:
        desired_speed: `v0` where there is no speed limit, m/s.
        compliance: `v0` as a multiple of the speed limit.
        headway: `T`, s.
        standstill: `s0`, m.
        acceleration: `a`, m/s^2.
        braking: `b`, m/s^2.
    """

    desired_speed: float = 33.3
    compliance: float = 1.0
    headway: float = 1.5
    standstill: float = 2.0
    acceleration: float = 1.0
    braking: float = 1.67

    @property
    def interaction(self) -> float:
        """`2 sqrt(a b)`, m/s^2."""
        return 2 * math.sqrt(self.acceleration * self.braking)


class Candidates(NamedTuple):
    """Several `Parameters` at once, `[N,1]` each: every row of the traffic has its own."""

    desired_speed: Tensor
    compliance: Tensor
    headway: Tensor
    standstill: Tensor
    acceleration: Tensor
    braking: Tensor
    interaction: Tensor

    @staticmethod
    def of(parameters: Sequence[Parameters], rows: int, like: Tensor) -> Candidates:
        """The parameters for traffic that is repeated once for each of them.

        Args:
            parameters: `C` of them.
            rows: `B` of the traffic before it was repeated; then `N = C B`.
            like: A tensor of the wanted dtype and device.
        """
        columns = [[getattr(p, name) for p in parameters] for name in Candidates._fields]
        return Candidates(*(torch.tensor(c, dtype=like.dtype, device=like.device).repeat_interleave(rows)[:, None] for c in columns))


class Traffic(NamedTuple):
    """Vehicles at the last observed step.

    Attributes:
        speed: m/s along the own way, `[B,A]`.
        limit: Speed limit, m/s, 0 where unknown, `[B,A]`.
        driven: bool `[B,A]`: follows the model; everybody else keeps their speed.
        leads: int64 `[B,A]`: the agent in front; -1 for none, or for one that is no agent of the scene.
        followed: bool `[B,A]`: there is somebody in front.
        gap: m from bumper to bumper, `[B,A]`.
        leader_speed: m/s, `[B,A]`, kept by a leader that is no agent of the scene.
        dt: Seconds of a step, `[B]`.
    """

    speed: Tensor
    limit: Tensor
    driven: Tensor
    leads: Tensor
    followed: Tensor
    gap: Tensor
    leader_speed: Tensor
    dt: Tensor

    def repeated(self, times: int) -> Traffic:
        """The same scenes several times, one copy after another."""
        return Traffic(*(value.repeat(times, *(1,) * (value.dim() - 1)) for value in self))


def acceleration(speed: Tensor, desired: Tensor, gap: Tensor, closing: Tensor, followed: Tensor, p: Parameters | Candidates) -> Tensor:
    """dv/dt in m/s^2, elementwise.

    Args:
        speed: `v`, m/s.
        desired: `v0`, m/s.
        gap: `s`, m.
        closing: `dv`, own speed minus the leader's.
        followed: Whether there is a leader.
        p: What drivers want.
    """
    free = torch.clamp(p.acceleration * (1 - (speed / desired) ** 4), min=-p.braking)
    wanted = p.standstill + (speed * p.headway + speed * closing / p.interaction).clamp_min(0)
    # Beyond sqrt(HARDEST) every gap brakes as hard as it goes, so nothing is lost and nothing overflows.
    ratio = (wanted / gap.clamp_min(_LEAST_GAP)).clamp_max(100.0)
    interaction = torch.where(followed, p.acceleration * ratio.square(), 0.0)
    return (free - interaction).clamp_min(-HARDEST)


def roll(traffic: Traffic, p: Parameters | Candidates, steps: int) -> tuple[Tensor, Tensor]:
    """Everybody rolled forward together: metres travelled and speeds, `[B,H,A]` each."""
    speed, travelled = traffic.speed, torch.zeros_like(traffic.speed)
    desired = torch.where(traffic.limit > 0, p.compliance * traffic.limit, p.desired_speed)
    # Whoever already drives faster wants to.
    desired = torch.maximum(desired, traffic.speed)
    own = traffic.leads >= 0
    index = traffic.leads.clamp_min(0)
    parts = max(1, math.ceil(float(traffic.dt.max()) / STEP - 1e-6)) if traffic.dt.numel() else 1
    h = (traffic.dt / parts)[:, None]
    other = torch.zeros_like(travelled)  # of leaders that are no agents of the scene
    found: list[tuple[Tensor, Tensor]] = []
    for _ in range(steps):
        for _ in range(parts):
            leader_speed = torch.where(own, speed.gather(1, index), traffic.leader_speed)
            leader_travelled = torch.where(own, travelled.gather(1, index), other)
            gap = traffic.gap + leader_travelled - travelled
            change = acceleration(speed, desired, gap, speed - leader_speed, traffic.followed, p)
            change = torch.where(traffic.driven, change, 0.0)
            faster = speed + change * h
            stops = faster < 0
            distance = torch.where(stops, speed.square() / (-2 * torch.where(stops, change, -1.0)), (speed + faster) / 2 * h)
            speed, travelled, other = faster.clamp_min(0), travelled + distance, other + traffic.leader_speed * h
        found.append((travelled, speed))
    return torch.stack([t for t, _ in found], dim=1), torch.stack([v for _, v in found], dim=1)
