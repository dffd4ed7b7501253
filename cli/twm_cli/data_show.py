"""`twm data show`: a scenario as a picture of all its tracks on the map, and as a moving one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twm_cli.output import show_json
from twm_cli.session import Session
from twm_core.errors import UsageError

if TYPE_CHECKING:
    from twm_core.data.scenario import Scenario
    from twm_core.data.store import Store

SUFFIXES = (".png", ".gif")


def command(session: Session) -> Callable[..., None]:
    """The command function."""

    def show(
        store: Annotated[Path, typer.Argument(help="The store, a folder NAME.twm.", show_default=False)],
        scenario: Annotated[str, typer.Option(metavar="ID|N", help="Which scenario, by its id or its number from 0.")] = "0",
        out: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="FILE.png, FILE.gif, or FILE for both; beside the store if not given.", show_default=False),
        ] = None,
        begin: Annotated[float | None, typer.Option("--from", min=0, metavar="S", help="First second that is shown.")] = None,
        end: Annotated[float | None, typer.Option("--to", min=0, metavar="S", help="Last second that is shown.")] = None,
        fps: Annotated[float | None, typer.Option(metavar="N", help="Frames per second of the GIF (10 if not given).")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of what was drawn.")] = False,
        plugin: Annotated[list[Path] | None, typer.Option("--plugin", "-p", metavar="FILE.py", help="Load a one-file plugin.")] = None,
    ) -> None:
        """Draw a scenario as a picture and as an animation.

        The GIF shows the busiest 20 s (40 s of recordings slower than 4 Hz) where --from and --to do not say otherwise.
        """
        if fps is not None and not fps > 0:
            raise UsageError(f"--fps {fps:g} is no rate", "give frames per second above 0")
        from twm_core.data.pictures import draw_gif, draw_png
        from twm_core.data.store import open_store

        opened = open_store(store)
        number = number_of(opened, scenario)
        shown = opened.scenario(number)
        paths = files(store, number, out)
        first, last = steps(shown, begin, end) if begin is not None or end is not None else (None, None)
        drawn = []
        for path in paths:
            try:
                if path.suffix == ".png":
                    drawn.append(draw_png(shown, path, first=first, last=last))
                else:
                    drawn.append(draw_gif(shown, path, first=first, last=last, fps=fps))
            except OSError as error:
                raise UsageError(f"cannot write {path}: {error.strerror}", "give --out another file") from error
        if as_json:
            show_json([{**asdict(d), "path": str(d.path), "scenario": shown.id} for d in drawn])
            return
        typer.echo(f"scenario    {number}: {shown.id}, site {shown.site}")
        for d in drawn:
            frames = f", {d.frames} frames" if d.frames > 1 else ""
            typer.echo(f"{d.path}: {d.agents} agents, {d.first * shown.dt:.1f} to {d.last * shown.dt:.1f} s{frames}")

    return show


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


def files(store: Path, number: int, out: Path | None) -> list[Path]:
    """The files to draw.

    Raises:
        UsageError: `out` has another suffix, or its folder does not exist.
    """
    if out is not None and out.suffix in SUFFIXES:
        found = [out]
    elif out is not None and out.suffix:
        raise UsageError(f"--out {out}: pictures are .png or .gif", f"give {out.with_suffix('.png')} or {out.with_suffix('.gif')}")
    else:
        name = store.resolve().name.removesuffix(".twm")
        base = store.parent / f"{name}-{number}" if out is None else out
        found = [base.parent / f"{base.name}{suffix}" for suffix in SUFFIXES]
    if not found[0].parent.is_dir():
        raise UsageError(f"there is no folder {found[0].parent}", "make it first, or give --out another one")
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
