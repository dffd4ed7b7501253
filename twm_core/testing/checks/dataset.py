"""Promises of datasets: batches as specified, reads that repeat, splits that share nothing, and inputs that know no future."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.data.scenario import Scenario
from twm_core.data.schema import EXISTENCE_CODES
from twm_core.data.windows.loader import evenly_spaced
from twm_core.data.windows.protocol import Part
from twm_core.data.windows.scenario_dataset import ScenarioDataset
from twm_core.errors import DataError
from twm_core.specs import KeySpec
from twm_core.testing.checks.check import Check
from twm_core.testing.failure import NotApplicable, broken
from twm_core.testing.leaks import steps_of, with_noise
from twm_core.testing.subjects import DatasetSubject

_OBSERVED = [EXISTENCE_CODES.index("observed"), EXISTENCE_CODES.index("interpolated")]
_MOVING = 0.5
"""m/s from which on an agent moves."""

_ENOUGH = 20
"""Pairs of steps from which on a median of them says something."""


def batches_match_the_spec(subject: DatasetSubject) -> None:
    """Every split has windows, and its batches hold exactly the keys of the spec (and `action`), with their dtypes, shapes and classes."""
    obs_spec, keys = subject.specs.obs_spec, _keys(subject)
    for split, windows in subject.windows.items():
        if not len(windows):
            broken(f"split {split} has no window", "raise DataError for a split that is empty")
        batch, rows = subject.batches[split], len(subject.picked(windows))
        if set(batch) != {k.key for k in keys}:
            missing, more = {k.key for k in keys} - set(batch), set(batch) - {k.key for k in keys}
            broken(f"{split}: keys missing {sorted(missing)}, not in the spec {sorted(more)}", "give exactly the keys of observations()")
        sizes = {"B": rows, "T": obs_spec.context + obs_spec.horizon}
        for key in keys:
            _check_key(split, key, batch[key.key], sizes)


def _keys(subject: DatasetSubject) -> list[KeySpec]:
    """All keys of a batch, the action's included."""
    action = subject.specs.action
    if action is None:
        return list(subject.specs.obs_spec.keys)
    axes = "B T U" if action.layout == "scene" else "B T A U"
    return [*subject.specs.obs_spec.keys, KeySpec(key="action", axes=axes, shape=(action.width,))]


def _check_key(split: str, key: KeySpec, value: Tensor, sizes: dict[str, int]) -> None:
    dtype = str(value.dtype).removeprefix("torch.")
    if dtype != key.dtype:
        broken(f"{split}: {key.key} is {dtype}, the spec says {key.dtype}", "cast it")
    fixed = iter(key.shape)
    letters = key.axes.split()
    if value.dim() != len(letters):
        broken(f"{split}: {key.key} has shape {list(value.shape)}, the spec says {key.axes}", "follow the axes of the spec")
    for letter, size in zip(letters, value.shape, strict=True):
        wanted = sizes.setdefault(letter, size) if letter in ("B", "T", "A") else next(fixed)
        if size != wanted:
            broken(f"{split}: {key.key} has shape {list(value.shape)}; axis {letter} is {wanted} elsewhere", "follow the axes of the spec")
    if key.classes is not None and value.numel() and not 0 <= int(value.min()) <= int(value.max()) < key.classes:
        broken(
            f"{split}: {key.key} holds {int(value.min())} to {int(value.max())}, the spec says {key.classes} classes", "count unknown as 0"
        )


def values_are_finite(subject: DatasetSubject) -> None:
    """No batch holds NaN or infinity, and what an agent that does not exist has in `agents.state` is zero."""
    for split, batch in subject.batches.items():
        for key, value in batch.items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                broken(f"{split}: {key} is not finite", "repair or refuse such rows when reading, and count them")
        if "agents.state" in batch and bool((batch["agents.state"][~batch["agents.exists"]] != 0).any()):
            broken(f"{split}: agents.state is not zero where agents do not exist", "write zeros there")


def reads_repeat(subject: DatasetSubject) -> None:
    """The same indices give the same batch, in whichever order windows are read, and a second instance has the same fingerprint."""
    for split, windows in subject.windows.items():
        picked = subject.picked(windows)
        windows.batch(picked[-1:])
        again = windows.batch(picked)
        for key, value in subject.batches[split].items():
            if not torch.equal(again[key], value):
                broken(f"{split}: {key} differs when it is read again", "draw nothing while reading")
    one, two = subject.instance.fingerprint(), subject.build().fingerprint()
    if one != two or not one or set(one) - set("0123456789abcdef"):
        broken(f"fingerprints of two instances are {one!r} and {two!r}", "hash the data and what decides windows and splits, as hex")


