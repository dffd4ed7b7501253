"""The preset `intersection`: a signalised crossing of three or four arms with turning lanes.

From site to site the number of arms, their angles and lengths, the lanes, their width, the phases and the demand differ. Each arm has a
median as wide as a lane, which becomes the lane for turning left on the last metres before the crossing. The signal programme is
netconvert's, with a phase of its own for turning left.
"""

from __future__ import annotations

import numpy as np

from twm_sumo.sites.site import Connection, Edge, Movement, Node, Points, Site

SPEED = 13.89
"""Metres per second, 50 km/h."""


def intersection(number: int) -> Site:
    """The site of this number."""
    rng = np.random.default_rng([number, 2])
    arms = 4 if number % 3 < 2 else 3
    lanes = 2 if number == 0 else int(rng.integers(1, 3))
    width = float(rng.uniform(3.0, 3.4))
    angles = rng.uniform(-np.pi, np.pi) + np.arange(arms) * np.pi / 2 + rng.uniform(-0.2, 0.2, size=arms)
    lengths, pockets = rng.uniform(150, 220, size=arms), rng.uniform(50, 80, size=arms)
    nodes = [Node("centre", (0.0, 0.0), "traffic_light")]
    edges: list[Edge] = []
    connections: list[Connection] = []
    movements: list[Movement] = []
    for k in range(arms):
        turns = {b: _turn(float(angles[k]), float(angles[b])) for b in range(arms) if b != k}
        pocket = int("left" in turns.values() and len(turns) > 1)
        split, outer = _at(angles[k], pockets[k]), _at(angles[k], lengths[k])
        nodes += [Node(f"far{k}", (float(outer[0]), float(outer[1]))), Node(f"split{k}", (float(split[0]), float(split[1])))]
        # Driving inwards, the right side is at the angle + 90 degrees.
        right = np.asarray([-np.sin(angles[k]), np.cos(angles[k])]) * width / 2
        far, middle, end = (_at(angles[k], r) for r in (lengths[k], pockets[k], 0.0))
        edges += [
            Edge(f"in{k}", f"far{k}", f"split{k}", lanes, SPEED, np.stack([far + right, middle + right]), width),
            Edge(
                f"near{k}",
                f"split{k}",
                "centre",
                lanes + pocket,
                SPEED,
                np.stack([middle, end]) + (-right if pocket else right),
                width,
            ),
            Edge(f"out{k}", "centre", f"far{k}", lanes, SPEED, np.stack([end - right, far - right]), width),
        ]
        connections += [Connection(f"in{k}", i, f"near{k}", i) for i in range(lanes)]
        if pocket:
            connections.append(Connection(f"in{k}", lanes - 1, f"near{k}", lanes))
        connections += _turning(k, turns, lanes, pocket)
        flow = rng.uniform(280, 420) * lanes
        shares = {"straight": 0.6, "left": 0.2, "right": 0.2}
        total = sum(shares[t] for t in turns.values())
        movements += [Movement(f"{k}-{t}", (f"in{k}", f"near{k}", f"out{b}"), flow * shares[t] / total) for b, t in turns.items()]
    green, left = int(rng.integers(20, 33)), int(rng.integers(6, 11))
    phases = ("--tls.green.time", f"{green}", "--tls.left-green.time", f"{left}", "--tls.yellow.time", "3", "--tls.allred.time", "2")
    return Site(
        f"intersection-{number}",
        tuple(nodes),
        tuple(edges),
        tuple(connections),
        tuple(movements),
        mix="town",
        options=(*phases, "--junctions.corner-detail", "8", "--junctions.internal-link-detail", "12", "--default.junctions.radius", "8"),
    )


def _at(angle: float, radius: float) -> Points:
    return radius * np.asarray([np.cos(angle), np.sin(angle)])


def _turn(arm: float, other: float) -> str:
    """Which way one turns from one arm into another; angles are where the arms lie."""
    turn = np.mod(other - arm - np.pi + np.pi, 2 * np.pi) - np.pi
    return "left" if turn > np.pi / 4 else "right" if turn < -np.pi / 4 else "straight"


def _turning(k: int, turns: dict[int, str], lanes: int, pocket: int) -> list[Connection]:
    """The connections over the crossing: left from the leftmost lane, right from the rightmost, straight on from all beside the pocket."""
    found: list[Connection] = []
    straight = "straight" in turns.values()
    for b, turn in turns.items():
        if turn == "straight":
            found += [Connection(f"near{k}", i, f"out{b}", i) for i in range(lanes)]
        elif turn == "right":
            found.append(Connection(f"near{k}", 0, f"out{b}", 0))
        else:
            found.append(Connection(f"near{k}", lanes + pocket - 1, f"out{b}", lanes - 1))
            if not straight and lanes > 1:  # The stem of a T: its second lane turns left too, into the other lane.
                found.append(Connection(f"near{k}", lanes - 1, f"out{b}", lanes - 2))
    return found
