"""Datasets in pairs: the second is built from data in which everything after the first window's observation is other than in the first.

Where there are files, the files differ; where scenarios are simulated, the scenarios do.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from stored_traffic import recording, store

from twm_core.data.windows.scenario_dataset import ScenarioDataset
from twm_core.errors import AssemblyError
from twm_core.evaluation.interfaces import Forecaster
from twm_core.evaluation.selection import choose_baselines
from twm_core.nn.build import build_dataset
from twm_core.plugin.registry import Registry, discover
from twm_core.recipe.assembly import Plan, assemble
from twm_core.recipe.layers import default_layer, option_layer, resolve
from twm_core.specs import BaselineSpecs, ObservationSpec
from twm_core.testing.checks.reader import with_noise as with_noise_in_recording
from twm_core.testing.leaks import with_noise
from twm_datasets.ethucy import RECORDINGS

SPLIT = "test"

Writer = Callable[[Path, int | None], dict[str, Any]]
"""Writes files, with another future from a step on (None: as they are), and returns the options of the dataset."""


@dataclass(frozen=True)
class Pair:
    """Two datasets that share their past.

    Attributes:
        known: The one.
        noisy: The other.
        options: Options that chose the dataset, by dotted path.
    """

    known: ScenarioDataset
    noisy: ScenarioDataset
    options: Mapping[str, Any]


def registry() -> Registry:
    """What is installed."""
    return discover(environ={})


def plan_of(options: Mapping[str, Any], preset: str = "default") -> Plan | None:
    """The plan of a preset on another dataset; None where its parts do not fit that."""
    layers = [default_layer(), *(option_layer(k, v, "test") for k, v in {"preset": preset, **options}.items())]
    try:
        return assemble(resolve(layers), registry())
    except AssemblyError:
        return None


def built(options: Mapping[str, Any]) -> ScenarioDataset:
    """The dataset that options choose."""
    plan = plan_of(options)
    assert plan is not None
    made = build_dataset(plan)
    assert isinstance(made, ScenarioDataset)
    return made


def from_files(folder: Path, write: Writer, read: Callable[[Mapping[str, Any]], ScenarioDataset] = built) -> Pair:
    """A pair from files: the first test window says from which step on the second set of files differs."""
    options = write(folder / "known", None)
    known = read(options)
    windows: Any = known.windows(SPLIT)
    begin = int(windows.inner.index[0, 1]) + known.protocol.context
    return Pair(known, read(write(folder / "noisy", begin)), options)


def write_ethucy(folder: Path, begin: int | None) -> dict[str, Any]:
    """The standard files, small: people who walk, pause and turn, three of them from the first frame on."""
    random = np.random.default_rng(5)
    for number, name in enumerate(RECORDINGS):
        for other, place in enumerate((f"all_data/{name}", f"train/{name}_train", f"val/{name}_val")):
            source = np.random.default_rng(number + 100 * other)
            walks = 5 * source.normal(size=(4, 1, 2)) + np.cumsum(0.4 * source.normal(size=(4, 26, 2)), axis=1)
            if begin is not None:
                walks[:, begin:] += random.normal(size=walks[:, begin:].shape)
            path = folder / "raw" / f"{place}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [f"{10 * t}\t{p + 1}\t{walks[p, t, 0]:.3f}\t{walks[p, t, 1]:.3f}\n" for t in range(26) for p in range(4) if t >= p // 3]
            path.write_text("".join(rows))
    return {"dataset.component": "ethucy", "dataset.path": str(folder), "dataset.assert_counts": False}


def write_store(folder: Path, begin: int | None) -> dict[str, Any]:
    """A store of eight recordings of a bridge."""
    recordings = [recording(f"r{i}", seed=i, site=f"site-{i}") for i in range(8)]
    if begin is not None:
        recordings = [replace(with_noise_in_recording(r, begin - 1), id=r.id) for r in recordings]
    folder.mkdir()
    path = store(folder / "bridge.twm", recordings)
    return {"dataset.component": "store", "dataset.path": str(path), "dataset.split": "site", **SHORT}


def write_commonroad(text: Callable[..., str], drive: Callable[..., list[Any]]) -> Writer:
    """Nine CommonRoad files; `text` and `drive` make one."""

    def write(folder: Path, begin: int | None) -> dict[str, Any]:
        random = np.random.default_rng(5)
        folder.mkdir()
        for i in range(9):
            cars = {str(10 * i + k): drive(60, y=(1.75, -1.75)[k % 2], speed=4 + k + i, gain=0.2 + 0.1 * k) for k in range(4)}
            for states in cars.values() if begin is not None else ():
                states[begin:] = [
                    (t, x + random.normal(), y + random.normal(), a + random.normal(), abs(v + random.normal()))
                    for t, x, y, a, v in states[begin:]
                ]
            name = f"USA_US101-{i}_1_T-1"
            (folder / f"{name}.xml").write_text(text(cars, benchmark=name))
        return {"dataset.component": "commonroad", "dataset.path": str(folder), **SHORT}

    return write


def highway(**options: Any) -> Pair:
    """Simulated roads; the second pair's scenarios are changed, since there is no file."""
    fields = {"runs": 1, "evaluation_runs": 1, "run_seconds": 12.0, "warm_up_seconds": 20.0, "train_sites": ["straight-3"]}
    fields |= {"test_sites": ["bends-2"], **options}
    chosen = {"dataset.component": "highway", **{f"dataset.{k}": v for k, v in fields.items()}}
    known = built(chosen)
    windows: Any = known.windows(SPLIT)
    number, start = (int(v) for v in windows.inner.index[0])
    noisy = copy.copy(known)
    scenarios = list(known.splits[SPLIT])
    # Nobody is hidden: how many windows there are may depend on that, and window 0 is to be the same one.
    scenarios[number] = with_noise(scenarios[number], start + known.protocol.context, hide=0.0)
    noisy.splits = {**known.splits, SPLIT: tuple(scenarios)}
    return Pair(known, noisy, chosen)


SHORT: dict[str, Any] = {"dataset.observed_seconds": 1.0, "dataset.predicted_seconds": 1.0}


def baseline(name: str, obs_spec: ObservationSpec) -> Forecaster:
    """A baseline that has nothing to learn."""
    chosen = choose_baselines(registry(), obs_spec, [name], {})[0][name]
    made: Forecaster = chosen.build(BaselineSpecs(obs_spec=obs_spec))
    return made
