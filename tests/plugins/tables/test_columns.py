"""Reader `columns`: every unit and axis of the mapping against rows worked out by hand, and one clear error for each mistake in it."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twm_core.data.importing.tables import WHITESPACE
from twm_core.data.recording import UNKNOWN, Recording
from twm_core.data.scenario import OBSERVED
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_tables.columns.mapping_example import EXAMPLE
from twm_tables.columns.reader import build
from twm_tables.config import ColumnsConfig

DATA = Path(__file__).parents[3].parent / "shared" / "data"
NEEDED = """
[track]
column = "id"
[time]
column = "t"
unit = "s"
dt = 0.1
[position]
x = "x"
y = "y"
"""
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A table, and its mapping: `NEEDED`, with `position` and `time` where they are given, and `more`."""

    def to_files(text: str, more: str = "", position: str = "", time: str = "", name: str = "site/a.csv", top: str = "") -> Path:
        mapping = NEEDED.replace('unit = "s"\ndt = 0.1\n', time) if time else NEEDED
        (tmp_path / "columns.toml").write_text(top + mapping + position + "\n" + more)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        return tmp_path

    return to_files


def reader(**options: Any) -> Any:
    return build(ColumnsConfig(**options))


@pytest.mark.parametrize(
    ("position", "x", "y"),
    [
        ("", 10.0, 4.0),
        ('unit = "ft"', 3.048, 1.2192),
        ('unit = "cm"', 0.1, 0.04),
        ('unit = "px"\nmetres_per_pixel = 0.5\ny_down = true', 5.0, -2.0),
        ("swap = true", 4.0, 10.0),
        ("y_down = true\nswap = true", -4.0, 10.0),
        ("origin = [500000.0, 4000000.0]", 500010.0, 4000004.0),
        # (X, Y, W) = (2 * 10 + 1, 3 * 4, 0.1 * 10 + 1) = (21, 12, 2)
        ('unit = "px"\nhomography = [[2.0, 0.0, 1.0], [0.0, 3.0, 0.0], [0.1, 0.0, 1.0]]', 10.5, 6.0),
    ],
)
def test_positions(write: Write, read: Any, row: Any, position: str, x: float, y: float) -> None:
    (made,) = read(reader(), write("id,t,x,y\n1,0.0,10,4\n", position=position))
    assert row(made, "1", 0) == pytest.approx({"x": x, "y": y})


@pytest.mark.parametrize(
    ("reference", "x", "y"),
    [("front", 8.0, 4.0), ("rear", 12.0, 4.0), ("corner", 12.0, -5.0)],
)
def test_reference_points(write: Write, read: Any, row: Any, reference: str, x: float, y: float) -> None:
    """A box 4 m long and 2 m wide along x; the corner of smallest x and y in a picture is its upper left one."""
    more = '[size]\nlength = "l"\nwidth = "w"\n[heading]\ncolumn = "h"\n'
    position = f'reference = "{reference}"' + ("\ny_down = true" if reference == "corner" else "")
    (made,) = read(reader(), write("id,t,x,y,h,l,w\n1,0.0,10,4,0,4,2\n", more, position))
    values = row(made, "1", 0)
    assert (values["x"], values["y"], values["length"], values["width"]) == (x, y, 4.0, 2.0)


def test_a_front_without_a_heading_goes_back_along_the_motion(write: Write, read: Any, row: Any) -> None:
    text = "id,t,x,y,l\n" + "".join(f"1,{i / 10},5,{2 * i},4\n" for i in range(9))
    (made,) = read(reader(), write(text, '[size]\nlength = "l"\n', 'reference = "front"'))
    assert row(made, "1", 8) == pytest.approx({"x": 5.0, "y": 14.0, "heading": math.pi / 2, "length": 4.0})


@pytest.mark.parametrize(
    ("heading", "position", "angle"),
    [
        ('unit = "rad"', "", 0.5),
        ('unit = "deg"', "", math.radians(0.5)),
        ("", "y_down = true", -0.5),
        ("", "swap = true", math.pi / 2 - 0.5),
        ("", "y_down = true\nswap = true", math.pi / 2 + 0.5),
        ("compass = true", "y_down = true", math.pi / 2 - 0.5),
    ],
)
def test_headings(write: Write, read: Any, row: Any, heading: str, position: str, angle: float) -> None:
    (made,) = read(reader(), write("id,t,x,y,h\n1,0.0,0,0,0.5\n", f'[heading]\ncolumn = "h"\n{heading}\n', position))
    assert row(made, "1", 0)["heading"] == pytest.approx(angle)


