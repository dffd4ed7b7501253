"""The messages of the Waymo Open Motion Dataset that are read, as classes that the package protobuf makes of the table below.

Names and numbers of fields are those of `waymo_open_dataset/protos/scenario.proto` and `map.proto`. Fields that are not in the table
(lidar, camera tokens, boundaries of lanes) are kept by protobuf as unknown. Enumerations are int32; the text of `scenario_id` is bytes, so
that its encoding is checked where it is read.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from twm_core.errors import DataError
from twm_core.extras import need

MESSAGES: dict[str, dict[str, str]] = {
    "MapPoint": {"x": "1 double", "y": "2 double", "z": "3 double"},
    "ObjectState": {
        "center_x": "2 double",
        "center_y": "3 double",
        "center_z": "4 double",
        "length": "5 float",
        "width": "6 float",
        "height": "7 float",
        "heading": "8 float",
        "velocity_x": "9 float",
        "velocity_y": "10 float",
        "valid": "11 bool",
    },
    "Track": {"id": "1 int32", "object_type": "2 int32", "states": "3 repeated ObjectState"},
    "TrafficSignalLaneState": {"lane": "1 int64", "state": "2 int32", "stop_point": "3 MapPoint"},
    "DynamicMapState": {"lane_states": "1 repeated TrafficSignalLaneState"},
    "LaneNeighbor": {"feature_id": "1 int64", "self_start_index": "2 int32", "self_end_index": "3 int32"},
    "LaneCenter": {
        "speed_limit_mph": "1 double",
        "polyline": "8 repeated MapPoint",
        "exit_lanes": "10 repeated int64",
        "left_neighbors": "11 repeated LaneNeighbor",
        "right_neighbors": "12 repeated LaneNeighbor",
    },
    "RoadLine": {"polyline": "2 repeated MapPoint"},
    "RoadEdge": {"polyline": "2 repeated MapPoint"},
    "StopSign": {"position": "2 MapPoint"},
    "Crosswalk": {"polygon": "1 repeated MapPoint"},
    "SpeedBump": {"polygon": "1 repeated MapPoint"},
    "Driveway": {"polygon": "1 repeated MapPoint"},
    "MapFeature": {
        "id": "1 int64",
        "lane": "3 LaneCenter",
        "road_line": "4 RoadLine",
        "road_edge": "5 RoadEdge",
        "stop_sign": "7 StopSign",
        "crosswalk": "8 Crosswalk",
        "speed_bump": "9 SpeedBump",
        "driveway": "10 Driveway",
    },
    "RequiredPrediction": {"track_index": "1 int32"},
    "Scenario": {
        "timestamps_seconds": "1 repeated double",
        "tracks": "2 repeated Track",
        "scenario_id": "5 bytes",
        "sdc_track_index": "6 int32",
        "dynamic_map_states": "7 repeated DynamicMapState",
        "map_features": "8 repeated MapFeature",
        "tracks_to_predict": "11 repeated RequiredPrediction",
    },
}
"""Fields by message: name, then number, `repeated` if so, and type."""

OBJECT_TYPES = ("unknown", "car", "pedestrian", "bicycle", "other")
"""Types of twm by the number of `Track.ObjectType`: unset, vehicle, pedestrian, cyclist, other."""

LIGHTS = ("unknown", "red", "yellow", "green", "red", "yellow", "green", "red", "yellow")
"""States of twm by the number of `TrafficSignalLaneState.State`: unknown; arrow stop, caution, go; stop, caution, go; flashing stop,
caution."""

_PACKAGE = "twm.waymo"


@cache
def scenario_class() -> Any:
    """The class of the message `Scenario`.

    Raises:
        UsageError: The package protobuf is not installed.
    """
    descriptor_pb2 = need("google.protobuf.descriptor_pb2", "data")
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="twm_waymo.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, text in fields.items():
            number, *repeated, kind = text.split()
            field = message.field.add(name=field_name, number=int(number))
            field.label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            if kind in MESSAGES:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = need("google.protobuf.descriptor_pool", "data").DescriptorPool()
    pool.Add(file)
    return need("google.protobuf.message_factory", "data").GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Scenario"))


def read_scenario(data: bytes, where: str) -> Any:
    """The message that these bytes encode.

    Args:
        data: The serialised message.
        where: File, record and byte, for messages.

    Raises:
        DataError: The bytes are cut off or damaged.
    """
    error_type = need("google.protobuf.message", "data").DecodeError
    try:
        return scenario_class().FromString(data)
    except error_type as error:
        raise DataError(f"{where}: its {len(data)} bytes are no message Scenario: {error}", "download the file again") from error
