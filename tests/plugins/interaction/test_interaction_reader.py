"""The reader `interaction`: vehicles with pedestrians, cases of v1.2, maps, and how bad rows are refused."""

from __future__ import annotations

import numpy as np
import pytest

from twm_core.data.scenario import OCCLUDED
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_interaction.config import InteractionConfig
from twm_interaction.reader import build

VEHICLES = "track_id,frame_id,timestamp_ms,agent_type,x,y,vx,vy,psi_rad,length,width\n"
PEOPLE = "track_id,frame_id,timestamp_ms,agent_type,x,y,vx,vy\n"
CASES = "case_id,track_id,frame_id,timestamp_ms,agent_type,x,y,vx,vy,psi_rad,length,width,track_to_predict,interesting_agent\n"


def reader(**options):
    return build(InteractionConfig(**options))


@pytest.fixture
def place(tmp_path):
    """A function that writes files of tracks of one location and gives the folder."""

    def write(**texts):
        folder = tmp_path / "recorded_trackfiles" / "DR_USA_Intersection_EP0"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / f"{name}.csv").write_text(text)
        return tmp_path

    return write


def test_a_row_becomes_a_state(place, read_all):
    rows = "1,1,100,car,1020.5,990.25,-7.5,3.0,2.75,4.5,1.8\n1,2,200,car,1019.75,990.5,-7.5,2.5,2.75,4.5,1.8\n"
    (found,), skipped = read_all(reader(), place(vehicle_tracks_003=VEHICLES + rows))
    assert {n: v.tolist() for n, v in found.columns.items()} == {
        "x": [1020.5, 1019.75],
        "y": [990.25, 990.5],
        "heading": [2.75, 2.75],
        "length": [4.5, 4.5],
        "width": [1.8, 1.8],
    }
    assert (found.id, found.group) == ("recorded_trackfiles/DR_USA_Intersection_EP0/003",) * 2
    assert (found.site, found.dt, found.steps) == ("DR_USA_Intersection_EP0", 0.1, 2)
    assert found.start == pytest.approx(0.1)
    assert "not causal" in found.provenance["x"]
    assert skipped == {"recordings without a map (maps/<location>.osm is not there)": 1}


def test_velocities_of_the_file_are_taken_by_request(place, read_all):
    folder = place(vehicle_tracks_003=VEHICLES + "1,1,100,car,0,0,-7.5,3.0,2.75,4.5,1.8\n")
    (found,), _ = read_all(reader(velocity="file"), folder)
    assert (found.columns["vx"].tolist(), found.columns["vy"].tolist()) == ([-7.5], [3.0])


def test_vehicles_and_pedestrians_of_one_time_are_one_recording(place, read_all):
    people = "P1,3,300,pedestrian/bicycle,5,6,1,0\nP1,4,400,pedestrian/bicycle,5.1,6,1,0\n2,3,300,pedestrian,7,8,0,1\n"
    folder = place(
        vehicle_tracks_000=VEHICLES + "2,1,100,truck,0,0,1,0,0.1,9,2.5\n",
        pedestrian_tracks_000=PEOPLE + people,
        vehicle_tracks_001=VEHICLES + "2,1,100,car,0,0,1,0,0.1,4,2\n",
    )
    found, _ = read_all(reader(), folder)
    assert [r.id[-3:] for r in found] == ["000", "001"]
    assert dict(zip(found[0].track, [AGENT_TYPES[t] for t in found[0].type], strict=True)) == {
        "2": "truck",
        "P1": "pedestrian",
        "P2": "pedestrian",
    }
    walker = found[0].track.index("P1")
    assert (found[0].first[walker], found[0].length[walker]) == (2, 2)
    assert np.isnan(found[0].columns["heading"][found[0].offset[walker]])
    assert np.isnan(found[0].columns["length"][found[0].offset[walker]])


def test_steps_that_a_track_leaves_out_are_occluded(place, read_all):
    rows = "".join(f"1,{t},{100 * t},car,{t},0,10,0,0,4,2\n" for t in (1, 2, 5))
    (found,), _ = read_all(reader(), place(vehicle_tracks_000=VEHICLES + rows))
    assert (found.code == OCCLUDED).tolist() == [False, False, True, True, False]


def test_cases_are_scenarios_that_score_the_tracks_to_predict(tmp_path, read_all):
    rows = "".join(
        f"{case}.0,{track}.0,{t},{100.0 * t},car,{t + track},{case},1,0,0.5,4,2,{predict}.0,0.0\n"
        for case, track, predict in ((1, 1, 1), (1, 2, 0), (2, 1, 0), (2, 3, 1))
        for t in range(1, 11)
    )
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "DR_CHN_Merging_ZS0_obs.csv").write_text(CASES + rows)
    found, _ = read_all(reader(), tmp_path)
    assert [(r.id, r.group, r.site, r.steps, r.track, r.scored.tolist()) for r in found] == [
        ("val/DR_CHN_Merging_ZS0_obs/1", "val/DR_CHN_Merging_ZS0_obs/1", "DR_CHN_Merging_ZS0", 10, ("1", "2"), [True, False]),
        ("val/DR_CHN_Merging_ZS0_obs/2", "val/DR_CHN_Merging_ZS0_obs/2", "DR_CHN_Merging_ZS0", 10, ("1", "3"), [False, True]),
    ]


