"""Reader `waymo` against the protobuf package, with message types that are declared here from the published field numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from twm_core.data.scenario import LIGHT_STATES
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_driving.waymo.example import block, double, example_scenario, number, single
from twm_driving.waymo.proto import MESSAGES, read_scenario, scenario_class
from twm_driving.waymo.tfrecord import record

# Name, number, label (o optional, r repeated, p packed), type; after scenario.proto and map.proto of waymo-open-dataset.
PROTOS = {
    "MapPoint": "x 1 o double, y 2 o double, z 3 o double",
    "ObjectState": "center_x 2 o double, center_y 3 o double, center_z 4 o double, length 5 o float, width 6 o float, height 7 o float,"
    "heading 8 o float, velocity_x 9 o float, velocity_y 10 o float, valid 11 o bool",
    "Track": "id 1 o int32, object_type 2 o int32, states 3 r ObjectState",
    "TrafficSignalLaneState": "lane 1 o int64, state 2 o int32, stop_point 3 o MapPoint",
    "DynamicMapState": "lane_states 1 r TrafficSignalLaneState",
    "RequiredPrediction": "track_index 1 o int32, difficulty 2 o int32",
    "BoundarySegment": "lane_start_index 1 o int32, lane_end_index 2 o int32, boundary_feature_id 3 o int64, boundary_type 4 o int32",
    "LaneNeighbor": "feature_id 1 o int64, self_start_index 2 o int32, self_end_index 3 o int32, neighbor_start_index 4 o int32,"
    "neighbor_end_index 5 o int32, boundaries 6 r BoundarySegment",
    "LaneCenter": "speed_limit_mph 1 o double, type 2 o int32, interpolating 3 o bool, polyline 8 r MapPoint, entry_lanes 9 p int64,"
    "exit_lanes 10 p int64, left_neighbors 11 r LaneNeighbor, right_neighbors 12 r LaneNeighbor, left_boundaries 13 r BoundarySegment,"
    "right_boundaries 14 r BoundarySegment",
    "RoadEdge": "type 1 o int32, polyline 2 r MapPoint",
    "RoadLine": "type 1 o int32, polyline 2 r MapPoint",
    "StopSign": "lane 1 r int64, position 2 o MapPoint",
    "Crosswalk": "polygon 1 r MapPoint",
    "SpeedBump": "polygon 1 r MapPoint",
    "Driveway": "polygon 1 r MapPoint",
    "MapFeature": "id 1 o int64, lane 3 o LaneCenter, road_line 4 o RoadLine, road_edge 5 o RoadEdge, stop_sign 7 o StopSign,"
    "crosswalk 8 o Crosswalk, speed_bump 9 o SpeedBump, driveway 10 o Driveway",
    "Scenario": "timestamps_seconds 1 r double, tracks 2 r Track, objects_of_interest 4 r int32, scenario_id 5 o string,"
    "sdc_track_index 6 o int32, dynamic_map_states 7 r DynamicMapState, map_features 8 r MapFeature, current_time_index 10 o int32,"
    "tracks_to_predict 11 r RequiredPrediction, compressed_frame_laser_data 12 r bytes, frame_camera_tokens 13 r bytes",
}


@pytest.fixture(scope="module")
def scenario_type():
    """The class of `Scenario`, made by the protobuf package."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="twm_test_waymo.proto", package="twm.test", syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in PROTOS.items():
        message = file.message_type.add(name=name)
        for entry in fields.split(","):
            field_name, field_number, label, kind = entry.split()
            field = message.field.add(name=field_name, number=int(field_number))
            field.label = kinds.LABEL_OPTIONAL if label == "o" else kinds.LABEL_REPEATED
            field.options.packed = label == "p"
            if kind in PROTOS:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".twm.test.{kind}"
            else:
                field.type = getattr(kinds, f"TYPE_{kind.upper()}")
            if label != "p":
                field.ClearField("options")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("twm.test.Scenario"))


