"""`twm data simulate`: simulated traffic in a store, with one command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from twm_sumo.config import PresetName


def simulate(
    preset: Annotated[PresetName, typer.Option(help="Ready-made network and demand.")],
    out: Annotated[Path, typer.Option(help="Folder of the store, as X.twm; must not exist.")],
    seconds: Annotated[float, typer.Option(help="Seconds recorded per run.")] = 300.0,
    hz: Annotated[float, typer.Option(help="Frames per second.")] = 10.0,
    sites: Annotated[int, typer.Option(help="How many sites; they differ in geometry and lanes.")] = 1,
    seeds: Annotated[int, typer.Option(help="Runs per site; they differ in demand and drivers.")] = 1,
    jobs: Annotated[int, typer.Option(help="Runs at the same time.")] = 2,
    density: Annotated[float, typer.Option(help="Factor on the traffic demand.")] = 1.0,
    warmup: Annotated[float, typer.Option(help="Seconds simulated before the recording.")] = 60.0,
    first_site: Annotated[int, typer.Option(help="Number of the first site.")] = 0,
    first_seed: Annotated[int, typer.Option(help="Seed of the first run of each site.")] = 0,
    lane_change_seconds: Annotated[float, typer.Option(help="Duration of a lane change; 0 jumps within one step.")] = 3.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Simulate traffic with SUMO, headless, and import it into a store."""
    from twm_core.reporting import PlainReporter
    from twm_sumo.simulate import simulate as run

    done = run(
        preset,
        out,
        seconds=seconds,
        hz=hz,
        sites=sites,
        seeds=seeds,
        jobs=jobs,
        density=density,
        warmup=warmup,
        first_site=first_site,
        first_seed=first_seed,
        lane_change_seconds=lane_change_seconds,
        observe=PlainReporter(unit="run"),
    )
    report = done.imported
    if as_json:
        counts = {"scenarios": report.scenarios, "agents": report.agents, "states": report.states}
        typer.echo(json.dumps({"store": str(report.store), **counts, "skipped": dict(report.skipped), "events": dict(done.events)}))
        return
    typer.echo(f"{report.store}: {report.scenarios} scenarios, {report.agents} agents, {report.states} states")
    for reason, count in {**done.events, **report.skipped}.items():
        typer.echo(f"  {reason}: {count}")
