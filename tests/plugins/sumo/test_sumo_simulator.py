"""The live simulation: deterministic, restorable, open to interventions, and the same as what SUMO records."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest

from twm_core.data.scenario import LIGHT_STATES
from twm_core.errors import DataError, TwmError, UsageError
from twm_core.simulation.episodes import record, what_if
from twm_core.simulation.interventions import Add, ChangeLane, ChangeRoute, Remove, SetAcceleration, SetLights, SetSpeed, Stop
from twm_sumo.config import SumoSimulatorConfig
from twm_sumo.simulator import build
from twm_sumo.sites.presets import make_site, run_words
from twm_sumo.sites.site import run_tool

SMALL = {"warmup": 20.0, "seconds": 60.0}


def same(a, b) -> bool:
    """Whether two frames are equal, bit for bit."""
    arrays = [(a.type, b.type), (a.lane, b.lane), (a.lights, b.lights), *((a.columns[c], b.columns[c]) for c in a.columns)]
    plain = (a.time, a.names, dict(a.events)) == (b.time, b.names, dict(b.events))
    return plain and list(a.columns) == list(b.columns) and all(np.array_equal(p, q) for p, q in arrays)


def value(frame, name: str, column: str) -> float:
    return float(frame.columns[column][frame.names.index(name)])


def speed(frame, name: str) -> float:
    return float(np.hypot(value(frame, name, "vx"), value(frame, name, "vy")))


def lane(simulator, frame, name: str) -> str:
    return simulator.lane_names[frame.lane[frame.names.index(name)] - 1]


@pytest.fixture(scope="module")
def motorway(sumo):
    with build(SumoSimulatorConfig(**SMALL)) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def crossing(sumo):
    with build(SumoSimulatorConfig(preset="intersection", **SMALL)) as simulator:
        yield simulator


def leading(simulator, frame):
    """A car in the middle section of a carriageway, with two others behind it on its lane."""
    lanes = {n: lane(simulator, frame, n) for n in frame.names}
    centres = {entry.id: entry.centre for entry in simulator.road.lanes}
    for name in sorted(set(lanes.values())):
        if "_mid_" in name or "_in_" in name:
            ahead = centres[name][-1] - centres[name][0]
            on = sorted((n for n in lanes if lanes[n] == name), key=lambda n: -np.dot([value(frame, n, "x"), value(frame, n, "y")], ahead))
            if len(on) >= 3:
                return on
    raise AssertionError("no lane with three cars")


def test_the_same_seed_is_the_same_episode_and_another_seed_is_not(motorway):
    once = [motorway.reset(3), *(motorway.step() for _ in range(20))]
    again = [motorway.reset(3), *(motorway.step() for _ in range(20))]
    assert all(same(a, b) for a, b in zip(once, again, strict=True))
    assert once[0].time == pytest.approx(20.0)
    assert once[-1].time == pytest.approx(22.0)
    other = motorway.reset(4)
    assert other.names != once[0].names or not same(other, once[0])


def test_restoring_brings_the_same_future_back_even_elsewhere(motorway):
    motorway.reset(1)
    seen = motorway.step([SetSpeed(motorway.reset(1).names[3], 5.0, 2.0)])
    snapshot = motorway.save()
    future = [motorway.step() for _ in range(30)]
    assert same(motorway.restore(snapshot), seen)
    assert all(same(motorway.step(), frame) for frame in future)
    motorway.reset(9)
    assert same(motorway.restore(snapshot), seen)
    with build(motorway.config) as another:  # two at the same time, and a snapshot that travelled
        assert same(another.restore(pickle.loads(pickle.dumps(snapshot))), seen)
        assert all(same(another.step(), frame) for frame in future)
        assert same(motorway.step(), future[0])


def test_a_lane_change_under_way_survives_saving(motorway):
    """SUMO's own state files forget it: the car would be put back beside itself."""
    frame = motorway.reset(2)
    name = next(n for n in frame.names if lane(motorway, frame, n).endswith("_in_1"))
    before = motorway.step([ChangeLane(name, 1)])
    for _ in range(12):
        before = motorway.step()
    snapshot = motorway.save()
    after = motorway.step()
    motorway.restore(snapshot)
    again = motorway.step()
    assert same(after, again)
    h = value(before, name, "heading")
    aside = -(value(again, name, "x") - value(before, name, "x")) * np.sin(h) + (
        value(again, name, "y") - value(before, name, "y")
    ) * np.cos(h)
    assert abs(aside) < 0.3


