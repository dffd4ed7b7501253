"""The dataset `store`: scenarios of one or several stores (see `twm_core.data.store.reading`), cut into windows, split without leaks.

Scenarios stay on disk: what windows show is read through memory maps. Those whose time step is another one than `dt` are resampled when the
dataset is built and then lie in memory; `twm_datasets.resample` says what that does, and why no future leaks through it.

A lane token stands for `site:lane`, a site token for the site; both are hashes into the declared capacities (see `twm_datasets.tokens`),
and tokens that names share are counted in the report. Sites of which no scenario is trained on are unknown, and their lanes too: a
model could have learnt nothing about them.

A feature that a store lacks is 0 where it tells of lanes, leaders or followers, whose flags are 0 with it; any other is an error.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.roads.map_crops import RasterOptions
from twm_core.data.scenario import Scenario
from twm_core.data.store.reading import Store, open_store
from twm_core.data.windows.protocol import Part, WindowProtocol
from twm_core.data.windows.scenario_dataset import ScenarioDataset
from twm_core.data.windows.splits import NAMES, Splits, make_splits
from twm_core.errors import DataError
from twm_core.specs import DatasetSpecs
from twm_datasets.config import OPTIONAL_FEATURES, OPTIONAL_PREFIXES, StoreConfig
from twm_datasets.resample import kept_tracks, resample
from twm_datasets.tokens import shared, token

Ints = NDArray[np.int64]


@dataclass
class _Split:
    """What has been gathered for one split."""

    scenarios: list[Scenario]
    parts: list[Part | None]
    lane_tokens: list[Ints | None]
    notes: Counter[str]


def build(config: StoreConfig, specs: DatasetSpecs) -> ScenarioDataset:
    """Open the stores, split, and return the dataset.

    Raises:
        DataError: A path is no store, the stores lack a feature or stored splits, or cannot be split as asked.
    """
    stores = open_stores(config)
    splits = [_splits(config, store) for store in stores]
    gathered = {name: _Split([], [], [], Counter()) for name in NAMES}
    trained = {
        store.index.sites[store.index["site"][store.number(piece.scenario)]]
        for store, split in zip(stores, splits, strict=True)
        for piece in split.pieces["train"]
    }
    lane_names: set[str] = set()
    sites: set[str] = set()
    tables: dict[tuple[str, tuple[str, ...]], Ints] = {}
    for number, (store, split) in enumerate(zip(stores, splits, strict=True)):
        lacking = missing_features(config, store)
        for name in NAMES:
            into = gathered[name]
            into.notes.update(dict(split.report.get(name, {})))
            for piece in split.pieces[name]:
                original = store.scenario(store.number(piece.scenario))
                scenario, part = _at(config.dt, original, piece.part(original), into.notes)
                if scenario is None or part is None:
                    continue
                known = scenario.site in trained
                key = (scenario.site, scenario.lane_names)
                if scenario.lane_names and key not in tables:
                    names = [f"{scenario.site}:{lane}" for lane in scenario.lane_names]
                    lane_names.update(names)
                    tables[key] = np.asarray([0, *(token(n, config.lanes) if known else 0 for n in names)], dtype=np.int64)
                sites.add(scenario.site)
                into.scenarios.append(
                    replace(
                        scenario,
                        id=scenario.id if len(stores) == 1 else f"{number}/{scenario.id}",
                        site_token=token(scenario.site, config.sites) if known else 0,
                        check_values=False,
                    )
                )
                into.parts.append(part)
                into.lane_tokens.append(tables.get(key))
                if lacking:
                    into.notes[f"scenarios without {', '.join(lacking)}: 0"] += 1
    shared_tokens = {
        "lanes that share a token": shared(lane_names, config.lanes),
        "sites that share a token": shared(sites, config.sites),
    }
    stride = config.steps("eval_stride_seconds", config.dt)
    return ScenarioDataset(
        obs_spec=specs.obs_spec,
        action=None,
        splits={name: s.scenarios for name, s in gathered.items()},
        protocol=WindowProtocol(
            context=specs.obs_spec.context, horizon=specs.obs_spec.horizon, stride=stride, max_agents=config.max_agents
        ),
        train_stride=config.steps("stride_seconds", config.dt),
        train_agents=config.train_agents,
        mirror=config.mirror,
        scale=config.scale,
        rotate=config.rotate,
        dropout=config.dropout,
        raster=RasterOptions(size=config.raster_size, metres_per_pixel=config.metres_per_pixel) if config.raster else None,
        notes={name: {**s.notes, **shared_tokens} for name, s in gathered.items()},
        parts={name: s.parts for name, s in gathered.items()},
        lane_tokens={name: s.lane_tokens for name, s in gathered.items()},
        digest=hashlib.sha256("\n".join(store.fingerprint() for store in stores).encode()).hexdigest(),
    )


def open_stores(config: StoreConfig) -> list[Store]:
    """The stores of the config.

    Raises:
        DataError: None is given, one is no store, or two hold the same.
    """
    if not config.paths:
        raise DataError("dataset store: no path was given", "set path to a store, a folder X.twm that twm data import makes")
    stores = [open_store(path) for path in config.paths]
    seen: dict[str, str] = {}
    for path, store in zip(config.paths, stores, strict=True):
        other = seen.setdefault(store.fingerprint(), path)
        if other != path or config.paths.count(path) > 1:
            raise DataError(f"dataset store: {path} and {other} hold the same scenarios", "give each store once")
    return stores


def missing_features(config: StoreConfig, store: Store) -> list[str]:
    """Features that the config asks for and the store lacks, all of which may be 0.

    Raises:
        DataError: One may not.
    """
    missing = [n for n in config.features if n not in store.features]
    needed = [n for n in missing if not n.startswith(OPTIONAL_PREFIXES) and n not in OPTIONAL_FEATURES]
    if needed:
        raise DataError(
            f"dataset store: {store.path} has no {', '.join(needed)}",
            f"it has {', '.join(store.features)}; name some of these with features, or import again with more",
        )
    return missing


def _splits(config: StoreConfig, store: Store) -> Splits:
    stored: Mapping[str, Any] = store.manifest.splits
    by = config.split
    if by == "auto":
        by = "stored" if stored else "time"
    if by == "stored":
        if not stored:
            raise DataError(f"dataset store: {store.path} has no stored splits", "make them with twm data split, or set split = time")
        return Splits.from_json(stored)
    shares = (1 - config.val_share - config.test_share, config.val_share, config.test_share)
    return make_splits(store.scenarios, by, shares=shares, gap_seconds=config.gap_seconds)


def _at(dt: float, scenario: Scenario, part: Part, notes: Counter[str]) -> tuple[Scenario | None, Part | None]:
    """A scenario and its part at the time step `dt`; None where nothing of it is left."""
    if abs(dt / scenario.dt - 1) < 1e-6:
        return scenario, part
    notes[f"scenarios resampled from {scenario.dt:g} s"] += 1
    try:
        made = resample(scenario, dt)
    except DataError:
        # Counted like the tracks that fall between the steps of others.
        notes["scenarios too short for a step of the new dt"] += 1
        return None, None
    ratio = dt / scenario.dt
    # A step belongs to the part if the time it shows does.
    begin, end = (min(int(np.ceil(step / ratio - 1e-6)), made.steps) for step in (part.begin, part.end))
    kept = kept_tracks(scenario, made)
    notes["tracks between two steps of the new dt"] += int((kept < 0).sum())
    own = None if part.own is None else part.own[kept >= 0]
    return (made, Part(begin, end, own)) if begin < end else (None, None)