def a_scenario(kind, steps=12):
    """A scenario with everything in it that the reader reads."""
    scenario = kind(scenario_id="abc", current_time_index=4, sdc_track_index=1, objects_of_interest=[70])
    chance = np.random.default_rng(0)
    scenario.timestamps_seconds.extend(np.arange(steps) * 0.1 + chance.uniform(-0.004, 0.004, steps))
    for i, object_type in enumerate([1, 2, 3, 4, 0]):
        track = scenario.tracks.add(id=70 + i, object_type=object_type)
        for step in range(steps):
            if i == 2 and step in (0, 5, 11):
                track.states.add(valid=False)
                continue
            x, y, z, heading, vx, vy = chance.normal(size=6) * [1000, 1000, 10, 1, 10, 10]
            track.states.add(
                center_x=x,
                center_y=y,
                center_z=z,
                heading=heading,
                velocity_x=vx,
                velocity_y=vy,
                length=4.5,
                width=2,
                height=1.5,
                valid=True,
            )
    scenario.tracks_to_predict.add(track_index=0, difficulty=1)
    scenario.tracks_to_predict.add(track_index=2)
    for step in range(steps):
        state = scenario.dynamic_map_states.add()
        if step % 2:
            light = state.lane_states.add(lane=100, state=step % 9)
            light.stop_point.x, light.stop_point.y = 3.0, -4.0
    lane = scenario.map_features.add(id=100).lane
    lane.speed_limit_mph = 45
    lane.exit_lanes.extend([101, 999])
    for x in (0.0, 10.0, 10.0, 20.0):
        lane.polyline.add(x=x, y=1.0)
    lane.left_neighbors.add(feature_id=102, self_start_index=0, self_end_index=1)
    lane.left_neighbors.add(feature_id=101, self_start_index=1, self_end_index=3)
    for number_, y in ((101, 4.0), (102, 7.0)):
        other = scenario.map_features.add(id=number_).lane
        for x in (0.0, 30.0):
            other.polyline.add(x=x, y=y)
    scenario.map_features.add(id=103).lane.polyline.add(x=1.0, y=1.0)
    for name in ("road_line", "road_edge"):
        line = getattr(scenario.map_features.add(id=110), name)
        for x in (0.0, 5.0):
            line.polyline.add(x=x, y=2.0)
    for name in ("crosswalk", "speed_bump", "driveway"):
        area = getattr(scenario.map_features.add(id=120), name)
        for x, y in ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)):
            area.polygon.add(x=x, y=y)
    scenario.map_features.add(id=130).stop_sign.position.x = 1.0
    scenario.compressed_frame_laser_data.append(b"lidar" * 100)
    return scenario


def written(tmp_path, *payloads, name="a.tfrecord-00000-of-00001"):
    path = tmp_path / name
    path.write_bytes(b"".join(map(record, payloads)))
    return path


def test_tracks_equal_those_that_protobuf_reads(scenario_type, make_reader, read_all, tmp_path):
    scenario = a_scenario(scenario_type)
    (recording,) = read_all(make_reader("waymo"), written(tmp_path, scenario.SerializeToString()))
    assert recording.id == "a.tfrecord-00000-of-00001/abc"
    assert recording.dt == 0.1
    assert [AGENT_TYPES[t] for t in recording.type] == ["car", "pedestrian", "bicycle", "other", "unknown"]
    assert recording.track[recording.ego] == "71"
    assert [t for t, s in zip(recording.track, recording.scored, strict=True) if s] == ["70", "72"]
    fields = {"x": "center_x", "y": "center_y", "heading": "heading", "vx": "velocity_x", "vy": "velocity_y", "length": "length"}
    for track in scenario.tracks:
        i = recording.track.index(str(track.id))
        valid = [t for t, state in enumerate(track.states) if state.valid]
        assert (recording.first[i], recording.first[i] + recording.length[i] - 1) == (valid[0], valid[-1])
        for step in valid:
            row = int(recording.offset[i]) + step - valid[0]
            assert recording.code[row] == 1
            for ours, theirs in fields.items():
                expected = getattr(track.states[step], theirs)
                if ours == "heading":
                    expected = math.remainder(expected, 2 * math.pi)
                assert recording.columns[ours][row] == pytest.approx(expected, abs=1e-6)


