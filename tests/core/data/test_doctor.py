"""The doctor's checks of single recordings: each is planted into clean traffic and found where it was planted; nothing else is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from doctor_traffic import DT, STEPS, ListReader, changed, clean, diagnose, found, rows_of

from twm_core.data.doctor.examination import examine
from twm_core.data.doctor.findings import CATALOGUE, KEPT
from twm_core.data.importing.reader import Skipped
from twm_core.data.importing.tracks import Rows, make_recording
from twm_core.data.recording import Recording
from twm_core.data.scenario import INTERPOLATED, OCCLUDED
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES


@pytest.mark.parametrize("type", ["car", "truck", "unknown"])
def test_clean_traffic_has_no_findings(type: str) -> None:
    diagnosis = diagnose(clean(type=type))
    assert diagnosis.findings == ()
    assert (diagnosis.recordings, diagnosis.agents, diagnosis.states) == (1, 4, 270)
    assert diagnosis.seconds == pytest.approx(8.0)


def test_walking_pedestrians_have_no_findings() -> None:
    assert diagnose(clean(type="pedestrian", speed=0.2)).findings == ()


def test_noise_of_a_decimetre_is_no_finding() -> None:
    recording = clean()
    rng = np.random.default_rng(1)
    noisy = {n: recording.columns[n] + rng.normal(0, 0.1, len(recording.code)) for n in ("x", "y")}
    assert diagnose(changed(recording, **noisy)).findings == ()


@pytest.mark.parametrize(("type", "metres", "finds"), [("car", 3.0, True), ("car", 1.0, False), ("pedestrian", 1.5, True)])
def test_a_sideways_step_is_a_jump_of_its_size(type: str, metres: float, finds: bool) -> None:
    recording = clean(type=type, speed=0.5 if type == "pedestrian" else 12.0)
    x = recording.columns["x"].copy()
    x[rows_of(recording, "3")][30:] += metres
    jumps = found(diagnose(changed(recording, x=x))).get("jumps")
    if not finds:
        assert jumps is None
        return
    assert jumps is not None
    assert jumps.count == 1
    assert (jumps.examples[0].track, jumps.examples[0].step) == ("3", 35)
    assert jumps.examples[0].where() == "clip.csv (clip-0), track 3, step 35"
    assert f"{metres:.0f}" in jumps.examples[0].text or "m in 0.1 s" in jumps.examples[0].text


def test_a_place_far_away_for_one_step_is_one_jump() -> None:
    recording = clean()
    x = recording.columns["x"].copy()
    x[rows_of(recording, "1")][40] += 500
    jumps = found(diagnose(changed(recording, x=x)))["jumps"]
    assert jumps.count == 1
    assert jumps.examples[0].step == 40


def test_a_jump_at_the_second_row_is_measured_against_the_fastest_of_its_type() -> None:
    recording = clean()
    x = recording.columns["x"].copy()
    x[rows_of(recording, "2")][1:] += 20  # 200 m/s
    assert found(diagnose(changed(recording, x=x)))["jumps"].examples[0].step == 1


def test_a_gap_is_found_and_its_elapsed_time_is_no_jump() -> None:
    recording = clean()
    code = recording.code.copy()
    code[rows_of(recording, "1")][30:42] = OCCLUDED
    code[rows_of(recording, "3")][10:13] = OCCLUDED
    findings = found(diagnose(replace(recording, code=code)))
    assert set(findings) == {"gaps"}
    assert findings["gaps"].count == 2
    worst = findings["gaps"].examples[0]
    assert (worst.track, worst.step, worst.text) == ("1", 30, "12 steps, 1.2 s")


def test_interpolated_rows_are_no_gap() -> None:
    recording = clean()
    code = recording.code.copy()
    code[rows_of(recording, "1")][30:42] = INTERPOLATED
    assert diagnose(replace(recording, code=code)).findings == ()


def test_steps_without_anybody_are_irregular_and_not_gaps() -> None:
    recording = clean()
    code = recording.code.copy()
    for i in range(4):
        rows = rows_of(recording, str(i + 1))
        step = int(recording.first[i]) + np.arange(int(recording.length[i]))
        code[rows] = np.where((step >= 50) & (step < 53), OCCLUDED, code[rows])
    findings = found(diagnose(replace(recording, code=code)))
    assert set(findings) == {"irregular-steps"}
    assert findings["irregular-steps"].count == 3
    assert findings["irregular-steps"].examples[0].step == 50


def test_frame_numbers_that_advance_by_ten_are_named() -> None:
    step = np.repeat(np.arange(0, 200, 10), 2)
    rows = Rows(
        track=np.tile([1, 2], 20),
        step=step,
        columns={"x": step * 0.05 + np.tile([0.0, 5.0], 20), "y": np.tile([0.0, 3.0], 20)},
        type=np.full(40, AGENT_TYPES.index("pedestrian")),
    )
    recording = make_recording(rows, file="a.txt", id="a", site="s", group="a", dt=0.04)
    findings = found(diagnose(recording))
    assert set(findings) == {"irregular-steps"}
    assert findings["irregular-steps"].count == 191 - 20
    assert findings["irregular-steps"].examples[0].text == "rows stand at every 10th step only"


def test_an_impossible_speed_is_found_without_any_jump() -> None:
    recording = clean(speed=85.0)
    findings = found(diagnose(recording))
    assert {"impossible-speed"} <= set(findings) <= {"impossible-speed", "units", "jumps", "impossible-acceleration"}
    assert findings["impossible-speed"].count == 270  # recorded velocities say it at every row
    assert findings["impossible-speed"].examples[0].text.endswith("m/s")


def test_the_speed_limit_is_that_of_the_type() -> None:
    assert "impossible-speed" not in found(diagnose(clean(speed=50.0)))
    assert "impossible-speed" in found(diagnose(clean(speed=50.0, type="truck")))


def test_an_impossible_acceleration_is_found() -> None:
    recording = clean()
    rows = rows_of(recording, "1")
    t = np.arange(STEPS) * DT
    # 10 m/s, then 20 m/s^2 for one second, then 30 m/s: no step is a jump, and no speed too high.
    speed = 10 + 20 * np.clip(t - 4, 0, 1)
    way = np.cumsum(speed) * DT
    columns = {n: recording.columns[n].copy() for n in ("x", "y", "heading", "vx", "vy")}
    columns["x"][rows], columns["y"][rows], columns["heading"][rows] = way, 0.0, 0.0
    columns["vx"][rows], columns["vy"][rows] = speed, 0.0
    findings = found(diagnose(changed(recording, **columns)))
    assert set(findings) == {"impossible-acceleration"}
    worst = findings["impossible-acceleration"].examples[0]
    assert worst.track == "1"
    assert float(worst.text.split()[0]) == pytest.approx(20, rel=0.05)


def test_a_recorded_acceleration_that_is_impossible_is_found() -> None:
    recording = clean()
    ax = np.zeros(len(recording.code))
    ax[rows_of(recording, "2")][7] = 40.0
    finding = found(diagnose(changed(recording, ax=ax, ay=np.zeros_like(ax))))["impossible-acceleration"]
    assert (finding.count, finding.examples[0].track, finding.examples[0].step) == (1, "2", 7)


def test_velocities_in_kilometres_an_hour_disagree_and_the_factor_is_told() -> None:
    recording = clean(speed=10.0)
    fast = {n: 3.6 * recording.columns[n] for n in ("vx", "vy")}
    findings = found(diagnose(changed(recording, **fast)))
    assert set(findings) == {"velocity-disagrees"}
    assert "3.60 times as fast" in findings["velocity-disagrees"].examples[0].text


def test_velocities_with_y_downwards_disagree() -> None:
    recording = clean()
    assert set(found(diagnose(changed(recording, vy=-recording.columns["vy"])))) == {"velocity-disagrees"}


def test_velocities_that_are_not_known_do_not_disagree() -> None:
    recording = clean()
    vx = recording.columns["vx"].copy()
    vx[::2] = np.nan
    assert diagnose(changed(recording, vx=vx)).findings == ()


def test_a_constant_heading_of_an_agent_that_turns_is_found() -> None:
    recording = clean()
    heading = recording.columns["heading"].copy()
    heading[rows_of(recording, "1")] = np.pi / 2
    findings = found(diagnose(changed(recording, heading=heading)))
    assert set(findings) == {"heading-constant"}
    assert (findings["heading-constant"].count, findings["heading-constant"].examples[0].track) == (1, "1")


def test_a_constant_heading_on_a_straight_road_is_right() -> None:
    recording = clean()
    rows = sum(recording.length)
    track = np.repeat(np.arange(4), recording.length)
    step = np.arange(rows) - recording.offset[track] + recording.first[track]
    straight = {"x": 12.0 * step * DT + 30 * track, "y": np.zeros(rows), "heading": np.zeros(rows), "vx": np.full(rows, 12.0)}
    assert diagnose(changed(recording, **straight, vy=np.zeros(rows))).findings == ()


def test_headings_in_degrees_disagree_with_the_motion() -> None:
    recording = clean()
    findings = found(diagnose(changed(recording, heading=np.rad2deg(recording.columns["heading"]))))
    assert set(findings) == {"heading-disagrees"}
    assert findings["heading-disagrees"].count >= 3


def test_headings_a_quarter_turn_off_disagree_by_a_quarter_turn() -> None:
    recording = clean()
    findings = found(diagnose(changed(recording, heading=recording.columns["heading"] + np.pi / 2)))
    assert findings["heading-disagrees"].count == 4
    assert findings["heading-disagrees"].examples[0].text.startswith(("89 degrees", "90 degrees", "91 degrees"))


def test_pedestrians_may_walk_sideways() -> None:
    recording = clean(type="pedestrian", speed=3.0)
    turned = changed(recording, heading=recording.columns["heading"] + np.pi / 2)
    assert "heading-disagrees" not in found(diagnose(turned))


def test_two_cars_in_one_place_are_found() -> None:
    recording = clean()
    columns = {n: v.copy() for n, v in recording.columns.items()}
    for values in columns.values():
        values[rows_of(recording, "4")] = values[rows_of(recording, "1")][20:80]
    columns["x"][rows_of(recording, "4")] += 0.2
    findings = found(diagnose(changed(recording, **columns)))
    assert set(findings) == {"on-top"}
    (example,) = findings["on-top"].examples
    assert (example.track, example.step, example.text) == ("1", 20, "with track 4 at 60 steps")


def test_people_may_stand_close() -> None:
    recording = clean(type="pedestrian", speed=0.2)
    columns = {n: v.copy() for n, v in recording.columns.items()}
    for values in columns.values():
        values[rows_of(recording, "4")] = values[rows_of(recording, "1")][20:80]
    columns["x"][rows_of(recording, "4")] += 0.3
    assert diagnose(changed(recording, **columns)).findings == ()


def _short(first: int) -> Recording:
    recording = clean()
    rows = np.r_[0:210, 210:214]
    return replace(
        recording,
        first=np.array([0, 0, 5, first]),
        length=np.array([80, 60, 70, 4]),
        columns={n: v[rows] for n, v in recording.columns.items()},
        code=recording.code[rows],
        lane=np.ones(214, dtype=np.int64),
    )


def test_a_short_track_is_found_unless_the_recording_cut_it() -> None:
    findings = found(diagnose(_short(40)))
    assert set(findings) == {"short-tracks"}
    assert (findings["short-tracks"].count, findings["short-tracks"].examples[0].text) == (1, "4 steps")
    assert diagnose(_short(76)).findings == ()


@pytest.mark.parametrize(("column", "value"), [("length", 0.0), ("width", 0.0), ("length", -1.0), ("width", 55.0)])
def test_an_agent_of_impossible_size_is_found(column: str, value: float) -> None:
    recording = clean()
    values = recording.columns[column].copy()
    values[rows_of(recording, "3")] = value
    findings = found(diagnose(changed(recording, **{column: values})))
    assert set(findings) == {"sizes"}
    assert (findings["sizes"].count, findings["sizes"].examples[0].track) == (1, "3")


def test_a_size_that_is_not_known_is_no_finding() -> None:
    recording = clean()
    assert diagnose(changed(recording, length=np.full(len(recording.code), np.nan))).findings == ()


def test_unknown_lanes_of_a_twentieth_of_the_rows_are_allowed_and_more_are_not() -> None:
    lane = np.ones(270, dtype=np.int64)
    lane[:13] = 0
    assert diagnose(clean(lane=lane)).findings == ()
    lane[:20] = 0
    findings = found(diagnose(clean(lane=lane)))
    assert set(findings) == {"lanes-unknown"}
    assert findings["lanes-unknown"].count == 20
    assert findings["lanes-unknown"].examples[0].text == "20 rows; 7 % of the recording"


def test_repeated_and_contradicting_rows_are_counted_under_the_names_that_tracks_gives_them() -> None:
    step = np.array([*range(20), 3, 4, 5])
    x = step * 1.0
    x[-1] = 99.0  # contradicts; the two before repeat
    rows = Rows(track=np.zeros(23, dtype=np.int64), step=step, columns={"x": x, "y": np.zeros(23)}, type=np.ones(23, dtype=np.int64))
    recording = make_recording(rows, file="a.csv", contradictions="first", id="a", site="s", group="a", dt=0.1)
    findings = found(diagnose(recording, source="a.csv"))
    assert {n: f.count for n, f in findings.items()} == {"repeated-rows": 2, "contradicting-rows": 1}


def test_what_a_reader_refuses_or_leaves_out_is_a_finding() -> None:
    reader = ListReader(
        {
            "a.csv": [clean(), Skipped({"rows marked lost": 7})],
            "b.csv": [clean(seed=1), DataError("b.csv, row 3: x is 'abc'", "repair")],
        }
    )
    told: list[tuple[int, int, str]] = []
    diagnosis = examine(reader, [], observe=lambda *given: told.append(given))
    findings = found(diagnosis)
    assert set(findings) == {"unreadable", "left-out"}
    assert findings["left-out"].examples[0].text == "7 rows marked lost"
    assert findings["unreadable"].examples[0].text == "b.csv, row 3: x is 'abc'"
    assert not diagnosis.readable
    assert (diagnosis.sources, diagnosis.recordings) == (2, 2)
    assert told == [(0, 2, "a.csv"), (1, 2, "b.csv"), (2, 2, "")]


def test_recordings_with_nobody_or_one_row_are_examined() -> None:
    recording = clean()
    nobody = replace(
        recording,
        id="nobody",
        track=(),
        columns={n: v[:0] for n, v in recording.columns.items()},
        **{n: np.zeros(0, dtype=np.int64) for n in ("type", "first", "length", "lane")},
        code=recording.code[:0],
    )
    unseen = replace(recording, id="unseen", group="unseen", code=np.full(270, OCCLUDED, dtype=np.uint8))
    single = unseen.code.copy()
    single[0] = recording.code[0]
    one = replace(recording, id="one", group="one", code=single)
    assert set(found(diagnose(nobody))) == set()
    assert set(found(diagnose(nobody, unseen, one))) == {"irregular-steps", "gaps"}


def test_only_the_worst_examples_are_kept_and_everything_is_counted() -> None:
    recordings = []
    for seed in range(8):
        recording = clean(seed=seed)
        x = recording.columns["x"].copy()
        x[rows_of(recording, "1")][40:] += 10 * (seed + 1)
        recordings.append(changed(recording, x=x))
    jumps = found(diagnose(*recordings))["jumps"]
    assert jumps.count == 8
    assert [e.recording for e in jumps.examples] == [f"clip-{s}" for s in (7, 6, 5, 4, 3)]
    assert len(jumps.examples) == KEPT


def test_every_finding_says_what_an_import_does() -> None:
    for about in CATALOGUE.values():
        assert about.title
        assert about.imported
        assert about.remedy
        assert len(about.threshold) > 20
