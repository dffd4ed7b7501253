"""Scenarios: ragged tracks in flat arrays, refused where the arrays contradict one another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twm_core.data.scenario import INTERPOLATED, LEFT, NOT_ENTERED, OBSERVED, OCCLUDED, PADDING, Scenario
from twm_core.data.schema import EXISTENCE_CODES
from twm_core.errors import DataError


def scenario(**changes: Any) -> Scenario:
    """Two tracks: `a` at the steps 0..2, `b` at the steps 4..5; two features."""
    fields: dict[str, Any] = {
        "id": "run-7",
        "site": "here",
        "dt": 0.1,
        "steps": 6,
        "features": ("x", "y"),
        "state": np.arange(10, dtype=np.float32).reshape(5, 2),
        "code": np.full(5, OBSERVED, dtype=np.uint8),
        "first": np.array([0, 4]),
        "length": np.array([3, 2]),
        "track": ("a", "b"),
        "type": np.array([1, 1]),
    }
    return Scenario(**{**fields, **changes})


def test_codes_number_the_words_of_the_schema() -> None:
    words = ("padding", "observed", "interpolated", "occluded", "not_entered", "left")
    assert words == EXISTENCE_CODES
    assert tuple(range(6)) == (PADDING, OBSERVED, INTERPOLATED, OCCLUDED, NOT_ENTERED, LEFT)


@given(st.lists(st.integers(1, 6), max_size=5))
def test_the_rows_of_a_track_start_where_those_before_it_end(lengths: list[int]) -> None:
    made = scenario(
        steps=6,
        state=np.zeros((sum(lengths), 2), dtype=np.float32),
        code=np.full(sum(lengths), OBSERVED, dtype=np.uint8),
        first=np.zeros(len(lengths), dtype=np.int64),
        length=np.array(lengths, dtype=np.int64),
        track=tuple(map(str, range(len(lengths)))),
        type=np.ones(len(lengths), dtype=np.int64),
    )
    assert made.offset.tolist() == [sum(lengths[:i]) for i in range(len(lengths))]


@pytest.mark.parametrize(
    "changes",
    [
        {"state": np.zeros((4, 2), dtype=np.float32)},
        {"state": np.zeros((5, 3), dtype=np.float32)},
        {"code": np.ones(4, dtype=np.uint8)},
        {"lane": np.ones(6, dtype=np.int64)},
        {"action": np.ones((4, 1), dtype=np.float32)},
        {"length": np.array([3, 3])},
    ],
    ids=["rows", "features", "codes", "lanes", "actions", "lengths"],
)
def test_arrays_of_rows_that_do_not_agree_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"scenario run-7: arrays of \d rows do not agree with tracks of \d steps"):
        scenario(**changes)


@pytest.mark.parametrize(
    "changes", [{"track": ("a",)}, {"type": np.array([1])}, {"eligible": np.array([True])}], ids=["names", "types", "eligible"]
)
def test_arrays_of_tracks_that_do_not_agree_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="scenario run-7: arrays of 2 tracks do not agree"):
        scenario(**changes)


@pytest.mark.parametrize("changes", [{"length": np.array([5, 0])}, {"first": np.array([-1, 4])}, {"first": np.array([0, 5])}, {"steps": 5}])
def test_a_track_that_is_empty_or_leaves_the_scenario_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="scenario run-7: a track is empty or leaves the"):
        scenario(**changes)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_by_track_step_and_feature(value: float) -> None:
    state = np.zeros((5, 2), dtype=np.float32)
    state[4, 1] = value
    with pytest.raises(DataError, match=r"run-7: track b, step 5: y is not a finite number \(1 such rows\)") as caught:
        scenario(state=state)
    assert caught.value.hint == "remove or repair these rows"


def test_an_action_that_is_not_finite_is_named() -> None:
    action = np.zeros((5, 1), dtype=np.float32)
    action[[1, 3]] = np.nan
    with pytest.raises(DataError, match=r"run-7: track a, step 1: action is not a finite number \(2 such rows\)"):
        scenario(action=action)


def test_what_was_not_seen_may_hold_anything() -> None:
    state = np.zeros((5, 2), dtype=np.float32)
    state[1] = np.nan
    code = np.full(5, OBSERVED, dtype=np.uint8)
    code[1] = OCCLUDED
    assert scenario(state=state, code=code).code[1] == OCCLUDED
