"""The preset `motorway`: two carriageways along gentle curves, each with an on-ramp and an off-ramp.

From site to site the number of lanes (2 to 4), their width, the curves, the places of the ramps, the length of the acceleration and
deceleration lanes and the speed limit differ. netgenerate knows no ramps, so the edges are laid out here: `in`, `merge` (one lane more, to
the right), `mid`, `diverge` (one lane more), `out`.
"""

from __future__ import annotations

import numpy as np

from twm_sumo.network import sideways
from twm_sumo.sites.site import Connection, Edge, Movement, Node, Points, Site

LENGTH = 1400.0
"""Metres of the whole motorway."""

_SPACING = 10.0
_RAMP = 200.0


def motorway(number: int) -> Site:
    """The site of this number."""
    rng = np.random.default_rng([number, 1])
    lanes = int(rng.choice([2, 3, 3, 4])) if number else 3
    width = float(rng.uniform(3.4, 3.75))
    limit = float(rng.choice([27.78, 33.33, 36.11]))
    axis = _axis(rng)
    nodes: list[Node] = []
    edges: list[Edge] = []
    connections: list[Connection] = []
    movements: list[Movement] = []
    for name, line in (("a", sideways(axis, -2.0)), ("b", sideways(axis, 2.0)[::-1])):
        _carriageway(name, line, lanes, width, limit, rng, nodes, edges, connections, movements)
    return Site(f"motorway-{number}", tuple(nodes), tuple(edges), tuple(connections), tuple(movements), mix="motorway")


def _axis(rng: np.random.Generator) -> Points:
    """A line of two arcs, radii 1200 m and more, points about 10 m apart."""
    count = round(LENGTH / _SPACING)
    bend = rng.uniform(-1 / 1200, 1 / 1200, size=2)
    middle = rng.integers(count // 3, 2 * count // 3)
    turns = np.where(np.arange(count) < middle, bend[0], bend[1]) * _SPACING
    angle = rng.uniform(-np.pi, np.pi) + np.concatenate([[0.0], np.cumsum(turns)])[:-1]
    steps = _SPACING * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])


def _carriageway(
    name: str,
    line: Points,
    lanes: int,
    width: float,
    limit: float,
    rng: np.random.Generator,
    nodes: list[Node],
    edges: list[Edge],
    connections: list[Connection],
    movements: list[Movement],
) -> None:
    """Append one carriageway whose left border is `line`."""
    merge = int(rng.integers(30, 40))
    merged = merge + int(rng.integers(26, 36))
    diverged = len(line) - 1 - int(rng.integers(24, 32))
    diverge = diverged - int(rng.integers(20, 28))
    places = [0, merge, merged, diverge, diverged, len(line) - 1]
    points = [f"{name}{i}" for i in range(6)]
    nodes += [Node(p, (float(line[i, 0]), float(line[i, 1]))) for p, i in zip(points, places, strict=True)]
    sections = ("in", "merge", "mid", "diverge", "out")
    ids = [f"{name}_{s}" for s in sections]
    for i, identity in enumerate(ids):
        more = sections[i] in ("merge", "diverge")
        shape = line[places[i] : places[i + 1] + 1]
        edges.append(Edge(identity, points[i], points[i + 1], lanes + more, limit, shape, width, priority=10))
    for i in range(lanes):
        connections += [
            Connection(ids[0], i, ids[1], i + 1),
            Connection(ids[1], i + 1, ids[2], i),
            Connection(ids[2], i, ids[3], i + 1),
            Connection(ids[3], i + 1, ids[4], i),
        ]
    on, off = f"{name}_on", f"{name}_off"
    far = float(rng.uniform(18.0, 35.0))
    count = round(_RAMP / _SPACING) + 1
    apart = far * np.linspace(0.0, 1.0, count) ** 2
    arriving = _ramp(line[merge + 1 - count : merge + 1], lanes * width, apart[::-1])
    leaving = _ramp(line[diverged : diverged + count], lanes * width, apart)
    nodes += [
        Node(f"{name}on", (float(arriving[0, 0]), float(arriving[0, 1]))),
        Node(f"{name}off", (float(leaving[-1, 0]), float(leaving[-1, 1]))),
    ]
    edges += [
        Edge(on, f"{name}on", points[1], 1, min(limit, 27.78), arriving, width, priority=5),
        Edge(off, points[4], f"{name}off", 1, min(limit, 27.78), leaving, width, priority=5),
    ]
    # A lane of the middle section leads to its counterpart only; the deceleration lane is reached by changing lanes.
    connections += [Connection(on, 0, ids[1], 0), Connection(ids[3], 0, off, 0)]
    flow, joining, going = rng.uniform(1000, 1350) * lanes, rng.uniform(350, 550), rng.uniform(0.08, 0.16)
    through = tuple(ids)
    movements += [
        Movement(f"{name}-through", through, flow * (1 - going)),
        Movement(f"{name}-off", (*ids[:4], off), flow * going),
        Movement(f"{name}-on", (on, *ids[1:]), joining),
    ]


def _ramp(line: Points, beside: float, apart: Points) -> Points:
    """The left border of a ramp: `beside` metres to the right of `line` `[P, 2]`, and `apart` `[P]` metres more."""
    return sideways(line, -beside - apart)
