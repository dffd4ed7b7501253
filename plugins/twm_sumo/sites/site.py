"""A site: a road network and its demand as plain data, before SUMO sees them, and how they are written in SUMO's plain XML.

Coordinates are metres, x to the east and y to the north. The geometry of an edge is the left border of its lanes, which lie to the right
of it; lane 0 is the rightmost. What SUMO's tools write into their files about the time and the machine is removed again, so that the same
site is the same bytes.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from twm_core.errors import TwmError
from twm_core.extras import need

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Node:
    """A junction: `kind` is SUMO's node type."""

    id: str
    at: tuple[float, float]
    kind: str = "priority"


@dataclass(frozen=True)
class Edge:
    """One direction of a road between two nodes; `shape` `[P, 2]` is its left border."""

    id: str
    start: str
    end: str
    lanes: int
    speed: float
    shape: Points
    width: float
    priority: int = 1


@dataclass(frozen=True)
class Connection:
    """From one lane to another at a node."""

    before: str
    lane: int
    behind: str
    to_lane: int


@dataclass(frozen=True)
class Movement:
    """Those who drive along the same edges: `per_hour` of them."""

    name: str
    edges: tuple[str, ...]
    per_hour: float


@dataclass(frozen=True)
class Site:
    """A network and its demand.

    Attributes:
        name: Unique per preset and number, as `motorway-0`.
        connections: Of the nodes where they are not left to netconvert.
        ring: Edges of the roundabout, in order of driving.
        mix: Name of the mix of vehicles (`twm_sumo.sites.demand.MIXES`).
        options: Further words for netconvert.
    """

    name: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    connections: tuple[Connection, ...]
    movements: tuple[Movement, ...]
    mix: str
    ring: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def lights(self) -> tuple[str, ...]:
        """The nodes with traffic lights."""
        return tuple(node.id for node in self.nodes if node.kind == "traffic_light")


def write_network(site: Site, folder: Path) -> Path:
    """Write the network with netconvert; returns `NAME.net.xml`.

    Raises:
        UsageError: SUMO is not installed.
        TwmError: netconvert refuses the network.
    """
    target = folder / f"{site.name}.net.xml"
    with tempfile.TemporaryDirectory() as plain:
        files = {"node": _nodes(site), "edge": _edges(site), "connection": _connections(site)}
        words: list[str] = []
        for kind, content in files.items():
            path = Path(plain) / f"{kind}.xml"
            path.write_text(content, encoding="utf-8", newline="\n")
            words += [f"--{kind}-files", str(path)]
        written = Path(plain) / "net.xml"
        options = ("--no-turnarounds", "true", "--offset.disable-normalization", "true", "--precision", "3", *site.options)
        run_tool("netconvert", [*words, "--output-file", str(written), *options])
        without_header(written, target)
    return target


def tool(name: str) -> str:
    """Path of one of SUMO's programs.

    Raises:
        UsageError: SUMO is not installed.
    """
    home = Path(need("sumo", "sumo").SUMO_HOME)
    found = shutil.which(name, path=str(home / "bin"))
    if found is None:
        raise TwmError(f"the installed eclipse-sumo has no program {name}", 'pip install --force-reinstall "twm[sumo]"')
    return found


def surroundings() -> dict[str, str]:
    """The variables of a process of SUMO: it finds its own schemas and data at `SUMO_HOME`, and need not look for them on the network."""
    return {**os.environ, "SUMO_HOME": str(need("sumo", "sumo").SUMO_HOME)}


def run_tool(name: str, words: Sequence[str]) -> str:
    """Run one of SUMO's programs to its end; returns what it said.

    Raises:
        TwmError: It failed; the message holds the last of what it said.
    """
    done = subprocess.run([tool(name), *words], capture_output=True, text=True, check=False, env=surroundings())
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
        raise TwmError(f"{name} failed (status {done.returncode}): {' '.join(said)}", "choose another site, seed or density")
    return done.stdout + done.stderr


def without_header(source: Path, target: Path) -> None:
    """Copy an XML file of SUMO (gzip where the target ends so) without the comment that tells time and machine."""
    content = re.sub(rb"<!-- generated on .*?-->\s*", b"", source.read_bytes(), count=1, flags=re.DOTALL)
    if target.suffix == ".gz":
        with target.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file:
            file.write(content)
    else:
        target.write_bytes(content)


def _nodes(site: Site) -> str:
    rows = [f"  <node id={quoteattr(n.id)} x='{n.at[0]:.3f}' y='{n.at[1]:.3f}' type='{n.kind}'/>" for n in site.nodes]
    return "\n".join(["<nodes>", *rows, "</nodes>", ""])


def _edges(site: Site) -> str:
    rows = [
        f"  <edge id={quoteattr(e.id)} from={quoteattr(e.start)} to={quoteattr(e.end)} numLanes='{e.lanes}' speed='{e.speed:.2f}'"
        f" width='{e.width:.2f}' priority='{e.priority}' spreadType='right' shape='{_shape(e.shape)}'/>"
        for e in site.edges
    ]
    if site.ring:
        ends = " ".join(e.start for e in site.edges if e.id in site.ring)
        rows.append(f"  <roundabout nodes='{ends}' edges='{' '.join(site.ring)}'/>")
    return "\n".join(["<edges>", *rows, "</edges>", ""])


def _connections(site: Site) -> str:
    rows = [f"  <connection from='{c.before}' fromLane='{c.lane}' to='{c.behind}' toLane='{c.to_lane}'/>" for c in site.connections]
    return "\n".join(["<connections>", *rows, "</connections>", ""])


def _shape(points: Points) -> str:
    return " ".join(f"{x:.3f},{y:.3f}" for x, y in points)
