"""Splits are compared by what they hold: the same movement in two of them is found, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from twm_core.data.scenario import OBSERVED, Scenario
from twm_core.data.windows import split_content
from twm_core.data.windows.protocol import Part
from twm_core.data.windows.split_content import check_splits
from twm_core.errors import DataError

STEPS = 60


def scenario(name: str, paths: np.ndarray, **changes: Any) -> Scenario:
    """Agents on `paths` `[N, T, 2]`, all there from the first to the last step."""
    count, steps = paths.shape[:2]
    given: dict[str, Any] = {
        "id": name,
        "site": name,
        "dt": 0.1,
        "steps": steps,
        "features": ("x", "y"),
        "state": paths.reshape(-1, 2).astype(np.float32),
        "code": np.full(count * steps, OBSERVED, dtype=np.uint8),
        "first": np.zeros(count, dtype=np.int64),
        "length": np.full(count, steps, dtype=np.int64),
        "track": tuple(f"{name}-{i}" for i in range(count)),
        "type": np.zeros(count, dtype=np.int64),
    }
    return Scenario(**{**given, **changes})


def drives(count: int = 3, seed: int = 0, steps: int = STEPS) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.cumsum(1 + 0.05 * random.normal(size=(count, steps, 2)), axis=1)


def check(train: Scenario, test: Scenario, parts: tuple[Part | None, Part | None] = (None, None)) -> None:
    check_splits({"train": [train], "val": [], "test": [test]}, {"train": [parts[0]], "val": [], "test": [parts[1]]})


def own(begin: int, end: int, *tracks: int, of: int = 3) -> Part:
    return Part(begin, end, np.isin(np.arange(of), tracks))


def test_other_movement_in_two_splits_is_fine() -> None:
    check(scenario("a", drives(seed=1)), scenario("b", drives(seed=2)))


@pytest.mark.parametrize("begin", [0, 7, 40])
def test_a_stretch_of_a_recording_in_another_split_is_found_in_any_place_and_direction(begin: int) -> None:
    whole = drives()
    turned = (whole[:2, begin:] @ np.array([[0.6, 0.8], [-0.8, 0.6]]) + 500)[::-1]
    with pytest.raises(
        DataError, match=r"scenario a in train and scenario b in test hold the same recorded movement: track a-.* is track b-"
    ):
        check(scenario("a", whole), scenario("b", turned))


@pytest.mark.parametrize("steps", [7, 30])
def test_a_copy_is_found_however_short_it_is(steps: int) -> None:
    paths = drives(steps=steps)
    with pytest.raises(
        DataError, match=f"scenario a in train and scenario b in test hold the same tracks: both use steps 0 to {steps - 1} of 3"
    ):
        check(scenario("a", paths), scenario("b", paths))


def test_what_stands_or_moves_evenly_tells_nothing() -> None:
    even = np.broadcast_to(np.arange(STEPS)[None, :, None] * np.array([1.0, 0.5]), (3, STEPS, 2))
    check(scenario("a", even), scenario("b", even))
    check(scenario("a", np.zeros((3, STEPS, 2))), scenario("b", np.zeros((3, STEPS, 2))))


def test_agents_that_all_move_alike_tell_nothing() -> None:
    """As simulated vehicles do that start from one place, one after another."""
    one = drives(1, steps=STEPS + 20)[0]
    platoon = np.stack([one[i : i + STEPS] for i in (0, 9, 20)])
    check(scenario("a", platoon), scenario("b", platoon[:, 3:]))


def test_one_vehicle_that_moves_like_one_elsewhere_tells_nothing_and_at_the_same_place_it_does() -> None:
    one = drives(1)
    check(scenario("a", one), scenario("b", one[:, 5:] + 100))
    with pytest.raises(DataError, match="hold the same recorded movement"):
        check(scenario("a", one), scenario("b", one[:, 5:]))
    with pytest.raises(DataError, match="hold the same recorded movement"):
        check(scenario("a", one), scenario("b", one[:, 5:] - 100, origin=(100.0, 100.0)))


def test_splits_may_share_a_scenario_but_no_vehicle_at_one_time() -> None:
    whole = scenario("a", drives())
    check(whole, whole, (own(0, STEPS, 0, 1), own(0, STEPS, 2)))
    check(whole, whole, (Part(0, 30), Part(30, STEPS)))
    for parts in ((own(0, STEPS, 0, 1), own(0, STEPS, 1)), (Part(0, 31), Part(30, STEPS)), (None, None)):
        with pytest.raises(DataError, match="scenario a in train and scenario a in test hold the same tracks"):
            check(whole, whole, parts)


def test_what_is_context_only_may_stand_in_two_splits() -> None:
    paths = drives()
    one, two = scenario("a", paths), scenario("b", paths[:, 4:])
    check(one, two, (own(0, STEPS, 0), own(0, STEPS - 4, 1, 2)))
    scored = replace(two, eligible=np.array([False, True, True]))
    check(one, scored, (own(0, STEPS, 0), None))
    # The other tracks, which training does not use, show that it is one recording.
    message = "track a-1 from step .* is track b-1 from step .*, and 3 track"
    with pytest.raises(DataError, match=message):
        check(one, scored, (own(0, STEPS, 0, 1), None))


def test_stretches_of_an_overlap_that_lie_in_one_split_are_fine() -> None:
    whole = drives(steps=100)
    one, two = scenario("a", whole[:, :70]), scenario("b", whole[:, 30:])
    check(one, two, (Part(0, 50), Part(20, 70)))
    with pytest.raises(DataError, match="hold the same recorded movement"):
        check(one, two, (Part(0, 70), Part(20, 70)))


def test_interpolated_movement_is_found() -> None:
    keys = drives(steps=40)
    steps = np.arange(39 * 5) / 5
    paths = np.stack([np.stack([np.interp(steps, np.arange(40), k[:, axis]) for axis in (0, 1)], axis=1) for k in keys])
    with pytest.raises(DataError, match="hold the same recorded movement"):
        check(scenario("a", paths[:, :120]), scenario("b", paths[:, 63:]))


def test_of_many_rows_a_part_is_compared_and_an_overlap_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_content, "MOST", 500)
    whole = drives(12, steps=400)
    with pytest.raises(DataError, match="hold the same recorded movement"):
        check(scenario("a", whole), scenario("b", whole[:, 100:]))
    check(scenario("a", whole), scenario("b", drives(12, seed=2, steps=400)))
