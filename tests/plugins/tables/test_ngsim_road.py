"""Centre lines and boundaries of NGSIM roads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from twm_core.errors import DataError
from twm_tables.config import NgsimConfig
from twm_tables.ngsim.reader import build
from twm_tables.ngsim.road import read_road, road_files

ROAD = Path(__file__).parents[3].parent / "shared" / "data" / "ngsim_roadway"
CENTRES = "CENTERLINES\n1\nCENTERLINE\ncenterline5\n3\n 0.0 0.0\n 100.0 0.0\n 200.0 0.0\n"
BOUNDARIES = "BOUNDARIES\n1\nBOUNDARY 1\n2\n 0.0 -6.0\n 200.0 -6.0\n"


def test_feet_become_metres_and_lanes_get_the_usual_width(tmp_path: Path) -> None:
    (tmp_path / "centerlines101.txt").write_text(CENTRES)
    (tmp_path / "boundaries101.txt").write_text(BOUNDARIES)
    road = read_road(road_files(tmp_path, "us-101"))
    (lane,) = road.lanes
    assert lane.id == "centerline5"
    assert lane.centre == pytest.approx(np.asarray([[0, 0], [30.48, 0], [60.96, 0]]))
    assert lane.left_boundary is not None
    assert lane.left_boundary[:, 1] == pytest.approx([6 * 0.3048] * 3)
    assert [line.kind for line in road.lines] == ["line"]
    assert road.lines[0].points == pytest.approx(np.asarray([[0, -1.8288], [60.96, -1.8288]]))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("LINES\n", "row 1: neither CENTERLINES nor BOUNDARIES"),
        ("CENTERLINES\nmany\n", "row 2: 'many' is not the number of lines"),
        (CENTRES.replace("CENTERLINE\n", "LINE\n"), "row 3: 'LINE' is neither CENTERLINE nor BOUNDARY"),
        (CENTRES.replace("100.0 0.0", "100.0"), "row 7: '100.0' is not a point"),
        (CENTRES.replace("100.0 0.0", "nan 0.0"), "row 7: 'nan 0.0' is not a point"),
        (CENTRES[:-20], "the file ends where a point should be|is not a point"),
        (CENTRES.replace("\n3\n", "\n1\n"), "a line needs two points"),
        ("", "row 1: the file ends where CENTERLINES or BOUNDARIES should be"),
    ],
)
def test_malformed_files_are_refused_with_their_row(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "road.txt").write_text(text)
    with pytest.raises(DataError, match=says):
        read_road([tmp_path / "road.txt"])


def test_a_folder_without_the_road_of_the_site_is_refused(tmp_path: Path) -> None:
    (tmp_path / "centerlines101.txt").write_text(CENTRES)
    with pytest.raises(DataError, match="has no centre lines or boundaries for 'i-80'"):
        road_files(tmp_path, "i-80")
    with pytest.raises(DataError, match=r"road: .*none is not there"):
        road_files(tmp_path / "none", "i-80")


def test_recordings_in_the_state_plane_carry_the_road(tmp_path: Path) -> None:
    (tmp_path / "centerlines101.txt").write_text(CENTRES)
    reader = build(NgsimConfig(coordinates="global", road=str(tmp_path)))
    (tmp_path / "data").mkdir()
    made = [m for source in reader.sources(reader.example(tmp_path / "data")) for m in reader.read(source)]
    assert all(m.road is not None and [lane.id for lane in m.road.lanes] == ["centerline5"] for m in made)  # type: ignore[union-attr]


@pytest.mark.parametrize(("site", "lanes", "lines"), [("us-101", 6, 12), ("i-80", 8, 11)])
def test_the_real_roads_have_their_lanes_between_their_boundaries(site: str, lanes: int, lines: int) -> None:
    if not ROAD.exists():
        pytest.skip("the roads of NGSIM are not at hand")
    road = read_road(road_files(ROAD, site))
    assert (len(road.lanes), len(road.lines)) == (lanes, lines)
    # Within 5 m of the convex hull of the boundaries: no farther out than they are in any direction.
    turn = np.linspace(0, 2 * np.pi, 360)
    directions = np.stack([np.cos(turn), np.sin(turn)])
    furthest = (np.concatenate([line.points for line in road.lines]) @ directions).max(axis=0)
    assert all((lane.centre @ directions <= furthest + 5.0).all() for lane in road.lanes)