def test_a_file_of_cases_that_names_no_tracks_to_predict_scores_all(tmp_path, read_all):
    header = CASES.replace(",track_to_predict,interesting_agent", "")
    (tmp_path / "DR_X_train.csv").write_text(header + "7,1,1,100,car,0,0,1,0,0.5,4,2\n7,P2,1,100,pedestrian/bicycle,0,0,1,0,,,\n")
    (found,), _ = read_all(reader(), tmp_path)
    assert (found.track, found.scored) == (("1", "P2"), None)


def test_the_map_of_the_location_is_found_above_the_tracks(place, read_all, osm):
    folder = place(vehicle_tracks_000=VEHICLES + "1,1,100,car,0,0,1,0,0.1,4,2\n")
    (folder / "maps").mkdir()
    text = osm({1: (0, 0), 2: (9, 0)}, {5: ((1, 2), {"type": "stop_line"})}, {})
    (folder / "maps" / "DR_USA_Intersection_EP0.osm_xy").write_text(text)
    (found,), skipped = read_all(reader(), folder / "recorded_trackfiles" / "DR_USA_Intersection_EP0" / "vehicle_tracks_000.csv")
    assert [line.kind for line in found.road.lines] == ["stop"]
    assert found.id == "DR_USA_Intersection_EP0/000"
    assert not skipped
    elsewhere = folder / "elsewhere"
    (folder / "maps").rename(elsewhere)
    (found,), _ = read_all(reader(maps=str(elsewhere)), folder)
    assert found.road is not None
    with pytest.raises(DataError, match="nowhere is not a folder"):
        reader(maps=str(folder / "nowhere")).sources([folder])


def test_types_that_are_not_known_are_counted(place, read_all):
    (found,), skipped = read_all(reader(), place(vehicle_tracks_000=VEHICLES + "1,1,100,tram,0,0,1,0,0.1,30,2\n"))
    assert AGENT_TYPES[found.type[0]] == "other"
    assert skipped["rows with agent_type 'tram', read as other"] == 1


def test_long_recordings_are_cut_and_names_go_on(place, read_all):
    rows = "".join(f"1,{t},{100 * t},car,{t},0,10,0,0,4,2\n" for t in range(1, 41) if not 15 <= t < 18)
    found, _ = read_all(reader(scenario_seconds=2.0), place(vehicle_tracks_000=VEHICLES + rows))
    assert [(r.id[-8:], r.steps, r.track) for r in found] == [("000/0000", 19, ("1",)), ("000/0001", 20, ("1",)), ("000/0002", 1, ("1",))]


BAD = {
    "no column": (VEHICLES.replace("timestamp_ms", "time") + "1,1,100,car,0,0,1,0,0,4,2\n", r"vehicle_tracks_000\.csv has no column"),
    "no place": (VEHICLES + "1,1,100,car,,0,1,0,0,4,2\n", r"vehicle_tracks_000\.csv, row 2, column 'x': '' is no value"),
    "a word": (VEHICLES + "1,1,100,car,0,0,1,0,east,4,2\n", r"vehicle_tracks_000\.csv, row 2, column 'psi_rad': 'east' is not a number"),
    "a time between": (
        VEHICLES + "1,1,130,car,0,0,1,0,0,4,2\n",
        r"vehicle_tracks_000\.csv, row 2: timestamp_ms is 130, no multiple of 100",
    ),
    "a time before": (VEHICLES + "1,1,-100,car,0,0,1,0,0,4,2\n", r"vehicle_tracks_000\.csv, row 2: its time, step -1, is impossible"),
    "a contradiction": (
        VEHICLES + "1,1,100,car,0,0,1,0,0,4,2\n1,1,100,car,5,0,1,0,0,4,2\n",
        r"vehicle_tracks_000\.csv, row 3: track 1, step 0 stands in row 2 already, with other values",
    ),
    "no rows": (VEHICLES, r"vehicle_tracks_000\.csv holds no rows"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_by_name_and_row(case, place, read_all):
    text, message = BAD[case]
    with pytest.raises(DataError, match=message) as caught:
        read_all(reader(), place(vehicle_tracks_000=text))
    assert caught.value.hint


def test_the_example_has_a_pedestrian_on_a_crosswalk_and_lanes(tmp_path, read_all):
    example = reader()
    (found,), skipped = read_all(example, *example.example(tmp_path))
    assert not skipped
    assert found.track == ("1", "2", "3", "P1")
    lanes = {lane.id: lane for lane in found.road.lanes}
    assert [(lane.successors, lane.left, lane.right) for lane in lanes.values()] == [
        (("201",), None, "202"),
        ((), None, "203"),
        (("203",), "200", None),
        ((), "201", None),
    ]
    assert {line.kind for line in found.road.lines} == {"edge", "line", "crosswalk", "stop"}
    car = slice(int(found.offset[0]), int(found.offset[0] + found.length[0]))
    assert (np.abs(found.columns["y"][car] - lanes["202"].centre[0, 1]) < 0.01).all()
