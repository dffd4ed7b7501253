"""A scenario store, read: a folder `X.twm` whose scenarios are views of memory-mapped files.

    store = open_store("motorway.twm")
    scenario = store.scenario(17)          # 0.1 ms; nothing is copied but the names of its tracks
    rows = store.arrays(17)                # the same arrays without a Scenario around them, for loops over many windows

What the files hold stands in `twm_core.data.store.manifest`. Opening checks the schema, the sizes of all files, the table of scenarios
and a sample of the files' blocks (`twm_core.data.store.blocks`); `twm_core.data.store.validation` reads everything. An open store keeps the
scenarios and splits that it had when it was opened, whatever is added to it since. Road maps are made once and shared by the scenarios of a
site. Torch-free.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, overload
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from twm_core.atomic import write_text
from twm_core.data.scenario import Lights, RoadMap, Scenario
from twm_core.data.store.blocks import check_sample
from twm_core.data.store.files import MappedFiles, check_size
from twm_core.data.store.index import Index
from twm_core.data.store.locking import only_writer
from twm_core.data.store.manifest import AGAIN, MANIFEST, SCHEMA, SHARD_AXES, StoreManifest, read_store_manifest, shard_columns
from twm_core.data.store.roads import road_from
from twm_core.data.store.sources import StoredSource, read_sources
from twm_core.data.store.tensors import text_value
from twm_core.errors import DataError

_ROADS_KEPT = 32
_NAMES_KEPT = 256


@dataclass(frozen=True)
class Known:
    """What the store that is appended to has already: names in the order of their numbers, and how many files."""

    ids: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    provenance: tuple[str, ...] = ()
    roads: tuple[str, ...] = ()
    sources: int = 0
    shards: int = 0
    maps: int = 0


class Arrays(NamedTuple):
    """The arrays of a scenario that windows are cut from; shapes as in `Scenario`. All are read-only views of a shard."""

    state: NDArray[np.float32]
    code: NDArray[np.uint8]
    first: NDArray[np.int64]
    length: NDArray[np.int64]
    offset: NDArray[np.int64]
    type: NDArray[np.int64]
    lane: NDArray[np.int64] | None
    action: NDArray[np.float32] | None
    eligible: NDArray[np.bool_] | None
    anchors: NDArray[np.bool_] | None


class Store:
    """An open store. Made by `open_store`; it can be sent to other processes, which open the same generation of the same folder.

    Args:
        path: Its folder.
        held: What a process that has it open already knows of it: its manifest and the lengths of its table.

    Attributes:
        path: Its folder.
        manifest: Its manifest.
        index: Its table of scenarios.

    Raises:
        DataError: As for `open_store`.
    """

    def __init__(self, path: Path, held: tuple[StoreManifest, Mapping[str, int]] | None = None) -> None:
        self.path = path
        self.manifest, self.index = _opened(path) if held is None else (held[0], _opened_again(path, *held))
        self.features = self.manifest.feature_names
        # Where it was opened before, its files were checked there.
        unchecked = [] if held else [*self.manifest.shards, *self.manifest.maps]
        self._files = MappedFiles(path, self.index, shard_columns(len(self.features), self.manifest.actions), unchecked)
        self._locked = False
        self._roads: WeakValueDictionary[tuple[int, float, float], RoadMap] = WeakValueDictionary()
        self._recent: OrderedDict[tuple[int, float, float], RoadMap] = OrderedDict()
        self._lane_names: OrderedDict[tuple[int, int, int], tuple[str, ...]] = OrderedDict()

    def __len__(self) -> int:
        return self.index.scenarios

    def __reduce__(self) -> tuple[type[Store], tuple[Path, tuple[StoreManifest, Mapping[str, int]]]]:
        return Store, (self.path.absolute(), (self.manifest, self.index.lengths()))

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the scenarios, in order."""
        return self.index.ids

    @property
    def scenarios(self) -> Sequence[Scenario]:
        """The scenarios as a sequence that makes each when it is asked for, and keeps none."""
        return _Scenarios(self)

    @property
    def additions(self) -> int:
        """How often scenarios were added to the store after it was made."""
        return int(self.manifest.index.file.removeprefix("index-").removesuffix(".safetensors"))

    def fingerprint(self) -> str:
        """A hash (hex) of everything that the store holds, splits aside."""
        return self.manifest.fingerprint()

    def number(self, scenario_id: str) -> int:
        """The number of the scenario with this id.

        Raises:
            DataError: There is none.
        """
        try:
            return self.index.numbers[scenario_id]
        except KeyError:
            raise DataError(f"store {self.path} has no scenario {scenario_id}", "see twm data info for its scenarios") from None

    def scenario(self, i: int) -> Scenario:
        """Scenario number `i`; its arrays are read-only views.

        Raises:
            IndexError: There is none.
            DataError: Its shard is damaged.
        """
        i, index = self._number(i), self.index
        found = self._files.scenario(i)
        text = text_value(found["text"])
        steps = int(index["steps"][i])
        lights = None
        if text["lights"]:
            lights = Lights(tuple(text["lights"]), found["light_state"].reshape(-1, steps), found["light_stop"])
        return Scenario(
            id=index.ids[i],
            site=index.sites[index["site"][i]],
            dt=float(index["dt"][i]),
            steps=steps,
            features=self.features,
            state=found["state"],
            code=found["code"],
            first=found["first"],
            length=found["length"],
            track=tuple(text["tracks"]),
            type=found["type"],
            lane=_given(found["lane"]),
            action=_given(found.get("action")),
            road=self.road(i),
            origin=(float(index["origin"][i, 0]), float(index["origin"][i, 1])),
            eligible=_given(found["eligible"]),
            group=index.groups[index["group"][i]],
            start=float(index["start"][i]),
            lane_names=self.lane_names(i),
            lights=lights,
            anchors=_given(found["anchors"]),
            provenance=self.manifest.provenance[index["provenance"][i]],
            ego=None if index["ego"][i] < 0 else int(index["ego"][i]),
            check_values=False,
        )

    def arrays(self, i: int) -> Arrays:
        """The arrays of scenario number `i` alone: several times faster than `scenario`, for reading windows.

        Raises:
            IndexError: There is none.
            DataError: Its shard is damaged.
        """
        i = self._number(i)
        found = self._files.scenario(i)
        return Arrays(
            found["state"],
            found["code"],
            found["first"],
            found["length"],
            found["offset"],
            found["type"],
            _given(found["lane"]),
            _given(found.get("action")),
            _given(found["eligible"]),
            _given(found["anchors"]),
        )

    def lane_names(self, i: int) -> tuple[str, ...]:
        """Names of the lanes that `lane` of scenario number `i` refers to; equal ones are shared."""
        i = self._number(i)
        axis = SHARD_AXES.index("lane_text")
        begin, count = int(self.index["begin"][i, axis]), int(self.index["count"][i, axis])
        if not count:
            return ()
        key = (int(self.index["shard"][i]), begin, count)
        if key not in self._lane_names:
            self._lane_names[key] = tuple(text_value(self._files.lane_names(i)))
            if len(self._lane_names) > _NAMES_KEPT:
                self._lane_names.popitem(last=False)
        return self._lane_names[key]

    def road(self, i: int) -> RoadMap | None:
        """The road map of scenario number `i` in its local frame; the same object for scenarios that share map and origin."""
        i = self._number(i)
        number = int(self.index["road"][i])
        if number < 0:
            return None
        shift = (float(self.index["road_shift"][i, 0]), float(self.index["road_shift"][i, 1]))
        key = (number, *shift)
        road = self._roads.get(key)
        if road is None:
            road = self._roads[key] = road_from(self.road_arrays(number), shift)
        self._recent[key] = road
        self._recent.move_to_end(key)
        if len(self._recent) > _ROADS_KEPT:
            self._recent.popitem(last=False)
        return road

    def road_arrays(self, number: int) -> dict[str, NDArray[Any]]:
        """The tensors of road map `number`, in the frame in which it is stored."""
        return self._files.road(number)

    def sources(self) -> list[StoredSource]:
        """The sources, those that could not be read included.

        Raises:
            DataError: The sources file is damaged, or the store was replaced by another since it was opened.
        """
        return read_sources(self.path, self.manifest.sources)

    def write_splits(self, splits: Mapping[str, Any]) -> None:
        """Replace the split lists in the manifest, atomically.

        Args:
            splits: Any JSON.

        Raises:
            BusyError: Another process writes the store.
            DataError: The store was changed since it was opened, or the manifest cannot be written.
        """
        with nullcontext() if self._locked else only_writer(self.path):
            now = read_store_manifest(self.path)
            if (now.generation, now.sha256) != (self.manifest.generation, self.manifest.sha256):
                raise DataError(
                    f"store {self.path} was changed since it was opened: its generation was {self.manifest.generation} and is"
                    f" {now.generation}; the split was not written",
                    AGAIN,
                )
            changes = {"splits": json.loads(json.dumps(splits)), "generation": now.generation + 1, "schema_of": SCHEMA}
            text = now.model_copy(update=changes).text()
            try:
                write_text(self.path / MANIFEST, text)
            except OSError as error:
                raise DataError(f"cannot write {self.path / MANIFEST}: {error.strerror}", "check permissions and free space") from error
            self.manifest = StoreManifest.model_validate_json(text)

    def known(self) -> Known:
        """What a writer that adds scenarios must know."""
        index, manifest = self.index, self.manifest
        return Known(
            ids=index.ids,
            sites=index.sites,
            groups=index.groups,
            provenance=tuple(json.dumps(t, sort_keys=True) for t in manifest.provenance),
            roads=tuple(row.tobytes().hex() for row in index["road_sha256"]),
            sources=len(self.sources()),
            shards=len(manifest.shards),
            maps=len(manifest.maps),
        )

    def _number(self, i: int) -> int:
        if not -len(self) <= i < len(self):
            raise IndexError(f"scenario {i} of {len(self)}")
        return i % len(self)


