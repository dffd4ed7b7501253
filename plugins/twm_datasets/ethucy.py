"""The dataset `ethucy`: pedestrians of BIWI ETH (eth, hotel) and UCY (univ, zara1, zara2), one leave-one-out fold.

Text files of lines `frame  pedestrian  x  y`, separated by tabs or blanks, world metres, annotated every tenth video frame (nominally
0.4 s). A step is an *available* frame of a file: where nobody was annotated for a while the file has a gap in its frames, and windows
run across it, as in Social-GAN's loader, so that windows and pedestrians can be counted against the published numbers
(`STANDARD_COUNTS`). Velocities across a gap are divided by the time that really passed; gaps are counted in the report.

    vx, vy = backward differences of the position        ax, ay, yaw_rate = backward differences of velocity and heading
    heading = direction of the last displacement, kept while slower than `STILL_SPEED`, 0 before the first

Windows are self-contained: their first step knows no velocity and no heading. Train, val and test windows come from different files;
`eth_time = "true"` gives the eth recording its true 10 frames of 15 fps, 0.667 s per step.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twm_core.data.dataset import SPLITS
from twm_core.data.motion import Floats, backward_difference, heading_of_motion
from twm_core.data.scenario import OBSERVED, OCCLUDED, Scenario
from twm_core.data.windows.protocol import Counts, WindowProtocol
from twm_core.data.windows.scenario_dataset import ScenarioDataset
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES, DatasetSpecs
from twm_datasets.config import ETHUCY_DT, ETHUCY_FEATURES, EthUcyConfig
from twm_datasets.ethucy_text import ETH_TRUE_DT, RECORDINGS, read_rows

STILL_SPEED = 0.05
"""m/s below which a pedestrian keeps its heading: 2 cm in a step of 0.4 s."""

TESTED = {
    "eth": ("biwi_eth",),
    "hotel": ("biwi_hotel",),
    "univ": ("students001", "students003"),
    "zara1": ("crowds_zara01",),
    "zara2": ("crowds_zara02",),
}
"""Recordings that each fold tests on; it trains on all others."""

STANDARD_COUNTS = {
    "sgan": {"eth": (70, 181), "hotel": (301, 1053), "univ": (947, 24334), "zara1": (602, 2253), "zara2": (921, 5833)},
    "all": {"eth": (253, 364), "hotel": (445, 1197), "univ": (947, 24334), "zara1": (705, 2356), "zara2": (998, 5910)},
}
"""Test windows and scored pedestrians of the standard files, by convention and fold."""


def build(config: EthUcyConfig, specs: DatasetSpecs) -> ScenarioDataset:
    """Read the files of the fold.

    Raises:
        DataError: The folder or a file is not there, or a row is malformed.
    """
    root = _root(config.path)
    splits: dict[str, list[Scenario]] = {}
    notes: dict[str, dict[str, int]] = {}
    for split, names in membership(root, config.fold).items():
        scenarios: list[Scenario] = []
        gaps = 0
        for name in names:
            rows, place = read_rows(root / name), Path(name)
            true = config.eth_time == "true" and place.stem.startswith("biwi_eth")
            scenarios.append(to_scenario(rows, id=f"{place.parent.name}/{place.stem}", dt=ETH_TRUE_DT if true else ETHUCY_DT))
            gaps += _gaps(rows)
        splits[split] = scenarios
        notes[split] = {"gaps between frames": gaps}
    expects: dict[str, Counts] = {}
    if (specs.obs_spec.context, specs.obs_spec.horizon) == (8, 12):
        windows, pedestrians = STANDARD_COUNTS[config.convention][config.fold]
        if config.assert_counts and _is_standard(root, config.fold):
            expects["test"] = Counts(windows=windows, agents=pedestrians)
        else:
            notes["test"].update({"windows of the standard files": windows, "agents of the standard files": pedestrians})
    protocol = WindowProtocol(
        context=specs.obs_spec.context,
        horizon=specs.obs_spec.horizon,
        stride=1,
        max_agents=config.max_agents,
        min_scored=2 if config.convention == "sgan" else 1,
        full=True,
        self_contained=True,
        still_speed=STILL_SPEED,
        expects=expects,
    )
    return ScenarioDataset(
        obs_spec=specs.obs_spec,
        action=specs.action,
        splits=splits,
        protocol=protocol,
        train_stride=config.steps("stride_seconds", ETHUCY_DT),
        train_agents=config.train_agents,
        mirror=config.mirror,
        scale=config.scale,
        notes=notes,
    )


def _root(path: str) -> Path:
    """The folder that holds `all_data`, `train` and `val`."""
    hint = "give the folder that holds raw/all_data, raw/train and raw/val"
    if not path:
        raise DataError("dataset ethucy: no path was given", hint)
    place = Path(path)
    if not place.is_dir():
        raise DataError(f"dataset ethucy: {path} is not a folder", hint)
    root = place / "raw" if (place / "raw").is_dir() else place
    if not any((root / name).is_dir() for name in ("all_data", "train", "val")):
        raise DataError(f"dataset ethucy: {path} holds none of raw/all_data, raw/train, raw/val", hint)
    return root


def membership(root: Path, fold: str) -> dict[str, list[str]]:
    """Files of train, val and test of a fold, relative to `root`: from `folds.json` beside or above it, else the standard ones.

    Raises:
        DataError: `folds.json` is not of the form `{fold: {split: [file, ...]}}`.
    """
    for place in (root / "folds.json", root.parent / "folds.json"):
        if place.is_file():
            break
    else:
        return standard_membership(fold)
    hint = 'it must map fold to {"train": [...], "val": [...], "test": [...]} with paths below raw/'
    try:
        table = json.loads(place.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{place.name}: not JSON ({error})", hint) from error
    files = table.get(fold) if isinstance(table, dict) else None
    if not isinstance(files, dict) or not all(isinstance(files.get(s), list) and files[s] for s in SPLITS):
        raise DataError(f"{place.name}: fold {fold!r} does not name files of train, val and test", hint)
    return {split: [str(name) for name in files[split]] for split in SPLITS}


def standard_membership(fold: str) -> dict[str, list[str]]:
    """Files of train, val and test of a fold of the standard set, relative to its root."""
    others = [r for r in RECORDINGS if r not in TESTED[fold]]
    return {
        "train": [f"train/{r}_train.txt" for r in others],
        "val": [f"val/{r}_val.txt" for r in others],
        "test": [f"all_data/{r}.txt" for r in TESTED[fold]],
    }


def _is_standard(root: Path, fold: str) -> bool:
    """Whether the fold is tested on the standard recordings."""
    return sorted(membership(root, fold)["test"]) == sorted(standard_membership(fold)["test"])


def _gaps(rows: Floats) -> int:
    between = np.diff(np.unique(rows[:, 0]))
    return int((between > between.min()).sum()) if len(between) else 0


def to_scenario(rows: Floats, *, id: str, dt: float) -> Scenario:
    """The rows `frame, pedestrian, x, y` of one file as a scenario whose steps are its available frames, `dt` seconds apart."""
    frames, step = np.unique(rows[:, 0], return_inverse=True)
    between = np.diff(frames)
    # The commonest file has a frame every tenth; whatever it is, the smallest distance between frames is one step.
    number = (frames - frames[0]) / (between.min() if len(between) else 1.0)
    order = np.lexsort((step, rows[:, 1]))
    names, first_row = np.unique(rows[order, 1], return_index=True)
    step, xy, person = step[order], rows[order, 2:], np.repeat(np.arange(len(names)), np.diff(np.append(first_row, len(rows))))
    first = step[first_row]
    length = np.maximum.reduceat(step, first_row) - first + 1
    place = (np.cumsum(length) - length)[person] + step - first[person]
    # A pedestrian that was lost for some frames and came back starts afresh: nothing is differenced across the hole.
    starts = np.ones(len(rows), dtype=bool)
    starts[1:] = (np.diff(person) != 0) | (np.diff(step) != 1)
    state = np.zeros((int(length.sum()), len(ETHUCY_FEATURES)), dtype=np.float32)
    state[place] = _motion(xy, starts, number[step], dt)
    code = np.full(len(state), OCCLUDED, dtype=np.uint8)
    code[place] = OBSERVED
    return Scenario(
        id=id,
        site=Path(id).name.removesuffix("_train").removesuffix("_val"),
        dt=dt,
        steps=len(frames),
        features=ETHUCY_FEATURES,
        state=state,
        code=code,
        first=first.astype(np.int64),
        length=length.astype(np.int64),
        track=tuple(f"{n:g}" for n in names),
        type=np.full(len(names), AGENT_TYPES.index("pedestrian"), dtype=np.int64),
    )


def _motion(xy: Floats, starts: NDArray[np.bool_], number: Floats, dt: float) -> Floats:
    """The columns of `ETHUCY_FEATURES` `[R, F]`, causally; `number` counts the steps, gaps included."""
    elapsed = np.where(starts, 1.0, np.diff(number, prepend=number[:1])) * dt
    vx, vy = (backward_difference(xy[:, i], starts, elapsed) for i in (0, 1))
    heading, known = heading_of_motion(vx.astype(np.float32), vy.astype(np.float32), starts, STILL_SPEED)
    # A velocity is first known at a track's second step, so its difference at the third; likewise for the heading.
    second = np.concatenate([[False], starts[:-1]])
    unturned = starts | np.concatenate([[True], ~known[:-1]])
    columns = {
        "x": xy[:, 0],
        "y": xy[:, 1],
        "heading": heading,
        "vx": vx,
        "vy": vy,
        "ax": backward_difference(vx, starts | second, elapsed),
        "ay": backward_difference(vy, starts | second, elapsed),
        "yaw_rate": backward_difference(heading, unturned, elapsed, angle=True),
        "fresh": starts.astype(np.float64),
    }
    return np.stack([columns[name] for name in ETHUCY_FEATURES], axis=1)
