"""The doctor's checks across recordings: reused numbers, overlaps, units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from doctor_traffic import DT, STEPS, changed, clean, diagnose, found

from twm_core.data.doctor.across import Overlaps
from twm_core.data.doctor.findings import Findings
from twm_core.data.doctor.motion import Sightings
from twm_core.data.recording import Recording


def cut(recording: Recording, begin: int, end: int, **changes: object) -> Recording:
    """Steps `begin` to `end` of a recording, all of whose tracks are there then, as a recording of their own."""
    keep, first, length = [], [], []
    for i in range(len(recording.track)):
        a = max(begin, int(recording.first[i]))
        b = min(end, int(recording.first[i] + recording.length[i]))
        start = int(recording.offset[i]) + a - int(recording.first[i])
        keep.append(np.arange(start, start + b - a))
        first.append(a - begin)
        length.append(b - a)
    rows = np.concatenate(keep)
    given = {
        "steps": end - begin,
        "first": np.array(first),
        "length": np.array(length),
        "columns": {n: v[rows] for n, v in recording.columns.items()},
        "code": recording.code[rows],
        "lane": np.ones(len(rows), dtype=np.int64),
        "start": begin * DT,
    }
    return replace(recording, **{**given, **changes})  # type: ignore[arg-type]


def moved(recording: Recording, angle: float, x: float, y: float) -> Recording:
    """The recording turned and moved."""
    c, s = np.cos(angle), np.sin(angle)
    old = recording.columns
    return changed(
        recording,
        x=c * old["x"] - s * old["y"] + x,
        y=s * old["x"] + c * old["y"] + y,
        vx=c * old["vx"] - s * old["vy"],
        vy=s * old["vx"] + c * old["vy"],
        heading=old["heading"] + angle,
    )


def pieces(**changes: object) -> tuple[Recording, Recording]:
    whole = clean()
    return cut(whole, 0, 40, id="clip-0/0", group="day"), cut(whole, 40, STEPS, id="clip-0/1", group="day", **changes)


def test_pieces_of_one_recording_that_go_on_are_no_finding() -> None:
    assert diagnose(*pieces()).findings == ()


def test_a_number_that_turns_up_far_away_was_given_again() -> None:
    one, two = pieces()
    findings = found(diagnose(one, changed(two, x=two.columns["x"] + 100)))
    assert set(findings) == {"id-reuse"}
    assert findings["id-reuse"].count == 4
    assert "m away 0.1 s later; before in 0-clip.csv" in findings["id-reuse"].examples[0].text


def test_a_number_that_changes_type_or_size_was_given_again() -> None:
    one, two = pieces()
    kinds = two.type.copy()
    kinds[2] += 1
    (example,) = found(diagnose(one, replace(two, type=kinds)))["id-reuse"].examples
    assert (example.track, example.text) == ("3", "truck here, car before; before in 0-clip.csv")
    longer = changed(two, length=two.columns["length"] + 8)
    assert found(diagnose(one, longer))["id-reuse"].examples[0].text.startswith("length 12.5 m here, 4.5 m before")


def test_a_number_that_is_in_two_recordings_at_once_was_given_again() -> None:
    one, two = pieces(start=1.0)
    assert "at once" in found(diagnose(one, two))["id-reuse"].examples[0].text


def test_files_that_do_not_tell_their_times_are_compared_by_type_and_size_only() -> None:
    one, two = pieces(start=0.0)
    assert diagnose(one, changed(two, x=two.columns["x"] + 100)).findings == ()
    assert set(found(diagnose(one, changed(two, length=two.columns["length"] + 8)))) == {"id-reuse"}


def test_the_same_numbers_in_different_groups_are_no_finding() -> None:
    assert diagnose(clean(seed=1), clean(seed=2)).findings == ()


@pytest.mark.parametrize(("angle", "x"), [(0.0, 0.0), (0.0, 1000.0), (1.1, -50.0)])
def test_a_copy_that_was_moved_and_turned_is_found(angle: float, x: float) -> None:
    one = clean()
    two = replace(moved(one, angle, x, 3.0), id="copy", group="copy", track=("11", "12", "13", "14"))
    findings = found(diagnose(clean(seed=5), one, two))
    assert set(findings) == {"overlap"}
    (example,) = findings["overlap"].examples
    assert findings["overlap"].count == 1
    assert example.text == "4 tracks also in 2-clip.csv (copy), where it is track 11, at the same steps"
    assert (example.recording, example.track) == ("clip-0", "1")


def test_windows_of_one_recording_that_share_frames_are_found_with_their_shift() -> None:
    whole = clean()
    one = cut(whole, 0, 60, id="one", group="one", start=0.0)
    two = cut(whole, 20, STEPS, id="two", group="two", start=0.0)
    (example,) = found(diagnose(one, two))["overlap"].examples
    assert "20 steps earlier" in example.text


def test_windows_of_a_recording_that_was_interpolated_are_found() -> None:
    """Between two recorded positions, five steps apart, every step is as long as the others."""

    def straightened(recording: Recording) -> Recording:
        def between(values: np.ndarray) -> np.ndarray:
            found = values.copy()
            for begin, length in zip(recording.offset.tolist(), recording.length.tolist(), strict=True):
                steps = np.arange(length)
                found[begin : begin + length] = np.interp(steps, steps[::5], values[begin : begin + length : 5])
            return found

        return changed(recording, x=between(recording.columns["x"]), y=between(recording.columns["y"]))

    whole = straightened(clean())
    one = cut(whole, 0, 80, id="one", group="one", start=0.0)
    two = cut(whole, 20, STEPS, id="two", group="two", start=0.0)
    (example,) = found(diagnose(one, two))["overlap"].examples
    assert "20 steps earlier" in example.text
    assert "overlap" not in found(diagnose(one, straightened(replace(clean(seed=5), id="three", group="three"))))


def test_cars_that_all_drive_alike_do_not_make_recordings_overlap() -> None:
    def platoon(name: str) -> Recording:
        recording = clean()
        track = np.repeat(np.arange(4), recording.length)
        t = (np.arange(len(track)) - recording.offset[track] + recording.first[track]) * DT
        way = 10 * t + np.sin(t)  # the same for all, later cars included
        speed = 10 + np.cos(t)
        same = {"x": way, "y": 4.0 * track, "heading": 0 * t, "vx": speed, "vy": 0 * t}
        return replace(changed(recording, **same), id=name, group=name)

    assert diagnose(platoon("one"), platoon("two")).findings == ()


def test_overlaps_are_found_in_bounded_memory() -> None:
    overlaps, findings = Overlaps(most=200), Findings()
    for seed in (*range(20), 3):
        overlaps.add(Sightings(replace(clean(seed=seed), id=f"{seed}"), f"{seed}"))
        assert sum(map(len, overlaps.kept)) <= 200
    overlaps.finish(findings)
    assert overlaps.every > 4
    (finding,) = findings.collect()
    assert (finding.count, finding.examples[0].source) == (1, "3")


def test_feet_are_recognised_by_the_length_of_cars() -> None:
    recording = clean(speed=8.0)
    feet = {n: recording.columns[n] / 0.3048 for n in ("x", "y", "vx", "vy", "length", "width")}
    findings = found(diagnose(changed(recording, **feet)))
    assert "units" in findings
    assert "as if in feet" in findings["units"].examples[0].text


def test_two_agents_say_nothing_about_units() -> None:
    recording = cut(clean(), 25, 50)
    feet = {n: recording.columns[n] / 0.3048 for n in ("x", "y", "vx", "vy", "length", "width")}
    two = Recording(
        **{n: getattr(recording, n) for n in ("id", "site", "group", "dt", "steps")},
        track=recording.track[:2],
        type=recording.type[:2],
        first=recording.first[:2],
        length=recording.length[:2],
        columns={n: v[:50] for n, v in feet.items()},
        code=recording.code[:50],
    )
    assert "units" not in found(diagnose(two))


def test_pixels_are_recognised_by_the_pace_of_pedestrians() -> None:
    recording = clean(type="pedestrian", speed=0.1)
    pixels = {n: recording.columns[n] * 8 for n in ("x", "y", "vx", "vy")}
    findings = found(diagnose(changed(recording, **pixels)))
    assert "units" in findings
    assert findings["units"].examples[0].text.startswith("pedestrian: moving ones make")


def test_kilometres_are_recognised_because_nobody_moves() -> None:
    recording = clean()
    small = {n: recording.columns[n] / 1000 for n in ("x", "y", "vx", "vy")}
    findings = found(diagnose(changed(recording, **small)))
    assert "only one in a hundred makes more than" in findings["units"].examples[0].text
