"""What is read agrees with what SUMO itself answers through libsumo about the same run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from twm_core.data.features.lanes import locate
from twm_core.data.scenario import LIGHT_STATES
from twm_sumo.sites.demand import write_demand, write_types
from twm_sumo.sites.presets import make_site, run_words
from twm_sumo.sites.site import run_tool, without_header, write_network
from twm_sumo.vehicle_types import CLASS_SIZES, DEFAULT_TYPES, read_vehicle_types

SECONDS = 40

FOLLOW = """
s.start(["sumo", *given["words"]])
for step in range(given["steps"]):
    s.simulationStep()
    if step % 10 == 0:
        v = s.vehicle
        cars = {n: [*v.getPosition(n), v.getAngle(n), v.getSpeed(n), v.getAcceleration(n), v.getLaneID(n), v.getLength(n), v.getWidth(n),
                    v.getHeight(n), v.getVehicleClass(n)] for n in v.getIDList()}
        lights = {}
        for light in s.trafficlight.getIDList():
            state = s.trafficlight.getRedYellowGreenState(light)
            for letter, lane in zip(state, s.trafficlight.getControlledLanes(light)):
                lights.setdefault(lane, []).append(letter)
        answer.append([step, cars, lights])
"""


@pytest.fixture(scope="module", params=["intersection", "motorway", "roundabout"])
def run(request, sumo, tmp_path_factory):
    """A run of each preset: its folder, and the words with which SUMO ran it."""
    folder = tmp_path_factory.mktemp(request.param)
    site = make_site(request.param, 0)
    network = write_network(site, folder)
    write_types(folder / "types.rou.xml")
    write_demand(site, folder / "cars.rou.xml", seconds=SECONDS, seed=3, density=1.0)
    words = run_words(network=network, routes=[folder / "types.rou.xml", folder / "cars.rou.xml"], dt=0.1, seed=7, lane_change_seconds=3.0)
    extra = folder / "tls.extra"
    lights = "".join(f'<timedEvent type="SaveTLSStates" source="{light}" dest="{folder / "raw.txt"}"/>' for light in site.lights)
    extra.write_text(f"<additional>{lights}</additional>")
    out = ["--fcd-output", str(folder / "run.fcd.csv.gz"), "--fcd-output.acceleration", "true", "--precision", "6", "--end", str(SECONDS)]
    run_tool("sumo", [*words, *out, "--additional-files", str(extra), "--no-warnings", "true"])
    if site.lights:
        without_header(folder / "raw.txt", folder / "run.tls.xml")
    return folder, words


def at_step(recording, step):
    """Row of each track that is there, by name."""
    here = np.flatnonzero((recording.first <= step) & (step < recording.first + recording.length))
    return {recording.track[i]: int(recording.offset[i] + step - recording.first[i]) for i in here}


def test_positions_angles_sizes_lanes_and_lights_are_those_of_sumo(run, read, ask_sumo):
    folder, words = run
    (r,) = read(folder)
    c = r.columns
    compared = 0
    for step, cars, lights in ask_sumo(FOLLOW, words=[*words, "--no-warnings", "true"], steps=SECONDS * 10):
        rows = at_step(r, step)
        assert set(rows) == set(cars)
        for name, (x, y, angle, speed, along, lane, length, width, height, _) in cars.items():
            k = rows[name]
            ahead = np.radians(90.0 - angle)
            front = c["x"][k] + length / 2 * np.cos(c["heading"][k]), c["y"][k] + length / 2 * np.sin(c["heading"][k])
            assert front == pytest.approx((x, y), abs=1e-4)
            assert np.cos(c["heading"][k] - ahead) == pytest.approx(1.0)
            assert np.hypot(c["vx"][k], c["vy"][k]) == pytest.approx(speed, abs=1e-4)
            assert c["ax"][k] * np.cos(ahead) + c["ay"][k] * np.sin(ahead) == pytest.approx(along, abs=1e-4)
            assert (c["length"][k], c["width"][k], c["height"][k]) == pytest.approx((length, width, height))
            assert r.lane_names[r.lane[k] - 1] == lane
            compared += 1
        for lane, letters in lights.items():
            shown = LIGHT_STATES[r.lights.state[r.lights.lane.index(lane), step]]
            green, yellow = set(letters) & set("gGs"), set(letters) & set("yY")
            assert shown == ("green" if green else "yellow" if yellow else "red")
        assert bool(lights) == (r.lights is not None)
    assert compared > 150


def test_the_map_puts_nearly_every_centre_into_the_lane_that_sumo_names(run, read):
    """Outside junctions; SUMO names the lane of the front bumper, which reaches the next edge before the centre does."""
    (r,) = read(run[0])
    points = np.stack([r.columns["x"], r.columns["y"]], axis=1)
    found = locate(points, r.columns["heading"], r.road.lanes).lane
    by_map = np.asarray([lane.id for lane in r.road.lanes] + [""])[found]
    by_sumo = np.asarray(["", *r.lane_names])[r.lane]
    inside = np.char.startswith(by_map, ":") | np.char.startswith(by_sumo, ":")
    assert (by_map == by_sumo)[~inside].mean() > 0.99
    assert (found >= 0).mean() > 0.995


def test_nobody_jumps_sideways(run, read):
    """Neither fronts nor centres leave their heading by more than 0.6 m in a step of 0.1 s; a lane is 3 m wide."""
    (r,) = read(run[0])
    c = r.columns
    same = np.ones(len(r.code), dtype=bool)
    same[r.offset] = False
    ahead, left = np.stack([np.cos(c["heading"]), np.sin(c["heading"])]), np.stack([-np.sin(c["heading"]), np.cos(c["heading"])])
    centre = np.stack([c["x"], c["y"]])
    for points in (centre, centre + c["length"] / 2 * ahead):
        moved = np.diff(points, axis=1, prepend=points[:, :1])
        assert np.abs((moved * left).sum(axis=0))[same].max() < 0.6


def test_neighbours_and_successors_are_those_of_sumo(run, read, ask_sumo):
    folder, words = run
    (r,) = read(folder)
    lines = """
