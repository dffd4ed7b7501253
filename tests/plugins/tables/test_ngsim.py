"""Reader `ngsim`: feet, axes and front bumpers against rows worked out by hand, periods, reused numbers, and the real sample."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twm_core.data.recording import Recording
from twm_core.data.scenario import OBSERVED
from twm_core.errors import DataError, UsageError
from twm_core.specs import AGENT_TYPES
from twm_tables.config import NgsimConfig
from twm_tables.ngsim.example import HEADER
from twm_tables.ngsim.reader import build

DATA = Path(__file__).parents[3].parent / "shared" / "data"
NAMES = HEADER.split(",")
BASE = 1118846978900
ROW: dict[str, Any] = {
    "Vehicle_ID": 2,
    "Frame_ID": 13,
    "Total_Frames": 437,
    "Local_X": 20.0,
    "Local_Y": 100.0,
    "Global_X": 6451137.0,
    "Global_Y": 1873344.0,
    "v_length": 15.0,
    "v_Width": 5.0,
    "v_Class": 2,
    "v_Vel": 50.0,
    "v_Acc": -2.0,
    "Lane_ID": 2,
    "Preceding": 0,
    "Following": 0,
    "Location": "us-101",
}
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A combined table of rows like `ROW`; `base` is the time of frame 0."""

    def to_file(
        *rows: dict[str, Any], name: str = "table.csv", names: list[str] | None = None, separator: str = ",", header: bool = True
    ) -> Path:
        lines = [",".join(NAMES)] if header else []
        for changes in rows:
            row = {**ROW, **changes}
            row.setdefault("Global_Time", row.pop("base", BASE) + 100 * row["Frame_ID"])
            lines.append(separator.join(str(row.get(n, "")) for n in names or NAMES))
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
        return path

    return to_file


def reader(**options: Any) -> Any:
    return build(NgsimConfig(**options))


def test_feet_along_and_across_the_road_become_metres_of_the_centre(write: Write, read: Any, row: Any) -> None:
    (made,) = read(reader(), write({}))
    values = row(made, "2", 0)
    # Front bumper at 100 ft = 30.48 m; half of 15 ft = 2.286 m back. 20 ft right of the left edge = 6.096 m.
    assert (values["x"], values["y"]) == pytest.approx((28.194, -6.096))
    assert (values["length"], values["width"], values["heading"]) == pytest.approx((4.572, 1.524, 0.0))
    assert (values["lane"], values["leader"], values["follower"]) == ("us-101:2", -1, -1)
    assert (made.site, made.dt, made.start, AGENT_TYPES[made.type[0]]) == ("us-101", 0.1, pytest.approx(1.3), "car")
    assert "vx" not in made.columns


def test_a_vehicle_that_turns_has_its_centre_behind_its_front_along_its_own_way(write: Write, read: Any, row: Any) -> None:
    # To the right at 45 degrees, 3 ft along and across a step: heading -45 degrees.
    (made,) = read(reader(), write(*({"Frame_ID": f, "Local_X": 20 + 3 * f, "Local_Y": 100 + 3 * f} for f in range(8))))
    values = row(made, "2", 7)
    assert values["heading"] == pytest.approx(-math.pi / 4)
    back = 7.5 * 0.3048 * math.sqrt(0.5)
    assert (values["x"], values["y"]) == pytest.approx((121 * 0.3048 - back, -41 * 0.3048 + back))


def test_state_plane_coordinates_are_turned_by_the_direction_of_the_road_until_a_vehicle_moves(write: Write, read: Any, row: Any) -> None:
    # The road runs south-east: 10 ft along are (8, -6) ft in the state plane.
    rows = [
        {"Vehicle_ID": v, "Frame_ID": f, "Local_Y": 50.0 * v + 0 * f, "Global_X": 6e6 + 40 * v, "Global_Y": 2e6 - 30 * v}
        for v in (1, 2, 3)
        for f in range(3)
    ]
    (made,) = read(reader(coordinates="global"), write(*rows))
    values = row(made, "2", 0)
    assert values["heading"] == pytest.approx(math.atan2(-6, 8), abs=1e-6)
    assert (values["x"], values["y"]) == pytest.approx(((6e6 + 80 - 7.5 * 0.8) * 0.3048, (2e6 - 60 + 7.5 * 0.6) * 0.3048), abs=1e-3)


