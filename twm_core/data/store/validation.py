"""Checks everything that a store holds: files against the manifest, tables against files, values against the schema.

What is found is said, one sentence for each problem, with the file it is in; nothing is raised for bad contents. Shards are read one
after another, so memory stays bounded however large the store is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.scenario import INTERPOLATED, LIGHT_STATES, LINE_KINDS, OBSERVED, OCCLUDED
from twm_core.data.store.blocks import difference
from twm_core.data.store.files import check_size
from twm_core.data.store.manifest import MANIFEST, MAPS, SHARD_AXES, SHARDS, manifest_text, read_store_manifest, shard_columns
from twm_core.data.store.reading import Store
from twm_core.data.store.roads import arrays_hash
from twm_core.data.store.tensors import Column, map_tensors, text_value
from twm_core.data.windows.splits import Splits
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES

_MOST_OF_A_FILE = 20


def validate_store(path: Path, observe: Callable[[str], None] | None = None) -> list[str]:
    """Everything that is wrong with the store in the folder `path`.

    Args:
        path: The folder.
        observe: Is told the name of each file before it is read.
    """
    before = _text(path)
    while True:
        problems = list(_problems(path, observe or (lambda name: None)))
        now = _text(path)
        # Scenarios may be added meanwhile, and tables that this took for missing were replaced.
        if not problems or now == before:
            return problems
        before = now


def _text(path: Path) -> bytes:
    """The manifest as it is now; nothing where it cannot be read, which `_problems` reports."""
    try:
        return (path / MANIFEST).read_bytes()
    except OSError:
        return b""


def _problems(path: Path, observe: Callable[[str], None]) -> Iterator[str]:
    try:
        manifest = read_store_manifest(path)
    except DataError as error:
        yield error.message
        return
    try:
        written = (path / MANIFEST).read_text(encoding="utf-8")
        if written != manifest_text(json.loads(written)):
            yield f"{path / MANIFEST} was changed: it is not as it was written"
    except (OSError, ValueError) as error:
        yield f"cannot read {path / MANIFEST}: {error}"
        return
    whole = True
    for facts in manifest.files:
        observe(facts.file)
        try:
            check_size(path, facts.file, facts.bytes)
            changed = difference(path / facts.file, facts)
            if changed is not None:
                raise DataError(f"{path / facts.file} was changed: {changed}")
        except DataError as error:
            whole = False
            yield error.message
        except OSError as error:
            whole = False
            yield f"cannot read {path / facts.file}: {error.strerror}"
    named = {MANIFEST, *(f.file for f in manifest.files)}
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        if file.relative_to(path).as_posix() not in named:
            yield f"{file} is not named in the manifest"
    for i, facts in enumerate(manifest.shards):
        if facts.file != f"{SHARDS}/{i:06d}.safetensors":
            yield f"{path / MANIFEST}: shard {i} is called {facts.file}"
    for i, facts in enumerate(manifest.maps):
        if facts.file != f"{MAPS}/{i:06d}.safetensors":
            yield f"{path / MANIFEST}: maps file {i} is called {facts.file}"
    if not whole:
        return
    try:
        store = Store(path)
        yield from _index(store)
        yield from _counts(store)
        yield from _first(_splits(store), f"{path / MANIFEST}: splits")
    except DataError as error:
        yield error.message
        return
    for number in range(len(manifest.shards)):
        observe(f"values of {manifest.shards[number].file}")
        try:
            yield from _first(_shard(store, number), manifest.shards[number].file)
        except DataError as error:
            yield error.message
    try:
        yield from _first(_roads(store), MAPS)
    except DataError as error:
        yield error.message


def _first(problems: Iterator[str], name: str) -> Iterator[str]:
    """The first problems of a file, and how many more there are."""
    count = 0
    for problem in problems:
        count += 1
        if count <= _MOST_OF_A_FILE:
            yield problem
    if count > _MOST_OF_A_FILE:
        yield f"{name}: {count - _MOST_OF_A_FILE} more problems"


def _index(store: Store) -> Iterator[str]:
    index, manifest = store.index, store.manifest
    file = store.path / manifest.index.file
    limits = {
        "shard": (0, len(manifest.shards)),
        "site": (0, len(index.sites)),
        "group": (0, len(index.groups)),
        "source": (0, len(store.sources())),
        "road": (-1, index.roads),
        "provenance": (0, len(manifest.provenance)),
        "steps": (0, np.iinfo(np.int64).max),
        "road_file": (0, len(manifest.maps)),
    }
    for name, (low, high) in limits.items():
        bad = (index[name] < low) | (index[name] >= high)
        if bad.any():
            yield f"{file}: {name} of entry {int(np.flatnonzero(bad)[0])} is {int(index[name][bad][0])}"
    for name in ("start", "dt", "origin", "road_shift"):
        if not np.isfinite(index[name]).all() or (name == "dt" and not (index[name] > 0).all()):
            yield f"{file}: {name} has impossible values"
    if len(index.numbers) != len(store):
        yield f"{file}: {len(store) - len(index.numbers)} ids stand there twice"
    if (index["ego"] >= index.axis("tracks")).any():
        yield f"{file}: an ego is no track of its scenario"


def _counts(store: Store) -> Iterator[str]:
    index, manifest = store.index, store.manifest
    found = {
        "scenarios": len(store),
        "agents": int(index.axis("tracks").sum()),
        "rows": int(index.axis("rows").sum()),
        "states": int(index["codes"][:, [OBSERVED, INTERPOLATED]].sum()),
        "roads": index.roads,
    }
    for name, count in found.items():
        if manifest.counts.get(name) != count:
            yield f"{store.path / MANIFEST}: counts {manifest.counts.get(name)} {name}, the index has {count}"
    if sorted(set(index["dt"].tolist())) != manifest.dt:
        yield f"{store.path / MANIFEST}: dt are not those of the index"


def _splits(store: Store) -> Iterator[str]:
    if not store.manifest.splits:
        return
    file = store.path / MANIFEST
    try:
        pieces = Splits.from_json(store.manifest.splits).pieces
    except DataError as error:
        yield f"{file}: {error.message}"
        return
    numbers = store.index.numbers
    for name, of_split in pieces.items():
        for piece in of_split:
            i = numbers.get(piece.scenario)
            if i is None:
                yield f"{file}: split {name} names the scenario {piece.scenario!r}, which the store does not have"
                continue
            steps, tracks = int(store.index["steps"][i]), int(store.index.axis("tracks")[i])
            if not 0 <= piece.begin < piece.end <= steps:
                yield f"{file}: split {name} names the steps {piece.begin} to {piece.end} of scenario {piece.scenario}, which has {steps}"
            if piece.tracks is not None and not all(0 <= track < tracks for track in piece.tracks):
                yield f"{file}: split {name} names a track of scenario {piece.scenario}, which has {tracks}, that is not there"


def _outside(
    tensors: dict[str, NDArray[Any]], columns: tuple[Column, ...], axes: tuple[str, ...], begin: NDArray[Any], count: NDArray[Any]
) -> NDArray[np.bool_]:
    """Which records leave the tensors of their file."""
    length = np.zeros(len(axes), dtype=np.int64)
    for column in columns:
        length[axes.index(column.axis)] = len(tensors[column.name])
    outside = (begin < 0) | (count < 0) | (begin > length) | (count > length - begin)
    return np.asarray(outside.any(axis=1))


def _shard(store: Store, number: int) -> Iterator[str]:
    file = f"{store.path / SHARDS / f'{number:06d}.safetensors'}"
    columns = shard_columns(len(store.features), store.manifest.actions)
    tensors = map_tensors(Path(file))
    for column in columns:
        if column.name not in tensors or tensors[column.name].shape != column.shape(len(tensors[column.name])):
            yield f"{file} has no tensor {column.name}, or one of another width"
            return
    mine = np.flatnonzero(store.index["shard"] == number)
    bad = _outside(tensors, columns, SHARD_AXES, store.index["begin"][mine], store.index["count"][mine])
    for i in mine[bad]:
        yield f"{file}: scenario {store.ids[i]} lies outside of it"
    for i in mine[~bad]:
        for problem in _scenario(store, int(i)):
            yield f"{file}: scenario {store.ids[i]}: {problem}"


def _scenario(store: Store, i: int) -> Iterator[str]:
    index = store.index
    try:
        arrays = store.arrays(i)
        scenario = store.scenario(i)
    except (DataError, ValueError, LookupError, TypeError) as error:
        yield f"its tensors contradict one another ({error})"
        return
    code = arrays.code
    wrong = ~np.isin(code, (OBSERVED, INTERPOLATED, OCCLUDED))
    if wrong.any():
        yield f"row {int(np.flatnonzero(wrong)[0])} has the code {int(code[wrong][0])}"
    here = (code == OBSERVED) | (code == INTERPOLATED)
    values = (arrays.state,) if arrays.action is None else (arrays.state, arrays.action)
    lost = here & ~np.logical_and.reduce([np.isfinite(v).all(axis=1) for v in values])
    if lost.any():
        yield f"row {int(np.flatnonzero(lost)[0])} is not finite ({int(lost.sum())} such rows)"
    if not np.array_equal(arrays.offset, scenario.offset):
        yield "offsets are not the sums of the lengths before them"
    if ((arrays.type < 0) | (arrays.type >= len(AGENT_TYPES))).any():
        yield "a track has an unknown type"
    if arrays.lane is not None and ((arrays.lane < 0) | (bool(scenario.lane_names) & (arrays.lane > len(scenario.lane_names)))).any():
        yield "a lane has no name"
    if scenario.lights is not None and int(scenario.lights.state.max(initial=0)) >= len(LIGHT_STATES):
        yield "a light has an unknown state"
    if arrays.anchors is not None and len(arrays.anchors) != scenario.steps:
        yield f"{len(arrays.anchors)} anchors for {scenario.steps} steps"
    if (np.bincount(code, minlength=index["codes"].shape[1])[: index["codes"].shape[1]] != index["codes"][i]).any():
        yield "the index counts other codes"
    if (np.bincount(np.clip(arrays.type, 0, None), minlength=len(AGENT_TYPES))[: len(AGENT_TYPES)] != index["types"][i]).any():
        yield "the index counts other types"
    if len(set(scenario.track)) != len(scenario.track):
        yield "two tracks have one name"


def _roads(store: Store) -> Iterator[str]:
    index = store.index
    for number in range(index.roads):
        file = store.path / MAPS / f"{int(index['road_file'][number]):06d}.safetensors"
        arrays = store.road_arrays(number)
        if arrays_hash(arrays) != index["road_sha256"][number].tobytes().hex():
            yield f"{file}: road map {number} is not the one that the index names"
            continue
        wanted = int(np.maximum(arrays["lane_points"], 0).sum() + arrays["line_points"].sum())
        text = text_value(arrays["text"])
        if wanted != len(arrays["points"]) or any(
            len(text[n]) != len(arrays["lane_width"]) for n in ("ids", "left", "right", "successors")
        ):
            yield f"{file}: road map {number} contradicts itself"
        if not np.isfinite(arrays["points"]).all():
            yield f"{file}: road map {number} has points that are not finite"
        if (arrays["line_kind"] >= len(LINE_KINDS)).any():
            yield f"{file}: road map {number} has lines of an unknown kind"
