"""The table of scenarios of a store, made from a writer's ledger and the table of the store that is appended to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.schema import EXISTENCE_CODES
from twm_core.data.store.index import Index
from twm_core.data.store.manifest import INDEX, MAP_AXES, SHARD_AXES
from twm_core.data.store.tensors import text_bytes, write_arrays
from twm_core.data.store.writing.ledger import FACTS, FLOATS, NUMBERS, Ledger
from twm_core.specs import AGENT_TYPES

_TEXTS = ("ids", "sites", "groups")


def build_index(file: Path, ledger: Ledger, base: Index | None) -> dict[str, Any]:
    """Write the table of what `ledger` has written, after the rows of `base`.

    Returns:
        The entry of the file in the manifest.
    """
    rows = np.frombuffer(ledger.numbers, dtype=np.int64).reshape(-1, NUMBERS) if len(ledger.numbers) else np.zeros((0, NUMBERS), np.int64)
    floats = np.frombuffer(ledger.floats, dtype=np.float64).reshape(-1, FLOATS) if len(ledger.floats) else np.zeros((0, FLOATS))
    widths = [1] * len(FACTS) + [len(SHARD_AXES)] * 2 + [len(EXISTENCE_CODES), len(AGENT_TYPES)]
    ends = np.cumsum(widths)
    made: dict[str, NDArray[Any]] = {}
    for name, width, end in zip((*FACTS, "begin", "count", "codes", "types"), widths, ends.tolist(), strict=True):
        made[name] = rows[:, end - width : end] if width > 1 else rows[:, end - 1]
    made |= {"start": floats[:, 0], "dt": floats[:, 1], "origin": floats[:, 2:4], "road_shift": floats[:, 4:6]}
    places = ledger.road_places
    known = ledger.known
    made["road_file"] = np.array([known.maps + segment for segment, _, _ in places], dtype=np.int64)
    made["road_begin"] = np.array([begin for _, begin, _ in places], dtype=np.int64).reshape(len(places), len(MAP_AXES))
    made["road_count"] = np.array([count for _, _, count in places], dtype=np.int64).reshape(len(places), len(MAP_AXES))
    hashes = b"".join(bytes.fromhex(h) for h in list(ledger.roads)[len(known.roads) :])
    made["road_sha256"] = np.frombuffer(hashes, dtype=np.uint8).reshape(-1, 32)
    for column in INDEX:
        if column.name in made:
            array = made[column.name].reshape(-1, column.width) if column.width else made[column.name]
            made[column.name] = array if base is None else np.concatenate([base[column.name], array])
    names = {"ids": [*known.ids, *ledger.ids], "sites": list(ledger.sites), "groups": list(ledger.groups)}
    made |= {name: text_bytes(names[name]) for name in _TEXTS}
    return {"file": file.name, **write_arrays(file, INDEX, made)}
