"""Boxes that overlap, and who gives way to whom."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from twm_core.evaluation.boxes import signed_distance
from twm_core.nn.collision_avoidance import avoid_collisions, overlap

SEEDS = st.integers(0, 10**6)
CAR = torch.tensor([4.0, 2.0])


@given(SEEDS)
def test_rectangles_overlap_where_their_distance_is_negative(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(64, 3, generator=g).double() * torch.tensor([3.0, 3.0, 2.0]) for _ in range(2))
    sizes = [torch.rand(64, 2, generator=g).double() * 4 + 0.2 for _ in range(2)]
    apart = signed_distance(a, sizes[0], b, sizes[1], 0.0)
    clear = apart.abs() > 1e-6
    assert torch.equal(overlap(a, sizes[0] / 2, b, sizes[1] / 2)[clear], (apart < 0)[clear])


def scene(*agents: tuple[float, float, float, float], steps: int = 10) -> tuple[Tensor, Tensor, Tensor]:
    """Agents x, y, heading, metres in a step, straight on: states `[1,H,A,5]`, poses now `[1,A,3]`, sizes."""
    now = torch.tensor([a[:3] for a in agents])[None]
    speed = torch.tensor([a[3] for a in agents])
    way = torch.stack([now[0, :, 2].cos(), now[0, :, 2].sin()], dim=-1) * speed[:, None]
    h = torch.arange(1, steps + 1)[:, None, None]
    xy = now[0, :, :2] + h * way
    return torch.cat([xy, now[..., 2:].expand(steps, -1, 1), way.expand(steps, -1, 2)], dim=-1)[None], now, CAR.expand(1, len(agents), 2)


def go(states: Tensor, now: Tensor, size: Tensor, here: Tensor | None = None) -> Tensor:
    return avoid_collisions(states, now, size, torch.ones(now.shape[:2]).bool() if here is None else here, torch.ones(len(now)))


def touching(states: Tensor, size: Tensor) -> int:
    """Pairs and steps at which boxes overlap."""
    count = 0
    for i in range(states.shape[2]):
        for j in range(i):
            a, b = states[:, :, i, :3].flatten(0, 1), states[:, :, j, :3].flatten(0, 1)
            count += int(overlap(a, size[0, i].expand(len(a), 2) / 2, b, size[0, j].expand(len(a), 2) / 2).sum())
    return count


def test_who_meets_nobody_keeps_its_future_to_the_last_bit() -> None:
    states, now, size = scene((0.0, 0.0, 0.0, 1.3), (0.0, 5.0, 0.0, 2.1), (50.0, 0.0, 1.0, 0.7))
    assert torch.equal(go(states, now, size), states)


def test_a_follower_stops_behind_a_leader_that_stands_and_the_leader_never_moves() -> None:
    states, now, size = scene((0.0, 0.0, 0.0, 2.0), (12.0, 0.0, 0.0, 0.0))
    done = go(states, now, size)
    assert touching(states, size) > 0
    assert touching(done, size) == 0
    assert torch.equal(done[:, :, 1], states[:, :, 1])
    assert 7.0 <= float(done[0, -1, 0, 0]) <= 8.0  # bumper to bumper would be 12 - 4
    assert bool((done[0, :, 0, 1] == 0).all())  # on its own path
    assert float(done[0, -1, 0, 3]) == 0.0  # and its velocity says that it stands


def test_a_queue_passes_the_standstill_on() -> None:
    states, now, size = scene((30.0, 0.0, 0.0, 0.0), *((20.0 - 6.0 * i, 0.0, 0.0, 2.0) for i in range(3)))
    assert touching(go(states, now, size), size) == 0


def test_at_a_crossing_one_waits_and_then_goes_on() -> None:
    states, now, size = scene((-10.0, 0.0, 0.0, 1.0), (0.0, -12.0, math.pi / 2, 1.0), steps=24)
    done = go(states, now, size)
    assert touching(states, size) > 0
    assert touching(done, size) == 0
    assert torch.equal(done[:, :, 0], states[:, :, 0])  # it is in front of the other one
    assert float(done[0, -1, 1, 1]) > 3.0


def test_boxes_that_overlap_already_are_left_alone() -> None:
    states, now, size = scene((0.0, 0.0, 0.0, 1.0), (1.0, 0.0, 0.0, 0.5))
    assert torch.equal(go(states, now, size), states)


def test_absent_agents_and_those_without_a_size_are_in_nobodys_way() -> None:
    states, now, size = scene((0.0, 0.0, 0.0, 2.0), (12.0, 0.0, 0.0, 0.0))
    assert torch.equal(go(states, now, size, torch.tensor([[True, False]])), states)
    assert torch.equal(go(states, now, size * torch.tensor([1.0, 0.0])[:, None]), states)


@given(SEEDS)
def test_giving_way_never_adds_an_overlap_and_does_not_depend_on_the_order_of_agents_or_on_the_frame(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    agents = [(*(torch.randn(2, generator=g) * 12).tolist(), *(torch.randn(1, generator=g) * 3).tolist(), 1.5) for _ in range(6)]
    states, now, size = (x.double() for x in scene(*agents))
    done = go(states, now, size)
    assert touching(done, size) <= touching(states, size)
    order = torch.randperm(6, generator=g)
    torch.testing.assert_close(go(states[:, :, order], now[:, order], size), done[:, :, order])
    moved = torch.tensor([7.0, -3.0]).double()
    shifted = go(torch.cat([states[..., :2] + moved, states[..., 2:]], -1), torch.cat([now[..., :2] + moved, now[..., 2:]], -1), size)
    torch.testing.assert_close(shifted[..., :2] - moved, done[..., :2])
