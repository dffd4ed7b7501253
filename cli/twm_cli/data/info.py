"""`twm data info`: what a store holds, in numbers. Reads its manifest and index alone, so it takes no time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from twm_cli.data.quantities import NO_MAP_TEXT, in_bytes, quantity
from twm_cli.options.session import Session
from twm_cli.output import heading, labelled, show_json, table

SPLITS = ("train", "val", "test")

_SHOWN = 12
"""Most sites, reasons and sources that are listed one by one; --json has all."""


def command(session: Session) -> Callable[..., None]:
    """The command function."""

    def info(
        store: Annotated[Path, typer.Argument(help="The store, a folder NAME.twm.", show_default=False)],
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
        plugin: Annotated[list[Path] | None, typer.Option("--plugin", "-p", metavar="FILE.py", help="Load a one-file plugin.")] = None,
    ) -> None:
        """Show what a store holds."""
        from twm_core.data.store.reading import open_store
        from twm_core.data.store.summary import summary

        facts = summary(open_store(store))
        if as_json:
            show_json({"store": str(store), **facts})
        else:
            typer.echo(report(store, facts))

    return info


def report(store: Path, facts: Mapping[str, Any]) -> str:
    """A summary for people."""
    counts = ", ".join(quantity(facts[f"{n}s"], n) for n in ("scenario", "agent", "state"))
    lines = [heading(f"{store}: {counts}, {facts['seconds']:,.1f} s, {in_bytes(facts['bytes'])}")]
    lines += [
        labelled("sites", _listed(facts["sites"])),
        labelled("steps of", _listed({f"{dt} s": n for dt, n in facts["dt"].items()}) + " (scenarios)"),
        labelled("agents", _listed(facts["agents_by_type"])),
        labelled("rows", _listed(facts["rows_by_code"])),
        labelled(
            "maps",
            f"{facts['maps']:,}; scenarios with a map {facts['with_map']:,}, with lanes {facts['with_lanes']:,}, with lights"
            f" {facts['with_lights']:,}",
        ),
        *([labelled("no map", NO_MAP_TEXT.format(quantity(facts["without_map"], "scenario")))] if facts["without_map"] else []),
        labelled("splits", _listed({n: facts["splits"][n] for n in SPLITS if n in facts["splits"]}) or "none: twm data split makes them"),
    ]
    for label, found in (("skipped", facts["skipped"]), ("bad", facts["bad"])):
        lines += _rows(label, [f"{name}: {what}" for name, what in found.items()])
    for reader in facts["readers"]:
        lines.append(labelled("reader", f"{reader['name']} {reader['version']}: {reader['dataset']}"))
        lines += [labelled(name, reader[name]) for name in ("licence", "citation") if reader[name]]
    features = [(f["name"], f["unit"] or f["kind"], " | ".join(f["provenance"])) for f in facts["features"]]
    return "\n".join([*lines, "", table(("FEATURE", "UNIT", "HOW IT CAME ABOUT"), features)])


def _listed(counts: Mapping[str, Any]) -> str:
    named = [f"{name} {count:,}" for name, count in counts.items()]
    more = f", and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    return ", ".join(named[:_SHOWN]) + more


def _rows(label: str, texts: Sequence[str]) -> list[str]:
    shown = [*texts[:_SHOWN], *([f"and {len(texts) - _SHOWN} more (--json lists them)"] if len(texts) > _SHOWN else [])]
    return [labelled(label if i == 0 else "", text) for i, text in enumerate(shown)]
