"""How long a simulated and imported recording takes: the presets motorway and intersection, 300 s at 10 Hz, from nothing to stores.

    python benchmarks/sumo_import.py [--seconds 300] [--hz 10] [--keep FOLDER]

Prints, per preset, seconds of wall clock and of processor (this process and SUMO's), scenarios, agents and states, the largest sideways
displacement in a step, and the share of states outside junctions that the map puts into the lane that SUMO names; then checks the bar: 60
seconds in all, and nobody jumps.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from twm_core.data.features.lanes import locate
from twm_core.data.scenario import OCCLUDED, Scenario
from twm_core.data.store.reading import open_store
from twm_sumo.simulate import simulate

BAR_SECONDS = 60.0
BAR_JUMP = 0.6
"""Metres that a centre may move sideways in a step of 0.1 s; a lane is 3 m and more."""


def processor_seconds() -> float:
    """Of this process and of the finished ones that it started."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def column(scenario: Scenario, name: str) -> np.ndarray:
    """A feature of every row, by name."""
    return scenario.state[:, scenario.features.index(name)].astype(np.float64)


def sideways(scenario: Scenario) -> np.ndarray:
    """How far each centre moves across its heading from one step to the next, metres."""
    x, y, heading = (column(scenario, n) for n in ("x", "y", "heading"))
    moved = np.abs(np.diff(y, prepend=y[:1]) * np.cos(heading) - np.diff(x, prepend=x[:1]) * np.sin(heading))
    known = scenario.code != OCCLUDED
    known[1:] &= scenario.code[:-1] != OCCLUDED
    known[scenario.offset] = False
    return moved[known]


def lanes_agree(scenario: Scenario) -> float:
    """Share of states outside junctions whose centre lies in the lane that SUMO names."""
    points = np.stack([column(scenario, "x"), column(scenario, "y")], axis=1)
    lanes = scenario.road.lanes
    by_map = np.asarray([*(lane.id for lane in lanes), ""])[locate(points, column(scenario, "heading"), lanes).lane]
    by_sumo = np.asarray(["", *scenario.lane_names])[scenario.lane]
    outside = ~(np.char.startswith(by_map, ":") | np.char.startswith(by_sumo, ":"))
    return float((by_map == by_sumo)[outside].mean())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--hz", type=float, default=10.0)
    parser.add_argument("--keep", type=Path, help="folder for the stores; a temporary one by default")
    given = parser.parse_args()
    total, jump = 0.0, 0.0
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for preset in ("motorway", "intersection"):
            began, used = time.perf_counter(), processor_seconds()
            done = simulate(preset, folder / f"{preset}.twm", seconds=given.seconds, hz=given.hz)
            wall, cpu = time.perf_counter() - began, processor_seconds() - used
            total += wall
            store = open_store(folder / f"{preset}.twm")
            scenarios = [store.scenario(i) for i in range(len(store))]
            moved = np.concatenate([sideways(s) for s in scenarios])
            jump = max(jump, float(moved.max()))
            report = done.imported
            counts = f"{report.scenarios} scenarios, {report.agents} agents, {report.states} states"
            print(f"{preset}: {wall:.1f} s wall, {cpu:.1f} s processor; {counts}")
            print(f"  events: {dict(done.events)}")
            print(f"  sideways in a step: at most {moved.max():.2f} m, {np.mean(moved > 0.6):.2e} of the steps above 0.6 m")
            print(f"  lanes as SUMO names them, outside junctions: {100 * np.mean([lanes_agree(s) for s in scenarios]):.2f} %")
    held = total <= BAR_SECONDS and jump <= BAR_JUMP
    said = f"both: {total:.1f} s (bar {BAR_SECONDS:.0f} s), largest step sideways {jump:.2f} m (bar {BAR_JUMP:g} m)"
    print(f"{said}: {'held' if held else 'MISSED'}")
    raise SystemExit(0 if held else 1)


if __name__ == "__main__":
    main()
