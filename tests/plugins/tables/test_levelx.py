"""Reader `levelx`: corners, axes, degrees and UTM offsets against rows worked out by hand, lanes of highD, and the traps of the trios."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twm_core.data.recording import UNKNOWN
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_tables.config import LevelXConfig
from twm_tables.levelx.example import (
    EXID_META,
    EXID_RECORDING,
    EXID_TRACKS,
    HIGHD_META,
    HIGHD_RECORDING,
    HIGHD_TRACKS,
)
from twm_tables.levelx.reader import build

Write = Callable[..., Path]
HIGHD: dict[str, Any] = {
    "frame": 1,
    "id": 1,
    "x": 100.0,
    "y": 22.0,
    "width": 4.0,
    "height": 2.0,
    "xVelocity": 30.0,
    "yVelocity": 0.5,
    "laneId": 5,
}
HIGHD |= {"xAcceleration": 0.1, "yAcceleration": -0.2, "precedingId": 0, "followingId": 0}
IND: dict[str, Any] = {
    "recordingId": 7,
    "trackId": 0,
    "frame": 0,
    "xCenter": 12.0,
    "yCenter": -8.0,
    "heading": 90.0,
    "width": 1.8,
    "length": 4.4,
}
IND |= {"xVelocity": 0.0, "yVelocity": 9.0, "xAcceleration": 0.0, "yAcceleration": 1.0, "leadId": -1, "rearId": -1, "laneletId": "1502"}
IND_TRACKS = EXID_TRACKS.split(",")[:17]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A trio: rows of tracks, of tracksMeta by track, and changes of the row of recordingMeta."""

    def to_files(
        *rows: dict[str, Any],
        high: bool = True,
        names: list[str] | None = None,
        classes: dict[int, str] | None = None,
        directions: dict[int, int] | None = None,
        folder: str = "x",
        **about: Any,
    ) -> Path:
        base, key = (HIGHD, "id") if high else (IND, "trackId")
        full = [{**base, **row} for row in rows]
        kinds = dict.fromkeys((int(r[key]) for r in full), "Car" if high else "car") | (classes or {})
        meta = [{key: t, "class": c, "drivingDirection": (directions or {}).get(t, 2), "numFrames": 1} for t, c in kinds.items()]
        if high:
            info = {
                "id": 1,
                "frameRate": 25,
                "locationId": 3,
                "speedLimit": "-1.00",
                "upperLaneMarkings": "8;12;16",
                "lowerLaneMarkings": "20;24;28",
            }
        else:
            info = {"recordingId": 7, "frameRate": 25.0, "locationId": 4, "speedLimit": 13.9, "xUtmOrigin": 5000.0, "yUtmOrigin": 70000.0}
        tables = {
            "tracks": (names or (HIGHD_TRACKS if high else EXID_TRACKS).split(","), full),
            "tracksMeta": ((HIGHD_META if high else EXID_META).split(","), meta),
            "recordingMeta": ((HIGHD_RECORDING if high else EXID_RECORDING).split(","), [{**info, **about}]),
        }
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        for name, (columns, lines) in tables.items():
            text = [",".join(columns), *(",".join(str(line.get(c, 0)) for c in columns) for line in lines)]
            (place / f"07_{name}.csv").write_text("\n".join(text) + "\n")
        return place

    return to_files


def reader(**options: Any) -> Any:
    return build(LevelXConfig(**options))


def test_highd_corners_become_centres_and_width_is_the_length(write: Write, read: Any, row: Any) -> None:
    (made,) = read(reader(), write({}))
    values = row(made, "1", 0)
    # Corner (100, 22) of a box 4 m long and 2 m wide, y downwards.
    assert (values["x"], values["y"], values["length"], values["width"]) == (102.0, -23.0, 4.0, 2.0)
    assert (values["heading"], values["lane"], values["leader"]) == (0.0, "highD-3:5", -1)
    assert (made.site, made.dt, made.start) == ("highD-3", 0.04, 0.04)
    assert "vx" not in made.columns


