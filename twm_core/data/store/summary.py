"""What is in a store, in numbers: the contents of `twm data info --json`."""

from __future__ import annotations

from typing import Any

import numpy as np

from twm_core.data.features.derive import NO_MAP
from twm_core.data.features.lanes import LANE_FEATURES
from twm_core.data.schema import EXISTENCE_CODES
from twm_core.data.store.reading import Store
from twm_core.specs import AGENT_TYPES


def summary(store: Store) -> dict[str, Any]:
    """Numbers of a store, as JSON; read from manifest and index alone, so it takes no time.

    Returns:
        `scenarios`, `agents`, `rows`, `states` (rows at which the agent is there), `seconds` (of all scenarios together), `bytes`;
        `sites` (name to scenarios), `dt` (seconds to scenarios), `agents_by_type`, `rows_by_code`; `features` (name, unit, kind, and
        how they came about), `splits` (name to number of entries), `maps`, and how many scenarios have a map, lanes and lights;
        `without_map` counts those whose lane features are not known.
        Everything that was left out stands in `skipped` (by reason), `bad` (by source) and `counts`.
    """
    manifest, index = store.manifest, store.index
    steps = index["steps"].astype(np.float64)
    sites = np.bincount(index["site"], minlength=len(index.sites))
    dts, per_dt = np.unique(index["dt"], return_counts=True)
    codes, types = index["codes"].sum(axis=0), index["types"].sum(axis=0)
    used = np.bincount(index["provenance"], minlength=len(manifest.provenance))
    features = []
    for feature in manifest.features:
        texts: dict[str, int] = {}
        for table, scenarios in zip(manifest.provenance, used.tolist(), strict=True):
            if scenarios and feature.name in table:
                texts[table[feature.name]] = texts.get(table[feature.name], 0) + scenarios
        features.append({**feature.model_dump(), "provenance": texts})
    of_lanes = [f for f in features if f["name"] in LANE_FEATURES]
    without_map = of_lanes[0]["provenance"].get(NO_MAP, 0) if of_lanes else 0
    return {
        "scenarios": len(store),
        "agents": int(index.axis("tracks").sum()),
        "rows": int(index.axis("rows").sum()),
        "states": manifest.counts["states"],
        "seconds": float(np.round((steps * index["dt"]).sum(), 6)),
        "bytes": sum(f.bytes for f in manifest.files),
        "groups": len(index.groups),
        "sites": {name: int(n) for name, n in sorted(zip(index.sites, sites.tolist(), strict=True))},
        "dt": {f"{dt:.9g}": n for dt, n in zip(dts.tolist(), per_dt.tolist(), strict=True)},
        "steps": {"least": int(steps.min(initial=np.inf)) if len(store) else 0, "most": int(steps.max(initial=0))},
        "agents_by_type": {name: int(n) for name, n in zip(AGENT_TYPES, types.tolist(), strict=True) if n},
        "rows_by_code": {name: int(n) for name, n in zip(EXISTENCE_CODES, codes.tolist(), strict=True) if n},
        "features": features,
        "actions": manifest.actions,
        "with_map": int((index["road"] >= 0).sum()),
        "without_map": without_map,
        "with_lanes": int((index.axis("lane_rows") > 0).sum()),
        "with_lights": int((index.axis("lights") > 0).sum()),
        "maps": index.roads,
        "splits": {name: len(part) for name, part in manifest.splits.items() if isinstance(part, list)},
        "skipped": manifest.skipped,
        "bad": manifest.bad,
        "counts": manifest.counts,
        "readers": [r.model_dump() for r in manifest.readers],
        "units": manifest.units,
        "frame": manifest.frame,
        "shards": len(manifest.shards),
        "schema": manifest.schema_of.model_dump(),
        "fingerprint": store.fingerprint(),
    }
