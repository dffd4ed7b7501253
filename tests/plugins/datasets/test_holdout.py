"""The split: no vehicle is scored in two splits, no moment stands in two, and the order of files changes nothing."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from twm_core.data.dataset import SPLITS
from twm_datasets.holdout import RecordedFile, hold_out, same_moments


def speeds(vehicle: int, start: int, steps: int = 40) -> np.ndarray:
    """The speed of a vehicle at absolute steps: the same moment always has the same speed."""
    t = np.arange(start, start + steps)
    return np.round(10 + np.sin(0.3 * t + vehicle) + 0.001 * vehicle, 3)


def a_file(name: str, vehicles: list[int], start: int, recording: str = "R", site: str = "R") -> RecordedFile:
    return RecordedFile(name, recording, site, {str(v): speeds(v, start) for v in vehicles})


def test_files_that_show_the_same_moments_stay_together():
    a, b, c = a_file("a", [1, 2], 0), a_file("b", [2, 3], 25), a_file("c", [2, 4], 500)
    assert [[f.name for f in g] for g in same_moments([c, b, a])] == [["a", "b"], ["c"]]


def test_standing_vehicles_do_not_tie_files_together():
    still = [RecordedFile(n, "R", "R", {"1": np.zeros(40)}) for n in "ab"]
    assert len(same_moments(still)) == 2


def test_a_recording_is_cut_in_time_into_all_three_splits():
    files = [a_file(f"f{i}", list(range(10 * i, 10 * i + 10)), 100 * i) for i in range(10)]
    held = hold_out(files)
    by_split = {s: sorted(n for n, x in held.file.items() if x == s) for s in SPLITS}
    assert sum(map(len, by_split.values())) == 10
    assert len(by_split["train"]) == 7
    for names in by_split.values():
        numbers = [int(n[1:]) for n in names]
        assert numbers == list(range(numbers[0], numbers[-1] + 1)), "runs of files in time"


def test_every_site_of_a_recording_is_trained_on():
    # By shares alone the small file `a` would be held out; it is the only one of its site.
    files = [a_file("a", [0], 0, site="X")] + [
        a_file(n, list(range(v, v + 4)), 100 * v, site="Y") for n, v in (("b", 10), ("c", 20), ("d", 30))
    ]
    split = hold_out(files).file
    assert (split["a"], split["b"]) == ("train", "train")
    assert {split["c"], split["d"]} == {"val", "test"}


def test_recordings_of_one_file_are_cut_together():
    files = [a_file(n, list(range(10)), 0, recording=n, site=n) for n in "abcdef"]
    assert set(hold_out(files).file.values()) == set(SPLITS)


def test_a_single_file_is_training_data():
    assert hold_out([a_file("a", [1, 2], 0)]).file == {"a": "train"}


@given(
    st.lists(st.tuples(st.lists(st.integers(0, 12), min_size=1, max_size=6, unique=True), st.integers(0, 300)), min_size=1, max_size=7),
    st.randoms(use_true_random=False),
)
def test_no_vehicle_is_owned_twice_and_the_order_of_files_changes_nothing(contents, random):
    files = [a_file(f"f{i}", vehicles, start) for i, (vehicles, start) in enumerate(contents)]
    held = hold_out(files)
    shuffled = files[:]
    random.shuffle(shuffled)
    again = hold_out(shuffled)
    assert again.file == held.file
    assert again.owner == held.owner
    trained = {v for f in files if held.file[f.name] == "train" for v in f.speed}
    assert trained == {v for (_, v), s in held.owner.items() if s == "train"}
    for group in held.groups:
        assert len({held.file[n] for n in group}) == 1