def test_hard_braking_reaches_those_behind_and_nobody_before_they_could_react(motorway):
    frame = motorway.reset(3)
    leader, follower, next_one = leading(motorway, frame)[:3]
    factual, counterfactual = what_if(motorway, motorway.save(), [SetAcceleration(leader, -7.0, 3.0)], 80)
    assert factual.steps == counterfactual.steps == 81

    def differs(name: str) -> int:
        """First step at which the two futures of an agent differ; 999 if never."""
        rows = []
        for r in (factual, counterfactual):
            i = r.track.index(name)
            rows.append(np.stack([r.columns[c][r.offset[i] : r.offset[i] + r.length[i]] for c in ("x", "y")]))
        steps = min(rows[0].shape[1], rows[1].shape[1])
        apart = np.flatnonzero((rows[0][:, :steps] != rows[1][:, :steps]).any(axis=0))
        return int(apart[0]) if len(apart) else 999

    first = {name: differs(name) for name in frame.names if name in counterfactual.track}
    assert first[leader] == 1
    assert 1 < first[follower] < first[next_one] < 80
    # The other carriageway never hears of it, nor does anybody who is far ahead.
    here = frame.names.index(leader)
    road = lane(motorway, frame, leader).partition("_")[0]
    ahead = np.asarray([np.cos(frame.columns["heading"][here]), np.sin(frame.columns["heading"][here])])
    for name, step in first.items():
        away = np.asarray([value(frame, name, "x") - value(frame, leader, "x"), value(frame, name, "y") - value(frame, leader, "y")])
        if not lane(motorway, frame, name).startswith(road):
            assert step == 999, name
        elif name != leader and not 0 > away @ ahead > -400:
            assert step > 20, name
    i, j = counterfactual.track.index(leader), factual.track.index(leader)
    slow = np.hypot(*(counterfactual.columns[c][counterfactual.offset[i] + 30] for c in ("vx", "vy")))
    fast = np.hypot(*(factual.columns[c][factual.offset[j] + 30] for c in ("vx", "vy")))
    assert slow == pytest.approx(max(0.0, speed(frame, leader) - 21.0), abs=0.5)
    assert fast > slow + 10


def test_speed_stops_and_lane_changes_are_carried_out(motorway):
    frame = motorway.reset(5)
    a, b, c = [n for n in frame.names if lane(motorway, frame, n).endswith(("_in_1", "_in_2"))][:3]
    was = lane(motorway, frame, c)
    step = -1 if was.endswith("2") else 1
    motorway.step([SetSpeed(a, 12.0, 30.0), Stop(b, 2.0), ChangeLane(c, step, 10.0)])
    slowest, lanes = np.inf, set()
    for _ in range(250):
        frame = motorway.step()
        if b in frame.names:
            slowest = min(slowest, speed(frame, b))
        if c in frame.names:
            lanes.add(lane(motorway, frame, c))
    assert slowest == 0.0
    assert speed(frame, b) > 3.0  # and goes on
    assert speed(frame, a) <= 12.0 + 1e-6
    assert any(int(name[-1]) == int(was[-1]) + step or "merge" in name for name in lanes)


def test_agents_come_go_and_take_other_ways(motorway):
    frame = motorway.reset(6)
    gone = frame.names[0]
    through = next(n for n in frame.names if lane(motorway, frame, n).startswith("a_in_0"))
    empty = next(name for name in motorway.lane_names if name.startswith("b_mid_"))
    orders = [Remove(gone), ChangeRoute(through, "a_off"), Add("guest", "truck-rigid", "b_off_0", 20.0, 10.0)]
    frame = motorway.step(orders)
    assert gone not in frame.names
    assert "guest" in frame.names
    assert value(frame, "guest", "length") == 9.0
    assert lane(motorway, frame, "guest") == "b_off_0"
    roads = set()
    for _ in range(700):
        frame = motorway.step()
        if through in frame.names:
            roads.add(lane(motorway, frame, through).rpartition("_")[0])
    assert "a_off" in roads
    assert "a_out" not in roads
    with pytest.raises(DataError, match="'guest' was used in this episode"):
        motorway.step([Add("guest", "bus", empty, 20.0, 10.0)])


def test_lights_show_what_they_are_told_and_then_their_programme(crossing):
    frame = crossing.reset(0)
    assert len(frame.lights) == len(crossing.light_lanes) > 3
    count = int(re.search(r"has (\d+) signals; 'r' must have a letter", refused(crossing, SetLights("centre", "r", 2.0)).message)[1])
    frame = crossing.step([SetLights("centre", "r" * count, 2.0)])
    for _ in range(19):
        assert {LIGHT_STATES[s] for s in frame.lights} == {"red"}
        frame = crossing.step()
    later = {LIGHT_STATES[s] for _ in range(100) for s in crossing.step().lights}
    assert later >= {"red", "green"}


def refused(simulator, *interventions) -> DataError:
    with pytest.raises(DataError) as caught:
        simulator.step(interventions)
    return caught.value


