"""Reader `drone-csv`: conversions against rows worked out by hand, and the traps of the format."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twm_core.data.recording import UNKNOWN, Recording
from twm_core.data.scenario import OCCLUDED
from twm_core.errors import DataError, UsageError
from twm_core.specs import AGENT_TYPES
from twm_tables import drone_example
from twm_tables.config import DroneCsvConfig
from twm_tables.drone_csv import build

NAMES = [*drone_example.HEADER.split(",")]
CAR: dict[str, Any] = {
    "track_id": 1,
    "frame": 0,
    "center_x": 100.0,
    "center_y": 40.0,
    "width": 90.0,
    "height": 40.0,
    "angle": 0.0,
    "confidence": 0.9,
    "class_id": 1,
    "site": "Site A",
    "lane": "11",
}
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A clip of rows like `CAR`, with the corners that their boxes have."""

    def to_file(*rows: dict[str, Any], name: str = "A/drone_1.csv", without: tuple[str, ...] = (), degrees: bool = False) -> Path:
        names = [n for n in NAMES if n not in without]
        lines = [",".join(names)]
        for changes in rows:
            row = {**CAR, **changes}
            angle = math.radians(row["angle"]) if degrees else row["angle"]
            along = np.asarray([math.cos(angle), math.sin(angle)]) * row["width"] / 2
            across = np.asarray([-math.sin(angle), math.cos(angle)]) * row["height"] / 2
            centre = np.asarray([row["center_x"], row["center_y"]])
            for i, corner in enumerate(
                (centre + along + across, centre + along - across, centre - along - across, centre - along + across)
            ):
                row |= {f"x{i + 1}": corner[0], f"y{i + 1}": corner[1]}
            lines.append(",".join(str(row.get(n, "")) for n in names))
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
        return path

    return to_file


def reader(**options: Any) -> Any:
    return build(DroneCsvConfig(**{"metres_per_pixel": 0.05, **options}))


def test_pixels_become_metres_y_goes_up_and_angles_turn_the_other_way(write: Write, read: Any, row: Any) -> None:
    (made,) = read(reader(), write({"angle": 0.3}))
    # 100 px and 40 px down at 5 cm; the picture's angle from x towards its downward y.
    assert row(made, "1", 0) == pytest.approx({"x": 5.0, "y": -2.0, "heading": -0.3, "length": 4.5, "width": 2.0, "lane": "A:11"} | NOBODY)
    assert (made.dt, made.site, AGENT_TYPES[made.type[0]]) == (1 / 30, "A", "car")


NOBODY = {"leader": -1, "follower": -1}


def test_the_longer_side_is_the_length_and_its_direction_the_axis(write: Write, read: Any, row: Any) -> None:
    upright = {"width": 40.0, "height": 90.0, "angle": 0.2}
    (made,) = read(reader(), write(upright))
    values = row(made, "1", 0)
    assert (values["length"], values["width"]) == (4.5, 2.0)
    assert values["heading"] == pytest.approx(math.pi / 2 - 0.2)
    values = row(read(reader(length_side="width"), write(upright))[0], "1", 0)
    assert (values["length"], values["width"], values["heading"]) == pytest.approx((2.0, 4.5, -0.2))


def test_the_front_is_where_a_vehicle_goes_and_stays_there_when_it_stands(write: Write, read: Any, row: Any) -> None:
    go = [{"frame": f, "center_x": 1000.0 - 8 * min(f, 30), "angle": 0.01} for f in range(60)]
    (made,) = read(reader(), write(*go))
    assert row(made, "1", 0)["heading"] == pytest.approx(-0.01)  # It has not moved: either end may be the front.
    for step in (10, 30, 59):
        assert row(made, "1", step)["heading"] == pytest.approx(math.pi - 0.01)


def test_degrees_are_told_from_radians_by_the_corners_and_by_their_size(write: Write, read: Any, row: Any) -> None:
    for rows, without in (([{"angle": 5.0}], ()), ([{"angle": 45.0}], ("x1", "y1", "x2", "y2"))):
        (made,) = read(reader(), write(*rows, without=without, degrees=True))
        assert row(made, "1", 0)["heading"] == pytest.approx(-math.radians(rows[0]["angle"]))
    (made,) = read(reader(), write({"angle": 1.2}))
    assert row(made, "1", 0)["heading"] == pytest.approx(-1.2)
    with pytest.raises(DataError, match=r"row 2, column 'angle': 45 radians are impossible") as caught:
        read(reader(angle="radians"), write({"angle": 45.0}, degrees=True))
    assert caught.value.hint == "if the file has degrees, say --reader.angle degrees"


