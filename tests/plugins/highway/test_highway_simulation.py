"""The simulation as a whole: plausible, free of collisions, reproducible, independent of how runs are batched."""

from __future__ import annotations

import numpy as np
import pytest

from twm_highway.fleet import MARKS, MOTION, Fleet
from twm_highway.neighbours import CLEAR
from twm_highway.simulation import STEP, Log, Simulation
from twm_highway.sites import SITES, Site, site_named


def seeds(count: int, seed: int = 3) -> list[np.random.SeedSequence]:
    return [np.random.SeedSequence([seed, i]) for i in range(count)]


def simulate(site: Site, runs: int = 2, seconds: float = 70.0, skip: float = 30.0, seed: int = 3) -> Log:
    return Simulation(site, seeds(runs, seed), seconds=seconds).run(skip=skip)


@pytest.fixture(scope="module")
def logs() -> dict[str, Log]:
    return {site.name: simulate(site) for site in SITES}


def read(log: Log, name: str) -> np.ndarray:
    return log.motion[:, MOTION.index(name)] if name in MOTION else log.marks[:, MARKS.index(name)]


def test_no_two_vehicles_in_one_lane_overlap(logs: dict[str, Log]) -> None:
    pairs = 0
    for log in logs.values():
        s, lane, target = read(log, "s"), read(log, "lane"), read(log, "target")
        progress, number = read(log, "progress"), read(log, "id")
        lengths = np.stack([d.length for d in log.drivers])
        length = lengths[np.arange(s.shape[1])[None, :, None], np.maximum(number, 0)]
        for row in range(log.site.rows):
            here = (target == row) | ((lane == row) & (progress < CLEAR))
            for t, r in np.ndindex(s.shape[:2]):
                at = np.flatnonzero(here[t, r])
                order = at[np.argsort(s[t, r, at])]
                gap = np.diff(s[t, r, order]) - 0.5 * (length[t, r, order][1:] + length[t, r, order][:-1])
                pairs += len(gap)
                assert (gap > 0).all(), f"{log.site.name} run {r}, step {t}, row {row}"
    assert pairs > 100_000


def test_accelerations_and_speeds_are_those_of_traffic(logs: dict[str, Log]) -> None:
    hard: list[float] = []
    for log in logs.values():
        alive = read(log, "lane") >= 0
        a, v = read(log, "a")[alive], read(log, "v")[alive]
        assert a.min() > -6.0
        assert a.max() < 3.0
        hard.append(float((np.abs(a) > 4.0).mean()))
        assert v.min() >= 0.0
        assert v.max() < 46.0
        assert 8 < alive.sum(axis=2).mean() < 45
    # Emergencies are rare everywhere: waves and ends of lanes, nothing else.
    assert max(hard) < 0.005
    assert np.mean(hard) < 0.001


def test_lane_changes_take_seconds(logs: dict[str, Log]) -> None:
    durations: list[float] = []
    for log in logs.values():
        changing = (read(log, "lane") != read(log, "target")) & (read(log, "lane") >= 0)
        number, progress, v = read(log, "id"), read(log, "progress"), read(log, "v")
        for r in range(number.shape[1]):
            for vehicle in np.unique(number[:, r][changing[:, r]]):
                at = changing[:, r] & (number[:, r] == vehicle)
                step = np.flatnonzero(at.any(axis=1))
                done = progress[:, r][at]
                # Whole changes of one piece, at a speed at which the lateral clock runs in full.
                if len(done) == step[-1] - step[0] + 1 and done[0] == 0.0 and done[-1] > 0.97 and v[:, r][at].min() > 8.0:
                    durations.append(len(done) * STEP)
    assert len(durations) > 100
    assert min(durations) > 4.7
    assert max(durations) < 7.7


def test_ramps_and_ending_lanes_are_used() -> None:
    log = simulate(site_named("interchange-3"), runs=3, seconds=80.0)
    site = log.site
    lane, target = read(log, "lane"), read(log, "target")
    assert ((lane == site.on_row) & (target == 0)).any()
    assert ((lane == 0) & (target == site.off_row)).any()
    assert not ((lane == 0) & (target == site.on_row)).any()
    drop = simulate(site_named("lane-drop-4"), runs=2)
    left = drop.site.lanes - 1
    assert ((read(drop, "lane") == left) & (read(drop, "target") == left - 1)).any()
    assert drop.site.last_of_left is not None
    stays = (read(drop, "lane") == left) & (read(drop, "target") == left)
    assert read(drop, "s")[stays].max() < drop.site.last_of_left


