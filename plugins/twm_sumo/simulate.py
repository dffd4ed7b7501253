"""Simulated recordings: sites and seeds of a preset, run by SUMO in parallel, imported into a store.

    site -> netconvert -> NAME.net.xml;  seed -> vehicles;  sumo -> FCD (csv), states of the lights;  reader `sumo` -> store

Every run begins with a warm-up that is not recorded, so that the first frame is full of traffic. The same arguments give the same store,
bit for bit: geometry, demand and drivers come from the numbers of site and seed alone.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from twm_core.data.importing.importer import ImportReport, import_sources
from twm_core.errors import DataError, UsageError
from twm_core.reporting import Reporter
from twm_sumo.config import SumoReaderConfig
from twm_sumo.reader import build
from twm_sumo.sites.demand import write_demand, write_types
from twm_sumo.sites.presets import make_site, run_words
from twm_sumo.sites.site import Site, run_tool, tool, without_header, write_network
from twm_sumo.xml_stream import tags

STEP = 0.1
"""Seconds of a step of the simulation, or less where more frames than these are wanted."""

_ATTRIBUTES = "x,y,angle,type,speed,lane,acceleration,leaderID"
_LEADERS_WITHIN = 150


@dataclass(frozen=True)
class Simulated:
    """What a simulation did.

    Attributes:
        imported: What the importer did.
        events: Over all runs: vehicles that wanted to drive, that entered, collisions, teleports, emergency braking.
    """

    imported: ImportReport
    events: Mapping[str, int] = field(default_factory=dict)


def simulate(
    preset: str,
    out: Path,
    *,
    seconds: float = 300.0,
    hz: float = 10.0,
    sites: int = 1,
    seeds: int = 1,
    jobs: int = 1,
    density: float = 1.0,
    warmup: float = 60.0,
    first_site: int = 0,
    first_seed: int = 0,
    lane_change_seconds: float = 3.0,
    features: tuple[str, ...] | None = None,
    observe: Reporter | None = None,
) -> Simulated:
    """Simulate `sites` times `seeds` runs of a preset and import them into a store.

    Args:
        preset: A key of `twm_sumo.sites.presets.PRESETS`.
        out: Folder of the store; must not exist.
        seconds: Recorded per run.
        hz: Frames per second; 10 / hz is a whole number, or hz is above 10.
        sites: How many sites, from number `first_site`.
        seeds: How many runs of each, from seed `first_seed`.
        jobs: Runs at the same time.
        density: Factor on the demand.
        warmup: Seconds before the recording.
        lane_change_seconds: Duration of a lane change.
        features: Columns of the store; None for all.
        observe: Is told progress.

    Raises:
        UsageError: SUMO is not installed, or a number is impossible.
        DataError: The store exists.
        TwmError: SUMO fails.
    """
    observe = observe or Reporter()
    if min(seconds, hz, sites, seeds, jobs, density) <= 0 or warmup < 0:
        raise UsageError("seconds, hz, sites, seeds, jobs and density must be above 0", "correct the number")
    if hz <= 1 / STEP and abs(1 / STEP / hz - round(1 / STEP / hz)) > 1e-9:
        raise UsageError(f"hz {hz:g} is not {1 / STEP:g} divided by a whole number", "use 10, 5, 2.5, 2, 1, or more than 10")
    if out.exists():
        raise DataError(f"{out} is there already", "choose another name, or delete it")
    tool("sumo")
    with tempfile.TemporaryDirectory(prefix="twm-sumo-") as temporary:
        root = Path(temporary)
        networks: list[tuple[Site, Path]] = []
        for number in range(first_site, first_site + sites):
            site = make_site(preset, number)
            folder = root / site.name
            folder.mkdir()
            networks.append((site, write_network(site, folder)))
            write_types(folder / "types.rou.xml")
        runs = [(site, network, seed) for site, network in networks for seed in range(first_seed, first_seed + seeds)]
        events: Counter[str] = Counter()
        pool = ThreadPoolExecutor(max_workers=jobs)
        try:
            waiting = {
                pool.submit(
                    _run, site, network, seed, seconds=seconds, hz=hz, density=density, warmup=warmup, lane_change=lane_change_seconds
                )
                for site, network, seed in runs
            }
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_EXCEPTION, timeout=1.0)
                for run in done:
                    events.update(run.result())
                observe.progress(len(runs) - len(waiting), len(runs), {})
        finally:
            pool.shutdown(cancel_futures=True)
            observe.finish()
        imported = import_sources(
            build(SumoReaderConfig()),
            [root],
            out,
            reader_name="sumo",
            reader_version=f"eclipse-sumo {version('eclipse-sumo')}",
            options={
                "preset": preset,
                "seconds": seconds,
                "hz": hz,
                "density": density,
                "warmup": warmup,
                "lane_change_seconds": lane_change_seconds,
                "licence": "made with SUMO by twm; free of rights of others",
            },
            features=features,
            observe=observe,
        )
    return Simulated(imported, dict(events))


def _run(
    site: Site, network: Path, seed: int, *, seconds: float, hz: float, density: float, warmup: float, lane_change: float
) -> dict[str, int]:
    """One run: `seed-N.fcd.csv` and `seed-N.tls.xml.gz` beside the network; what happened, counted."""
    folder, name = network.parent, f"seed-{seed}"
    vehicles, raw_lights, statistics = folder / f"{name}.vehicles.xml", folder / f"{name}.lights.xml", folder / f"{name}.statistics.xml"
    wanted = write_demand(site, vehicles, seconds=warmup + seconds, seed=seed, density=density)
    step = min(STEP, 1 / hz)
    words = run_words(
        network=network,
        routes=[folder / "types.rou.xml", vehicles],
        dt=step,
        seed=1000 * int(site.name.rpartition("-")[2]) + seed,
        lane_change_seconds=lane_change,
    )
    if site.lights:
        extra = folder / f"{name}.extra.xml"
        events = "".join(f'<timedEvent type="SaveTLSStates" source="{light}" dest="{raw_lights}"/>' for light in site.lights)
        extra.write_text(f"<additional>{events}</additional>\n", encoding="utf-8")
        words += ["--additional-files", str(extra)]
    words += ["--fcd-output", str(folder / f"{name}.fcd.csv"), "--fcd-output.attributes", _ATTRIBUTES]
    words += ["--fcd-output.max-leader-distance", str(_LEADERS_WITHIN), "--device.fcd.begin", f"{warmup:g}"]
    words += ["--device.fcd.period", f"{1 / hz:g}", "--precision", "4", "--statistic-output", str(statistics)]
    run_tool("sumo", [*words, "--end", f"{warmup + seconds:g}", "--no-warnings", "true"])
    if site.lights:
        without_header(raw_lights, folder / f"{name}.tls.xml.gz")
        os.unlink(raw_lights)
    counts = {"vehicles wanted": wanted}
    for tag, attributes, _ in tags(statistics):
        if tag == "vehicles":
            counts["vehicles entered"] = int(attributes["inserted"])
        elif tag == "teleports":
            counts["teleports"] = int(attributes["total"])
        elif tag == "safety":
            counts["collisions"] = int(attributes["collisions"])
            counts["emergency braking"] = int(attributes.get("emergencyBraking", 0))
    return counts
