"""Writes a small recording as the INTERACTION dataset has them: vehicles, a pedestrian, and a lanelet2 map of a merging road."""

from __future__ import annotations

from pathlib import Path

LOCATION = "DR_TEST_Merging_XX0"
"""Name of the place."""

DEGREES = (9.03483e-6, 8.97435e-6)
"""Degrees of latitude and of longitude that make a metre where INTERACTION puts its maps, near (0, 0)."""

_NODES = {1: (0, 8), 2: (60, 8), 3: (120, 8), 4: (0, 4.5), 5: (60, 4.5), 6: (120, 4.5), 7: (0, 1), 8: (60, 1), 9: (120, 1)} | {
    10: (80, 0),
    11: (80, 9),
    12: (84, 0),
    13: (84, 9),
}
_WAYS = {
    100: ((1, 2), "curbstone", "low"),
    101: ((2, 3), "curbstone", "low"),
    102: ((4, 5), "line_thin", "dashed"),
    103: ((5, 6), "line_thin", "dashed"),
    # This one runs the other way, as some bounds do.
    104: ((8, 7), "road_border", ""),
    105: ((8, 9), "road_border", ""),
    106: ((10, 11), "pedestrian_marking", ""),
    107: ((12, 13), "pedestrian_marking", ""),
    108: ((5, 8), "stop_line", ""),
}
_LANELETS = {
    200: (100, 102, "road"),
    201: (101, 103, "road"),
    202: (102, 104, "road"),
    203: (103, 105, "road"),
    204: (106, 107, "crosswalk"),
}


def write_example(folder: Path) -> None:
    """Write `recorded_trackfiles` and `maps` into a folder: three vehicles, one of which comes later and one leaves early, a pedestrian."""
    tracks = folder / "recorded_trackfiles" / LOCATION
    tracks.mkdir(parents=True)
    (folder / "maps").mkdir()
    (folder / "maps" / f"{LOCATION}.osm").write_text(map_text(), encoding="utf-8")
    rows = ["track_id,frame_id,timestamp_ms,agent_type,x,y,vx,vy,psi_rad,length,width"]
    people = ["track_id,frame_id,timestamp_ms,agent_type,x,y,vx,vy"]
    for name, kind, first, last, x, y, speed, size in (
        (1, "car", 1, 40, 5, 2.75, 10.0, "4.5,1.8"),
        (2, "car", 8, 40, 1, 6.25, 12.0, "4.2,1.75"),
        (3, "truck", 1, 25, 40, 2.75, 8.0, "9.1,2.5"),
    ):
        for frame in range(first, last + 1):
            at = x + speed * 0.1 * (frame - first)
            rows.append(f"{name},{frame},{100 * frame},{kind},{at:.3f},{y},{speed},0.0,0.0,{size}")
    for frame in range(3, 41):
        people.append(f"P1,{frame},{100 * frame},pedestrian/bicycle,82.0,{-2 + 0.14 * (frame - 3):.3f},0.0,1.4")
    (tracks / "vehicle_tracks_000.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (tracks / "pedestrian_tracks_000.csv").write_text("\n".join(people) + "\n", encoding="utf-8")


def map_text() -> str:
    """The map: two lanes to the east of two lanelets each, a crosswalk over both, a stop line."""
    lines = ['<?xml version="1.0"?>', '<osm version="0.6" generator="lanelet2">']
    for name, (x, y) in _NODES.items():
        lines.append(f'  <node id="{name}" visible="true" version="1" lat="{y * DEGREES[0]:.11f}" lon="{x * DEGREES[1]:.11f}" />')
    for name, (nodes, kind, subtype) in _WAYS.items():
        points = "".join(f'<nd ref="{node}" />' for node in nodes)
        tags = f'<tag k="type" v="{kind}" />' + (f'<tag k="subtype" v="{subtype}" />' if subtype else "")
        lines.append(f'  <way id="{name}" visible="true" version="1">{points}{tags}</way>')
    for name, (left, right, subtype) in _LANELETS.items():
        members = f'<member type="way" ref="{left}" role="left" /><member type="way" ref="{right}" role="right" />'
        rule = '<member type="relation" ref="300" role="regulatory_element" />' if subtype == "road" else ""
        tags = f'<tag k="one_way" v="yes" /><tag k="subtype" v="{subtype}" /><tag k="type" v="lanelet" />'
        lines.append(f'  <relation id="{name}" visible="true" version="1">{members}{rule}{tags}</relation>')
    sign = '<tag k="sign_type" v="50 km/h" /><tag k="subtype" v="speed_limit" /><tag k="type" v="regulatory_element" />'
    lines.append(f'  <relation id="300" visible="true" version="1">{sign}</relation>')
    lines.append("</osm>")
    return "\n".join(lines) + "\n"
