"""Signed distances of boxes against closed forms and against points on their outlines."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from twm_core.evaluation import boxes
from twm_core.evaluation.boxes import NOBODY, nearest_distance, signed_distance

Floats = NDArray[np.float64]


def pair(
    pose: tuple[float, ...], size: tuple[float, ...], other: tuple[float, ...], other_size: tuple[float, ...], rounding: float
) -> float:
    return float(signed_distance(*(torch.tensor(v, dtype=torch.float64) for v in (pose, size, other, other_size)), rounding))


def test_boxes_in_a_row_are_apart_by_the_space_between_their_bumpers() -> None:
    # Centres 10 m apart, half lengths 2 and 3: 10 - 2 - 3 = 5. Rounded corners change nothing on the long axis of parallel boxes.
    for rounding in (0.0, 0.7):
        assert pair((0, 0, 0), (4, 2), (10, 0, 0), (6, 2), rounding) == pytest.approx(5.0)


def test_overlapping_boxes_are_as_deep_as_the_shortest_way_apart() -> None:
    # Side by side 1.5 m apart with half widths of 1: 0.5 m deep sideways, 4 m lengthways.
    assert pair((0, 0, 0), (4, 2), (0, 1.5, 0), (4, 2), 0.0) == pytest.approx(-0.5)


def test_the_distance_of_corners_is_diagonal_and_shorter_by_what_rounding_leaves() -> None:
    # Corners 3 m and 4 m apart: 5 m. With capsules (rounding 1) of width 2 the ends are circles of radius 1 around (1, 0) and (8, 6).
    assert pair((0, 0, 0), (4, 2), (7, 6, 0), (4, 2), 0.0) == pytest.approx(5.0)
    assert pair((0, 0, 0), (4, 2), (9, 6, 0), (4, 2), 1.0) == pytest.approx(math.hypot(7, 6) - 2)


def test_a_box_turned_by_45_degrees_touches_with_its_corner() -> None:
    # A square of 2 m turned by 45 degrees reaches sqrt(2) to each side.
    assert pair((0, 0, 0), (2, 2), (5, 0, math.pi / 4), (2, 2), 0.0) == pytest.approx(5 - 1 - math.sqrt(2))


def outline(pose: Floats, size: Floats, count: int = 400) -> Floats:
    """Points on the outline of a rectangle."""
    t = np.linspace(-0.5, 0.5, count)
    sides = [np.stack([t, np.full(count, s)], axis=1) for s in (-0.5, 0.5)] + [
        np.stack([np.full(count, s), t], axis=1) for s in (-0.5, 0.5)
    ]
    own = np.concatenate(sides) * size
    c, s = np.cos(pose[2]), np.sin(pose[2])
    return pose[:2] + own @ np.array([[c, s], [-s, c]])


def holds(pose: Floats, size: Floats, points: Floats) -> bool:
    c, s = np.cos(pose[2]), np.sin(pose[2])
    own = (points - pose[:2]) @ np.array([[c, -s], [s, c]])
    return bool((np.abs(own) <= size / 2).all(axis=1).any())


@given(
    st.tuples(*[st.floats(-6, 6)] * 2, *[st.floats(-3.2, 3.2)] * 2),
    st.tuples(st.floats(1, 6), st.floats(0.5, 3), st.floats(1, 6), st.floats(0.5, 3)),
)
def test_sharp_boxes_agree_with_points_on_their_outlines(place: tuple[float, ...], sizes: tuple[float, ...]) -> None:
    one, other = np.array([0.0, 0.0, place[2]]), np.array([place[0], place[1], place[3]])
    a, b = np.array(sizes[:2]), np.array(sizes[2:])
    found = pair(tuple(one), tuple(a), tuple(other), tuple(b), 0.0)
    first, second = outline(one, a), outline(other, b)
    touching = holds(one, a, second) or holds(other, b, first)
    if touching:
        assert found <= 1e-6
        # Shifted by the depth in the best direction, and not by less in any, they part.
        ways = np.linspace(0, 2 * np.pi, 721)
        steps = np.stack([np.cos(ways), np.sin(ways)], axis=1)
        apart = [pair(tuple(one), tuple(a), (*(other[:2] + (abs(found) + 0.05) * w), other[2]), tuple(b), 0.0) for w in steps[::4]]
        assert max(apart) > -0.02
        less = [pair(tuple(one), tuple(a), (*(other[:2] + abs(found) * 0.95 * w), other[2]), tuple(b), 0.0) for w in steps[::4]]
        assert max(less) <= 1e-6
    else:
        brute = np.sqrt(((first[:, None] - second) ** 2).sum(-1)).min()
        assert found == pytest.approx(brute, abs=0.02)


def scattered(agents: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    pose = torch.rand(5, agents, 3, generator=generator) * torch.tensor([40.0, 40.0, 6.0])
    size = torch.rand(agents, 2, generator=generator) * torch.tensor([18.0, 2.0]) + 0.5
    return pose, size, torch.rand(5, agents, generator=generator) > 0.2


@pytest.mark.parametrize("agents", [1, 2, 4, 5, 6, 23])
def test_the_nearest_is_the_same_as_when_every_pair_is_looked_at(agents: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "_AT_ONCE", 50)
    pose, size, here = scattered(agents, agents)
    mine = torch.arange(0, agents, 2)
    found = nearest_distance(pose, size, here, mine, 0.7)
    for n in range(5):
        for m, i in enumerate(mine.tolist()):
            every = [
                float(signed_distance(pose[n, i], size[i], pose[n, j], size[j], 0.7)) for j in range(agents) if j != i and bool(here[n, j])
            ]
            assert float(found[n, m]) == pytest.approx(min(every, default=NOBODY), abs=1e-4)
