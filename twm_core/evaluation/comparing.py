"""Paired comparison of two forecasters on the same units: the difference of a score, its interval, and a p-value.

Both are resampled alike, so whatever makes a vehicle hard for both cancels. Two results that were not scored on the same windows of the
same data under the same protocol are refused: their difference would say nothing about the forecasters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from twm_core.errors import UsageError
from twm_core.evaluation.bootstrap import interval, p_value
from twm_core.evaluation.result import Evaluation, resampled_together
from twm_core.evaluation.saved import Saved


def compare(mine: Evaluation, other: Saved) -> dict[str, Any]:
    """How the first forecaster of an evaluation differs from the first of another one.

    Returns:
        JSON-able: `forecaster`, `against` (`result`, `forecaster`, `whose`), and `scores` by name: `mine`, `other`, `difference` (mine less
        the other), its `interval`, `p` (two-sided), `unit` (what was resampled).

    Raises:
        UsageError: The two are not comparable, or share no metric.
    """
    refuse(mine.comparable(), other.result["comparable"], other.name)
    first = mine.candidates[0]
    rival = next(iter(other.result["forecasters"]))
    names = {(metric, score.name): name for name, (metric, score) in mine.scores.items()}
    found: dict[str, Any] = {}
    for name, chosen in mine.metrics.items():
        theirs = other.scored.sums.get(rival, {}).get(name)
        ours = mine.scored.sums[first.name].get(name)
        metric = first.metrics.get(name)
        if theirs is None or ours is None or metric is None or other.result["metrics"][name] != chosen.fields:
            continue
        if theirs.shape != ours.shape:
            raise UsageError(
                f"metric {name} of {other.name} adds up {theirs.shape[0]} units of {theirs.shape[1]} numbers, here it is"
                f" {ours.shape[0]} of {ours.shape[1]}",
                "evaluate both with the same version of twm",
            )
        over = mine.over(name)
        both = resampled_together({"mine": ours, "other": theirs}, mine.clusters(over), mine.seed)
        values = {side: metric.finish(part.sum(axis=0)) for side, part in (("mine", ours), ("other", theirs))}
        draws = {side: metric.finish(part) for side, part in both.items()}
        for score in values["mine"]:
            one, two = float(values["mine"][score]), float(values["other"][score])
            apart = draws["mine"][score] - draws["other"][score]
            found[names[name, score]] = {
                "mine": one,
                "other": two,
                "difference": one - two,
                "interval": interval(apart),
                "p": p_value(apart),
                "unit": mine.unit(over),
            }
    if not found:
        raise UsageError(
            f"{other.name} and this evaluation share no metric with the same options: {_listed(other.result['metrics'])} there,"
            f" {_listed(mine.metrics)} here",
            "choose the same with --metric",
        )
    whose = other.result["forecasters"][rival]["whose"]
    return {"forecaster": first.name, "against": {"result": other.name, "forecaster": rival, "whose": whose}, "scores": found}


def refuse(mine: Mapping[str, Any], other: Mapping[str, Any], name: str) -> None:
    """Refuse what cannot be compared, and say all that differs.

    Raises:
        UsageError: Something differs.
    """
    texts = {what: (_text(mine[what]), _text(other.get(what))) for what in mine}
    differs = [f"{what}: {here} here, {there} there" for what, (here, there) in texts.items() if here != there]
    if differs:
        raise UsageError(
            f"{name} cannot be compared with this evaluation, because they differ in\n  " + "\n  ".join(differs),
            "evaluate both with the same --protocol, --split, --samples and --windows on the same data",
        )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(names) or "none"