@pytest.mark.parametrize(("unit", "factor"), [("m/s", 1.0), ("km/h", 1 / 3.6), ("mph", 0.44704), ("ft/s", 0.3048)])
def test_velocities_and_accelerations_turn_with_the_axes(write: Write, read: Any, row: Any, unit: str, factor: float) -> None:
    more = f'[velocity]\nx = "u"\ny = "v"\nunit = "{unit}"\n[acceleration]\nx = "a"\ny = "b"\nunit = "ft/s^2"\n'
    (made,) = read(reader(), write("id,t,x,y,u,v,a,b\n1,0.0,0,0,3,4,1,2\n", more, "y_down = true\nswap = true"))
    values = row(made, "1", 0)
    assert (values["vx"], values["vy"]) == pytest.approx((-4 * factor, 3 * factor))
    assert (values["ax"], values["ay"]) == pytest.approx((-0.6096, 0.3048))


def test_a_speed_goes_along_the_heading(write: Write, read: Any, row: Any) -> None:
    more = '[velocity]\nspeed = "v"\n[heading]\ncolumn = "h"\nunit = "deg"\n'
    (made,) = read(reader(), write("id,t,x,y,v,h\n1,0.0,0,0,10,150\n", more))
    assert (row(made, "1", 0)["vx"], row(made, "1", 0)["vy"]) == pytest.approx((-8.660254, 5.0))


@pytest.mark.parametrize(
    ("time", "cells", "steps", "dt"),
    [
        ('unit = "s"\ndt = 0.4\n', ("12.0", "12.8"), (0, 2), 0.4),
        ('unit = "ms"\ndt = 0.1\n', ("1118846980200", "1118846980500"), (0, 3), 0.1),
        ('unit = "us"\ndt = 0.1\n', ("1e6", "1.2e6"), (0, 2), 0.1),
        ('unit = "frames"\nfps = 25.0\nframes_per_step = 10\n', ("780", "800"), (0, 2), 0.4),
        ('unit = "datetime"\ndt = 0.5\n', ("2025-05-01 08:00:00", "2025-05-01T08:00:01.5"), (0, 3), 0.5),
    ],
)
def test_times(write: Write, read: Any, time: str, cells: tuple[str, str], steps: tuple[int, int], dt: float) -> None:
    (made,) = read(reader(), write(f"id,t,x,y\n1,{cells[0]},0,0\n1,{cells[1]},1,1\n", time=time))
    assert made.dt == dt
    assert made.length.tolist() == [steps[1] - steps[0] + 1]


def test_types_lanes_and_neighbours(write: Write, read: Any, row: Any) -> None:
    text = "id,t,x,y,k,lane,ahead,behind\na,0,0,0,PKW,1.0,b,\nb,0,9,0,9,0,none,a\nc,0,5,5,,x,zz,\n"
    more = """
[type]
column = "k"
values = { PKW = "car", 9 = "truck" }
[lane]
column = "lane"
[leader]
column = "ahead"
none = ["none"]
[follower]
column = "behind"
"""
    (made,) = read(reader(), write(text, more))
    assert [AGENT_TYPES[t] for t in made.type] == ["car", "truck", "unknown"]
    assert [(v["lane"], v["leader"], v["follower"]) for v in (row(made, t, 0) for t in "abc")] == [
        ("site:1", "b", -1),
        (None, -1, "a"),
        ("site:x", UNKNOWN, -1),
    ]


def test_types_that_are_not_named_are_refused_or_get_the_default(write: Write, read: Any) -> None:
    text, more = "id,t,x,y,k\n1,0,0,0,car\n2,0,0,0,tram\n", '[type]\ncolumn = "k"\nvalues = { car = "car" }\n'
    with pytest.raises(DataError, match=r"row 3: type 'tram' \(type.column = 'k'\) is not in type.values"):
        read(reader(), write(text, more))
    (made,) = read(reader(), write(text, more + 'default = "other"\n'))
    assert [AGENT_TYPES[t] for t in made.type] == ["car", "other"]
    (made,) = read(reader(), write(text, '[type]\nconstant = "pedestrian"\n'))
    assert {AGENT_TYPES[t] for t in made.type} == {"pedestrian"}