def test_what_cannot_be_carried_out_is_refused_and_nothing_moves(motorway):
    frame = motorway.reset(0)
    name = frame.names[0]
    for intervention, said in {
        SetSpeed("nobody", 3.0, 1.0): "there is no vehicle 'nobody'",
        SetSpeed(name, -3.0, 1.0): "speeds not below it",
        SetAcceleration(name, -3.0, 0.0): "seconds must be above 0",
        ChangeLane(name, 9): "has no lane +9",
        ChangeRoute(name, "nowhere"): "there is no road 'nowhere'",
        ChangeRoute(next(n for n in frame.names if lane(motorway, frame, n).startswith("a_")), "b_mid"): "no way leads from",
        Add(name, "bus", "a_mid_0", 0.0, 1.0): "was used in this episode",
        Add("new", "spaceship", "a_mid_0", 0.0, 1.0): "there is no vehicle type 'spaceship'",
        Add("new", "bus", ":a1_0_0", 0.0, 1.0): "there is no lane ':a1_0_0' to enter on",
        Add("new", "bus", "a_mid_0", 1e5, 1.0): "m long, got 100000",
        SetLights("x", "r", 1.0): "there is no traffic light 'x'; there are none",
    }.items():
        assert said in refused(motorway, Remove(frame.names[1]), intervention).message
    snapshot = motorway.save()
    assert snapshot.time == frame.time
    unchanged = motorway.step()
    assert frame.names[1] in unchanged.names
    motorway.reset(0)
    assert same(motorway.step(), unchanged)


def test_frames_are_what_sumo_records(crossing, read, tmp_path):
    """The same run, recorded by the program and read by the reader."""
    frames = [crossing.reset(8), *(crossing.step() for _ in range(30))]
    live = record(crossing, frames, id="live")
    folder, site = tmp_path, make_site("intersection", 0)
    files = {p.name: p for p in crossing.network_file.parent.iterdir()}
    for name in (f"{site.name}.net.xml", "types.rou.xml"):
        (folder / name).write_bytes(files[name].read_bytes())
    words = run_words(
        network=folder / f"{site.name}.net.xml",
        routes=[folder / "types.rou.xml", files["seed-8.rou.xml"]],
        dt=0.1,
        seed=8,
        lane_change_seconds=3.0,
    )
    out = ["--fcd-output", str(folder / "x.fcd.xml"), "--fcd-output.acceleration", "true", "--precision", "6", "--no-warnings", "true"]
    run_tool("sumo", [*words, *out, "--device.fcd.begin", "20", "--end", "23.1"])
    (recorded,) = read(folder / "x.fcd.xml")
    assert recorded.steps == live.steps == 31
    assert set(recorded.track) == set(live.track)
    assert recorded.lane_names == live.lane_names
    for i, name in enumerate(live.track):
        j = recorded.track.index(name)
        assert (live.first[i], live.length[i], live.type[i]) == (recorded.first[j], recorded.length[j], recorded.type[j])
        a = slice(live.offset[i], live.offset[i] + live.length[i])
        b = slice(recorded.offset[j], recorded.offset[j] + recorded.length[j])
        assert np.array_equal(live.lane[a], recorded.lane[b])
        for column in recorded.columns:
            first = int(column in ("ax", "ay") and live.first[i] == 0)  # a recording does not know the heading before it began
            assert np.allclose(live.columns[column][a][first:], recorded.columns[column][b][first:], atol=1e-3), column


def test_the_order_of_calls_is_checked(sumo):
    simulator = build(SumoSimulatorConfig(**SMALL))
    with pytest.raises(UsageError, match="has not begun"):
        simulator.step()
    with pytest.raises(UsageError, match="has not begun"):
        simulator.save()
    simulator.close()
    simulator.close()
    with pytest.raises(UsageError, match="is closed"):
        simulator.reset()


def test_snapshots_of_others_are_refused(motorway, crossing):
    crossing.reset()
    with pytest.raises(DataError, match="belongs to another simulator"):
        motorway.restore(crossing.save())


def test_own_networks_need_routes_and_an_accident_in_sumo_is_an_error(sumo, tmp_path, motorway):
    net = tmp_path / "own.net.xml"
    net.write_bytes(motorway.network_file.read_bytes())
    with pytest.raises(UsageError, match="without routes"):
        build(SumoSimulatorConfig(network=str(net)))
    with pytest.raises(DataError, match="is not a file"):
        build(SumoSimulatorConfig(network=str(net), routes=("none.rou.xml",)))
    routes = tmp_path / "own.rou.xml"
    routes.write_text('<routes><vehicle id="x" depart="0"><route edges="nowhere"/></vehicle></routes>')
    with (
        build(SumoSimulatorConfig(network=str(net), routes=(str(routes),), warmup=0.0)) as broken,
        pytest.raises(TwmError, match="nowhere"),
    ):
        broken.reset()
    routes.write_text('<routes><vehicle id="x" depart="0.2"><route edges="a_in a_merge"/></vehicle></routes>')
    with build(SumoSimulatorConfig(network=str(net), routes=(str(routes),), warmup=0.0)) as own:
        assert own.reset().names == ()
        assert own.site == "own"
        assert [own.step().names for _ in range(3)] == [(), ("x",), ("x",)]
