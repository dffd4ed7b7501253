"""The preset `roundabout`: three to five arms at a ring of one lane, driven counter-clockwise; who is on the ring goes first.

From site to site the number of arms, their angles and lengths, the radius and the demand differ. Each arm leaves the
ring a little before its own direction and enters it a little behind.
"""

from __future__ import annotations

import numpy as np

from twm_sumo.sites.site import Edge, Movement, Node, Points, Site

SPEED = 13.89
"""Metres per second on the arms, 50 km/h."""

_RING_SPEED = 8.33


def roundabout(number: int) -> Site:
    """The site of this number."""
    rng = np.random.default_rng([number, 3])
    arms = 4 if number == 0 else int(rng.integers(3, 6))
    radius = float(rng.uniform(14, 18)) + 4 * (arms - 3)
    width = 3.5
    angles = rng.uniform(-np.pi, np.pi) + 2 * np.pi * np.arange(arms) / arms + rng.uniform(-0.12, 0.12, size=arms)
    lengths = rng.uniform(120, 180, size=arms)
    apart = 11.0 / radius  # Half the angle between exit and entry of an arm.
    nodes: list[Node] = []
    edges: list[Edge] = []
    ring: list[tuple[str, float]] = []
    for k in range(arms):
        leave, enter = float(angles[k] - apart), float(angles[k] + apart)
        outer = _at(float(angles[k]), float(lengths[k]))
        nodes += [_node(f"far{k}", outer), _node(f"leave{k}", _at(leave, radius)), _node(f"enter{k}", _at(enter, radius))]
        ring += [(f"leave{k}", leave), (f"enter{k}", enter)]
        # Driving inwards, the right side is at the angle + 90 degrees.
        right = 0.2 * np.asarray([-np.sin(angles[k]), np.cos(angles[k])])
        inward = _bend(outer, float(angles[k]), enter, radius, lengths[k]) + right
        outward = _bend(outer, float(angles[k]), leave, radius, lengths[k])[::-1] - right
        edges += [
            Edge(f"in{k}", f"far{k}", f"enter{k}", 1, SPEED, inward, width),
            Edge(f"out{k}", f"leave{k}", f"far{k}", 1, SPEED, outward, width),
        ]
    for (start, a), (end, b) in zip(ring, [*ring[1:], ring[0]], strict=True):
        sweep = np.mod(b - a, 2 * np.pi)
        turn = a + np.linspace(0.0, sweep, max(4, round(sweep * radius / 2)))
        arc = radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        edges.append(Edge(f"ring-{start}", start, end, 1, _RING_SPEED, arc, width + 0.5, priority=5))
    movements = []
    names = [name for name, _ in ring]
    for k in range(arms):
        flow = rng.uniform(220, 320)
        for turn in range(1, arms):
            b = (k + turn) % arms
            route, at = [f"in{k}"], names.index(f"enter{k}")
            while names[at] != f"leave{b}":
                route.append(f"ring-{names[at]}")
                at = (at + 1) % len(names)
            movements.append(Movement(f"{k}-{b}", (*route, f"out{b}"), float(flow) / (arms - 1)))
    return Site(
        f"roundabout-{number}",
        tuple(nodes),
        tuple(edges),
        (),
        tuple(movements),
        mix="town",
        ring=tuple(f"ring-{name}" for name in names),
        options=("--junctions.corner-detail", "8", "--junctions.internal-link-detail", "12"),
    )


def _at(angle: float, radius: float) -> Points:
    return radius * np.asarray([np.cos(angle), np.sin(angle)])


def _node(name: str, at: Points) -> Node:
    return Node(name, (float(at[0]), float(at[1])))


def _bend(outer: Points, arm: float, at: float, radius: float, length: float) -> Points:
    """From the outer end of an arm to the ring: straight, then a cubic Bezier curve that meets the ring at about 35 degrees."""
    begin = _at(arm, min(radius + 35.0, (radius + length) / 2))
    end = _at(at, radius)
    along = np.sign(at - arm) * np.asarray([-np.sin(at), np.cos(at)])  # along the ring, away from the arm
    first, second = begin - _at(arm, 12.0), end + 10.0 * (0.7 * _at(at, 1.0) - along)
    t = np.linspace(0.0, 1.0, 15)[:, None]
    curve = (1 - t) ** 3 * begin + 3 * t * (1 - t) ** 2 * first + 3 * t**2 * (1 - t) * second + t**3 * end
    return np.concatenate([outer[None], curve])