def test_groups_and_sites_may_be_columns(write: Write, read: Any) -> None:
    text = "id,t,x,y,run,place\n1,0,0,0,2,north\n1,0,5,5,1,north\n1,0,9,9,1,south\n"
    more = '[group]\ncolumn = "run"\n[site]\ncolumn = "place"\n[lane]\ncolumn = "run"\n'
    made: list[Recording] = read(reader(), write(text, more))
    assert [(m.id, m.group, m.site) for m in made] == [
        (f"site/a/{g}", f"site/a/{g}", g.split("/")[0]) for g in ("north/1", "north/2", "south/1")
    ]
    assert made[0].lane_names == ("north:1", "north:2")
    assert read(reader(), write("id,t,x,y\n1,0,0,0\n"))[0].site == "site"
    assert {m.site for m in read(reader(site="mine"), write(text, more))} == {"mine"}


def test_missing_values_have_a_word_and_rows_without_position_a_choice(write: Write, read: Any, row: Any) -> None:
    text = "id,t,x,y,l\n1,0.0,0,0,-999\n1,0.1,-999,0,4\n1,0.2,1,1,4\n"
    more = '[size]\nlength = "l"\n'
    missing = "[table]\nmissing = [-999]\n"
    with pytest.raises(DataError, match=r"row 3: no position \(1 such rows\)"):
        read(reader(), write(text, more, top=missing))
    (made,) = read(reader(), write(text, more, top=missing + "skip_rows_without_position = true\n"))
    assert made.skipped == {"rows without a position": 1}
    assert math.isnan(row(made, "1", 0)["length"])
    assert made.code.tolist().count(OBSERVED) == 2


def test_tables_without_header_have_numbered_columns(write: Write, read: Any, row: Any) -> None:
    mapping = NEEDED.replace('"id"', "2").replace('"t"', "1").replace('"x"', "3").replace('"y"', "4")
    folder = write("# made by hand\n 0.0  7 1.5\t2.5 \n 0.1  7 1.6\t2.6\n", name="site/a.txt")
    for table in ("header = false\n", 'header = false\nnames = ["t", "id", "x", "y"]\n'):
        text = f'[table]\ndelimiter = "{WHITESPACE}"\nskip_lines = 1\n{table}' + (NEEDED if "names" in table else mapping)
        (folder / "columns.toml").write_text(text)
        (made,) = read(reader(), folder)
        assert row(made, "7", 1) == {"x": 1.6, "y": 2.6}


def test_parquet_tables_hold_types_of_their_own(write: Write, read: Any, row: Any) -> None:
    folder = write("", time='unit = "datetime"\ndt = 0.5\n', more='[lane]\ncolumn = "lane"\n')
    (folder / "site" / "a.csv").unlink()
    times = [datetime(2025, 5, 1, 8, 0, s, tzinfo=UTC) for s in (0, 1)]
    table = pa.table({"id": [7, 7], "t": times, "x": [1.0, 2.0], "y": pa.array([3, 4], pa.int32()), "lane": ["a", None]})
    pq.write_table(table, folder / "site" / "a.parquet")
    (made,) = read(reader(), folder)
    assert row(made, "7", 2) == {"x": 2.0, "y": 4.0, "lane": None}
    assert row(made, "7", 0)["lane"] == "site:a"
    assert made.start == 1746086400.0
    (folder / "site" / "a.parquet").write_bytes((folder / "site" / "a.parquet").read_bytes()[:-9])
    with pytest.raises(DataError, match=r"a.parquet: "):
        read(reader(), folder)