def windows_do_not_depend_on_company(subject: DatasetSubject) -> None:
    """A window is the same alone as beside others, but for padding slots after its agents."""
    letters = {k.key: k.axes.split() for k in _keys(subject)}
    for split, windows in subject.windows.items():
        for row, index in enumerate(subject.picked(windows)):
            alone = windows.batch([index])
            for key, value in alone.items():
                together = subject.batches[split][key][row : row + 1]
                if "A" in letters.get(key, []):
                    at = letters[key].index("A")
                    together = together.narrow(at, 0, value.shape[at])
                if not torch.equal(together, value):
                    broken(f"{split}: {key} of window {index} depends on the other windows of its batch", "collate by padding only")


def counts_are_reported(subject: DatasetSubject) -> None:
    """`report()` counts the windows, and whatever else it counts is not negative."""
    for split, windows in subject.windows.items():
        report = windows.report()
        if report.get("windows") != len(windows):
            broken(
                f"{split}: report() says {report.get('windows')} windows, there are {len(windows)}",
                "report what is there and what was left out",
            )
        if any(v < 0 for v in report.values()):
            broken(f"{split}: report() has negative counts: {report}", "count")


def splits_share_nothing(subject: DatasetSubject) -> None:
    """No scenario row is scored in two splits; of other datasets, no window has most of its steps in another split.

    Of a scenario that splits share, a row belongs to a split if its step lies in the split's part and its track is the split's own.

    Of datasets that are not made of scenarios up to 64 windows of each split are read. A step is what its inputs hold that are not mere
    flags; steps that are equal to the one before say nothing, and a few that two splits share (as episodes begin alike) are no leak.
    """
    dataset = subject.instance
    if not isinstance(dataset, ScenarioDataset):
        _windows_share_nothing(subject)
        return
    owner: dict[bytes, str] = {}
    for split, scenarios in dataset.splits.items():
        for scenario, part in zip(scenarios, dataset.parts[split], strict=True):
            for rows in _rows(scenario, part):
                if owner.setdefault(rows, split) != split:
                    broken(f"rows of scenario {scenario.id} stand in {owner[rows]} and in {split}", "split by scenario, vehicle or time")


def _windows_share_nothing(subject: DatasetSubject) -> None:
    telling = [
        k.key for k in subject.specs.obs_spec.keys if k.role == "input" and k.axes.startswith("B T ") and k.dtype in ("float32", "uint8")
    ]
    if not telling:
        raise NotApplicable("it is not made of scenarios, and no input has more than one number in a step")
    windows = {split: _moving_steps(subject, split, telling) for split in subject.windows}
    for split, rows in windows.items():
        for other in windows:
            there = set().union(*windows[other].values())
            for index, steps in rows.items():
                if split != other and len(steps & there) > len(steps) / 2:
                    broken(f"most steps of window {index} of {split} stand in {other} too", "split by episode, or by time")


def _moving_steps(subject: DatasetSubject, split: str, keys: list[str]) -> dict[int, set[bytes]]:
    """Of some windows, by index: the steps that differ from the one before, as bytes."""
    windows = subject.windows[split]
    found: dict[int, set[bytes]] = {}
    for index in evenly_spaced(windows, 64):
        batch = windows.batch([index])
        steps = [b"".join(batch[k][0, t].numpy().tobytes() for k in keys) for t in range(batch[keys[0]].shape[1])]
        found[index] = {now for before, now in itertools.pairwise(steps) if now != before}
    return found


def _rows(scenario: Scenario, part: Part | None) -> set[bytes]:
    """The moving rows of a part of a scenario (those that stand still may repeat by chance), with their place in the world."""
    origin = np.asarray(scenario.origin, dtype=np.float64)
    speed = np.hypot(scenario.state[:, scenario.features.index("vx")], scenario.state[:, scenario.features.index("vy")])
    moving = np.isin(scenario.code, _OBSERVED) & (speed > _MOVING)
    if part is not None:
        step = steps_of(scenario)
        moving &= (step >= part.begin) & (step < part.end)
        if part.own is not None:
            moving &= np.repeat(part.own, scenario.length)
    place = origin.tobytes() + scenario.site.encode()
    return {place + row.tobytes() for row in scenario.state[moving]}


def speeds_fit_the_clock(subject: DatasetSubject) -> None:
    """Where agents move, displacement over `dt` is about the speed: the median of their ratio lies between 0.8 and 1.25.

    Another clock than the recording's (ETH's 0.667 s called 0.4 s) or another unit (km/h, feet) moves it far out.
    """
    dataset = subject.instance
    if not isinstance(dataset, ScenarioDataset):
        raise NotApplicable("it is not made of scenarios")
    looked_at = 0
    for split, scenarios in dataset.splits.items():
        for scenario in scenarios:
            ratio = _displacement_over_speed(scenario)
            if len(ratio) < _ENOUGH:
                continue
            looked_at += 1
            median = float(np.median(ratio))
            if not 0.8 <= median <= 1.25:
                broken(
                    f"{split}: in {scenario.id} agents go {median:.3g} times as far in {scenario.dt:g} s as their velocities say",
                    "give positions in metres, velocities in m/s, and the recording's own time between two steps",
                )
    if not looked_at:
        raise NotApplicable("nobody moves in it")


