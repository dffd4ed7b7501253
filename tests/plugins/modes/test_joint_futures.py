"""Futures of a scene: the order of progress."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from twm_modes.joint import by_progress


def ends(*metres: float, angle: float = 0.0) -> Tensor:
    """One agent that goes so many metres in as many futures, in the direction of `angle`; `[1,K,2,1,2]`."""
    last = torch.tensor(metres)[:, None] * torch.tensor([math.cos(angle), math.sin(angle)])
    return torch.stack([torch.zeros_like(last), last], dim=1)[None, :, :, None]


@pytest.mark.parametrize("angle", [0.0, 1.0, 3.0, -2.0])
def test_the_slowest_future_is_first_wherever_the_agent_goes(angle: float) -> None:
    assert by_progress(ends(5.0, 2.0, 9.0, -1.0, angle=angle))[0, :, 0].tolist() == [3, 1, 0, 2]


def test_futures_of_equal_progress_keep_their_order() -> None:
    assert by_progress(ends(4.0, 4.0, 1.0, 4.0))[0, :, 0].tolist() == [2, 0, 1, 3]


def test_a_follower_brakes_in_the_future_in_which_its_leader_does() -> None:
    both = torch.cat([ends(5.0, 18.0), ends(18.0, 5.0) + torch.tensor([10.0, 0.0])], dim=3)  # future 1: one goes on, the other brakes
    assert (both[0, :, -1, 1, 0] - both[0, :, -1, 0, 0]).tolist() == [23.0, -3.0]
    paired = both.gather(1, by_progress(both)[:, :, None, :, None].expand_as(both))
    assert (paired[0, :, -1, 1, 0] - paired[0, :, -1, 0, 0]).tolist() == [10.0, 10.0]
