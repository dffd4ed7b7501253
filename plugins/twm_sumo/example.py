"""A small recording in SUMO's official formats, written by hand, so that it needs no SUMO.

Two lanes to the east that lead over a junction into one lane; a car that leaves early, a truck that stays, a motorcycle that comes later
and changes lanes, a pedestrian; one signal that turns from red to green.
"""

from __future__ import annotations

from pathlib import Path

_NETWORK = """<?xml version="1.0" encoding="UTF-8"?>
<net version="1.20" junctionCornerDetail="5" limitTurnSpeed="5.50">
    <location netOffset="0.00,0.00" convBoundary="0.00,0.00,200.00,0.00" origBoundary="0.00,0.00,200.00,0.00" projParameter="!"/>
    <edge id=":mid_0" function="internal">
        <lane id=":mid_0_0" index="0" speed="13.89" length="10.00" shape="95.00,-4.80 105.00,-1.60"/>
    </edge>
    <edge id=":mid_1" function="internal">
        <lane id=":mid_1_0" index="0" speed="13.89" length="10.00" shape="95.00,-1.60 105.00,-1.60"/>
    </edge>
    <edge id="west" from="start" to="mid" priority="1">
        <lane id="west_0" index="0" speed="13.89" length="95.00" shape="0.00,-4.80 95.00,-4.80"/>
        <lane id="west_1" index="1" speed="13.89" length="95.00" shape="0.00,-1.60 95.00,-1.60"/>
    </edge>
    <edge id="east" from="mid" to="end" priority="1">
        <lane id="east_0" index="0" allow="pedestrian" speed="1.40" width="2.00" length="95.00" shape="105.00,-4.20 200.00,-4.20"/>
        <lane id="east_1" index="1" speed="13.89" length="95.00" shape="105.00,-1.60 200.00,-1.60"/>
    </edge>
    <tlLogic id="mid" type="static" programID="0" offset="0">
        <phase duration="1" state="rr"/>
        <phase duration="9" state="GG"/>
    </tlLogic>
    <junction id="start" type="dead_end" x="0.00" y="0.00" incLanes="" intLanes="" shape="0.00,0.00 0.00,-6.40"/>
    <junction id="mid" type="traffic_light" x="100.00" y="0.00" incLanes="west_0 west_1" intLanes=":mid_0_0 :mid_1_0" \
shape="95.00,0.00 105.00,0.00 105.00,-5.20 95.00,-6.40"/>
    <junction id="end" type="dead_end" x="200.00" y="0.00" incLanes="east_0 east_1" intLanes="" shape="200.00,-5.20 200.00,0.00"/>
    <connection from="west" to="east" fromLane="0" toLane="1" via=":mid_0_0" tl="mid" linkIndex="0" dir="s" state="o"/>
    <connection from="west" to="east" fromLane="1" toLane="1" via=":mid_1_0" tl="mid" linkIndex="1" dir="s" state="O"/>
    <connection from=":mid_0" to="east" fromLane="0" toLane="1" dir="s" state="M"/>
    <connection from=":mid_1" to="east" fromLane="0" toLane="1" dir="s" state="M"/>
</net>
"""

_TYPES = """<?xml version="1.0" encoding="UTF-8"?>
<routes>
    <vType id="small" length="4.00" width="1.80" height="1.50"/>
    <vType id="lorry" vClass="truck" length="10.00" width="2.50"/>
    <vType id="bike" vClass="motorcycle"/>
</routes>
"""

_STEPS = 25
_DT = 0.1


def write_example(folder: Path) -> list[Path]:
    """Write `crossing.fcd.xml`, `crossing.net.xml`, `crossing.rou.xml` and `crossing.tls.xml`; returns the FCD file."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ['<?xml version="1.0" encoding="UTF-8"?>', "<fcd-export>"]
    signal = ['<?xml version="1.0" encoding="UTF-8"?>', "<tlsStates>"]
    for step in range(_STEPS):
        rows.append(f'    <timestep time="{step * _DT:.2f}">')
        rows += [f"        {row}" for row in _agents(step)]
        rows.append("    </timestep>")
        state = "rr" if step < 10 else "GG"
        signal.append(f'    <tlsState time="{step * _DT:.2f}" id="mid" programID="0" phase="{int(step >= 10)}" state="{state}"/>')
    written = {
        "crossing.fcd.xml": "\n".join([*rows, "</fcd-export>", ""]),
        "crossing.net.xml": _NETWORK,
        "crossing.rou.xml": _TYPES,
        "crossing.tls.xml": "\n".join([*signal, "</tlsStates>", ""]),
    }
    for name, content in written.items():
        (folder / name).write_text(content, encoding="utf-8", newline="\n")
    return [folder / "crossing.fcd.xml"]


def _agents(step: int) -> list[str]:
    time = step * _DT
    found = []
    if step < 18:
        found.append(_row("vehicle", "car.0", 30 + 12 * time, -1.6, 90, "small", 12, "west_1", ""))
    found.append(_row("vehicle", "truck.0", 20 + 8 * time, -4.8, 90, "lorry", 8, "west_0", ""))
    if step >= 4:
        # One metre to the left per second and ten ahead: 5.71 degrees to the left of east.
        x, y = 2.2 + 10 * (time - 0.4), -4.8 + (time - 0.4)
        found.append(
            _row("vehicle", "bike.0", x, y, 84.29, "bike", 10.05, "west_0" if y < -3.2 else "west_1", "truck.0" if y < -3.2 else "")
        )
    found.append(
        f'<person id="walker" x="{150 - 1.2 * time:.2f}" y="-4.20" angle="270.00" speed="1.20" pos="45.00" edge="east" slope="0.00"/>'
    )
    return found


def _row(tag: str, name: str, x: float, y: float, angle: float, kind: str, speed: float, lane: str, leader: str) -> str:
    return (
        f'<{tag} id="{name}" x="{x:.2f}" y="{y:.2f}" angle="{angle:.2f}" type="{kind}" speed="{speed:.2f}" pos="{x:.2f}" lane="{lane}" '
        f'slope="0.00" acceleration="0.00" leaderID="{leader}"/>'
    )
