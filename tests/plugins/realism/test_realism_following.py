"""Leaders, spaces and times to collision, by closed form and by a loop."""

from __future__ import annotations

import math

import pytest
import torch

from twm_realism.following import LONGEST, following

SIZE = torch.tensor([[4.0, 2.0], [6.0, 2.0], [4.0, 2.0]])


def ask(*poses: tuple[float, float, float], speeds: tuple[float, ...], here: tuple[bool, ...] | None = None) -> tuple[float, float]:
    pose, speed = torch.tensor([poses]), torch.tensor([speeds])
    there = torch.tensor([here or (True,) * len(poses)])
    found = following(pose, speed, SIZE[: len(poses)], there, torch.tensor([0]))
    return float(found.space), float(found.time_to_collision(speed[:, :1]))


def test_time_to_collision_is_space_over_closing_speed() -> None:
    # Centres 25 m apart, minus 2 m and 3 m: 20 m of space, closed at 15 - 10 = 5 m/s: 4 s.
    assert ask((0, 0, 0), (25, 0, 0), speeds=(15.0, 10.0)) == pytest.approx((20.0, 4.0))


@pytest.mark.parametrize("speeds", [(10.0, 10.0), (8.0, 10.0), (10.5, 10.0)])
def test_who_does_not_close_in_or_only_slowly_has_the_longest_time(speeds: tuple[float, float]) -> None:
    assert ask((0, 0, 0), (25, 0, 0), speeds=speeds)[1] == LONGEST


def test_the_nearest_one_that_is_there_leads() -> None:
    poses = ((0.0, 0.0, 0.0), (60.0, 0.0, 0.0), (25.0, 0.0, 0.0))
    assert ask(*poses, speeds=(15.0, 10.0, 5.0)) == pytest.approx((21.0, 2.1))
    assert ask(*poses, speeds=(15.0, 10.0, 5.0), here=(True, True, False))[0] == pytest.approx(55.0)


@pytest.mark.parametrize(
    ("pose", "follows"),
    [
        ((25.0, 1.9, 0.0), True),  # widths overlap by 0.1 m, same direction
        ((25.0, 2.1, 0.0), False),  # 0.1 m apart sideways
        ((-25.0, 0.0, 0.0), False),  # behind
        ((25.0, 0.0, math.pi), False),  # towards me
        ((25.0, 0.0, math.radians(74)), True),
        ((25.0, 0.0, math.radians(76)), False),
        ((25.0, 2.0, math.radians(9)), True),  # small overlap, nearly parallel
        ((25.0, 3.0, math.radians(30)), False),  # small overlap (0.63 m of half length 3 at 30 degrees: 0.37), turned
        ((25.0, 0.0, 2 * math.pi), True),  # the same heading, once around
    ],
)
def test_following_means_ahead_in_the_way_and_in_about_the_same_direction(pose: tuple[float, float, float], follows: bool) -> None:
    assert math.isfinite(ask((0.0, 0.0, 0.0), pose, speeds=(10.0, 5.0))[0]) is follows


def test_it_holds_in_every_frame() -> None:
    turn, shift = 2.5, torch.tensor([100.0, -40.0])
    c, s = math.cos(turn), math.sin(turn)
    there = torch.tensor([[0.0, 0.0], [25.0, 0.5]]) @ torch.tensor([[c, s], [-s, c]]) + shift
    poses = [(float(x), float(y), turn) for x, y in there]
    assert ask(*poses, speeds=(15.0, 10.0)) == pytest.approx((20.0, 4.0), abs=1e-4)
