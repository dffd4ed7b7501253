"""The messages of the Waymo Open Motion Dataset that are read, with the field numbers of its published descriptions.

From `waymo_open_dataset/protos/scenario.proto` and `map.proto`. Fields that are not named here (lidar, camera tokens, heights of boxes'
centres, ...) are skipped as unknown.
"""

from __future__ import annotations

from twm_driving.wire import Field, Message, layout_of

POINT = layout_of(Message("MapPoint", {1: Field("x", "double"), 2: Field("y", "double"), 3: Field("z", "double")}))

STATE = layout_of(
    Message(
        "ObjectState",
        {
            2: Field("center_x", "double"),
            3: Field("center_y", "double"),
            4: Field("center_z", "double"),
            5: Field("length", "float"),
            6: Field("width", "float"),
            7: Field("height", "float"),
            8: Field("heading", "float"),
            9: Field("velocity_x", "float"),
            10: Field("velocity_y", "float"),
            11: Field("valid", "bool"),
        },
    )
)

TRACK = Message(
    "Track", {1: Field("id", "int"), 2: Field("object_type", "int"), 3: Field("states", "message", repeated=True, message=STATE)}
)

LANE_STATE = Message(
    "TrafficSignalLaneState", {1: Field("lane", "int"), 2: Field("state", "int"), 3: Field("stop_point", "message", message=POINT)}
)

DYNAMIC_STATE = Message("DynamicMapState", {1: Field("lane_states", "message", repeated=True, message=LANE_STATE)})

NEIGHBOUR = Message(
    "LaneNeighbor",
    {
        1: Field("feature_id", "int"),
        2: Field("self_start_index", "int"),
        3: Field("self_end_index", "int"),
        4: Field("neighbor_start_index", "int"),
        5: Field("neighbor_end_index", "int"),
    },
)

LANE = Message(
    "LaneCenter",
    {
        1: Field("speed_limit_mph", "double"),
        2: Field("type", "int"),
        3: Field("interpolating", "bool"),
        8: Field("polyline", "message", repeated=True, message=POINT),
        9: Field("entry_lanes", "int", repeated=True),
        10: Field("exit_lanes", "int", repeated=True),
        11: Field("left_neighbors", "message", repeated=True, message=NEIGHBOUR),
        12: Field("right_neighbors", "message", repeated=True, message=NEIGHBOUR),
    },
)

LINE = Message("RoadLine", {1: Field("type", "int"), 2: Field("polyline", "message", repeated=True, message=POINT)})
STOP_SIGN = Message("StopSign", {1: Field("lane", "int", repeated=True), 2: Field("position", "message", message=POINT)})
AREA = Message("Polygon", {1: Field("polygon", "message", repeated=True, message=POINT)})
"""Crosswalk, SpeedBump and Driveway are alike; so are RoadLine and RoadEdge but for the meaning of their types."""

FEATURE = Message(
    "MapFeature",
    {
        1: Field("id", "int"),
        3: Field("lane", "message", message=LANE),
        4: Field("road_line", "message", message=LINE),
        5: Field("road_edge", "message", message=LINE),
        7: Field("stop_sign", "message", message=STOP_SIGN),
        8: Field("crosswalk", "message", message=AREA),
        9: Field("speed_bump", "message", message=AREA),
        10: Field("driveway", "message", message=AREA),
    },
)

REQUIRED = Message("RequiredPrediction", {1: Field("track_index", "int"), 2: Field("difficulty", "int")})

SCENARIO = Message(
    "Scenario",
    {
        1: Field("timestamps_seconds", "double", repeated=True),
        2: Field("tracks", "message", repeated=True, message=TRACK),
        4: Field("objects_of_interest", "int", repeated=True),
        5: Field("scenario_id", "text"),
        6: Field("sdc_track_index", "int"),
        7: Field("dynamic_map_states", "message", repeated=True, message=DYNAMIC_STATE),
        8: Field("map_features", "message", repeated=True, message=FEATURE),
        10: Field("current_time_index", "int"),
        11: Field("tracks_to_predict", "message", repeated=True, message=REQUIRED),
    },
)

OBJECT_TYPES = ("unknown", "car", "pedestrian", "bicycle", "other")
"""Types of twm by the number of `Track.ObjectType`: unset, vehicle, pedestrian, cyclist, other."""

LIGHTS = ("unknown", "red", "yellow", "green", "red", "yellow", "green", "red", "yellow")
"""States of twm by the number of `TrafficSignalLaneState.State`: unknown; arrow stop, caution, go; stop, caution, go; flashing stop,
caution."""