def test_the_waves_sites_stop_and_go() -> None:
    log = simulate(site_named("waves-3"), runs=3, seconds=90.0)
    v = read(log, "v")[read(log, "lane") >= 0]
    assert (v < 5.0).mean() > 0.02
    assert (v > 15.0).mean() > 0.2


def test_a_seed_gives_the_same_bits_and_another_seed_others() -> None:
    site = site_named("on-ramp-3")
    one, same, other = (simulate(site, seconds=30.0, skip=5.0, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.motion, same.motion)
    np.testing.assert_array_equal(one.marks, same.marks)
    assert not np.array_equal(one.motion, other.motion)


def test_a_run_is_the_same_alone_and_among_others() -> None:
    site = site_named("off-ramp-3")
    together = Simulation(site, seeds(3), seconds=30.0).run()
    alone = Simulation(site, seeds(3)[2:], seconds=30.0).run()
    np.testing.assert_array_equal(together.motion[:, :, 2], alone.motion[:, :, 0])
    np.testing.assert_array_equal(together.marks[:, :, 2], alone.marks[:, :, 0])


def test_neighbours_equal_a_search_over_all_pairs() -> None:
    simulation = Simulation(site_named("orbital-5"), seeds(2), seconds=30.0)
    simulation.run()
    fleet, neighbours = simulation.fleet, simulation.neighbours
    fleet.sort()
    neighbours.find()
    checked = 0
    for r in range(fleet.runs):
        alive = np.flatnonzero(fleet.alive[r])
        for i in alive:
            for row in range(simulation.site.rows):
                stands = (fleet.target[r] == row) | ((fleet.lane[r] == row) & (fleet.progress[r] < CLEAR))
                ahead = [j for j in alive if stands[j] and j > i]
                behind = [j for j in alive if stands[j] and j < i]
                who, rows = np.array([r * fleet.columns + i]), np.array([row])
                assert neighbours.ahead(rows, who)[0] == r * fleet.columns + min(ahead, default=fleet.columns - 1)
                assert neighbours.behind(rows, who)[0] == r * fleet.columns + max(behind, default=0)
                checked += 1
    assert checked > 200


def test_sorting_moves_every_number_of_a_vehicle_together() -> None:
    fleet = Fleet(2, 6)
    rng = np.random.default_rng(0)
    fleet.s[0, 1:6] = rng.permutation(5)
    fleet.s[1, 1:4] = [1.0, 2.0, 3.0]
    fleet.v[0, 1:6] = fleet.s[0, 1:6] * 2
    fleet.id[0, 1:6] = fleet.s[0, 1:6]
    fleet.sort()
    np.testing.assert_array_equal(fleet.s[0, 1:6], np.arange(5))
    np.testing.assert_array_equal(fleet.v[0, 1:6], 2 * np.arange(5))
    np.testing.assert_array_equal(fleet.id[0, 1:6], np.arange(5))
    np.testing.assert_array_equal(fleet.s[1, 1:4], [1.0, 2.0, 3.0])


def test_a_driver_leaves_a_slow_leader_only_when_the_follower_is_far() -> None:
    """MOBIL in the simulation on a hand-made case: a slow leader, a free left lane, and a follower there who is near or far."""
    started: dict[str, bool] = {}
    for name, distance in (("near", 9.0), ("far", 150.0)):
        simulation = Simulation(site_named("straight-3"), seeds(1), seconds=10.0)
        fleet = simulation.fleet
        cars = [(300.0, 15.0, 0), (270.0, 25.0, 0), (270.0 - distance, 33.0, 1)]
        for column, (s, v, row) in enumerate(cars, start=1):
            fleet.floats[:, 0, column] = 0.0
            for trait, value in {
                "headway": 1.2,
                "standstill": 2.0,
                "accel": 1.5,
                "brake": 2.0,
                "compliance": 1.0,
                "top": 40.0,
                "politeness": 0.2,
                "duration": 5.0,
                "length": 4.5,
                "progress": 1.0,
                "share": 1.0,
            }.items():
                getattr(fleet, trait)[0, column] = value
            fleet.s[0, column], fleet.v[0, column] = s, v
            fleet.lane[0, column] = fleet.target[0, column] = row
            fleet.id[0, column] = fleet.leaving[0, column] = fleet.truck[0, column] = 0
        simulation.decide()
        middle = np.flatnonzero(fleet.s[0] == 270.0)[0]
        started[name] = bool(fleet.target[0, middle] == 1)
    assert started == {"near": False, "far": True}
