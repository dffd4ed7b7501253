"""The ready-made networks by name, and the words with which SUMO runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twm_core.errors import UsageError
from twm_sumo.sites.intersection import intersection
from twm_sumo.sites.motorway import motorway
from twm_sumo.sites.roundabout import roundabout
from twm_sumo.sites.site import Site

PRESETS: dict[str, Callable[[int], Site]] = {"motorway": motorway, "intersection": intersection, "roundabout": roundabout}
"""A function from the number of a site to the site, by the name of the preset."""


def make_site(preset: str, number: int) -> Site:
    """The site of this number; the same number is always the same site.

    Raises:
        UsageError: There is no such preset.
    """
    if preset not in PRESETS:
        raise UsageError(f"there is no preset {preset!r}", f"presets are {', '.join(PRESETS)}")
    return PRESETS[preset](number)


def run_words(*, network: Path, routes: list[Path], dt: float, seed: int, lane_change_seconds: float) -> list[str]:
    """The options that every run has, recorded or live.

    Lane changes take a while (SUMO's default is a jump of a lane's width within one step), collisions are checked on junctions too and
    reported, and who waits to enter for more than ten seconds gives up, so that demand beyond capacity does not pile up outside.
    """
    words = ["--net-file", str(network), "--step-length", f"{dt:g}", "--seed", str(seed), "--no-step-log", "true"]
    if routes:
        words += ["--route-files", ",".join(map(str, routes))]
    words += ["--lanechange.duration", f"{lane_change_seconds:g}", "--max-depart-delay", "10", "--time-to-teleport", "120"]
    return [*words, "--collision.check-junctions", "true", "--collision.action", "warn"]
