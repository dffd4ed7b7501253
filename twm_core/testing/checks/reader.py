"""Promises of readers: what they find and read, tried on the example that they write themselves, whole and damaged."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from twm_core.data.features.derive import derive
from twm_core.data.recording import UNKNOWN, Recording
from twm_core.data.scenario import INTERPOLATED, OBSERVED, OCCLUDED, Scenario
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_core.testing.checks.check import Check
from twm_core.testing.failure import NotApplicable, broken
from twm_core.testing.fuzz import damage
from twm_core.testing.subjects.reader import ReaderSubject, read_all
from twm_core.testing.tolerance import rounding

_DAMAGED = 40
"""Damaged copies of the example that `damaged_files_are_refused_by_name` reads; the fuzz benchmark reads thousands."""

_TELLING = 1e-3
"""m/s between the differences backward and forward, from which on they can be told apart."""

_ENOUGH, _NEARLY_ALL = 10, 0.9
"""Rows that must tell, and the share of them that gives a difference away."""


def same(a: Any, b: Any) -> bool:
    """Whether two values of recordings or scenarios are equal, NaN equal to NaN."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return bool(a == b)


def difference(a: Any, b: Any) -> str:
    """The fields in which two dataclasses of arrays differ."""
    return ", ".join(f.name for f in fields(a) if not same(getattr(a, f.name), getattr(b, f.name)))


def sources_are_found(subject: ReaderSubject) -> None:
    """`sources()` finds the example: at least one source, each with a name of its own and files that are there; twice the same."""
    sources = subject.sources
    if not sources:
        broken("its example holds no source", "sources() must accept what example() returns")
    names = [s.name for s in sources]
    if len(set(names)) != len(names):
        broken(f"two sources have one name: {names}", "build the name from the folder and the file")
    for source in sources:
        missing = [p for p in source.files if not p.is_file()]
        if missing or not source.files:
            broken(f"source {source.name!r} names files that are not there: {[p.name for p in missing]}", "list every file that is read")
    if subject.instance.sources(subject.paths) != sources:
        broken("asked twice, it finds other sources", "sort what a folder holds")


def names_are_independent_of_the_place(subject: ReaderSubject) -> None:
    """Names of sources, recordings, groups and sites say nothing about where the files lie, so two imports of them are alike."""
    moved = subject.moved()
    sources = subject.instance.sources(moved)
    if [s.name for s in sources] != [s.name for s in subject.sources]:
        broken(
            f"in another folder the sources are {[s.name for s in sources]}, not {[s.name for s in subject.sources]}", "use relative names"
        )
    again = read_all(subject.instance, sources)[0]
    for a, b in zip(subject.recordings, again, strict=True):
        if not same(a, b):
            broken(f"in another folder recording {a.id} differs in {difference(a, b)}", "take nothing from the path above the import")


def reading_repeats(subject: ReaderSubject) -> None:
    """The same files give the same recordings in the same order, bit for bit."""
    again = read_all(subject.instance, subject.sources)[0]
    if [r.id for r in again] != [r.id for r in subject.recordings]:
        broken(f"read twice, it gives {[r.id for r in again]} and {[r.id for r in subject.recordings]}", "read in a fixed order")
    for a, b in zip(subject.recordings, again, strict=True):
        if not same(a, b):
            broken(f"read twice, recording {a.id} differs in {difference(a, b)}", "draw nothing, and iterate over nothing unordered")


def recordings_make_sense(subject: ReaderSubject) -> None:
    """Recordings have ids of their own, at least two agents of which one comes late or leaves early, known codes, types and lanes, and
    plausible SI values: headings within a turn, positive sizes, neighbours that exist."""
    recordings = subject.recordings
    if not recordings or max(len(r.track) for r in recordings) < 2:
        broken("its example gives no recording with two agents", "write at least two agents of twenty steps")
    ids = [r.id for r in recordings]
    if len(set(ids)) != len(ids):
        broken(f"two recordings have one id: {ids}", "build the id from the source and the stretch")
    if not any((r.first > 0).any() or (r.first + r.length < r.steps).any() for r in recordings):
        broken("in its example every agent is there all the time", "let one agent come later and one leave early")
    for r in recordings:
        _plausible(r)


