"""What an agent sees: in its own frame and the scene's it does not depend on where the world's axes lie."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from twm_core import Feature, KeySpec
from twm_multiagent.features import FrameName, NeighbourFeatures, OwnFeatures, rotate

WORLD = ("vy", "x", "heading", "ax", "vx", "y", "ay")
FEATURES = (
    *(Feature(name=n, frame="world", kind="angle" if n == "heading" else "continuous") for n in WORLD),
    Feature(name="length"),
    Feature(name="signal", kind="categorical", size=3),
    Feature(name="lane_angle", kind="angle"),
    Feature(name="fresh", kind="flag"),
    Feature(name="width"),
)
STATE = KeySpec(key="agents.state", axes="B T A F", shape=(len(FEATURES),), features=FEATURES)
AT = {f.name: i for i, f in enumerate(FEATURES)}
SEEDS = st.integers(0, 10**6)


def scene(seed: int, n: int = 2, a: int = 6, presence: float = 0.8) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    state = torch.randn(n, a, len(FEATURES), generator=g, dtype=torch.float64) * 5
    state[..., AT["signal"]] = torch.randint(0, 3, (n, a), generator=g).double()
    return state, torch.rand(n, a, generator=g) < presence


def moved(state: Tensor, angle: float, dx: float, dy: float) -> Tensor:
    """The world turned by an angle, then shifted."""
    new = state.clone()
    c, s = math.cos(angle), math.sin(angle)
    for x, y in (("x", "y"), ("vx", "vy"), ("ax", "ay")):
        new[..., AT[x]] = c * state[..., AT[x]] - s * state[..., AT[y]]
        new[..., AT[y]] = s * state[..., AT[x]] + c * state[..., AT[y]]
    new[..., AT["x"]] += dx
    new[..., AT["y"]] += dy
    new[..., AT["heading"]] += angle
    return new


def own(state: Tensor, frame: FrameName = "agent", exists: Tensor | None = None) -> Tensor:
    """Own features of a state, everybody existing unless said otherwise."""
    here = torch.ones(state.shape[:-1], dtype=torch.bool) if exists is None else exists
    return OwnFeatures(STATE, frame)(state, here)


MOVES = st.tuples(st.floats(-7, 7), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))


@pytest.mark.parametrize("frame", ["agent", "scene"])
@given(seed=SEEDS, move=MOVES)
def test_own_features_do_not_change_when_the_world_is_turned_and_shifted(
    frame: FrameName, seed: int, move: tuple[float, float, float]
) -> None:
    state, exists = scene(seed)
    exists[:, 0] = True  # where nobody is there, the scene has no frame
    torch.testing.assert_close(own(moved(state, *move), frame, exists)[exists], own(state, frame, exists)[exists])


@given(SEEDS)
def test_features_in_the_world_by_hand(seed: int) -> None:
    state, _ = scene(seed, n=1, a=2)
    out = own(state, "world")
    assert out.shape[-1] == OwnFeatures(STATE, "world").width == 4 + 4 + 3 + 2 + 3
    for a in range(2):
        v = {n: float(state[0, a, i]) for n, i in AT.items()}
        pose = [v["x"], v["y"], math.cos(v["heading"]), math.sin(v["heading"])]
        np.testing.assert_allclose(out[0, a, :8].numpy(), [*pose, v["vx"], v["vy"], v["ax"], v["ay"]], atol=1e-9)
    torch.testing.assert_close(out[..., 8:], own(state)[..., 4:])


@given(SEEDS)
def test_features_in_the_scene_by_hand(seed: int) -> None:
    state, exists = scene(seed, n=1, a=5)
    here = np.flatnonzero(exists[0].numpy())
    out = own(state, "scene", exists)
    if not len(here):
        torch.testing.assert_close(out, own(state, "world"))
        return
    v = {n: state[0, :, i].numpy() for n, i in AT.items()}
    middle = v["x"][here].mean() + 1j * v["y"][here].mean()
    turn = np.angle(np.exp(1j * v["heading"][here]).sum())
    for a in here:
        at = (v["x"][a] + 1j * v["y"][a] - middle) * np.exp(-1j * turn)
        way = np.exp(1j * (v["heading"][a] - turn))
        velocity = (v["vx"][a] + 1j * v["vy"][a]) * np.exp(-1j * turn)
        expected = [at.real, at.imag, way.real, way.imag, velocity.real, velocity.imag]
        np.testing.assert_allclose(out[0, a, :6].numpy(), expected, atol=1e-6)


@given(SEEDS)
def test_own_features_by_hand(seed: int) -> None:
    state, _ = scene(seed, n=1, a=2)
    out = own(state)
    assert out.shape[-1] == OwnFeatures(STATE).width == 4 + 3 + 2 + 3
    for a in range(2):
        v = {n: float(state[0, a, i]) for n, i in AT.items()}
        c, s = math.cos(v["heading"]), math.sin(v["heading"])
        expected = [v["vx"] * c + v["vy"] * s, v["vy"] * c - v["vx"] * s, v["ax"] * c + v["ay"] * s, v["ay"] * c - v["ax"] * s]
        expected += [v["length"], v["fresh"], v["width"], math.sin(v["lane_angle"]), math.cos(v["lane_angle"])]
        expected += [float(v["signal"] == k) for k in range(3)]
        np.testing.assert_allclose(out[0, a].numpy(), expected, atol=1e-9)


def test_position_and_heading_drop_out() -> None:
    state, _ = scene(0)
    other = state.clone()
    other[..., [AT["x"], AT["y"]]] += 100
    assert torch.equal(own(state), own(other))


def test_accelerations_are_optional() -> None:
    names = ("x", "y", "heading", "vx", "vy")
    plain = KeySpec(key="agents.state", axes="B T A F", features=tuple(Feature(name=n, frame="world") for n in names))
    assert OwnFeatures(plain).width == 2
    assert NeighbourFeatures(plain, 2).width == 9


def test_a_class_out_of_range_is_clamped() -> None:
    state, _ = scene(0, n=1, a=1)
    state[..., AT["signal"]] = 99
    assert own(state)[0, 0, -3:].tolist() == [0, 0, 1]


@given(SEEDS, MOVES)
def test_neighbours_do_not_change_when_the_world_is_turned_and_shifted(seed: int, move: tuple[float, float, float]) -> None:
    state, exists = scene(seed)
    look = NeighbourFeatures(STATE, 3)
    here, real = look(state, exists)
    there, real_there = look(moved(state, *move), exists)
    # The order among the K neighbours means nothing, so both are sorted by their distance.
    assert torch.equal(real.sum(-1), real_there.sum(-1))
    torch.testing.assert_close(by_distance(there, real_there), by_distance(here, real), atol=1e-6, rtol=1e-6)


def by_distance(pairs: Tensor, real: Tensor) -> Tensor:
    order = pairs[..., 4].masked_fill(~real, torch.inf).argsort(dim=-1)
    return pairs.gather(2, order[..., None].expand_as(pairs))


@given(SEEDS, st.integers(1, 8), st.integers(1, 7), st.sampled_from([0.0, 0.4, 1.0]))
def test_neighbours_are_the_nearest_by_brute_force(seed: int, nearest: int, agents: int, presence: float) -> None:
    state, exists = scene(seed, a=agents, presence=presence)
    pairs, real = NeighbourFeatures(STATE, nearest)(state, exists)
    assert pairs.shape == (2, agents, min(nearest, agents), 11)
    for n in range(2):
        for i in range(agents):
            me = {k: float(state[n, i, j]) for k, j in AT.items()}
            c, s = math.cos(me["heading"]), math.sin(me["heading"])
            rows = []
            for j in range(agents):
                if i == j or not exists[n, i] or not exists[n, j]:
                    continue
                you = {k: float(state[n, j, at]) for k, at in AT.items()}
                dx, dy, du, dv = (you[k] - me[k] for k in ("x", "y", "vx", "vy"))
                px, py, wx, wy = dx * c + dy * s, dy * c - dx * s, du * c + dv * s, dv * c - du * s
                far = math.sqrt(px**2 + py**2 + 1e-6)
                log, turn = math.log1p(far), you["heading"] - me["heading"]
                row = [px / 20, py / 4, log * px / far, log * py / far, log / 3, wx / 5, wy / 5, math.cos(turn), math.sin(turn)]
                rows.append((far, [*row, you["length"] / 5, you["width"] / 5]))
            expected = [row for _, row in sorted(rows)[:nearest]]
            assert int(real[n, i].sum()) == len(expected)
            found = sorted(pairs[n, i][real[n, i]].tolist(), key=lambda row: row[4])
            if expected:
                np.testing.assert_allclose(found, expected, atol=1e-9)
            assert not pairs[n, i][~real[n, i]].any()


def test_rotating_into_a_frame_turns_its_own_axis_to_x() -> None:
    angle = torch.tensor([0.0, 0.5, -2.0])
    x, y = rotate(angle.cos(), angle.sin(), angle.cos(), angle.sin())
    torch.testing.assert_close(x, torch.ones(3))
    torch.testing.assert_close(y, torch.zeros(3))
