"""`twm data split`: divide a store into train, val and test, without a leak. Which scenarios, steps and tracks a split has stands in the
store's manifest afterwards; nothing else of the store changes. A split that was there is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from twm_cli.options.session import Session
from twm_cli.output import heading, show_json, table
from twm_core.errors import UsageError

if TYPE_CHECKING:
    from twm_core.data.store.reading import Store
    from twm_core.data.windows.splits import Splits

_LEFT_OUT = "steps left out between splits"
_CONTEXT = "vehicles of other splits shown as context"
_WITHOUT = "scenarios without a vehicle of the split"
_UNSCORED = "vehicles that no split may score"


def command(session: Session) -> Callable[..., None]:
    """The command function."""

    def split(
        store: Annotated[Path, typer.Argument(help="The store, a folder NAME.twm.", show_default=False)],
        by: Annotated[
            Literal["site", "time", "vehicle"],
            typer.Option(help="What is kept apart: places, stretches of time, or vehicles of the same time.", show_default=False),
        ],
        train: Annotated[float, typer.Option(min=0, help="Share of train.")] = 0.7,
        val: Annotated[float, typer.Option(min=0, help="Share of val.")] = 0.15,
        test: Annotated[float, typer.Option(min=0, help="Share of test.")] = 0.15,
        seed: Annotated[int, typer.Option(min=0, help="Of the draw, with --by vehicle.")] = 0,
        gap: Annotated[float, typer.Option("--gap-seconds", min=0, help="Left out after each cut, with --by time.")] = 0.0,
        sites: Annotated[
            list[str] | None,
            typer.Option("--sites", metavar="SPLIT=A,B", help="Sites of a split, with --by site; the rest is distributed."),
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with counts by split.")] = False,
        plugin: Annotated[list[Path] | None, typer.Option("--plugin", "-p", metavar="FILE.py", help="Load a one-file plugin.")] = None,
    ) -> None:
        """Divide a store into train, val and test.

        By site: a place is in one split, whole. By time: each place's recordings are cut into three stretches. By vehicle: the splits
        share scenarios, and each scores vehicles of its own. A vehicle is scored by one split only.
        """
        named = named_sites(sites or ())
        if named and by != "site":
            raise UsageError(f"--sites has no meaning with --by {by}", "split --by site, or leave it out")
        if gap and by != "time":
            raise UsageError(f"--gap-seconds has no meaning with --by {by}", "split --by time, or leave it out")
        from twm_core.data.store.reading import edit_store
        from twm_core.data.windows.splits import make_splits

        with edit_store(store) as opened:
            made = make_splits(opened.scenarios, by, shares=(train, val, test), sites=named, gap_seconds=gap, seed=seed)
            counts = counted(opened, made)
            opened.write_splits(made.to_json())
        report = {name: {**counts[name], **made.report[name]} for name in made.pieces}
        lacking = [name for name, share in zip(made.pieces, (train, val, test), strict=True) if share and not report[name]["vehicles"]]
        if as_json:
            show_json({"store": str(store), "rule": dict(made.rule), "splits": report, "nothing_to_score": lacking})
        else:
            typer.echo(report_text(store, by, report, lacking))

    return split


def named_sites(texts: Sequence[str]) -> dict[str, list[str]]:
    """Sites by split, of `SPLIT=A,B`.

    Raises:
        UsageError: It is not of that form, or the split has another name.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        name, equals, names = text.partition("=")
        if name not in ("train", "val", "test") or not equals or not names:
            raise UsageError(f"--sites {text!r} is not of the form SPLIT=A,B", "write for example --sites test=A,B")
        found.setdefault(name, []).extend(n for n in names.split(",") if n)
    return found


def counted(store: Store, splits: Splits) -> dict[str, dict[str, int]]:
    """By split: scenarios, seconds, and agents and states of the tracks that it may score."""
    import numpy as np

    from twm_core.data.scenario import INTERPOLATED, OBSERVED

    found: dict[str, dict[str, int]] = {}
    for name, pieces in splits.pieces.items():
        agents = states = 0
        seconds = 0.0
        for piece in pieces:
            number = store.number(piece.scenario)
            arrays = store.arrays(number)
            own = np.ones(len(arrays.first), dtype=bool) if piece.tracks is None else np.isin(np.arange(len(arrays.first)), piece.tracks)
            if arrays.eligible is not None:
                own &= arrays.eligible
            step = np.arange(len(arrays.code)) - np.repeat(arrays.offset - arrays.first, arrays.length)
            here = np.isin(arrays.code, (OBSERVED, INTERPOLATED)) & np.repeat(own, arrays.length)
            here &= (step >= piece.begin) & (step < piece.end)
            states += int(here.sum())
            agents += int((own & (arrays.first < piece.end) & (arrays.first + arrays.length > piece.begin)).sum())
            seconds += (piece.end - piece.begin) * float(store.index["dt"][number])
        found[name] = {"scenarios": len({p.scenario for p in pieces}), "agents": agents, "states": states, "seconds": round(seconds)}
    return found


def report_text(store: Path, by: str, report: Mapping[str, Mapping[str, Any]], lacking: Sequence[str]) -> str:
    """The splits for people; `lacking` are those that should hold something to score and do not."""
    names = ("scenarios", "seconds", "vehicles", "agents", "states", _CONTEXT)
    head = ("SPLIT", *(n.upper() for n in names[:-1]), "CONTEXT")
    rows = [(name, *(f"{counts[n]:,}" for n in names)) for name, counts in report.items()]
    lines = [heading(f"{store}, split by {by}"), table(head, rows, right=range(1, len(head))), ""]
    lines.append("vehicles: those that the split may score, agents: their tracks; context: vehicles of other splits that are shown")
    lines.append(f"between the splits: {report['train'].get(_LEFT_OUT, 0):,} steps")
    without = {name: counts[_WITHOUT] for name, counts in report.items() if counts.get(_WITHOUT)}
    if without:
        lines.append("scenarios without a vehicle of the split: " + ", ".join(f"{name} {count:,}" for name, count in without.items()))
    unscored = {name: counts[_UNSCORED] for name, counts in report.items() if counts.get(_UNSCORED)}
    if unscored:
        learns = ", and only train learns from them" if by == "vehicle" else ""
        lines.append(f"{_UNSCORED}{learns}: " + ", ".join(f"{name} {count:,}" for name, count in unscored.items()))
    empty = [name for name, counts in report.items() if not counts["scenarios"]]
    if empty:
        lines.append(f"empty: {', '.join(empty)}")
    if lacking:
        total = sum(counts["vehicles"] for counts in report.values())
        lines.append(
            f"nothing to score in {' and '.join(lacking)}: the store has {total:,} vehicle(s) that may be scored; give these splits larger"
            " shares, split otherwise, or import more"
        )
    return "\n".join(lines)
