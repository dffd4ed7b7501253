"""Writes scenarios that are in memory, or are made one after another, into a store: the short way, without sources and readers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from twm_core.data.scenario import Scenario
from twm_core.data.store.manifest import StoredReader
from twm_core.data.store.writing.writer import SHARD_BYTES, StoreWriter


def write_store(
    out: Path,
    scenarios: Iterable[Scenario],
    *,
    reader: StoredReader | None = None,
    append: bool = False,
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """Write scenarios that are in memory, or are made one after another, into a store.

    Args:
        out: Folder of the store.
        scenarios: The scenarios, all with the same features.
        reader: Where they come from.
        append: Add them to the store that is there.
        shard_bytes: About how long shards are.

    Raises:
        BusyError: Another process writes the store.
        DataError: As for `StoreWriter` and its `add`; nothing is left behind.
    """
    reader = reader or StoredReader(name="scenarios")
    writer = StoreWriter(out, command={"reader": reader.model_dump()}, append=append, resume=False, shard_bytes=shard_bytes)
    try:
        writer.open_source({"name": "scenarios", "files": [], "reader": writer.readers_before})
        for scenario in scenarios:
            writer.add(scenario)
        writer.close_source({})
        return writer.finish([reader])
    except BaseException:
        writer.remove()
        raise
