"""What the core makes of any simulator's frames: recordings, and answers to what-if questions. On a toy world, without SUMO."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from twm_core.errors import DataError
from twm_core.simulation.episodes import record, what_if
from twm_core.simulation.interface import Frame, Simulator, Snapshot
from twm_core.simulation.interventions import Remove, SetAcceleration


class OneRoad(Simulator):
    """Two agents on a line, 1 m/s each; an acceleration acts on the speed at once; the second agent comes at step 2."""

    dt, site, road, lane_names, light_lanes = 0.5, "line", None, ("lane",), ("lane",)
    light_stops = np.zeros((1, 2))

    def reset(self, seed=None):
        self.now, self.x, self.v = 0, {"a": 0.0, "b": 10.0}, {"a": 1.0, "b": 1.0}
        return self.frame()

    def step(self, interventions=()):
        for each in interventions:
            if isinstance(each, Remove):
                del self.x[each.agent]
            elif isinstance(each, SetAcceleration):
                self.v[each.agent] += each.acceleration * self.dt
        self.now += 1
        for name in self.x:
            self.x[name] += self.v[name] * self.dt
        return self.frame()

    def frame(self):
        names = tuple(n for n in self.x if n == "a" or self.now >= 2)
        x = np.asarray([self.x[n] for n in names])
        columns = {"x": x, "y": np.zeros(len(x))}
        return Frame(
            time=self.now * self.dt,
            names=names,
            type=np.ones(len(x), dtype=np.int64),
            columns=columns,
            lane=np.ones(len(x), dtype=np.int64),
            lights=np.asarray([self.now % 2], dtype=np.uint8),
        )

    def save(self):
        return Snapshot("line", self.now * self.dt, repr((self.now, self.x, self.v)).encode())

    def restore(self, snapshot):
        self.now, self.x, self.v = eval(snapshot.state)
        return self.frame()

    def close(self):
        self.closed = True


def test_frames_become_a_recording_in_which_agents_come_later():
    with OneRoad() as world:
        frames = [world.reset(), *(world.step() for _ in range(4))]
        r = record(world, frames, id="toy")
    assert world.closed
    assert (r.track, r.first.tolist(), r.length.tolist(), r.steps) == (("a", "b"), [0, 2], [5, 3], 5)
    assert r.columns["x"].tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 11.0, 11.5, 12.0]
    assert (r.lane == 1).all()
    assert r.lights.state.tolist() == [[0, 1, 0, 1, 0]]


def test_both_futures_begin_at_the_snapshot_and_differ_by_the_intervention():
    world = OneRoad()
    world.reset()
    world.step()
    factual, counterfactual = what_if(world, world.save(), {1: [SetAcceleration("a", 2.0, 0.5)]}, 3)
    assert factual.columns["x"][:4].tolist() == [0.5, 1.0, 1.5, 2.0]
    assert counterfactual.columns["x"][:4].tolist() == [0.5, 1.0, 2.0, 3.0]
    assert counterfactual.columns["x"][4:].tolist() == factual.columns["x"][4:].tolist()
    assert (factual.start, factual.group) == (0.5, counterfactual.group)


def test_an_agent_that_is_removed_is_missing_from_the_counterfactual_only():
    world = OneRoad()
    world.reset()
    factual, counterfactual = what_if(world, world.save(), [Remove("b")], 3)
    assert (factual.track, counterfactual.track) == (("a", "b"), ("a",))


def test_frames_with_a_hole_and_futures_of_no_length_are_refused():
    world = OneRoad()
    first, second, third = world.reset(), world.step(), world.step()
    with pytest.raises(DataError, match=r"3 frames are not 0\.5 s apart"):
        record(world, [first, third, second], id="toy")
    nobody = replace(first, names=(), type=first.type[:0], lane=first.lane[:0], columns={"x": np.zeros(0), "y": np.zeros(0)})
    with pytest.raises(DataError, match="no agent is there"):
        record(world, [nobody], id="toy")
    with pytest.raises(DataError, match=r"interventions at steps \[7\] of 3"):
        what_if(world, world.save(), {7: []}, 3)