def _displacement_over_speed(scenario: Scenario) -> NDArray[np.float64]:
    """Of every two steps of an agent that moves and was seen at both: the distance between them over speed times `dt`."""
    x, y, vx, vy = (scenario.state[:, scenario.features.index(n)].astype(np.float64) for n in ("x", "y", "vx", "vy"))
    went, speed = np.hypot(np.diff(x), np.diff(y)), np.hypot(vx, vy)[1:]
    seen = np.isin(scenario.code, _OBSERVED)
    together = np.ones(len(x), dtype=bool)
    together[scenario.offset] = False
    moving = together[1:] & seen[1:] & seen[:-1] & (speed > _MOVING)
    distances: NDArray[np.float64] = went[moving] / (speed[moving] * scenario.dt)
    return distances


def future_leaves_inputs_alone(subject: DatasetSubject) -> None:
    """Noise in every row after the observed steps leaves every input of the observed steps bit-identical.

    Tested on the first scenario of each split, and on the first some of whose rows are interpolated from later ones: contexts of those
    may end at an anchor only, a step at which nothing is. How scenarios came out of raw files is for the dataset's own tests: derivatives
    must be backward differences. So it is for datasets that are not made of scenarios, whose future the kit cannot change.
    """
    dataset = subject.instance
    if not isinstance(dataset, ScenarioDataset):
        raise NotApplicable("it is not made of scenarios: test in its own tests that the future does not change the past")
    context = dataset.protocol.context
    inputs = [k for k in subject.specs.obs_spec.keys if k.role == "input"]
    looked_at = 0
    for split, scenarios in dataset.splits.items():
        anchored = next((i for i, s in enumerate(scenarios) if s.anchors is not None), 0)
        for number in sorted({0, anchored} if scenarios else set()):
            found = _first(dataset, split, number, scenarios[number])
            if found is None:
                continue
            looked_at += 1
            start, alone = found
            scenario = scenarios[number]
            if scenario.anchors is not None and not scenario.anchors[start + context - 1]:
                broken(
                    f"{split}: a context ends at step {start + context - 1} of {scenario.id}, which is interpolated from later ones",
                    "end contexts at anchors of the scenario only",
                )
            # Only the first window is looked at, so that the noise may begin right after its context.
            again = _first(dataset, split, number, with_noise(scenario, start + context))
            if again is None or again[0] != start:
                broken(f"{split}: which windows there are changes with states after the context", "count by what is observed")
            for key in inputs:
                before, after = alone[key.key], again[1][key.key]
                if "T" in key.axes.split():
                    before, after = before[:, :context], after[:, :context]
                if before.shape != after.shape or not torch.equal(before, after):
                    broken(f"{split}: {key.key} at observed steps changes when the future does", "use nothing after the last observed step")
    if not looked_at:
        raise NotApplicable("none of the scenarios that are looked at has a window")


def _first(dataset: ScenarioDataset, split: str, number: int, scenario: Scenario) -> tuple[int, Batch] | None:
    """First step and batch of the first window of one scenario, which takes the place of the split's `number`; None where there is none."""
    protocol = replace(dataset.protocol, stride=max(scenario.steps, 1), min_scored=0, expects={})
    fresh = copy.copy(dataset)
    kept: tuple[Scenario, ...] = (scenario,)
    part: tuple[Part | None, ...] = (dataset.parts[split][number],)
    fresh.splits, fresh.parts = {split: kept}, {split: part}
    fresh.lane_tokens = {k: [v[number]] for k, v in dataset.lane_tokens.items() if k == split}
    fresh.protocol, fresh.train_stride = protocol, protocol.stride
    try:
        windows = fresh.windows(split)
    except DataError:
        return None  # too short for a window, or nobody in it to score
    index = getattr(getattr(windows, "inner", windows), "index", None)
    return 0 if index is None else int(index[0, 1]), windows.batch([0])


DATASET = (
    Check(batches_match_the_spec, needs=("builds_its_kind",)),
    Check(values_are_finite, needs=("batches_match_the_spec",)),
    Check(reads_repeat, needs=("batches_match_the_spec", "values_are_finite")),
    Check(windows_do_not_depend_on_company, needs=("reads_repeat", "values_are_finite")),
    Check(counts_are_reported, needs=("builds_its_kind",)),
    Check(splits_share_nothing, needs=("builds_its_kind",)),
    Check(speeds_fit_the_clock, needs=("values_are_finite",)),
    Check(future_leaves_inputs_alone, needs=("batches_match_the_spec", "reads_repeat", "values_are_finite")),
)
