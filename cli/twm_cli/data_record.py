"""`twm data record`: episodes of an environment, any plugin's, as a store that can be looked at and trained from.

The fields of the environment's config are options `--environment.FIELD`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from twm_cli.component_options import FieldOptions, config_of
from twm_cli.data_import import store_path
from twm_cli.data_options import argument, plugin_option, positions, signed
from twm_cli.data_quantities import quantity
from twm_cli.fields import option
from twm_cli.output import show_json
from twm_cli.session import Session
from twm_core.errors import TwmError
from twm_core.registry import Registered

if TYPE_CHECKING:
    from twm_core.environment import Environment

PREFIX = "environment"
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
    """The command function, with the options of the environment that the words choose."""
    options = FieldOptions()
    registered = _chosen(session, options)

    def names(incomplete: str) -> list[tuple[str, str]]:
        rows = [(r.component.name, r.component.summary) for r in session.registry.components("environment")]
        return [row for row in rows if row[0].startswith(incomplete)]

    def record(environment: str, **given: Any) -> None:
        """Record episodes of an environment into a store.

        Every field of the environment's config is an option --environment.FIELD.
        """
        session.warn(*session.warnings)
        chosen = registered or session.registry.find("environment", environment)
        out = store_path(given["out"])
        takes_value = {**_OWN, **options.takes_value}
        config = config_of(chosen, options.given(session.words, takes_value, given, PREFIX), PREFIX)

        from twm_cli.progress import reporter  # draws with rich, which nothing before needs
        from twm_core.data.episodes import episodes
        from twm_core.data.store import open_store
        from twm_core.data.store_manifest import StoredReader
        from twm_core.data.store_writing import write_store

        name, watcher = chosen.component.name, reporter("episode")
        made = StoredReader(name=f"environment {name}", version=chosen.plugin.version, options=config.model_dump(mode="json"))
        world = cast("Environment", chosen.load_build()(config))
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
            show_json({"store": str(out), "environment": chosen.qualified, **counts})
            return
        typer.echo(f"recorded    {', '.join(quantity(counts[f'{n}s'], n) for n in ('scenario', 'agent', 'state'))}")
        typer.echo(f"store       {out}")
        typer.echo(f"next        twm data show {out}")

    own = [
        argument("environment", str, help="The environment.", autocompletion=names),
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
    """The environment that the first argument names, its fields declared; None where there is none to be known yet.

    Raises:
        TwmError: It is not installed, or has no such field. Not while a shell asks for completions or for help.
    """
    loose = {w: True for w in session.words if w.startswith(f"--{PREFIX}.")}
    words = positions(session.words, {**_OWN, **loose})
    if not words:
        return None
    try:
        registered = session.registry.find("environment", words[0])
        options.declare(registered, PREFIX)
        options.refuse_unknown(session.words, {**_OWN, "--help": False, **options.takes_value}, registered.whose)
    except TwmError:
        if session.completing or session.wants_help:
            return None
        raise
    return registered