def test_highd_vehicles_of_the_upper_carriageway_drive_the_other_way(write: Write, read: Any, row: Any) -> None:
    moving = [{"id": 2, "frame": f, "x": 300.0 - 1.2 * f, "y": 10.0, "laneId": 2} for f in range(1, 30)]
    (made,) = read(reader(), write({}, *moving, directions={2: 1}))
    assert [row(made, "2", s)["heading"] for s in (0, 28)] == pytest.approx([math.pi, math.pi])
    assert row(made, "2", 0)["y"] == -11.0


def test_smoothed_motion_is_taken_only_if_asked_for_with_y_up(write: Write, read: Any, row: Any) -> None:
    values = row(read(reader(publisher_motion=True), write({}))[0], "1", 0)
    assert [values[n] for n in ("vx", "vy", "ax", "ay")] == [30.0, -0.5, 0.1, 0.2]
    (made,) = read(reader(publisher_motion=True), write({}, high=False))
    values = row(made, "0", 0)
    assert [values[n] for n in ("vx", "vy", "ax", "ay")] == [0.0, 9.0, 0.0, 1.0]
    assert "later positions" in made.provenance["vy"]


def test_highd_lanes_lie_between_the_markings_and_bear_the_recorded_numbers(write: Write, read: Any, row: Any) -> None:
    (made,) = read(reader(), write({}, {"id": 2, "y": 13.0, "laneId": 3, "x": 430.0}, directions={2: 1}, speedLimit=33.33))
    lanes = {lane.id: lane for lane in made.road.lanes}
    assert list(lanes) == ["highD-3:2", "highD-3:3", "highD-3:5", "highD-3:6"]
    upper, lower = lanes["highD-3:3"], lanes["highD-3:5"]
    # Lane 3 between markings 12 and 16, towards smaller x; its left is the median, at 16.
    assert (upper.centre[0].tolist(), upper.centre[-1].tolist()) == ([440.0, -14.0], [0.0, -14.0])
    assert upper.left_boundary[0, 1] == -16.0
    assert (upper.left, upper.right, upper.width) == (None, "highD-3:2", 4.0)
    assert lower.centre[0].tolist() == [0.0, -22.0]
    assert (lower.left_boundary[0, 1], lower.left, lower.right, lower.speed_limit) == (-20.0, None, "highD-3:6", 33.33)
    for track, lane in (("1", lower), ("2", upper)):
        values = row(made, track, 0)
        assert values["lane"] == lane.id
        assert abs(values["y"] - lane.centre[0, 1]) < 2.0
    assert read(reader(), write({}))[0].road.lanes[0].speed_limit is None


def test_the_others_are_centres_in_degrees_with_utm_offsets(write: Write, read: Any, row: Any) -> None:
    (made,) = read(reader(), write({}, high=False))
    values = row(made, "0", 0)
    assert (values["x"], values["y"], values["length"], values["width"]) == (5012.0, 69992.0, 4.4, 1.8)
    assert (values["heading"], values["lane"], values["leader"]) == (pytest.approx(math.pi / 2), "exiD-4:1502", -1)
    assert (made.site, made.road) == ("exiD-4", None)
    (made,) = read(reader(), write({"heading": 270.0}, high=False))
    assert row(made, "0", 0)["heading"] == pytest.approx(-math.pi / 2)


def test_pedestrians_have_no_size_and_classes_are_named(write: Write, read: Any, row: Any) -> None:
    classes = {0: "pedestrian", 1: "truck_bus", 2: "van", 3: "bicycle", 4: "trailer", 5: "motorcycle"}
    rows = [{"trackId": t, "length": 0.0 if t == 0 else 2.0, "width": 0.0 if t == 0 else 1.0} for t in classes]
    (made,) = read(reader(), write(*rows, high=False, classes=classes))
    assert [AGENT_TYPES[t] for t in made.type] == ["pedestrian", "truck", "car", "bicycle", "other", "motorcycle"]
    assert math.isnan(row(made, "0", 0)["length"])