def test_on_arterials_a_standing_vehicle_faces_its_direction(write: Write, read: Any, row: Any) -> None:
    rows = [{"Vehicle_ID": d, "Direction": d, "Section_ID": 2, "Int_ID": 0, "Location": "lankershim"} for d in (1, 2, 3, 4)]
    (made,) = read(reader(), write(*rows))
    # East, north, west, south; x points north.
    assert [row(made, str(d), 0)["heading"] for d in (1, 2, 3, 4)] == pytest.approx([-math.pi / 2, 0.0, math.pi / 2, -math.pi])
    assert row(made, "4", 0)["x"] == pytest.approx((100 + 7.5) * 0.3048)
    assert made.lane_names == tuple(f"lankershim:section2-{d}:2" for d in (1, 2, 3, 4))
    (made,) = read(reader(coordinates="global"), write(*rows))
    assert [row(made, str(d), 0)["heading"] for d in (1, 2, 3, 4)] == pytest.approx([0.0, math.pi / 2, math.pi, -math.pi / 2])


def test_smoothed_speeds_are_taken_only_if_asked_for(write: Write, read: Any, row: Any) -> None:
    (made,) = read(reader(publisher_motion=True), write({}))
    assert row(made, "2", 0)["vx"] == pytest.approx(15.24)
    assert row(made, "2", 0)["ax"] == pytest.approx(-0.6096)
    assert "later positions" in made.provenance["vx"]


def test_numbers_begin_again_in_every_period_and_place(write: Write, read: Any, row: Any) -> None:
    rows = [{"base": b, "Frame_ID": f, "Location": p} for p in ("us-101", "I-80") for b in (BASE, BASE + 900_000) for f in range(11, 13)]
    made = read(reader(), write(*reversed(rows)))
    assert sorted(m.group for m in made) == ["table/i-80-1", "table/i-80-2", "table/us-101-1", "table/us-101-2"]
    assert {(m.site, m.group.split("/")[1][:-2]) for m in made} == {("us-101", "us-101"), ("i-80", "i-80")}
    assert all(m.track == ("2",) and m.length.tolist() == [2] for m in made)


def test_vehicles_that_share_a_number_are_told_apart_by_their_frames_and_by_gaps(write: Write, read: Any) -> None:
    both = [{"Frame_ID": f, "Total_Frames": n, "Local_Y": 10.0 * n} for n in (11, 15) for f in range(n)]
    (made,) = read(reader(), write(*both))
    assert (made.track, made.length.tolist(), made.skipped) == (("2", "2/15"), [11, 15], {})
    (made,) = read(reader(), write(*({"Frame_ID": f} for f in (0, 1, 2, 90, 91))))
    assert made.track == ("2", "2#2")


def test_repeated_rows_are_counted_and_rows_whose_time_is_not_their_frames_too(write: Write, read: Any) -> None:
    rows = [{"Frame_ID": f} for f in range(200)] + [
        {"Frame_ID": 5},
        {"Frame_ID": 6, "Local_Y": 101.0},
        {"Frame_ID": 7, "base": BASE - 10**9},
    ]
    (made,) = read(reader(), write(*rows))
    assert made.skipped == {
        "rows that repeat another": 1,
        "rows that contradict an earlier one of their track and step": 1,
        "rows whose Frame_ID and Global_Time do not belong together": 1,
    }


def test_times_that_have_nothing_to_do_with_frames_are_refused(write: Write, read: Any) -> None:
    with pytest.raises(DataError, match=r"table.csv, row 1\d\d\d: Global_Time does not grow by 100 ms"):
        read(reader(), write(*({"Frame_ID": f, "Global_Time": BASE} for f in range(1200))))