def test_scales_stand_in_a_file_per_site(write: Write, read: Any, row: Any, tmp_path: Path) -> None:
    write({}, name="A/drone_1.csv")
    write({"site": "Site B"}, name="B/drone_1.csv")
    (tmp_path / "sites.toml").write_text("[A]\nmetres_per_pixel = 0.05\n[B]\nmetres_per_pixel = 0.1\nfps = 10\n")
    first, second = read(reader(metres_per_pixel=0), tmp_path)
    assert (first.id, row(first, "1", 0)["x"], first.dt) == ("A/drone_1", 5.0, 1 / 30)
    assert (second.id, row(second, "1", 0)["x"], second.dt) == ("B/drone_1", 10.0, 0.1)
    assert second.lane_names == ("B:11",)
    renamed = read(reader(metres_per_pixel=0, site="mine"), tmp_path)
    assert [(m.site, row(m, "1", 0)["x"]) for m in renamed] == [("mine", 5.0), ("mine", 10.0)]
    (tmp_path / "sites.toml").write_text("[A]\nmetres_per_pixel = 0.05\n")
    with pytest.raises(DataError, match=r"size of a pixel at site 'B' is not known in .*sites.toml \(it has A\)"):
        read(reader(metres_per_pixel=0), tmp_path)
    (tmp_path / "sites.toml").unlink()
    with pytest.raises(DataError, match="size of a pixel at site 'A' is not known"):
        read(reader(metres_per_pixel=0), tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[A]\nscale = 1\n", "A has no metres_per_pixel"),
        ("[A]\nmetres_per_pixel = 0.05\nhz = 3\n", r"\[A\] has the unknown key 'hz'"),
        ("[A]\nmetres_per_pixel = -1\n", r"\[A\] metres_per_pixel is -1, not a positive number"),
        ("[A\n", "sites.toml: "),
    ],
)
def test_a_bad_file_of_scales_is_refused(write: Write, read: Any, tmp_path: Path, text: str, says: str) -> None:
    write({})
    (tmp_path / "sites.toml").write_text(text)
    with pytest.raises(DataError, match=says):
        read(reader(metres_per_pixel=0), tmp_path)


def test_the_site_is_the_column_or_the_folder_or_the_option(write: Write, read: Any) -> None:
    assert read(reader(), write({"site": "Site C"}))[0].site == "C"
    assert read(reader(), write({"site": ""}, name="H/drone_1.csv"))[0].site == "H"
    assert read(reader(), write({}, without=("site",), name="H/drone_2.csv"))[0].site == "H"
    assert read(reader(site="mine"), write({}))[0].site == "mine"
    with pytest.raises(DataError, match="row 3, column 'site': 'Site B' in a clip of 'Site A'"):
        read(reader(), write({}, {"frame": 1, "site": "Site B"}))


def test_lane_zero_is_unknown_and_neighbours_may_be_empty(write: Write, read: Any, row: Any) -> None:
    rows = [
        {"track_id": 1, "lane": "0", "preceding_id": "2.0"},
        {"track_id": 2, "lane": "11.0", "following_id": 1, "preceding_id": 9},
        {"track_id": 3, "lane": "", "preceding_id": -1, "following_id": 0},
    ]
    (made,) = read(reader(), write(*rows))
    one, two, three = (row(made, name, 0) for name in "123")
    assert (one["lane"], two["lane"], three["lane"]) == (None, "A:11", None)
    assert (one["leader"], one["follower"]) == ("2", -1)
    assert (two["leader"], two["follower"]) == (UNKNOWN, "1")
    assert (three["leader"], three["follower"]) == (-1, -1)


def test_track_numbers_mean_another_vehicle_in_every_clip(write: Write, read: Any, tmp_path: Path) -> None:
    for clip in (2, 10, 1):
        write({"timestamp": 1000.0 * clip, "frame": 30}, name=f"A/drone_{clip}.csv")
    made = read(reader(), tmp_path)
    assert [m.group for m in made] == ["A/drone_1", "A/drone_2", "A/drone_10"]
    assert [m.start for m in made] == [1000.0, 2000.0, 10000.0]
    assert {m.track for m in made} == {("1",)}


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        ("12.5", 12.5),
        ("1746086400500", 1746086400.5),
        ("2025-05-01 08:00:00.5", 1746086400.5),
        ("2025/05/01T08:00:00.500", 1746086400.5),
        ("08:00:00.5", 28800.5),
        ("", 0.5),
    ],
)
def test_clips_begin_when_their_timestamps_say(write: Write, read: Any, stamp: str, seconds: float) -> None:
    (made,) = read(reader(), write({"frame": 15, "timestamp": stamp}))
    assert made.start == pytest.approx(seconds)


