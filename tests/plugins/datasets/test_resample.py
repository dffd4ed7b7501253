"""Other time steps: rows left out or interpolated, differences taken anew, and where a prediction may start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twm_core.data.scenario import INTERPOLATED, OBSERVED, OCCLUDED, Lights, Scenario
from twm_core.errors import DataError
from twm_datasets.resample import kept_tracks, resample

FEATURES = ("x", "y", "heading", "vx", "vy", "ax", "length", "lane_known", "fresh")
DIFFERENCES = {"vx": "backward differences of x", "ax": "backward differences of vx"}


def drive(spans: list[tuple[int, int]], steps: int, *, dt: float = 0.1, provenance: dict[str, str] | None = None) -> Scenario:
    """Tracks at x = (time)^2, y = 3 time, with headings that grow by 1 rad/s across pi."""
    first, length = np.array(spans, dtype=np.int64).T
    step = np.concatenate([f + np.arange(n) for f, n in spans])
    time = step * dt
    zero = np.zeros(len(step))
    heading = (3.0 + time + np.pi) % (2 * np.pi) - np.pi
    state = np.stack([time**2, 3 * time, heading, 2 * time - dt, zero + 3, zero + 2, zero + 4.5, zero + 1, zero], axis=1)
    return Scenario(
        id="drive",
        site="here",
        dt=dt,
        steps=steps,
        features=FEATURES,
        state=state.astype(np.float32),
        code=np.full(len(step), OBSERVED, dtype=np.uint8),
        first=first,
        length=length,
        track=tuple(f"t{i}" for i in range(len(spans))),
        type=np.arange(1, len(spans) + 1),
        lane=np.asarray(step + 1),
        provenance=DIFFERENCES if provenance is None else provenance,
    )


def column(scenario: Scenario, name: str) -> np.ndarray:
    return scenario.state[:, FEATURES.index(name)]


def test_every_third_row_is_kept_and_differenced_over_the_new_step() -> None:
    made = resample(drive([(0, 10), (4, 5)], 10), 0.3)
    # Old steps 0, 3, 6, 9; the second track covers 4 to 8, of which 6 is kept.
    assert (made.steps, made.first.tolist(), made.length.tolist()) == (4, [0, 2], [4, 1])
    np.testing.assert_allclose(column(made, "x"), [0, 0.09, 0.36, 0.81, 0.36], atol=1e-6)
    np.testing.assert_allclose(column(made, "vx"), [0, 0.3, 0.9, 1.5, 0], atol=1e-5)
    # The first velocity is unknown, so the first acceleration is that of the third row.
    np.testing.assert_allclose(column(made, "ax"), [0, 0, 2, 2, 0], atol=1e-4)
    assert column(made, "vy").tolist() == [3] * 5
    assert column(made, "fresh").tolist() == [1, 0, 0, 0, 1]
    assert (made.code == OBSERVED).all()
    assert made.anchors is None
    assert made.provenance["vx"] == "backward differences of x; 1 step of 3"


def test_rows_between_old_steps_are_interpolated_and_flagged() -> None:
    made = resample(drive([(0, 5)], 5, dt=0.25), 0.1)
    assert made.steps == 11
    assert made.anchors is not None
    # 0.1 n is a multiple of 0.25 for n = 0, 5, 10.
    assert np.flatnonzero(made.anchors).tolist() == [0, 5, 10]
    assert np.flatnonzero(made.code == OBSERVED).tolist() == [0, 5, 10]
    assert (made.code != OCCLUDED).all()
    # x is 0, 0.0625, 0.25 at 0, 0.25, 0.5 s: at 0.1 s 0.4 of the way, at 0.3 s 0.2 of the second.
    np.testing.assert_allclose(column(made, "x")[[1, 3]], [0.025, 0.0625 + 0.2 * 0.1875], atol=1e-6)
    np.testing.assert_allclose(column(made, "vx")[1:], np.diff(column(made, "x")) / 0.1, atol=1e-5)
    # Headings go the short way across pi.
    np.testing.assert_allclose(np.cos(column(made, "heading")), np.cos(3.0 + 0.1 * np.arange(11)), atol=1e-5)
    assert column(made, "lane_known").tolist() == [1] * 11
    assert made.lane is not None
    assert made.lane.tolist() == [1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 5]
    assert "interpolated to steps of 0.1 s from 0.25 s" in made.provenance["x"]


def test_nothing_is_interpolated_across_a_hole() -> None:
    before = drive([(0, 5)], 5, dt=0.2)
    code = before.code.copy()
    code[2] = OCCLUDED
    made = resample(replace(before, code=code), 0.1)
    assert made.code.tolist() == [OBSERVED, INTERPOLATED, OBSERVED, OCCLUDED, OCCLUDED, OCCLUDED, OBSERVED, INTERPOLATED, OBSERVED]
    assert not made.state[3:6].any()
    # Over the hole the real time is taken: x went from 0.04 to 0.36 in 0.4 s.
    assert column(made, "vx")[6] == pytest.approx((0.36 - 0.04) / 0.4, rel=1e-5)


def test_measured_velocities_stay_as_they_are() -> None:
    made = resample(drive([(0, 9)], 9, provenance={}), 0.2)
    np.testing.assert_allclose(column(made, "vx"), 2 * 0.2 * np.arange(5) - 0.1, atol=1e-6)
    assert column(made, "ax").tolist() == [2] * 5


def test_the_same_step_gives_the_same_scenario() -> None:
    scenario = drive([(0, 5)], 5)
    assert resample(scenario, 0.1 + 1e-12) is scenario


def test_anchors_of_the_original_are_obeyed() -> None:
    anchors = np.arange(9) % 4 == 0
    scenario = replace(drive([(0, 9)], 9), anchors=anchors)
    half, double = resample(scenario, 0.2), resample(scenario, 0.05)
    assert half.anchors is not None
    assert double.anchors is not None
    assert np.flatnonzero(half.anchors).tolist() == [0, 2, 4]
    assert np.flatnonzero(double.anchors).tolist() == [0, 8, 16]


def test_tracks_between_two_new_steps_are_named() -> None:
    scenario = drive([(0, 9), (1, 2), (4, 4)], 9)
    made = resample(scenario, 0.4)
    assert made.track == ("t0", "t2")
    assert made.type.tolist() == [1, 3]
    assert kept_tracks(scenario, made).tolist() == [0, -1, 1]
    with pytest.raises(DataError, match=r"no track has a row at one of its steps of 0\.5 s"):
        resample(drive([(1, 3)], 9), 0.5)


def test_lights_and_lanes_keep_their_state_until_it_changes() -> None:
    lights = Lights(("a",), np.array([[0, 1, 2, 3, 4]], dtype=np.uint8), np.zeros((1, 2)))
    made = resample(replace(drive([(0, 5)], 5, dt=0.25), lights=lights), 0.1)
    assert made.lights is not None
    assert made.lights.state[0].tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4]


@given(
    st.sampled_from([(0.1, 0.2), (0.25, 0.1), (0.1, 0.04), (0.04, 0.1), (1 / 30, 0.1), (0.4, 0.1), (0.1, 0.15)]),
    st.integers(0, 20),
    st.integers(0, 99),
)
def test_an_anchor_and_what_comes_before_it_do_not_know_later_rows(rates: tuple[float, float], where: int, seed: int) -> None:
    old, new = rates
    scenario = drive([(0, 40), (7, 30), (15, 20)], 40, dt=old)
    made = resample(scenario, new)
    anchors = np.arange(made.steps) if made.anchors is None else np.flatnonzero(made.anchors)
    now = int(anchors[where % len(anchors)])
    rng = np.random.default_rng(seed)
    at = np.concatenate([f + np.arange(n) for f, n in zip(scenario.first, scenario.length, strict=True)])
    later = at * old > now * new + 1e-6
    state = scenario.state.copy()
    state[later] += rng.normal(size=state[later].shape).astype(np.float32)
    noisy = resample(replace(scenario, state=state), new)
    step = np.concatenate([f + np.arange(n) for f, n in zip(made.first, made.length, strict=True)])
    np.testing.assert_array_equal(made.state[step <= now], noisy.state[step <= now])
    np.testing.assert_array_equal(made.code, noisy.code)