s.start(["sumo", *given["words"]])
for lane in given["lanes"]:
    links = [link[4] or link[0] for link in s.lane.getLinks(lane)]
    answer.append([links, s.lane.getWidth(lane), s.lane.getMaxSpeed(lane), list(map(list, s.lane.getShape(lane)))])
"""
    for lane, (links, width, speed, shape) in zip(
        r.road.lanes, ask_sumo(lines, words=words, lanes=[lane.id for lane in r.road.lanes]), strict=True
    ):
        assert set(lane.successors) == set(links)
        assert (lane.width, lane.speed_limit) == pytest.approx((width, speed))
        assert np.allclose([lane.centre[0], lane.centre[-1]], [shape[0], shape[-1]])
        edge, _, index = lane.id.rpartition("_")
        assert lane.left in (None, f"{edge}_{int(index) + 1}")
        assert lane.right in (None, f"{edge}_{int(index) - 1}")


def test_sizes_of_classes_are_those_of_sumo(ask_sumo, tmp_path: Path):
    types = "".join(f'<vType id="of-{name}" vClass="{name}"/>' for name in CLASS_SIZES)
    path = tmp_path / "all.rou.xml"
    path.write_text(f"<routes>{types}</routes>")
    network = write_network(make_site("roundabout", 0), tmp_path)
    lines = """
s.start(["sumo", "--net-file", given["network"], "--route-files", given["routes"], "--no-step-log", "true"])
s.simulationStep()
t = s.vehicletype
answer = {n: [t.getLength(n), t.getWidth(n), t.getHeight(n), t.getVehicleClass(n)] for n in t.getIDList()}
"""
    found = ask_sumo(lines, network=str(network), routes=str(path))
    read = read_vehicle_types([path])
    assert set(found) == set(read) == {*DEFAULT_TYPES, *(f"of-{name}" for name in CLASS_SIZES)}
    for name, (*size, vehicle_class) in found.items():
        assert (read[name].length, read[name].width, read[name].height) == pytest.approx(tuple(size)), name
        assert read[name].vehicle_class == vehicle_class
