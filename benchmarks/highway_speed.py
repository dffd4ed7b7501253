"""Speed of the highway simulation: scene-steps per CPU second, and the cost of building the default dataset.

    python benchmarks/highway_speed.py

A scene-step is one step of 0.1 s of one run with all its vehicles. Runs are simulated in a batch; a batch of one shows what batching is
worth. Only this process' CPU time counts (NumPy's element-wise operations use one thread). The last column scales the speed of sites with
fewer than 30 vehicles down in proportion, so that no emptier road flatters it.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from twm_core.specs import DatasetSpecs
from twm_highway.config import HighwayConfig
from twm_highway.model import build
from twm_highway.simulation import STEP, Simulation
from twm_highway.sites import site_named


def measure(name: str, runs: int, seconds: float, skip: float) -> tuple[float, float]:
    """Scene-steps per CPU second and mean number of vehicles of the recorded part, after the road has filled."""
    simulation = Simulation(site_named(name), [np.random.SeedSequence([0, i]) for i in range(runs)], seconds=seconds)
    begin, steps, vehicles = 0.0, 0, 0
    for t in range(simulation.steps):
        if t == round(skip / STEP):
            begin = time.process_time()
        simulation.decide()
        simulation.move()
        if t >= round(skip / STEP):
            steps += 1
            vehicles += int(simulation.fleet.alive.sum())
    spent = time.process_time() - begin
    return runs * steps / spent, vehicles / (runs * steps)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=90.0)
    given = parser.parse_args()
    print(f"{'site':<16}{'runs':>6}{'vehicles':>10}{'scene-steps / CPU s':>22}{'at 30 vehicles':>16}")
    for name in ("straight-3", "off-ramp-3", "on-ramp-3", "orbital-5", "interchange-3"):
        for runs in (1, 8, 32):
            speed, vehicles = measure(name, runs, given.seconds, skip=40.0)
            print(f"{name:<16}{runs:>6}{vehicles:>10.1f}{speed:>22.0f}{speed * min(1.0, vehicles / 30):>16.0f}")
    config = HighwayConfig()
    seen, action = config.observations()
    begin = time.process_time()
    dataset = build(config, DatasetSpecs(obs_spec=seen, action=action))
    spent = time.process_time() - begin
    print(f"default dataset: {len(dataset.windows('train'))} training windows in {spent:.1f} CPU s")


if __name__ == "__main__":
    main()
