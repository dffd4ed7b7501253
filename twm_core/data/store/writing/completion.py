"""The manifest of a store that is complete, from what its writer has written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from twm_core.data.store.manifest import (
    FRAME,
    MAPS,
    SCHEMA_NAME,
    SCHEMA_VERSION,
    SHARDS,
    UNITS,
    StoredReader,
    StoreManifest,
    stored_features,
)
from twm_core.data.store.writing.ledger import FLOATS, Ledger


def build_manifest(
    ledger: Ledger, base: StoreManifest | None, readers: Sequence[StoredReader], index: Mapping[str, Any], sources: Mapping[str, Any]
) -> StoreManifest:
    """The manifest.

    Args:
        ledger: What was written.
        base: The manifest of the store that is appended to.
        readers: The readers of the new sources.
        index: The entry of the index file.
        sources: The entry of the sources file.
    """
    good = [s for s in ledger.sources if "message" not in s]
    bad = {s["name"]: s["message"] for s in ledger.sources if "message" in s}
    skipped: dict[str, int] = dict(base.skipped) if base else {}
    for source in good:
        for reason, count in source["skipped"].items():
            skipped[reason] = skipped.get(reason, 0) + count
    counts = {
        "sources": len(good),
        "scenarios": len(ledger.ids),
        "agents": ledger.agents(),
        "rows": ledger.rows(),
        "states": ledger.states(),
        "roads": len(ledger.road_places),
        "sources left out as bad": len(bad),
        "sources left out as already there": len(ledger.left),
    }
    if base is not None:
        counts = {k: v + base.counts.get(k, 0) for k, v in counts.items()}
    names = ledger.features if base is None else base.feature_names
    return StoreManifest.model_validate(
        {
            "schema": {"name": SCHEMA_NAME, "version": SCHEMA_VERSION},
            "generation": 0 if base is None else base.generation + 1,
            "readers": [*(base.readers if base else []), *readers],
            "units": UNITS,
            "frame": FRAME,
            "dt": sorted({*ledger.floats[1::FLOATS], *(base.dt if base else [])}),
            "features": [f.model_dump() for f in stored_features(names or ())],
            "actions": ledger.actions if base is None else base.actions,
            "counts": counts,
            "skipped": skipped,
            "bad": {**(base.bad if base else {}), **bad},
            "provenance": [json.loads(text) for text in ledger.provenance],
            "splits": base.splits if base else {},
            "index": index,
            "sources": sources,
            "shards": _files(ledger, base, SHARDS),
            "maps": _files(ledger, base, MAPS),
        }
    )


def _files(ledger: Ledger, base: StoreManifest | None, word: str) -> list[dict[str, Any]]:
    first = ledger.known.shards if word == SHARDS else ledger.known.maps
    made = [
        {"file": f"{word}/{first + i:06d}.safetensors", **segment.sealed}
        for i, segment in enumerate(ledger.segments[word])
        if segment.sealed is not None
    ]
    return [*([] if base is None else [f.model_dump() for f in getattr(base, word)]), *made]