class _Scenarios(Sequence[Scenario]):
    def __init__(self, store: Store) -> None:
        self._store = store

    def __len__(self) -> int:
        return len(self._store)

    @overload
    def __getitem__(self, i: int) -> Scenario: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[Scenario]: ...
    def __getitem__(self, i: int | slice) -> Scenario | Sequence[Scenario]:
        return [self._store.scenario(k) for k in range(*i.indices(len(self)))] if isinstance(i, slice) else self._store.scenario(i)


def open_store(path: Path | str) -> Store:
    """Open the store in the folder `path`.

    Raises:
        DataError: There is none, a newer twm wrote it, a file is missing or has not the size that the manifest names, or a block that was
            read is not as it was written.
    """
    return Store(Path(path))


@contextmanager
def edit_store(path: Path | str) -> Iterator[Store]:
    """Open a store to change it: no other process writes it during the block.

    Args:
        path: Its folder.

    Yields:
        The store, opened while the lock is held.

    Raises:
        BusyError: Another process writes it.
        DataError: As for `open_store`.
    """
    with only_writer(Path(path)):
        store = open_store(path)
        store._locked = True
        try:
            yield store
        finally:
            store._locked = False


def _opened(path: Path) -> tuple[StoreManifest, Index]:
    """Manifest and table of one generation; files of a former one may vanish while they are opened."""
    manifest = read_store_manifest(path)
    while True:
        try:
            for facts in manifest.files:
                check_size(path, facts.file, facts.bytes)
            check_sample(path, manifest)
            return manifest, Index(path / manifest.index.file)
        except DataError:
            now = read_store_manifest(path)
            if now == manifest:
                raise
            manifest = now


def _opened_again(path: Path, manifest: StoreManifest, lengths: Mapping[str, int]) -> Index:
    """The table of a generation that is open elsewhere. Additions go to the ends of the tables, so it is the beginning of today's."""
    now = read_store_manifest(path)
    while True:
        if not now.holds(manifest):
            raise DataError(f"{path} is not the store that was opened: its scenarios are others", AGAIN)
        try:
            return Index(path / now.index.file, lengths)
        except DataError:
            later = read_store_manifest(path)
            if later == now:
                raise
            now = later


def _given(array: NDArray[Any] | None) -> NDArray[Any] | None:
    """The array, or None where a scenario has none."""
    return None if array is None or not len(array) else array