def _plausible(r: Recording) -> None:
    here = r.code != OCCLUDED
    if not r.site or not r.group:
        broken(f"recording {r.id} has no site or no group", "name both; a group is what track names are unique in")
    if not np.isin(r.code, (OBSERVED, INTERPOLATED, OCCLUDED)).all():
        broken(f"recording {r.id} has codes {np.unique(r.code).tolist()}", "rows are OBSERVED, INTERPOLATED or OCCLUDED")
    if len(r.type) and not (r.type.min() >= 0 and r.type.max() < len(AGENT_TYPES)):
        broken(f"recording {r.id} has types {np.unique(r.type).tolist()}", "types are indices into AGENT_TYPES")
    if "heading" in r.columns and (np.abs(r.columns["heading"][here]) > 2 * np.pi * (1 + rounding(torch.float32))).any():
        broken(f"recording {r.id}: a heading is more than a turn", "convert degrees to radians")
    for name in {"length", "width", "height"} & set(r.columns):
        if (r.columns[name][here] <= 0).any():
            broken(f"recording {r.id}: {name} is not positive", "say NaN where a size is not known")
    if r.lane is not None and len(r.lane) and not (r.lane.min() >= 0 and r.lane.max() <= len(r.lane_names)):
        broken(f"recording {r.id}: lane numbers are not 0 or 1 + an index into its {len(r.lane_names)} lane names")
    for name in ("leader", "follower"):
        numbers = getattr(r, name)
        if numbers is not None and len(numbers) and not (numbers.min() >= UNKNOWN and numbers.max() < len(r.track)):
            broken(f"recording {r.id}: {name} holds numbers that are no track", "use -1 for none and UNKNOWN where the files do not say")