def test_the_map_is_converted(scenario_type, make_reader, read_all, tmp_path):
    (recording,) = read_all(make_reader("waymo", lane_width=4.0), written(tmp_path, a_scenario(scenario_type).SerializeToString()))
    lanes = {lane.id: lane for lane in recording.road.lanes}
    assert sorted(lanes) == ["100", "101", "102"]
    assert lanes["100"].speed_limit == pytest.approx(20.1168)  # 45 miles of 1609.344 m in 3600 s
    assert lanes["101"].speed_limit is None
    assert lanes["100"].successors == ("101",)  # 999 is not on the map
    assert lanes["100"].left == "101"  # beside the longer part
    assert lanes["100"].width == 4.0
    np.testing.assert_allclose(lanes["100"].centre, [[0, 1], [10, 1], [20, 1]])
    assert [line.kind for line in recording.road.lines] == ["line", "edge", "crosswalk", "area", "area"]
    np.testing.assert_allclose(recording.road.lines[2].points, [[0, 0], [1, 0], [1, 1], [0, 0]])
    assert recording.skipped == {"lanes of fewer than two points": 1, "stop signs, which are points": 1}


def test_lights_follow_the_numbers_of_the_proto(scenario_type, make_reader, read_all, tmp_path):
    (recording,) = read_all(make_reader("waymo"), written(tmp_path, a_scenario(scenario_type).SerializeToString()))
    # Steps 1, 3, 5, 7, 9, 11 show 1 arrow stop, 3 arrow go, 5 caution, 7 flashing stop, 0 unknown, 2 arrow caution.
    shown = ["red", "green", "yellow", "red", "unknown", "yellow"]
    assert [LIGHT_STATES[s] for s in recording.lights.state[0]] == [w for word in shown for w in ("unknown", word)]
    np.testing.assert_allclose(recording.lights.stop, [[3.0, -4.0]])


def test_the_example_is_what_protobuf_understands(scenario_type):
    from google.protobuf import unknown_fields

    scenario = scenario_type.FromString(example_scenario())
    assert scenario.scenario_id == "example0000000001"
    assert len(scenario.tracks) == 4
    assert {len(track.states) for track in scenario.tracks} == {30}
    assert scenario.tracks[0].states[0].center_x == 1000.0
    assert scenario.tracks[3].states[12].valid is False
    assert [f.lane.exit_lanes[:] for f in scenario.map_features[:2]] == [[12], []]
    assert scenario.dynamic_map_states[1].lane_states[0].state == 4
    assert len(unknown_fields.UnknownFieldSet(scenario)) == 0


def test_every_field_number_is_the_published_one(scenario_type):
    compared = set()

    def compare(ours, theirs):
        compared.add(ours.name)
        for field in ours.fields:
            other = theirs.fields_by_number[field.number]
            wanted = other.TYPE_BYTES if other.type == other.TYPE_STRING else other.type  # the encoding is checked by the reader
            assert (field.name, field.type, _repeats(field)) == (other.name, wanted, _repeats(other))
            if field.message_type is not None:
                compare(field.message_type, other.message_type)

    compare(scenario_class().DESCRIPTOR, scenario_type.DESCRIPTOR)
    assert compared == set(MESSAGES)


def _repeats(field):
    return field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED


def test_a_state_put_together_by_hand():
    # Field 2 (center_x), eight bytes: tag 2 << 3 | 1 = 0x11; field 8 (heading), four bytes: 8 << 3 | 5 = 0x45; field 11 (valid): 0x58.
    state = bytes.fromhex("11000000000000f03f190000000000000040450000003f5801")
    track = bytes.fromhex("080710011a") + bytes([len(state)]) + state
    data = bytes.fromhex("09000000000000000012") + bytes([len(track)]) + track
    found = read_scenario(data, "here")
    assert list(found.timestamps_seconds) == [0.0]
    (track,) = found.tracks
    assert (track.id, track.object_type) == (7, 1)
    (state,) = track.states
    assert (state.center_x, state.center_y, state.heading, state.valid) == (1.0, 2.0, 0.5, True)


