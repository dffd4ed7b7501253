"""`twm data show`: a scenario drawn by one or several renderers, by default as a picture of all its tracks and as a moving one.

Each renderer writes one file with its own suffix; the fields of its config are options `--renderer.NAME.FIELD`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from twm_cli.data.options import argument, plugin_option, signed
from twm_cli.options.components import FieldOptions
from twm_cli.options.fields import option
from twm_cli.options.session import Session
from twm_cli.options.words import occurrences
from twm_cli.output import show_json
from twm_core.errors import TwmError, UsageError
from twm_core.plugin.registry import Registered
from twm_core.recipe.chosen import configure

if TYPE_CHECKING:
    from twm_core.data.renderer import Renderer
    from twm_core.data.scenario import Scenario
    from twm_core.data.store.reading import Store

DEFAULT = ("png", "gif")
_OWN = {"--scenario": True, "--out": True, "--from": True, "--to": True, "--renderer": True, "--json": False, "-p": True, "--plugin": True}


class RendererOptions:
    """The renderers that the words choose, and their options.

    Args:
        session: The call; its words are read here.

    Attributes:
        chosen: The renderers, each once, in order.
        options: Their fields.

    Raises:
        TwmError: No renderer is called so, or it has no such field. Not while a shell asks for completions or for help.
    """

    def __init__(self, session: Session) -> None:
        self._words = session.words
        self.chosen: list[Registered] = []
        self.options = FieldOptions()
        named = [value for flag, value in occurrences(session.words, _OWN) if flag == "--renderer" and value]
        own = None if named else "twm"
        try:
            self.chosen = [session.registry.find("renderer", name, own=own) for name in dict.fromkeys(named or DEFAULT)]
            for registered in self.chosen:
                self.options.declare(registered, self._prefix(registered))
            self.options.refuse_unknown(self._words, self._takes_value, " and ".join(r.whose for r in self.chosen))
        except TwmError:
            if not (session.completing or session.wants_help):
                raise

    def build(self, typed: dict[str, Any]) -> list[Renderer]:
        """The renderers, built; this imports what they need.

        Raises:
            UsageError: A field has an impossible value, or two renderers write files of the same suffix.
        """
        built: list[Renderer] = []
        for registered in self.chosen:
            prefix = self._prefix(registered)
            fields = self.options.given(self._words, self._takes_value, typed, prefix)
            renderer = configure(registered, fields, prefix=f"--{prefix}.").build()
            if any(renderer.suffix == other.suffix for other in built):
                raise UsageError(f"two of the renderers write files called *{renderer.suffix}", "draw with one of them at a time")
            built.append(renderer)
        return built

    @property
    def _takes_value(self) -> dict[str, bool]:
        return {**_OWN, "--help": False, **self.options.takes_value}

    @staticmethod
    def _prefix(registered: Registered) -> str:
        return f"renderer.{registered.component.name}"


def command(session: Session) -> Callable[..., None]:
    """The command function, with the options of the renderers that the words choose."""
    options = RendererOptions(session)

    def names(incomplete: str) -> list[tuple[str, str]]:
        rows = [(r.component.name, r.component.summary) for r in session.registry.components("renderer")]
        return [row for row in rows if row[0].startswith(incomplete)]

    def show(store: Path, **given: Any) -> None:
        """Draw a scenario, by default as a picture and as an animation.

        The GIF shows the busiest 20 s (40 s of recordings slower than 4 Hz) where --from and --to do not say otherwise.
        """
        session.warn(*session.warnings)
        from twm_core.data.store.reading import open_store

        renderers = options.build(given)
        opened = open_store(store)
        number = number_of(opened, given["scenario"])
        shown = opened.scenario(number)
        paths = files(store, number, given["out"], renderers)
        begin, end = given["begin"], given["end"]
        first, last = steps(shown, begin, end) if begin is not None or end is not None else (None, None)
        drawn = []
        for path, renderer in paths:
            try:
                drawn.append(renderer.draw(shown, path, first=first, last=last))
            except OSError as error:
                raise UsageError(f"cannot write {path}: {error.strerror}", "give --out another file") from error
        if given["as_json"]:
            show_json([{**asdict(d), "path": str(d.path), "scenario": shown.id} for d in drawn])
            return
        typer.echo(f"scenario    {number}: {shown.id}, site {shown.site}")
        for d in drawn:
            frames = f", {d.frames} frames" if d.frames > 1 else ""
            typer.echo(f"{d.path}: {d.agents} agents, {d.first * shown.dt:.1f} to {d.last * shown.dt:.1f} s{frames}")

    own = [
        argument("store", Path, help="The store, a folder NAME.twm."),
        option("scenario", str, "0", "--scenario", metavar="ID|N", help="Which scenario, by its id or its number from 0."),
        option(
            "out",
            Path,
            None,
            "--out",
            metavar="FILE",
            help="FILE with a renderer's suffix, or without for all; beside the store if not given.",
        ),
        option("begin", float, None, "--from", min=0, metavar="S", help="First second that is shown."),
        option("end", float, None, "--to", min=0, metavar="S", help="Last second that is shown."),
        option(
            "renderer", list[str], None, "--renderer", metavar="NAME", help="Draw with these instead of png and gif.", autocompletion=names
        ),
        option("as_json", bool, False, "--json", help="Print a JSON list of what was drawn."),
        plugin_option(),
    ]
    return signed(show, [*own, *options.options.parameters])


def number_of(store: Store, scenario: str) -> int:
    """The number of a scenario that is named by id or number; an id counts first.

    Raises:
        UsageError: There is none.
    """
    if scenario in store.index.numbers:
        return store.number(scenario)
    if re.fullmatch(r"\d+", scenario) and int(scenario) < len(store):
        return int(scenario)
    from twm_core.suggest import did_you_mean

    raise UsageError(
        f"store {store.path} has no scenario {scenario!r}{did_you_mean(scenario, store.ids)}",
        f"give a number from 0 to {len(store) - 1}, or an id as {store.ids[0]}" if len(store) else "the store is empty",
    )


def files(store: Path, number: int, out: Path | None, renderers: Sequence[Renderer]) -> list[tuple[Path, Renderer]]:
    """The files to draw, each with its renderer.

    Raises:
        UsageError: `out` has a suffix that none of the renderers writes, or its folder does not exist.
    """
    suffixes = [r.suffix for r in renderers]
    if out is not None and out.suffix in suffixes:
        found = [(out, renderers[suffixes.index(out.suffix)])]
    elif out is not None and out.suffix:
        raise UsageError(
            f"--out {out}: the chosen renderers write {' and '.join(suffixes)}",
            f"give {' or '.join(str(out.with_suffix(s)) for s in suffixes)}",
        )
    else:
        name = store.resolve().name.removesuffix(".twm")
        base = store.parent / f"{name}-{number}" if out is None else out
        found = [(base.parent / f"{base.name}{r.suffix}", r) for r in renderers]
    if not found[0][0].parent.is_dir():
        raise UsageError(f"there is no folder {found[0][0].parent}", "make it first, or give --out another one")
    return found


def steps(scenario: Scenario, begin: float | None, end: float | None) -> tuple[int, int]:
    """First and last step between these seconds.

    Raises:
        UsageError: There are none.
    """
    first = 0 if begin is None else round(begin / scenario.dt)
    last = scenario.steps - 1 if end is None else min(round(end / scenario.dt), scenario.steps - 1)
    if first > last:
        raise UsageError(
            f"nothing lies between --from {begin or 0:g} and --to {(scenario.steps - 1) * scenario.dt if end is None else end:g}",
            f"scenario {scenario.id} lasts from 0 to {(scenario.steps - 1) * scenario.dt:g} s",
        )
    return first, last