def long_recordings_are_cut(subject: ReaderSubject) -> None:
    """With `scenario_seconds`, no recording is longer, and together they have the rows that they have uncut."""
    whole = read_all(subject.with_options(scenario_seconds=0), subject.sources)[0]
    longest = max(whole, key=lambda r: r.steps * r.dt)
    steps = max(2, longest.steps // 3)
    limit = steps * longest.dt
    cut = read_all(subject.with_options(scenario_seconds=limit), subject.sources)[0]
    over = [r.id for r in cut if r.steps * r.dt > limit * (1 + rounding(torch.float64, r.steps))]
    if over:
        broken(f"with scenario_seconds = {limit:g}, {over[0]} is longer", "cut at multiples of scenario_seconds")
    rows, pieces = (sum(int((r.code != OCCLUDED).sum()) for r in rs) for rs in (whole, cut))
    if rows != pieces:
        broken(f"uncut it gives {rows} rows, cut {pieces}", "cut between two steps, and lose none")
    if len(whole) == 1 and len({(r.group, r.start) for r in cut}) != len(cut):
        broken("the pieces of a recording do not say when they start", "set `start` to the seconds from the beginning of the group")


def the_site_can_be_named(subject: ReaderSubject) -> None:
    """With the option `site`, every recording is at that site."""
    sites = {r.site for r in read_all(subject.with_options(site="elsewhere"), subject.sources)[0]}
    if sites != {"elsewhere"}:
        broken(f"with site = 'elsewhere' its recordings are at {sorted(sites)}", "prefer config.site to what the files say")


def nothing_there_is_a_data_error(subject: ReaderSubject) -> None:
    """A path that is not there and a folder without files of the format are refused with `DataError` and a hint."""
    with TemporaryDirectory() as place:
        for what, path in (("a path that is not there", Path(place) / "missing"), ("an empty folder", Path(place))):
            try:
                found = subject.instance.sources([path])
            except DataError as error:
                if not error.hint:
                    broken(f"{what}: its DataError has no hint: {error.message}", "say what to give instead")
                continue
            broken(f"{what} gives {len(found)} sources", "raise DataError: nobody wants to import nothing")


def damaged_files_are_refused_by_name(subject: ReaderSubject) -> None:
    """Damaged copies of the example are read, or refused with a `DataError` that names the file; nothing else is raised."""
    draw = random.Random(20)
    for _ in range(_DAMAGED):
        paths = subject.moved()
        sources = subject.instance.sources(paths)
        victim = draw.choice([f for s in sources for f in s.files])
        victim.write_bytes(damage(victim.read_bytes(), draw))
        try:
            read_all(subject.instance, subject.instance.sources(paths))
        except DataError as error:
            if not any(f.name in error.message or f.stem in error.message for s in sources for f in s.files):
                broken(
                    f"a damaged {victim.name} is refused without naming a file: {error.message}", "begin the message with the file's name"
                )


def it_says_whose_data_it_is(subject: ReaderSubject) -> None:
    """`credits` names the dataset or format that recordings come from, for the store and whoever cites it."""
    if not subject.instance.credits.dataset:
        broken("credits.dataset is empty", "name the dataset or format")


def its_scenarios_know_no_future(subject: ReaderSubject) -> None:
    """Velocities of recordings are no differences with later positions (unless `provenance` says so), and what is derived up to a step
    stays as it is, bit for bit, when everything after that step changes."""
    for r in subject.recordings:
        for velocity, position in (("vx", "x"), ("vy", "y")):
            if velocity in r.columns and velocity not in r.provenance and _differs_ahead(r, velocity, position):
                broken(f"recording {r.id}: {velocity} is a difference with the next position", "leave it out: twm differences backwards")
        step = r.steps // 2
        if r.anchors is not None:
            anchors = np.flatnonzero(r.anchors[: step + 1])
            if not len(anchors):
                raise NotApplicable("no prediction can start in the first half of its example")
            step = int(anchors[-1])
        past = rows_up_to(r, step)
        before, after = derive(r), derive(with_noise(r, step))
        a, b = before.state[past], after.state[past]
        if before.features != after.features or not same(a, b):
            names = [n for n, x in zip(before.features, (a != b).any(axis=0), strict=False) if x]
            broken(f"recording {r.id}: the past changes with the future in {', '.join(names)}", "give no value that later rows went into")


def _differs_ahead(r: Recording, velocity: str, position: str) -> bool:
    """Whether a recorded velocity is, at nearly every step that can tell, the central or forward difference of the position."""
    v, x = r.columns[velocity], r.columns[position]
    inner = np.flatnonzero(
        (np.repeat(r.offset, r.length) < np.arange(len(v))) & (np.arange(len(v)) + 1 < np.repeat(r.offset + r.length, r.length))
    )
    inner = inner[(r.code[inner - 1] != OCCLUDED) & (r.code[inner] != OCCLUDED) & (r.code[inner + 1] != OCCLUDED)]
    backward, forward = (x[inner] - x[inner - 1]) / r.dt, (x[inner + 1] - x[inner]) / r.dt
    telling = np.abs(forward - backward) > _TELLING
    if telling.sum() < _ENOUGH:
        return False
    allowed = rounding(torch.float32)  # files may hold velocities in single precision
    near = [np.isclose(v[inner], d, rtol=allowed, atol=allowed)[telling].mean() for d in (forward, (forward + backward) / 2)]
    return max(near) > _NEARLY_ALL


def rows_up_to(r: Recording | Scenario, step: int) -> np.ndarray[Any, Any]:
    """Which rows `[R]` are of steps up to this one."""
    steps = np.repeat(r.first - r.offset, r.length) + np.arange(len(r.code))
    return steps <= step


def with_noise(r: Recording, step: int) -> Recording:
    """The recording with other positions and motion after a step."""
    future = ~rows_up_to(r, step)
    noise = np.random.default_rng(3)
    columns = {
        n: np.where(future, v + noise.normal(0, 3, len(v)), v) for n, v in r.columns.items() if n not in ("length", "width", "height")
    }
    return replace(r, columns={**r.columns, **columns})


READER = (
    Check(it_says_whose_data_it_is, needs=("builds_its_kind",)),
    Check(sources_are_found, needs=("builds_its_kind",)),
    Check(reading_repeats, needs=("sources_are_found",)),
    Check(names_are_independent_of_the_place, needs=("reading_repeats",)),
    Check(recordings_make_sense, needs=("reading_repeats",)),
    Check(long_recordings_are_cut, needs=("reading_repeats",)),
    Check(the_site_can_be_named, needs=("reading_repeats",)),
    Check(nothing_there_is_a_data_error, needs=("builds_its_kind",)),
    Check(damaged_files_are_refused_by_name, needs=("sources_are_found",)),
    Check(its_scenarios_know_no_future, needs=("recordings_make_sense",)),
)