def test_long_tables_are_cut_and_tracks_keep_their_names(write: Write, read: Any) -> None:
    text = "id,t,x,y\n" + "".join(f"{n},{i / 10:.1f},{i},0\n" for n in ("b", "a") for i in range(25))
    made = read(reader(scenario_seconds=1.0), write(text))
    assert [(m.id, m.start, m.steps, m.track) for m in made] == [
        (f"site/a/000{i}", pytest.approx(1.0 * i), n, ("a", "b")) for i, n in enumerate((10, 10, 5))
    ]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('column = "id"', 'column = "ID2"', r"track.column = 'ID2', but a.csv has 4 columns: id, t, x, y"),
        ('column = "id"', 'name = "id"', r"columns.toml: track.column: is missing"),
        ("dt = 0.1", "dt = -1", r"columns.toml: time.dt: Input should be greater than 0"),
        ("dt = 0.1", "", r"columns.toml: time: dt, the seconds between two steps, goes with times"),
        ('unit = "s"', 'unit = "frames"', r"columns.toml: time: fps goes with unit 'frames'"),
        ('unit = "s"', 'unit = "minutes"', r"columns.toml: time.unit: Input should be 'frames', .* \(given: 'minutes'\)"),
        ('y = "y"', 'y = "y"\nunit = "px"', r"columns.toml: position: unit 'px' needs metres_per_pixel or homography"),
        ('y = "y"', 'y = "y"\nmetres_per_pixel = 2.0', r"columns.toml: position: metres_per_pixel and homography go with unit 'px'"),
        ('y = "y"', 'y = "y"\nreference = "front"', r"columns.toml: the mapping: position.reference 'front' needs size.length"),
        ('y = "y"', 'y = "y"\nscale = 2', r"columns.toml: position.scale: is no key of mapping files"),
        ('y = "y"', 'y = "y"\n[type]\nconstant = "tram"', r"columns.toml: type: 'tram' is no agent type"),
        ('y = "y"', 'y = "y"\n[velocity]\nx = "x"', r"columns.toml: velocity: give x and y, or speed"),
        ('y = "y"', 'y = "y"\n[table]\ndelimiter = "::"', r"columns.toml: table: delimiter is '::'"),
        ('y = "y"', 'y = "y', r"columns.toml: "),
    ],
)
def test_mistakes_in_the_mapping_are_named_by_their_key(write: Write, read: Any, old: str, new: str, says: str) -> None:
    folder = write("id,t,x,y\n1,0,0,0\n")
    (folder / "columns.toml").write_text(NEEDED.replace(old, new))
    with pytest.raises(DataError, match=says):
        read(reader(), folder)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,t,x,y\n1,0.15,0,0\n", r"row 2: 0.15 \(time.column = 't'\) lies between two steps"),
        ("id,t,x,y\n1,,0,0\n", r"row 2, column 't': '' is no value"),
        (",t,x,y\n", r"track.column = 'id', but a.csv has 4 columns"),
        ("id,t,x,y\n1,0,1e12,0\n", r"row 2: the position \(1e\+12, 0\) m is impossible"),
        ("id,t,x,y\n1,0,0,0\n1,0,0,1\n", r"row 3: track 1, step 0 stands in row 2 already"),
    ],
)
def test_rows_that_the_mapping_does_not_fit_are_named(write: Write, read: Any, text: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        read(reader(), write(text))


def test_without_a_mapping_one_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,t,x,y\n")
    with pytest.raises(DataError, match="no mapping file") as caught:
        reader().sources([tmp_path])
    assert caught.value.hint is not None
    assert "twm data example columns" in caught.value.hint


def test_the_example_explains_every_key() -> None:
    from twm_tables.columns import mapping

    keys = [k for part in mapping.Mapping.model_fields.values() for k in getattr(part.annotation, "model_fields", {})]
    assert [k for k in {*mapping.Mapping.model_fields, *keys} if k not in EXAMPLE] == []


def test_vtp_tl_imports_as_far_as_its_columns_are_certain(tmp_path: Path, read: Any, row: Any) -> None:
    """Frame, agent, x and y in pixels are certain; its frame rate and scale are not published, and those below stand in for them."""
    path = DATA / "vtp_tl"
    if not path.exists():
        pytest.skip("VTP-TL is not at hand")
    mapping = """
[table]
delimiter = "\\t"
header = false
[track]
column = 2
[time]
column = 1
unit = "frames"
fps = 30.0
[position]
x = 3
y = 4
unit = "px"
metres_per_pixel = 0.05
y_down = true
[type]
constant = "car"
"""
    (tmp_path / "vtp.toml").write_text(mapping)
    (made,) = read(reader(mapping=str(tmp_path / "vtp.toml"), scenario_seconds=0, site="crossing"), path)
    assert row(made, "0", 0) == pytest.approx({"x": 22.2, "y": -24.875})
    assert int((made.code == OBSERVED).sum()) == (path / "VTP_C" / "train" / "DJI_0590_0.txt").read_bytes().count(b"\n")
