"""Builds the dataset `highway`: simulates every run that the config asks for and cuts windows from the scenarios.

Train and val are runs of the training sites, test of the held-out ones; each run has the seed `(config seed, site, split, run)`, so no
run stands in two splits. Sites that are not trained on have the site token 0 (unknown), because nothing could have learnt another.
"""

from __future__ import annotations

import numpy as np

from twm_core.data.dataset import Dataset
from twm_core.data.roads.map_crops import RasterOptions
from twm_core.data.scenario import Scenario
from twm_core.data.windows.protocol import WindowProtocol
from twm_core.data.windows.scenario_dataset import ScenarioDataset
from twm_core.specs import DatasetSpecs
from twm_highway.config import FEATURES, HighwayConfig
from twm_highway.record import scenarios
from twm_highway.simulation import STEP, Simulation
from twm_highway.sites import SITE_NAMES, lengthened, site_named

_SPLIT_SEEDS = {"train": 0, "val": 1, "test": 2}


def build(config: HighwayConfig, specs: DatasetSpecs) -> Dataset:
    """The dataset: deterministic given the config, bit for bit, and simulated anew each time (a few seconds)."""
    splits = simulate(config)
    protocol = WindowProtocol(
        context=specs.obs_spec.context,
        horizon=specs.obs_spec.horizon,
        stride=config.steps("evaluation_stride_seconds", config.dt),
        max_agents=config.max_agents,
    )
    return ScenarioDataset(
        obs_spec=specs.obs_spec,
        action=specs.action,
        splits=splits,
        protocol=protocol,
        train_stride=config.steps("stride_seconds", config.dt),
        train_agents=config.train_agents,
        mirror=config.mirror,
        scale=config.scale,
        raster=RasterOptions(size=config.raster_size, metres_per_pixel=config.metres_per_pixel) if config.raster else None,
    )


def simulate(config: HighwayConfig) -> dict[str, list[Scenario]]:
    """The scenarios of each split."""
    splits: dict[str, list[Scenario]] = {name: [] for name in _SPLIT_SEEDS}
    plan = [(s, "train", config.runs) for s in config.train_sites]
    plan += [(s, "val", config.evaluation_runs) for s in config.train_sites]
    plan += [(s, "test", 2 * config.evaluation_runs) for s in config.test_sites]
    for name in dict.fromkeys(s for s, _, _ in plan):
        jobs = [(split, run) for site, split, runs in plan if site == name for run in range(runs)]
        place = SITE_NAMES.index(name)
        seeds = [np.random.SeedSequence([config.seed, place, _SPLIT_SEEDS[split], run]) for split, run in jobs]
        site = lengthened(site_named(name), config.straight_metres)
        simulation = Simulation(site, seeds, seconds=config.warm_up_seconds + config.run_seconds + STEP)
        log = simulation.run(skip=config.warm_up_seconds)
        made = scenarios(
            log,
            dt=config.dt,
            features=FEATURES,
            ids=tuple(f"{name}/{split}/{run}" for split, run in jobs),
            site_token=place + 1 if name in config.train_sites else 0,
            actions=config.actions,
        )
        for (split, _), scenario in zip(jobs, made, strict=True):
            splits[split].append(scenario)
    return splits
