"""Publish a table that `twm reproduce` made: what later runs are compared with, and what the manual shows.

    twm reproduce ethucy --data FOLDER --out DIR
    python benchmarks/publish.py DIR/ethucy.json [ROW ...]

Refuses a table of which rows, parts or seeds are missing. Rows that are named are left out, and the published table says so.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from twm_core import atomic
from twm_core.errors import TwmError, UsageError
from twm_core.reproduction import published
from twm_core.reproduction.table import load_table


def main(path: Path, without: Sequence[str] = ()) -> None:
    """Write `twm_core/reproduction/figures/NAME.json`."""
    result = json.loads(path.read_text(encoding="utf-8"))
    name, table = load_table(result["table"])
    kept = [row for row in table.rows if row.name not in without]
    for row in kept:
        seeds = [str(None)] if row.model is None else [str(s) for s in table.seeds[: table.models[row.model].seeds]]
        if list(result["seeds"].get(row.name, [])) != seeds or not set(table.names) <= set(result["rows"][row.name]):
            raise UsageError(f"{path}: row {row.name!r} is not whole", "run the whole table")
    place = Path(published.__file__).parent / "figures" / f"{name}.json"
    made = published.to_publish({**result, "rows": {r.name: result["rows"][r.name] for r in kept}}, table.shown)
    atomic.write_text(place, json.dumps({**made, "left_out": sorted(without)}, indent=1) + "\n")
    print(f"wrote {place}")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2:])
    except TwmError as error:
        raise SystemExit(f"error: {error}") from None