def test_several_records_are_several_scenarios(make_reader, read_all, tmp_path):
    data = example_scenario()
    recordings = read_all(make_reader("waymo"), written(tmp_path, data, data))
    stem = "a.tfrecord-00000-of-00001/example0000000001"
    assert [r.id for r in recordings] == [stem, f"{stem}#2"]


def test_sizes_of_zero_are_unknown_and_counted(make_reader, read_all, tmp_path):
    state = double(2, 1.0) + double(3, 2.0) + number(11, 1) + single(6, 2.0)
    body = b"".join(double(1, 0.1 * t) for t in range(3)) + block(2, number(1, 5) + number(2, 1) + block(3, state) * 3)
    (recording,) = read_all(make_reader("waymo"), written(tmp_path, body))
    assert np.isnan(recording.columns["length"]).all()
    assert (recording.columns["width"] == 2.0).all()
    assert recording.skipped["values of length that are not positive, taken as unknown"] == 3
    assert recording.ego is None
    assert recording.scored is None
    assert recording.road is None


def track_of(*states, identity=1, kind=1):
    return block(2, number(1, identity) + number(2, kind) + b"".join(block(3, s) for s in states))


TIMES = double(1, 0.0) + double(1, 0.1)
STATE = double(2, 1.0) + double(3, 2.0) + number(11, 1)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (TIMES + track_of(STATE), r"track 1 has 1 states at 2 timestamps"),
        (TIMES, r"has 0 tracks and 2 timestamps"),
        (TIMES + track_of(STATE, STATE) * 2, r"track 1 stands in it twice"),
        (TIMES + track_of(STATE, STATE, kind=9), r"the unknown object_type 9"),
        (TIMES + track_of(STATE, STATE) + number(6, 4), r"sdc_track_index is 4, but there are 1 tracks"),
        (TIMES + track_of(STATE, STATE) + block(11, number(1, -1)), r"tracks_to_predict is -1"),
        (TIMES + track_of(STATE, double(2, math.nan) + double(3, 2.0) + number(11, 1)), r"track 1, step 1: x is nan"),
        (TIMES + track_of(STATE, STATE + single(9, math.inf)), r"track 1, step 1: vx is inf"),
        (double(1, 0.0) + double(1, -5.0) + track_of(STATE, STATE), r"timestamps_seconds goes from 0 to -5 s at step 1"),
        (TIMES + track_of(STATE, STATE) + block(7, b"") * 3, r"has 3 dynamic map states at 2 timestamps"),
        (TIMES + track_of(STATE, STATE) + block(7, block(1, number(1, 3) + number(2, 99))), r"step 0: a light has the unknown state 99"),
        (TIMES + track_of(STATE, STATE) + block(8, number(1, 8) + block(4, block(2, double(1, math.nan)))), r"map feature 8: a coordinate"),
        (
            TIMES + track_of(STATE, STATE) + block(8, number(1, 8) + block(3, block(8, double(1, 0.0)) + block(8, double(1, 9e7)))),
            r"lane 8 is 90000000 m long",
        ),
        (TIMES + track_of(STATE, STATE)[:-4], r"byte \d+: its \d+ bytes are no message Scenario: "),
        (TIMES + track_of(STATE, STATE) + block(5, b"\xff\xfe"), r"scenario_id is no UTF-8 text"),
    ],
    ids=range(15),
)
def test_impossible_scenarios_are_refused_with_record_and_element(body, what, make_reader, read_all, tmp_path):
    path = written(tmp_path, example_scenario(), body)
    with pytest.raises(DataError, match=r"a\.tfrecord-00000-of-00001, record 1.*" + what):
        read_all(make_reader("waymo"), path)


def test_an_empty_file_is_refused(make_reader, read_all, tmp_path):
    with pytest.raises(DataError, match="holds no record"):
        read_all(make_reader("waymo"), written(tmp_path))
