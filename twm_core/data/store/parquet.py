"""Exchange through Parquet (extra `data`): a store as tables that anything reads. `parquet_reading` makes a store of them again.

FOLDER/rows.parquet        one row per (scenario, track, step) that a track covers: `scenario`, `track`, `step`, `type`, `code`,
                           `lane` (name), the features by name, `action_0`, ...; sorted in that order
FOLDER/scenarios.parquet   one row per scenario: id, site, group, start, dt, steps, origin, lane names, lights, anchors, ego, road;
                           what the store says of features, provenance and readers stands in its schema metadata under `twm`
FOLDER/roads.parquet       one row per line of a road map: road, lane or line, part, points; what else is known of a lane
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.atomic import new_folder
from twm_core.data.schema import EXISTENCE_CODES
from twm_core.data.store.locking import only_writer
from twm_core.data.store.manifest import MAP_COLUMNS
from twm_core.data.store.reading import Store, open_store
from twm_core.errors import DataError
from twm_core.extras import need
from twm_core.specs import AGENT_TYPES

ROWS, SCENARIOS, ROADS = "rows.parquet", "scenarios.parquet", "roads.parquet"
_BATCH = 200_000


def write_parquet(store: Store | Path, folder: Path) -> Path:
    """Write a store as Parquet tables, one scenario after another.

    Args:
        store: The store or its folder.
        folder: Where to; must not exist.

    Returns:
        The folder.

    Raises:
        UsageError: The extra `data` is not installed.
        BusyError: Another process writes the folder.
        DataError: The store is damaged, or the folder is there or cannot be written.
    """
    pa, pq = need("pyarrow", "data"), need("pyarrow.parquet", "data")
    opened = store if isinstance(store, Store) else open_store(store)
    with only_writer(folder, "folder", new=True):
        if folder.exists():
            raise DataError(f"{folder} is there already", "give another name or remove it")
        try:
            with new_folder(folder) as beside:
                schema = _row_schema(pa, opened)
                with pq.ParquetWriter(beside / ROWS, schema) as writer:
                    for batch in _batches(opened):
                        writer.write_table(pa.concat_tables(pa.table(_rows(pa, opened, i), schema=schema) for i in batch))
                pq.write_table(_scenarios(pa, opened), beside / SCENARIOS)
                pq.write_table(_roads(pa, opened), beside / ROADS)
        except OSError as error:
            raise DataError(f"cannot write {folder}: {error.strerror or error}", "make room or choose another place") from error
    return folder


def _batches(store: Store) -> Iterator[list[int]]:
    """Scenarios that are written together, about `_BATCH` rows."""
    batch: list[int] = []
    size = 0
    for i, rows in enumerate(store.index.axis("rows").tolist()):
        if batch and size + rows > _BATCH:
            yield batch
            batch = batch[:0]
            size = 0
        batch.append(i)
        size += rows
    if batch:
        yield batch


def _names(pa: Any, words: tuple[str, ...], index: NDArray[Any]) -> Any:
    return pa.array(list(words), pa.string()).take(pa.array(index.astype(np.int32)))


def _row_schema(pa: Any, store: Store) -> Any:
    word = pa.string()
    fields = [
        ("scenario", word),
        ("track", word),
        ("step", pa.int64()),
        ("type", word),
        ("code", word),
        ("lane", pa.string()),
        ("token", pa.int64()),
    ]
    fields += [("eligible", pa.bool_())]
    fields += [(name, pa.float32()) for name in store.features]
    fields += [(f"action_{u}", pa.float32()) for u in range(store.manifest.actions)]
    return pa.schema(fields)


def _rows(pa: Any, store: Store, i: int) -> dict[str, Any]:
    scenario = store.scenario(i)
    rows = len(scenario.code)
    track = np.repeat(np.arange(len(scenario.first)), scenario.length)
    step = np.arange(rows) - np.repeat(scenario.offset - scenario.first, scenario.length)
    nothing = pa.nulls(rows)
    lane, token = nothing.cast(pa.string()), nothing.cast(pa.int64())
    if scenario.lane is not None and scenario.lane_names:
        names = pa.array([None, *scenario.lane_names], pa.string())
        lane = names.take(pa.array(scenario.lane))
    elif scenario.lane is not None:
        token = pa.array(scenario.lane)
    found = {
        "scenario": _names(pa, (scenario.id,), np.zeros(rows, dtype=np.int32)),
        "track": _names(pa, scenario.track, track),
        "step": pa.array(step),
        "type": _names(pa, AGENT_TYPES, scenario.type[track]),
        "code": _names(pa, EXISTENCE_CODES, scenario.code),
        "lane": lane,
        "token": token,
        "eligible": nothing.cast(pa.bool_()) if scenario.eligible is None else pa.array(scenario.eligible[track]),
    }
    found |= {name: pa.array(np.ascontiguousarray(scenario.state[:, k])) for k, name in enumerate(scenario.features)}
    for u in range(store.manifest.actions):
        found[f"action_{u}"] = (
            nothing.cast(pa.float32()) if scenario.action is None else pa.array(np.ascontiguousarray(scenario.action[:, u]))
        )
    return found


def _scenarios(pa: Any, store: Store) -> Any:
    index = store.index
    made = [_scenario_row(store, i) for i in range(len(store))]
    fields = [
        ("id", pa.string()), ("site", pa.string()), ("group", pa.string()), ("start", pa.float64()), ("dt", pa.float64()),
        ("steps", pa.int64()), ("origin_x", pa.float64()), ("origin_y", pa.float64()), ("rows", pa.int64()), ("road", pa.int64()),
        ("road_shift_x", pa.float64()), ("road_shift_y", pa.float64()), ("provenance", pa.int64()), ("ego", pa.string()),
        ("lane_names", pa.list_(pa.string())), ("light_lanes", pa.list_(pa.string())), ("light_states", pa.list_(pa.uint8())),
        ("light_stops", pa.list_(pa.float64())), ("anchors", pa.list_(pa.bool_())),
    ]  # fmt: skip
    about = {
        "features": list(store.features),
        "actions": store.manifest.actions,
        "provenance": store.manifest.provenance,
        "readers": [r.model_dump() for r in store.manifest.readers],
        "roads": index.roads,
        "units": store.manifest.units,
        "frame": store.manifest.frame,
    }
    table = pa.Table.from_pylist(made, schema=pa.schema(fields))
    return table.replace_schema_metadata({"twm": json.dumps(about, sort_keys=True)})


def _scenario_row(store: Store, i: int) -> dict[str, Any]:
    scenario, index = store.scenario(i), store.index
    lights = scenario.lights
    return {
        "id": scenario.id, "site": scenario.site, "group": scenario.group, "start": scenario.start, "dt": scenario.dt,
        "steps": scenario.steps, "origin_x": scenario.origin[0], "origin_y": scenario.origin[1], "rows": len(scenario.code),
        "road": None if scenario.road is None else int(index["road"][i]),
        "road_shift_x": float(index["road_shift"][i, 0]), "road_shift_y": float(index["road_shift"][i, 1]),
        "provenance": int(index["provenance"][i]), "ego": None if scenario.ego is None else scenario.track[scenario.ego],
        "lane_names": list(scenario.lane_names),
        "light_lanes": None if lights is None else list(lights.lane),
        "light_states": None if lights is None else lights.state.reshape(-1).tolist(),
        "light_stops": None if lights is None else lights.stop.reshape(-1).tolist(),
        "anchors": None if scenario.anchors is None else scenario.anchors.tolist(),
    }  # fmt: skip


def _roads(pa: Any, store: Store) -> Any:
    """One row per road map, with the tensors of `MAP_COLUMNS` as lists."""
    kinds = {"F64": pa.float64(), "I64": pa.int64(), "U8": pa.uint8()}
    schema = pa.schema(
        [("road", pa.int64()), *((c.name, pa.string() if c.name == "text" else pa.list_(kinds[c.dtype])) for c in MAP_COLUMNS)]
    )
    made = []
    for number in range(store.index.roads):
        arrays = store.road_arrays(number)
        row: dict[str, Any] = {c.name: arrays[c.name].reshape(-1).tolist() for c in MAP_COLUMNS if c.name != "text"}
        made.append({"road": number, **row, "text": arrays["text"].tobytes().decode()})
    return pa.Table.from_pylist(made, schema=schema)
