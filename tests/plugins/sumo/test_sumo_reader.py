"""FCD output becomes recordings: units, reference points, gaps, companions, both formats; what is wrong is named."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from twm_core.data.scenario import LIGHT_STATES, OCCLUDED
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_sumo.config import SumoReaderConfig
from twm_sumo.example import write_example
from twm_sumo.reader import build

TYPES = '<routes><vType id="car" length="4.0" width="1.8" height="1.5"/></routes>'


def write(folder: Path, rows: dict[float, list[str]], name: str = "run.fcd.xml") -> Path:
    """FCD output with these elements at these times, and a car of 4 m beside it."""
    steps = [f'<timestep time="{t:.2f}">{"".join(each)}</timestep>' for t, each in rows.items()]
    (folder / "car.rou.xml").write_text(TYPES)
    (folder / name).write_text("<fcd-export>\n" + "\n".join(steps) + "\n</fcd-export>\n")
    return folder / name


def car(name: str, x: float, y: float, angle: float = 90.0, speed: float = 10.0, more: str = "") -> str:
    return f'<vehicle id="{name}" x="{x}" y="{y}" angle="{angle}" type="car" speed="{speed}" lane="road_0" {more}/>'


def test_a_row_becomes_the_centre_heading_and_velocity_computed_by_hand(tmp_path, read):
    # 150 degrees clockwise from north is 60 degrees below east; the centre lies 2 m behind the bumper.
    (r,) = read(write(tmp_path, {0.0: [car("a", 100.0, 50.0, 150.0, 8.0)], 0.1: [car("a", 100.4, 49.3, 150.0, 8.0)]}))
    down = np.sqrt(3) / 2
    assert np.allclose(r.columns["heading"], -np.pi / 3)
    assert np.allclose([r.columns["x"][0], r.columns["y"][0]], [100.0 - 2.0 * 0.5, 50.0 + 2.0 * down])
    assert np.allclose([r.columns["vx"][0], r.columns["vy"][0]], [8.0 * 0.5, -8.0 * down])
    assert (r.columns["length"] == 4.0).all()
    assert (r.columns["width"] == 1.8).all()
    assert (r.columns["height"] == 1.5).all()


@pytest.mark.parametrize(("angle", "heading"), [(90, 0.0), (0, np.pi / 2), (270, -np.pi), (180, -np.pi / 2), (360, np.pi / 2)])
def test_degrees_clockwise_from_north_become_radians_from_east(tmp_path, read, angle, heading):
    (r,) = read(write(tmp_path, {t: [car("a", 0.0, 0.0, angle)] for t in (0.0, 0.1)}))
    assert np.allclose(r.columns["heading"], heading)


def test_the_acceleration_of_a_circle_points_to_its_centre(tmp_path, read):
    """Speed 10 m/s, 0.5 rad/s to the left: 5 m/s^2 across the heading, and the 1 m/s^2 of SUMO along it."""
    rows = {k / 10: [car("a", 0.0, 0.0, 90 - np.degrees(0.05 * k), 10.0, 'acceleration="1.0"')] for k in range(5)}
    (r,) = read(write(tmp_path, rows))
    h = r.columns["heading"]
    along = r.columns["ax"] * np.cos(h) + r.columns["ay"] * np.sin(h)
    across = r.columns["ay"] * np.cos(h) - r.columns["ax"] * np.sin(h)
    assert np.allclose(along, 1.0)
    assert np.allclose(across, [0.0, 5.0, 5.0, 5.0, 5.0])


def test_the_example_is_read_as_it_was_written(tmp_path, read):
    (r,) = read(*write_example(tmp_path))
    assert r.track == ("car.0", "truck.0", "walker", "bike.0")
    assert [AGENT_TYPES[t] for t in r.type] == ["car", "truck", "pedestrian", "motorcycle"]
    assert (r.first.tolist(), r.length.tolist(), r.steps, r.dt) == ([0, 0, 0, 4], [18, 25, 25, 21], 25, 0.1)
    assert r.columns["x"][r.offset[0] + 5] == pytest.approx(30 + 12 * 0.5 - 4.0 / 2)
    assert r.columns["x"][r.offset[1] + 5] == pytest.approx(20 + 8 * 0.5 - 10.0 / 2)
    assert r.columns["x"][r.offset[2]] == pytest.approx(150.0)  # who walks is not shifted
    lanes = np.asarray(["", *r.lane_names])[r.lane]
    assert set(lanes[r.offset[1] : r.offset[2]]) == {"west_0"}
    assert lanes[r.offset[3]] == "west_0"
    assert lanes[-1] == "west_1"
    assert r.leader[r.offset[3]] == 1  # the truck
    assert r.leader[r.offset[3] + 20] == -1
    assert r.lights.lane == ("west_0", "west_1")
    assert [LIGHT_STATES[s] for s in r.lights.state[0, 9:11]] == ["red", "green"]
    assert np.allclose(r.lights.stop, [[95.0, -4.8], [95.0, -1.6]])


def test_csv_says_the_same_as_xml_plain_or_compressed(tmp_path, read):
    header = "timestep_time;vehicle_id;vehicle_x;vehicle_y;vehicle_angle;vehicle_type;vehicle_speed;vehicle_pos;vehicle_lane;vehicle_slope"
    rows, lines = {}, [header, "0.00;;;;;;;;;"]
    rows[0.0] = []
    for k in range(1, 8):
        rows[k / 10] = [car("a", 10.0 + k, 2.0)] + [car("b", 5.5, 3.25, 45.0)] * (k > 3)
        lines += [f"{k / 10:.2f};a;{10.0 + k};2.0;90.0;car;10.0;0.00;road_0;0.00"]
        lines += [f"{k / 10:.2f};b;5.5;3.25;45.0;car;10.0;0.00;road_0;0.00"] * (k > 3)
    (expected,) = read(write(tmp_path, rows, "run.fcd.xml"))
    text = "\n".join(lines) + "\n"
    (tmp_path / "run.fcd.csv").write_text(text)
    (tmp_path / "zipped.fcd.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "plain.csv").write_text(text.replace("timestep_", "").replace("vehicle_", "").replace(";", ","))
    (tmp_path / "zipped.fcd.xml.gz").write_bytes(gzip.compress((tmp_path / "run.fcd.xml").read_bytes()))
    for name in ("run.fcd.csv", "zipped.fcd.csv.gz", "plain.csv", "zipped.fcd.xml.gz"):
        (found,) = read(tmp_path / name)
        assert (found.track, found.steps, found.dt, found.lane_names) == (expected.track, expected.steps, expected.dt, expected.lane_names)
        assert found.first.tolist() == expected.first.tolist()
        for column, values in expected.columns.items():
            assert np.array_equal(found.columns[column], values), (name, column)


def test_times_as_on_a_clock_are_understood(tmp_path, read):
    path = write(tmp_path, {0.0: [car("a", 0, 0)], 0.5: [car("a", 5, 0)]})
    path.write_text(path.read_text().replace('time="0.00"', 'time="01:00:00.00"').replace('time="0.50"', 'time="1:00:00:00.50"'))
    assert read(tmp_path / "run.fcd.xml")[0].dt == pytest.approx(23 * 3600 + 0.5)


def test_a_folder_is_searched_for_output_and_nothing_else(tmp_path):
    write_example(tmp_path / "one")
    write_example(tmp_path / "two")
    (tmp_path / "two" / "trips.xml").write_text("<trips/>")
    (tmp_path / "two" / "table.csv").write_text("a,b\n1,2\n")
    sources = build(SumoReaderConfig()).sources([tmp_path])
    assert [s.name for s in sources] == ["one/crossing", "two/crossing"]
    assert [f.name for f in sources[0].files] == ["crossing.fcd.xml", "crossing.net.xml", "crossing.rou.xml", "crossing.tls.xml"]


def test_long_output_is_cut_and_tracks_keep_their_names(tmp_path, read):
    rows = {k / 10: [car("a", k, 0), *([car("b", k, 4)] if k > 12 else [])] for k in range(25)}
    pieces = read(write(tmp_path, rows), scenario_seconds=1.0)
    assert [(p.steps, p.start, p.track) for p in pieces] == [(10, 0.0, ("a",)), (10, 1.0, ("a", "b")), (5, 2.0, ("a", "b"))]
    assert {p.group for p in pieces} == {"run"}
    assert len({p.id for p in pieces}) == 3
    assert pieces[1].first.tolist() == [0, 3]
    whole = read(tmp_path / "run.fcd.xml", scenario_seconds=0)[0]
    assert np.array_equal(np.concatenate([p.columns["x"][: p.length[0]] for p in pieces]), whole.columns["x"][:25])


def test_the_first_scenario_comes_before_the_rest_of_the_file_is_read(tmp_path):
    """So that memory holds one scenario, however long the output is."""
    path = write(tmp_path, {k / 10: [car(f"car-{i}", k, 4 * i) for i in range(120)] for k in range(200)})
    path.write_text(path.read_text().replace('time="19.90"', 'time="late"'))
    reader = build(SumoReaderConfig(scenario_seconds=5.0))
    (source,) = reader.sources([path])
    pieces = reader.read(source)
    assert next(pieces).steps == 50
    with pytest.raises(DataError, match="time is 'late'"):
        list(pieces)


def test_a_teleported_vehicle_is_occluded_until_it_is_back(tmp_path, read):
    (r,) = read(write(tmp_path, {k / 10: [car("a", k, 0)] * (k not in (3, 4)) + [car("b", k, 4)] for k in range(8)}))
    assert (r.code[:8] == OCCLUDED).tolist() == [False] * 3 + [True] * 2 + [False] * 3


def test_unshifted_coordinates_come_back_into_those_of_the_network(tmp_path, read):
    (fcd,) = write_example(tmp_path)
    (expected,) = read(fcd)
    net = tmp_path / "crossing.net.xml"
    net.write_text(net.read_text().replace('netOffset="0.00,0.00"', 'netOffset="-5000.00,-3000.00"'))
    text = fcd.read_text()
    for x in {part.split('"')[0] for part in text.split(' x="')[1:]}:
        text = text.replace(f' x="{x}"', f' x="{float(x) + 5000:.2f}"')
    for y in {part.split('"')[0] for part in text.split(' y="')[1:]}:
        text = text.replace(f' y="{y}"', f' y="{float(y) + 3000:.2f}"')
    fcd.write_text(text)
    (found,) = read(fcd)
    assert np.allclose(found.columns["x"], expected.columns["x"])
    assert np.allclose(found.columns["y"], expected.columns["y"])


def test_a_network_that_is_missing_is_counted_and_containers_too(tmp_path, read):
    box = '<container id="c" x="1" y="1" angle="0" speed="0" edge="road"/>'
    (r,) = read(write(tmp_path, {t: [car("a", 0, 0), box] for t in (0.0, 0.1)}))
    assert r.road is None
    assert r.track == ("a",)
    assert r.lane_names == ("road_0",)
    assert r.skipped == {"rows of containers": 2, "recordings without a network, hence without a map": 1}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (('x="31.20"', 'x="far"'), "crossing.fcd.xml, line 9: x is 'far'"),
        (('x="31.20"', 'x="1e12"'), "line 9: x is '1e12'"),
        (('x="31.20"', 'z="31.20"'), "line 9: attribute x is missing"),
        (('id="car.0" x="31.20"', 'x="31.20"'), "line 9: attribute id is missing"),
        (('time="0.40"', 'time="0.43"'), "line 24: time 0.43 is not a whole number of steps of 0.1 s"),
        (('time="0.40"', 'time="0.20"'), "line 24: time 0.2 is earlier than one before it"),
        (('time="0.40"', 'time="5000000.00"'), "comes 49999997 steps after"),
        (('type="lorry"', 'type="lory"'), "line 5: vehicle type 'lory' of 'truck.0' is defined nowhere"),
        (("</timestep>", "</timestop>"), "line 7: not well-formed XML (mismatched tag)"),
        (("<fcd-export>", '<!DOCTYPE a [<!ENTITY b "c">]><fcd-export>'), "line 2: a document type is declared"),
        (('encoding="UTF-8"', 'encoding="secret"'), "unknown encoding"),
    ],
)
def test_damage_is_named_by_file_and_line(tmp_path, refusal, damage, said):
    (fcd,) = write_example(tmp_path)
    text = fcd.read_text()
    assert damage[0] in text
    fcd.write_text(text.replace(*damage, 1 if "type" not in damage[0] else -1))
    assert said in refusal(fcd)


def test_two_rows_of_one_agent_and_time_must_agree(tmp_path, refusal, read):
    path = write(tmp_path, {0.0: [car("a", 0, 0)], 0.1: [car("a", 1, 0), car("a", 1, 0)]})
    assert read(path)[0].skipped["rows that repeat another"] == 1
    path = write(tmp_path, {0.0: [car("a", 0, 0)], 0.1: [car("a", 1, 0), car("a", 2, 0)]})
    assert "with other values" in refusal(path)


def test_output_in_degrees_or_of_another_network_is_refused(tmp_path, refusal):
    (fcd,) = write_example(tmp_path)
    net = tmp_path / "crossing.net.xml"
    far = net.read_text().replace("0.00,0.00,200.00,0.00", "9000.00,9000.00,9200.00,9000.00")
    net.write_text(far)
    assert "outside the network" in refusal(fcd)
    net.write_text(far.replace('projParameter="!"', 'projParameter="+proj=utm +zone=32"'))
    fcd.write_text(re.sub(r' x="(\d+)', lambda found: f' x="{int(found[1]) // 10}', fcd.read_text()))
    assert "longitudes and latitudes" in refusal(fcd)


def test_what_lies_beside_must_be_clear(tmp_path, refusal):
    (fcd,) = write_example(tmp_path)
    (tmp_path / "crossing.net.xml").rename(tmp_path / "a.net.xml")
    (tmp_path / "b.net.xml").write_bytes((tmp_path / "a.net.xml").read_bytes())
    assert "there are 2 networks: a.net.xml, b.net.xml" in refusal(fcd)
    assert "option network: nowhere.net.xml is not a file" in refusal(fcd, network="nowhere.net.xml")
    (tmp_path / "other.rou.xml").write_text('<routes><vType id="small" length="3"/></routes>')
    assert "other.rou.xml, line 1: type small is defined differently in crossing.rou.xml" in refusal(
        fcd, network=str(tmp_path / "a.net.xml")
    )


def test_nothing_to_read_is_said(tmp_path):
    reader = build(SumoReaderConfig())
    with pytest.raises(DataError, match="there is no FCD output"):
        reader.sources([tmp_path])
    with pytest.raises(DataError, match="is not there"):
        reader.sources([tmp_path / "none"])


def test_names_of_lanes_and_files_come_from_the_options(tmp_path, read):
    (fcd,) = write_example(tmp_path / "data")
    for name in ("crossing.net.xml", "crossing.rou.xml", "crossing.tls.xml"):
        (tmp_path / "data" / name).rename(tmp_path / name.replace("crossing", "x").replace(".tls", ""))
    (r,) = read(
        fcd,
        network=str(tmp_path / "x.net.xml"),
        types=(str(tmp_path / "x.rou.xml"),),
        lights=str(tmp_path / "x.xml"),
        site="here",
    )
    assert (r.site, len(r.lights.lane), len(r.road.lanes), len(r.track)) == ("here", 2, 5, 4)