@pytest.mark.parametrize("columns", [18, 24, 25])
def test_original_text_files_have_no_header_and_any_number_of_blanks(write: Write, read: Any, row: Any, columns: int) -> None:
    names = [n for n in NAMES[:-1] if n not in NAMES[14:20]] if columns == 18 else NAMES[:columns]
    changes = dict.fromkeys(NAMES[14:20], 1) | {"Direction": 2, "Space_Headway": 0, "Time_Headway": 0}
    options: dict[str, Any] = {"names": names, "separator": "   ", "header": False}
    path = write(changes, {**changes, "Frame_ID": 14}, name="us-101/trajectories-0750am-0805am.txt", **options)
    (made,) = read(reader(), path)
    assert row(made, "2", 0)["x"] == pytest.approx(28.194)
    assert made.site == "us-101"


def test_commas_between_thousands_are_read(write: Write, read: Any, row: Any) -> None:
    path = write({"Global_Time": f'"{BASE + 1300:,}"', "Global_X": '"6,451,137.5"'})
    (made,) = read(reader(), path)
    assert row(made, "2", 0)["x"] == pytest.approx(28.194)


def test_classes_are_motorcycles_cars_and_trucks(write: Write, read: Any) -> None:
    (made,) = read(reader(), write(*({"Vehicle_ID": k, "v_Class": k} for k in (1, 2, 3, 8))))
    assert [AGENT_TYPES[t] for t in made.type] == ["motorcycle", "car", "truck", "unknown"]


def test_long_periods_are_cut_and_keep_headings_and_names(write: Write, read: Any, row: Any) -> None:
    rows = [{"Frame_ID": f, "Local_X": 20.0 + 6 * min(f, 8), "Local_Y": 100.0 + 6 * min(f, 8)} for f in range(25)]
    made = read(reader(scenario_seconds=1.0), write(*reversed(rows)))
    assert [(m.id, m.track, m.steps) for m in made] == [(f"table/us-101-1/000{i}", ("2",), n) for i, n in enumerate((10, 10, 5))]
    assert row(made[2], "2", 4)["heading"] == pytest.approx(-math.pi / 4)  # Standing since the first piece.


def test_other_tables_are_refused_with_a_way_out(write: Write, read: Any) -> None:
    with pytest.raises(DataError, match="no header, and 3 columns where NGSIM has 18") as caught:
        read(reader(), write({}, names=NAMES[:3], header=False))
    assert caught.value.hint is not None
    assert "the reader columns" in caught.value.hint
    with pytest.raises(DataError, match="row 3, column 'Local_Y': 'x' is not a number"):
        read(reader(), write({}, {"Frame_ID": 14, "Local_Y": "x"}))
    with pytest.raises(UsageError, match="road needs state-plane coordinates"):
        reader(road="x")


def test_the_sample_of_the_real_table_has_two_periods_and_no_repeated_row(read: Any) -> None:
    """Frame and vehicle repeat 19 times in it, but in different periods. States are counted here with the csv module."""
    path = DATA / "ngsim_raw" / "peachtree_first5000rows.csv"
    if not path.exists():
        pytest.skip("the NGSIM sample is not at hand")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({(r["Vehicle_ID"], r["Frame_ID"]) for r in rows}) == len(rows) - 19
    bases = sorted({int(r["Global_Time"]) - 100 * int(r["Frame_ID"]) for r in rows})
    made: list[Recording] = read(reader(), path)
    for i, base in enumerate(bases):
        own = [m for m in made if m.group.endswith(f"peachtree-{i + 1}")]
        assert sum(int((m.code == OBSERVED).sum()) for m in own) == sum(
            int(r["Global_Time"]) - 100 * int(r["Frame_ID"]) == base for r in rows
        )
        assert {t for m in own for t in m.track} >= {
            r["Vehicle_ID"] for r in rows if int(r["Global_Time"]) - 100 * int(r["Frame_ID"]) == base
        }
    assert all(m.skipped == {} for m in made)