def test_exid_lists_lanelets_and_neighbours_are_minus_one(write: Write, read: Any, row: Any) -> None:
    rows = [
        {"trackId": 0, "laneletId": "1502;1503", "leadId": 3},
        {"trackId": 3, "laneletId": "", "rearId": 0},
        {"trackId": 4, "laneletId": "-1", "leadId": 99},
    ]
    (made,) = read(reader(), write(*rows, high=False))
    assert [row(made, t, 0)["lane"] for t in "034"] == ["exiD-4:1502", None, None]
    assert [row(made, t, 0)["leader"] for t in "034"] == ["3", -1, UNKNOWN]
    assert row(made, "3", 0)["follower"] == "0"  # Track 0 is a track, not nobody.


def test_ind_round_and_unid_look_alike_and_are_asked_for(write: Write, read: Any) -> None:
    folder = write({}, high=False, names=IND_TRACKS)
    with pytest.raises(DataError, match="the columns are those of inD, rounD and uniD alike"):
        read(reader(), folder)
    (made,) = read(reader(dataset="rounD"), folder)
    assert (made.site, made.lane, made.leader) == ("rounD-4", None, None)
    assert read(reader(), write({}, high=False, names=IND_TRACKS, folder="inD-dataset-v1.0"))[0].site == "inD-4"
    with pytest.raises(DataError, match="has the columns of inD, rounD, exiD and uniD, not of highD"):
        read(reader(dataset="highD"), folder)
    with pytest.raises(DataError, match="has the columns of both highD"):
        read(reader(), write({"id": 1, "x": 1, "y": 1}, high=False, names=["id", "x", "y", *IND_TRACKS]))


def test_a_trio_lacks_no_file_and_its_tracks_agree(write: Write, read: Any) -> None:
    folder = write({})
    (folder / "07_tracksMeta.csv").rename(folder / "meta.csv")
    with pytest.raises(DataError, match=r"07_tracks.csv: 07_tracksMeta.csv do not lie beside it"):
        read(reader(), folder)
    (folder / "meta.csv").rename(folder / "07_tracksMeta.csv")
    (folder / "07_tracks.csv").write_text((folder / "07_tracks.csv").read_text().replace("1,1,100.0", "1,9,100.0"))
    with pytest.raises(DataError, match=r"07_tracks.csv, row 2: track 9 is not in 07_tracksMeta.csv"):
        read(reader(), folder)
    (made,) = read(reader(), write({}, classes={1: "Car", 5: "Truck"}))
    assert made.skipped == {"tracks of tracksMeta that have no rows": 1}


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"frameRate": 0}, r"07_recordingMeta.csv, row 2, column 'frameRate': 0 frames per second are impossible"),
        ({"upperLaneMarkings": "8;7"}, r"column 'upperLaneMarkings': '8;7' are no growing numbers"),
        ({"lowerLaneMarkings": "8;x"}, r"column 'lowerLaneMarkings': '8;x' are no growing numbers"),
        ({"locationId": ""}, r"row 2, column 'locationId': '' is no value"),
    ],
)
def test_broken_recordings_are_refused(write: Write, read: Any, about: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        read(reader(), write({}, **about))


def test_impossible_headings_and_directions_are_refused(write: Write, read: Any) -> None:
    with pytest.raises(DataError, match="row 2, column 'heading': 9000 degrees are impossible"):
        read(reader(), write({"heading": 9000.0}, high=False))
    with pytest.raises(DataError, match=r"07_tracksMeta.csv, row 2, column 'drivingDirection': 0 is neither 1 nor 2"):
        read(reader(), write({}, directions={1: 0}))


def test_trios_are_found_by_folder_and_by_file(write: Write) -> None:
    folder = write({})
    assert [s.name for s in reader().sources([folder])] == ["07"]
    assert [s.name for s in reader().sources(sorted(folder.iterdir()))] == ["07"]
    assert [p.name for p in reader().sources([folder])[0].files] == ["07_tracks.csv", "07_tracksMeta.csv", "07_recordingMeta.csv"]
    (folder / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"notes.txt is no file of levelXData"):
        reader().sources([folder / "notes.txt"])
