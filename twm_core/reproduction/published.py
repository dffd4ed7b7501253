"""Tables as they were published with this version of twm, and how another run of one differs from it. Torch-free.

`figures/NAME.json` holds what `twm reproduce NAME` wrote when it was last run whole: rows to parts to the scores that are shown, the
hashes of the protocols, how the models were seeded, and what it cost. `benchmarks/publish.py DIR/NAME.json` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from twm_core.reproduction.result import MEAN

NEAR, SAME = 0.05, 1e-4
"""Relative difference of a score that training again on another machine may make, and one that rounding may."""

_LEAST = 0.01
"""Differences of models' scores below this are let pass: metres, nats."""

_PLACE = "twm_core.reproduction"


def published(name: str) -> dict[str, Any] | None:
    """The published table of a name; None where there is none."""
    place = resources.files(_PLACE).joinpath("figures", f"{name}.json")
    if not place.is_file():
        return None
    found: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return found


def to_publish(result: Mapping[str, Any], shown: Sequence[str]) -> dict[str, Any]:
    """What of a whole table is published: the scores that are shown, in all parts, rounded to six digits."""
    return {
        "table": result["table"],
        "rows": {
            row: {part: {s: _rounded(scores[s]) for s in shown if s in scores} for part, scores in parts.items()}
            for row, parts in result["rows"].items()
        },
        "seeds": {row: list(seeds) for row, seeds in result["seeds"].items()},
        "protocol": {part: {k: shared[k] for k in ("protocol hash", "data")} for part, shared in result["protocol"].items()},
        "costs": {k: v for k, v in result["costs"].items() if k != "jobs"},
        "machine": result["machine"],
        "software": result["software"],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def differences(found: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """Where a table differs from the published one, a sentence each; empty where it agrees.

    Baselines must be the same but for rounding; scores of models may differ by 5 %. A row whose seeds are others, and the mean over
    other parts, are not compared.

    Args:
        found: What `twm reproduce` made.
        known: What was published.
    """
    parts = set(known["protocol"])
    said = [
        f"{part}: {what} is another one"
        for part, shared in found["protocol"].items()
        for what in ("protocol hash", "data")
        if part in parts and shared[what] != known["protocol"][part][what]
    ]
    for row, by_part in found["rows"].items():
        if row in known.get("left_out", ()):
            continue
        if row not in known["rows"]:
            said.append(f"row {row} was not published")
            continue
        seeds = list(found["seeds"][row])
        if seeds != known["seeds"][row]:
            continue
        tolerance, least = (SAME, 0.0) if seeds == [str(None)] else (NEAR, _LEAST)
        for part, scores in by_part.items():
            if part == MEAN and set(found["protocol"]) != parts:
                continue
            for score, wanted in known["rows"][row].get(part, {}).items():
                got = scores.get(score)
                if (got is None) != (wanted is None):
                    said.append(f"{row}, {part}: {score} is {got}, published is {wanted}")
                elif got is not None and wanted is not None and abs(got - wanted) > max(tolerance * abs(wanted), least):
                    said.append(f"{row}, {part}: {score} is {got:.4g}, published is {wanted:.4g}")
    return said
