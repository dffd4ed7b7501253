"""`twm data record`: episodes of a simulator, any plugin's, as a store that can be looked at and trained from.

The fields of the simulator's config are options `--simulator.FIELD`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from twm_cli.data.importing import store_path
from twm_cli.data.options import argument, plugin_option, positions, signed
from twm_cli.data.quantities import quantity
from twm_cli.options.components import FieldOptions
from twm_cli.options.fields import option
from twm_cli.options.session import Session
from twm_cli.output import show_json
from twm_core.errors import TwmError
from twm_core.plugin.registry import Registered
from twm_core.recipe.chosen import configure

if TYPE_CHECKING:
    from twm_core.simulation.interface import Simulator

PREFIX = "simulator"
_OWN = {
    "--out": True,
    "--episodes": True,
    "--seconds": True,
    "--warm-up": True,
    "--seed": True,
    "--json": False,
    "-p": True,
    "--plugin": True,
}


def command(session: Session) -> Callable[..., None]:
    """The command function, with the options of the simulator that the words choose."""
    options = FieldOptions()
    registered = _chosen(session, options)

    def names(incomplete: str) -> list[tuple[str, str]]:
        rows = [(r.component.name, r.component.summary) for r in session.registry.components("simulator")]
        return [row for row in rows if row[0].startswith(incomplete)]

    def record(simulator: str, **given: Any) -> None:
        """Record episodes of a simulator into a store.

        Every field of the simulator's config is an option --simulator.FIELD.
        """
        session.warn(*session.warnings)
        chosen = registered or session.registry.find("simulator", simulator)
        out = store_path(given["out"])
        takes_value = {**_OWN, **options.takes_value}
        part = configure(chosen, options.given(session.words, takes_value, given, PREFIX), prefix=f"--{PREFIX}.")

        from twm_cli.progress import reporter  # draws with rich, which nothing before needs
        from twm_core.data.store.manifest import StoredReader
        from twm_core.data.store.reading import open_store
        from twm_core.data.store.writing.write_store import write_store
        from twm_core.simulation.episodes import episodes

        name, watcher = chosen.component.name, reporter("episode")
        made = StoredReader(name=f"simulator {name}", version=chosen.plugin.version, options=part.config.model_dump(mode="json"))
        world = cast("Simulator", part.build())
        with world:
            recorded = episodes(
                world,
                name=name,
                count=given["episodes"],
                seconds=given["seconds"],
                warm_up=given["warm_up"],
                first_seed=given["seed"],
                reporter=watcher,
            )
            try:
                write_store(out, recorded, reader=made)
            finally:
                watcher.finish()
        counts = open_store(out).manifest.counts
        if given["as_json"]:
            show_json({"store": str(out), "simulator": chosen.qualified, **counts})
            return
        typer.echo(f"recorded    {', '.join(quantity(counts[f'{n}s'], n) for n in ('scenario', 'agent', 'state'))}")
        typer.echo(f"store       {out}")
        typer.echo(f"next        twm data show {out}")

    own = [
        argument("simulator", str, help="The simulator.", autocompletion=names),
        option("out", Path, ..., "--out", metavar="X.twm", help="The store to write, a folder.", show_default=False),
        option("episodes", int, 1, "--episodes", min=1, metavar="N", help="How many episodes; they differ in their seeds."),
        option("seconds", float, 60.0, "--seconds", min=0, metavar="S", help="Seconds of each that are kept."),
        option("warm_up", float, 0.0, "--warm-up", min=0, metavar="S", help="Seconds of each before them."),
        option("seed", int, 0, "--seed", min=0, metavar="N", help="Seed of the first episode."),
        option("as_json", bool, False, "--json", help="Print one JSON object with what was recorded."),
        plugin_option(),
    ]
    return signed(record, [*own, *options.parameters])


def _chosen(session: Session, options: FieldOptions) -> Registered | None:
    """The simulator that the first argument names, its fields declared; None where there is none to be known yet.

    Raises:
        TwmError: It is not installed, or has no such field. Not while a shell asks for completions or for help.
    """
    loose = {w: True for w in session.words if w.startswith(f"--{PREFIX}.")}
    words = positions(session.words, {**_OWN, **loose})
    if not words:
        return None
    try:
        registered = session.registry.find("simulator", words[0])
        options.declare(registered, PREFIX)
        options.refuse_unknown(session.words, {**_OWN, "--help": False, **options.takes_value}, registered.whose)
    except TwmError:
        if session.completing or session.wants_help:
            return None
        raise
    return registered