def test_a_timestamp_that_is_none_is_refused(write: Write, read: Any) -> None:
    with pytest.raises(DataError, match="row 2, column 'timestamp': 'noon' is no time"):
        read(reader(), write({"timestamp": "noon"}))


def test_gaps_stay_gaps_and_long_ones_end_a_track(write: Write, read: Any) -> None:
    (made,) = read(reader(longest_gap_seconds=1.0), write(*({"frame": f} for f in (0, 3, 40))))
    assert made.track == ("1", "1#2")
    assert made.length.tolist() == [4, 1]
    assert (made.code == OCCLUDED).sum() == 2


def test_the_class_of_a_track_is_what_most_of_its_rows_say(write: Write, read: Any) -> None:
    rows = [{"frame": f, "class_id": 2 if f == 4 else 1} for f in range(6)] + [
        {"track_id": 2, "class_id": 0},
        {"track_id": 3, "class_id": 77},
    ]
    (made,) = read(reader(), write(*rows))
    assert [AGENT_TYPES[t] for t in made.type] == ["car", "bus", "other"]
    assert made.skipped == {"classes of rows that differ from most of their track": 1}
    (made,) = read(reader(classes={"0": "pedestrian"}), write({"class_id": 0}))
    assert AGENT_TYPES[made.type[0]] == "pedestrian"
    with pytest.raises(UsageError, match=r"classes: \{'0': 'tram'\}"):
        reader(classes={"0": "tram"})


def test_rows_of_low_confidence_are_left_out_and_counted(write: Write, read: Any) -> None:
    rows = ({"frame": 0}, {"frame": 1, "confidence": 0.4}, {"frame": 2, "confidence": ""})
    (made,) = read(reader(confidence=0.5), write(*rows))
    assert made.steps == 3
    assert made.skipped == {"rows with a confidence below 0.5": 1}


def test_long_clips_are_cut_and_tracks_keep_their_names(write: Write, read: Any, row: Any) -> None:
    rows = [{"frame": f, "center_x": 10.0 * f, "timestamp": 100 + f / 30} for f in range(7, 75)]
    made = read(reader(scenario_seconds=1.0), write(*reversed(rows)))
    assert [(m.id, m.steps, m.track) for m in made] == [(f"drone_1/000{i}", n, ("1",)) for i, n in enumerate((23, 30, 15))]
    assert [m.start for m in made] == pytest.approx([100 + 7 / 30, 101.0, 102.0])
    assert row(made[1], "1", 0)["x"] == pytest.approx(15.0)
    assert row(made[1], "1", 0)["heading"] == 0.0
    assert {m.group for m in made} == {"drone_1"}


def test_a_clip_may_lack_everything_after_the_angle(write: Write, read: Any) -> None:
    (made,) = read(reader(), write({}, without=tuple(NAMES[7:])))
    assert (made.lane, made.leader, made.site, made.start) == (None, None, "A", 0.0)
    assert AGENT_TYPES[made.type[0]] == "unknown"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"frame": -1}, "row 3, column 'frame': -1 is before the clip"),
        ({"width": -3.0}, "row 3: a width of -0.15 m is impossible"),
        ({"center_x": 1e12}, "row 3: the position"),
        ({"center_x": ""}, "row 3, column 'center_x': '' is no value"),
        ({"center_x": 101.0}, r"row 3: track 1, step 0 stands in row 2 already, with other values"),
        ({"frame": 1e9}, "30 steps|1000000000 steps lie between row 2 and row 3"),
    ],
)
def test_impossible_rows_are_named(write: Write, read: Any, change: dict[str, Any], says: str) -> None:
    path = write({}, {})
    lines = path.read_text().splitlines()
    cells = dict(zip(NAMES, lines[2].split(","), strict=True)) | {k: str(v) for k, v in change.items()}
    path.write_text("\n".join([*lines[:2], ",".join(cells.values())]) + "\n")
    with pytest.raises(DataError, match=says):
        read(reader(scenario_seconds=0), path)


def test_a_clip_without_rows_is_counted(write: Write) -> None:
    made = reader()
    (source,) = made.sources([write()])
    (skipped,) = list(made.read(source))
    assert not isinstance(skipped, Recording)
    assert skipped.counts == {"clips without rows": 1}
