"""A store from Parquet tables that `twm_core.data.store.parquet` (or somebody else) wrote; extra `data`.

Every scenario's rows stand together, in the order of the table of scenarios. Rows of different tracks of one scenario may stand in any
order; those of one track must leave no step out (a step at which the agent was not seen has the code `occluded`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.scenario import Lights, RoadMap, Scenario
from twm_core.data.schema import EXISTENCE_CODES
from twm_core.data.store.manifest import MAP_COLUMNS, StoredReader
from twm_core.data.store.parquet import ROADS, ROWS, SCENARIOS
from twm_core.data.store.roads import road_from
from twm_core.data.store.tensors import DTYPES
from twm_core.data.store.writing.writer import StoreWriter
from twm_core.errors import DataError
from twm_core.extras import need
from twm_core.specs import AGENT_TYPES


def read_parquet(folder: Path, out: Path) -> Path:
    """Make a store of tables that `write_parquet` (or somebody else) wrote.

    Args:
        folder: Where they are. Every scenario's rows stand together, in the order of the scenarios' table.
        out: Folder of the store; must not exist.

    Returns:
        Its folder.

    Raises:
        UsageError: The extra `data` is not installed.
        BusyError: Another process writes the store.
        DataError: A table is missing or malformed, or contradicts another; nothing is left behind.
    """
    pa, pq = need("pyarrow", "data"), need("pyarrow.parquet", "data")
    for name in (ROWS, SCENARIOS):
        if not (folder / name).is_file():
            raise DataError(f"{folder} has no {name}", "give a folder that twm data pack --format parquet wrote")
    try:
        scenarios = pq.read_table(folder / SCENARIOS)
        about = json.loads((scenarios.schema.metadata or {})[b"twm"])
        file = pq.ParquetFile(folder / ROWS)
        rows, empty = _by_scenario(file), file.schema_arrow.empty_table()
        roads = {r["road"]: r for r in pq.read_table(folder / ROADS).to_pylist()} if (folder / ROADS).is_file() else {}
        readers = [StoredReader.model_validate(r) for r in about["readers"]]
        writer = StoreWriter(out, command={"parquet": True}, resume=False)
        try:
            writer.open_source({"name": "parquet", "files": [], "reader": 0})
            maps: dict[int, RoadMap] = {}
            for facts in scenarios.to_pylist():
                scenario_id, table = next(rows, ("", None)) if facts["rows"] else (facts["id"], empty)
                if table is None or scenario_id != facts["id"]:
                    raise DataError(
                        f"{folder / ROWS} has scenario {scenario_id or 'none'} where {SCENARIOS} has {facts['id']}", "sort the rows"
                    )
                road = None
                if facts["road"] is not None:
                    road = maps.setdefault(facts["road"], road_from(_road_arrays(roads[facts["road"]])))
                scenario = _scenario(facts, table, about, folder)
                writer.add(scenario, road=road, road_shift=(facts["road_shift_x"], facts["road_shift_y"]))
            writer.close_source({})
            return writer.finish(readers)
        except BaseException:
            writer.remove()
            raise
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError) as error:
        raise DataError(f"{folder} is not a store as Parquet tables: {type(error).__name__}: {error}", "write it again") from error


def _by_scenario(file: Any) -> Iterator[tuple[str, Any]]:
    """Id and rows of each scenario, in the order of the file."""
    pa = need("pyarrow", "data")
    held: list[Any] = []
    current = None
    for number in range(file.num_row_groups):
        table = file.read_row_group(number)
        ids = table["scenario"].cast(pa.string()).to_numpy(zero_copy_only=False)
        cuts = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist(), len(ids)]
        for a, b in pairwise(cuts):
            if a == b:
                continue
            if current is not None and ids[a] != current:
                yield current, pa.concat_tables(held)
                held = []
            current = str(ids[a])
            held.append(table.slice(a, b - a))
    if current is not None:
        yield current, pa.concat_tables(held)


def _scenario(facts: dict[str, Any], table: Any, about: dict[str, Any], folder: Path) -> Scenario:
    def column(name: str) -> NDArray[Any]:
        return table[name].to_numpy()

    def coded(name: str) -> tuple[NDArray[np.int64], list[str]]:
        """Index of every row's word, -1 where there is none, and the words in order of appearance."""
        found = table[name].cast(pa.string()).combine_chunks().dictionary_encode()
        return found.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64), found.dictionary.to_pylist()

    def words(name: str, known: Sequence[str], above: int = 0) -> NDArray[np.int64]:
        """Index of every row's word in `known`, plus `above`; `above` - 1 where there is none."""
        index, names = coded(name)
        return np.asarray([*(known.index(n) + above for n in names), above - 1], dtype=np.int64)[index][order]

    pa = need("pyarrow", "data")
    (number, names), step = coded("track"), column("step").astype(np.int64)
    order = np.lexsort((step, number))
    number, step = number[order], step[order]
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    length = np.diff(np.append(starts, len(number)))
    inside = np.ones(len(number), dtype=bool)
    inside[starts] = False
    if (np.diff(step, prepend=0)[inside] != 1).any():
        raise DataError(
            f"{folder / ROWS}: a track of scenario {facts['id']} leaves out or repeats a step", "give such steps the code occluded"
        )
    lane = None
    lane_names = tuple(facts["lane_names"] or ())
    if lane_names:
        lane = words("lane", lane_names, 1)
    elif len(table) and not table["token"].null_count:
        lane = column("token")[order].astype(np.int64)
    lights = None
    if facts["light_lanes"] is not None:
        state = np.asarray(facts["light_states"], dtype=np.uint8).reshape(len(facts["light_lanes"]), facts["steps"])
        lights = Lights(tuple(facts["light_lanes"]), state, np.asarray(facts["light_stops"], dtype=np.float64).reshape(-1, 2))
    track = tuple(names[k] for k in number[starts].tolist())
    actions = [f"action_{u}" for u in range(about["actions"])]
    state = np.stack([column(n) for n in about["features"]], axis=1).astype(np.float32)[order]
    return Scenario(
        id=facts["id"],
        site=facts["site"],
        group=facts["group"],
        start=facts["start"],
        dt=facts["dt"],
        steps=facts["steps"],
        origin=(facts["origin_x"], facts["origin_y"]),
        features=tuple(about["features"]),
        state=state,
        code=words("code", EXISTENCE_CODES).astype(np.uint8),
        first=step[starts],
        length=length,
        track=track,
        type=words("type", AGENT_TYPES)[starts],
        lane=lane,
        lane_names=lane_names,
        action=np.stack([column(n) for n in actions], axis=1).astype(np.float32)[order] if actions else None,
        eligible=None if not len(table) or table["eligible"].null_count else column("eligible").astype(bool)[order][starts],
        lights=lights,
        anchors=None if facts["anchors"] is None else np.asarray(facts["anchors"], dtype=bool),
        provenance=about["provenance"][facts["provenance"]],
        ego=None if facts["ego"] is None else track.index(facts["ego"]),
    )


def _road_arrays(row: dict[str, Any]) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    for column in MAP_COLUMNS:
        value = row[column.name]
        array = np.frombuffer(value.encode(), dtype=np.uint8) if column.name == "text" else np.asarray(value, dtype=DTYPES[column.dtype])
        found[column.name] = array.reshape(-1, column.width) if column.width else array
    return found
