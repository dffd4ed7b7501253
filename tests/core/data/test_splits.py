"""Splits by site, time and vehicle: nothing stands in two of them, whatever the recordings look like."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twm_core.data.scenario import OBSERVED, Scenario
from twm_core.data.windows.protocol import WindowProtocol
from twm_core.data.windows.scenario_windows import ScenarioWindows
from twm_core.data.windows.splits import NAMES, Splits, SplitSection, make_splits
from twm_core.errors import DataError

FEATURES = ("x", "y", "heading", "vx", "vy")


def made(name: str, spans: dict[str, tuple[int, int]], steps: int, **fields: Any) -> Scenario:
    """A scenario whose tracks cover `(first, length)`."""
    rows = sum(n for _, n in spans.values())
    return Scenario(
        **{
            "id": name,
            "site": "here",
            "dt": 0.5,
            "steps": steps,
            "features": FEATURES,
            "state": np.zeros((rows, 5), dtype=np.float32),
            "code": np.full(rows, OBSERVED, dtype=np.uint8),
            "first": np.array([f for f, _ in spans.values()], dtype=np.int64),
            "length": np.array([n for _, n in spans.values()], dtype=np.int64),
            "track": tuple(spans),
            "type": np.ones(len(spans), dtype=np.int64),
            **fields,
        }
    )


@st.composite
def scenarios(draw: st.DrawFn) -> list[Scenario]:
    """Recordings in overlapping pieces, at sites that may share recordings."""
    found = []
    for i in range(draw(st.integers(1, 8))):
        steps = draw(st.integers(2, 30))
        spans = {}
        for name in draw(st.sets(st.sampled_from("abcdefgh"), max_size=6)):
            first = draw(st.integers(0, steps - 1))
            spans[name] = (first, draw(st.integers(1, steps - first)))
        fields = {
            "group": draw(st.sampled_from(["", "g", "h"])),
            "site": draw(st.sampled_from(["north", "south", "west", "east"])),
            "start": draw(st.sampled_from([0.0, 2.5, 5.0, 20.0])),
            "dt": draw(st.sampled_from([0.5, 0.1])),
        }
        found.append(made(f"s{i}", spans, steps, **fields))
    return found


def split(found: list[Scenario], by: Any, **options: Any) -> Splits:
    """The splits; empty ones where there are too few sites."""
    try:
        return make_splits(found, by, **options)
    except DataError as error:
        if by != "site" or "cannot fill" not in error.message:
            raise
        return Splits(dict.fromkeys(NAMES, ()), {"by": by}, {name: {"vehicles": 0} for name in NAMES})


@given(scenarios(), st.sampled_from(["site", "time", "vehicle"]), st.integers(0, 5))
def test_no_vehicle_is_scored_in_two_splits(found: list[Scenario], by: str, seed: int) -> None:
    by_id = {s.id: s for s in found}
    owned: dict[str, set[tuple[str, str]]] = {}
    splits = split(found, by, seed=seed)
    for name in NAMES:
        owned[name] = set()
        for piece in splits.pieces[name]:
            s, part = by_id[piece.scenario], piece.part(by_id[piece.scenario])
            for i, track in enumerate(s.track):
                shown = s.first[i] < part.end and s.first[i] + s.length[i] > part.begin
                if shown and (part.own is None or part.own[i]):
                    owned[name].add((s.group or s.id, track))
        assert splits.report[name]["vehicles"] == len(owned[name])
    for a, b in combinations(NAMES, 2):
        assert not owned[a] & owned[b]


@given(scenarios(), st.sampled_from([0.0, 1.0]))
def test_no_moment_of_a_recording_stands_in_two_splits_by_time(found: list[Scenario], gap: float) -> None:
    by_id = {s.id: s for s in found}
    splits = make_splits(found, "time", gap_seconds=gap)
    moments: dict[str, dict[str, list[float]]] = {name: {} for name in NAMES}
    for name in NAMES:
        for p in splits.pieces[name]:
            s = by_id[p.scenario]
            times = [s.start + step * s.dt for step in range(p.begin, p.end)]
            moments[name].setdefault(s.group or s.id, []).extend(times)
    for a, b in combinations(NAMES, 2):
        for group in moments[a].keys() & moments[b].keys():
            assert max(moments[a][group]) < min(moments[b][group]) - gap + 1e-6, (a, b, group)


@given(scenarios())
def test_no_site_and_no_recording_stands_in_two_splits_by_site(found: list[Scenario]) -> None:
    by_id = {s.id: s for s in found}
    splits = split(found, "site")
    for what in (lambda s: s.site, lambda s: s.group or s.id):
        sets = [{what(by_id[p.scenario]) for p in splits.pieces[name]} for name in NAMES]
        assert not any(a & b for a, b in combinations(sets, 2))


@given(scenarios(), st.sampled_from(["site", "time", "vehicle"]))
def test_splits_survive_json(found: list[Scenario], by: str) -> None:
    splits = split(found, by)
    again = Splits.from_json(json.loads(json.dumps(splits.to_json())))
    assert again.pieces == splits.pieces
    assert again.report == splits.report
    assert again.rule["by"] == by


@given(scenarios())
def test_windows_stay_inside_their_piece(found: list[Scenario]) -> None:
    by_id = {s.id: s for s in found}
    splits = make_splits(found, "time")
    for name in NAMES:
        pieces = splits.pieces[name]
        mine = [by_id[p.scenario] for p in pieces]
        parts = [p.part(s) for p, s in zip(pieces, mine, strict=True)]
        try:
            windows = ScenarioWindows(mine, WindowProtocol(context=2, horizon=1, stride=1), name, parts=parts)
        except DataError:
            continue
        for number, start in windows.index.tolist():
            assert parts[number].begin <= start
            assert start + 3 <= parts[number].end


def test_a_clip_is_cut_by_time_and_who_drives_across_belongs_to_training() -> None:
    clip = made("clip", {"early": (0, 30), "across": (50, 40), "late": (80, 20)}, 100, group="clip")
    splits = make_splits([clip], "time", shares=(0.6, 0.2, 0.2))
    assert splits.pieces["train"] == (SplitSection("clip", 0, 60),)
    # `across` is there until step 90, `late` from step 80 on; both were not alone seen before 80.
    assert splits.pieces["val"] == ()
    assert splits.pieces["test"] == (SplitSection("clip", 80, 100, (2,)),)
    assert splits.report["val"] == {
        "pieces": 0,
        "vehicles": 0,
        "vehicles of other splits shown as context": 1,
        "scenarios without a vehicle of the split": 1,
    }


def test_a_cut_moves_to_a_boundary_between_clips_that_is_near() -> None:
    clips = [made(f"c{i}", {"a": (0, 10)}, 10, group=f"c{i}") for i in range(7)]
    splits = make_splits(clips, "time", shares=(0.7, 0.15, 0.15))
    # 70 % of 35 s is 24.5 s, 85 % is 29.75 s: the clips end at 25 and 30 s.
    assert [p.scenario for p in splits.pieces["train"]] == ["c0", "c1", "c2", "c3", "c4"]
    assert splits.pieces["val"] == (SplitSection("c5", 0, 10),)
    assert splits.pieces["test"] == (SplitSection("c6", 0, 10),)
    assert splits.report["train"]["steps left out between splits"] == 0


def test_a_gap_is_left_out_and_counted() -> None:
    clip = made("clip", {f"v{i}": (10 * i, 10) for i in range(10)}, 100, group="clip")
    splits = make_splits([clip], "time", shares=(0.5, 0.25, 0.25), gap_seconds=2.5)
    assert [(p.begin, p.end) for name in NAMES for p in splits.pieces[name]] == [(0, 50), (55, 75), (80, 100)]
    assert splits.report["train"]["steps left out between splits"] == 10


def test_vehicles_are_drawn_in_the_wanted_shares_and_by_the_seed() -> None:
    clip = made("clip", {f"v{i}": (0, 9) for i in range(20)}, 9, group="clip")
    one, two = (make_splits([clip], "vehicle", shares=(0.7, 0.1, 0.2), seed=s) for s in (0, 1))
    assert [one.report[n]["vehicles"] for n in NAMES] == [14, 2, 4]
    assert one.pieces != two.pieces
    assert one.pieces == make_splits([clip], "vehicle", shares=(0.7, 0.1, 0.2), seed=0).pieces


def test_only_vehicles_that_may_be_scored_are_drawn_and_train_learns_from_the_others() -> None:
    eligible = np.array([True] * 4 + [False] * 16)
    clip = made("clip", {f"v{i}": (0, 9) for i in range(20)}, 9, group="clip", eligible=eligible)
    splits = make_splits([clip], "vehicle", shares=(0.5, 0.25, 0.25))
    assert [splits.report[n]["vehicles"] for n in NAMES] == [2, 1, 1]
    assert [splits.report[n]["vehicles of other splits shown as context"] for n in NAMES] == [2, 3, 3]
    assert [splits.report[n]["vehicles that no split may score"] for n in NAMES] == [16] * 3
    train, val, test = (set(splits.pieces[n][0].tracks or ()) for n in NAMES)
    assert set(range(4, 20)) < train
    assert val | test | train == set(range(20))
    assert len(val) == len(test) == 1


@pytest.mark.parametrize("by", ["site", "time", "vehicle"])
def test_a_piece_without_a_vehicle_that_may_be_scored_is_left_out(by: str) -> None:
    found = [
        made(f"s{i}", {"a": (0, 9), "b": (0, 9)}, 9, site=f"s{i}", group=f"s{i}", eligible=np.array([i != 1, False])) for i in range(4)
    ]
    splits = make_splits(found, by, sites={"train": ["s0", "s1"]} if by == "site" else None)  # type: ignore[arg-type]
    assert not any(p.scenario == "s1" for pieces in splits.pieces.values() for p in pieces)
    assert sum(splits.report[n]["vehicles"] for n in NAMES) == 3


def test_recordings_of_one_vehicle_each_fill_all_splits() -> None:
    clips = [made(f"c{i}", {"a": (0, 9)}, 9, group=f"c{i}") for i in range(20)]
    splits = make_splits(clips, "vehicle", shares=(0.7, 0.1, 0.2))
    assert [splits.report[n]["vehicles"] for n in NAMES] == [14, 2, 4]
    again = make_splits(clips[::-1], "vehicle", shares=(0.7, 0.1, 0.2))
    assert {n: set(p) for n, p in again.pieces.items()} == {n: set(p) for n, p in splits.pieces.items()}


def test_sites_can_be_chosen() -> None:
    found = [made(f"s{i}", {"a": (0, 9)}, 9, site=f"site-{i}") for i in range(5)]
    splits = make_splits(found, "site", sites={"test": ["site-3"]})
    assert [p.scenario for p in splits.pieces["test"]][:1] == ["s3"]
    assert splits.pieces["train"]
    assert splits.pieces["val"]
    with pytest.raises(DataError, match="there is no site nowhere"):
        make_splits(found, "site", sites={"test": ["nowhere"]})


def test_sites_that_share_a_recording_cannot_be_separated() -> None:
    found = [made(f"s{i}", {"a": (0, 9)}, 9, site=f"site-{i}", group="drive" if i < 2 else "") for i in range(5)]
    with pytest.raises(DataError, match="site-0, site-1 share recordings"):
        make_splits(found, "site", sites={"test": ["site-0"], "train": ["site-1"]})
    with pytest.raises(DataError, match=r"1 separate site\(s\) cannot fill val, test"):
        make_splits(found[:2], "site")


def test_pieces_that_do_not_fit_their_scenario_are_refused() -> None:
    s = made("s", {"a": (0, 9)}, 9)
    for piece in (SplitSection("s", 0, 10), SplitSection("s", 5, 5), SplitSection("s", 0, 9, (1,))):
        with pytest.raises(DataError, match="which has 9 steps and 1 tracks"):
            piece.part(s)
    with pytest.raises(DataError, match="the stored splits are malformed"):
        Splits.from_json({"train": [{"scenario": "s"}], "val": [], "test": []})
