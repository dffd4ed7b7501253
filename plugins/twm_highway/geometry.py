"""Road geometry: the reference curve of a site, the lateral position of its lanes, and the map in world coordinates.

Frenet coordinates `(s, d)`: arc length along the reference curve and signed distance from it, positive to the left. With heading θ(s)
and curvature κ(s) of the curve, the world position is `r(s) + d n(θ)` and a body that moves with `ds/dt = v` and `dd/ds = m` has

    velocity = v ((1 - κ d) t + m n),     heading = θ + atan2(m, 1 - κ d)

(textbook differential geometry of offset curves). The curve is tabulated every metre; between two nodes κ is linear, θ its exact
integral and the position a midpoint step, which is accurate to micrometres. All functions map arrays of any shape elementwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twm_core.data.scenario import Lane, RoadMap
from twm_highway.sites import TAPER, Site

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BEYOND = 120.0
"""Metres by which the curve goes on, straight, before and behind the section, so that looking ahead never leaves the table."""

_RAMP_SIDEWAYS = 9.0
_RAMP_LENGTH = 150.0


def smooth_step(u: Floats) -> tuple[Floats, Floats]:
    """The minimum-jerk profile `10 u³ - 15 u⁴ + 6 u⁵` on [0, 1] (constant outside) and its derivative (Flash & Hogan 1985)."""
    u = np.clip(u, 0.0, 1.0)
    u2 = u * u
    return u2 * u * (10.0 - 15.0 * u + 6.0 * u2), 30.0 * u2 * (1.0 - u) * (1.0 - u)


@dataclass(frozen=True)
class Curve:
    """A reference curve, tabulated every metre from `-BEYOND`: curvature, heading and position at the nodes, each `[P]`."""

    curvature: Floats
    heading: Floats
    x: Floats
    y: Floats

    def at(self, s: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Curvature (1/m), heading (rad), x and y (m) at arc length `s`."""
        where = s + BEYOND
        node = np.clip(where.astype(np.int64), 0, len(self.curvature) - 2)
        step = where - node
        k0 = self.curvature[node]
        bend = self.curvature[node + 1] - k0
        heading = self.heading[node] + step * (k0 + 0.5 * bend * step)
        middle = self.heading[node] + 0.5 * step * (k0 + 0.25 * bend * step)
        return k0 + bend * step, heading, self.x[node] + step * np.cos(middle), self.y[node] + step * np.sin(middle)


def build_curve(site: Site) -> Curve:
    """The reference curve of a site, centred: the middle of the section is the origin of the local frame."""
    nodes = np.arange(-BEYOND, site.length + BEYOND + 1.0)
    ends = np.cumsum([p[0] for p in site.pieces])
    knots = [-BEYOND, 0.0]
    values = [0.0, 0.0]
    for end, (length, k0, k1) in zip(ends, site.pieces, strict=True):
        knots += [float(end - length), float(end)]
        values += [k0, k1]
    knots += [float(ends[-1]), float(ends[-1]) + BEYOND]
    values += [0.0, 0.0]
    # Curvature may jump at the two ends of the section (never inside it); `interp` then takes one side, which is all that is needed.
    curvature = np.interp(nodes, knots, values)
    turned = np.concatenate([[0.0], np.cumsum(0.5 * (curvature[1:] + curvature[:-1]))])
    heading = site.heading + turned - turned[int(BEYOND)]
    k0, bend = curvature[:-1], np.diff(curvature)
    # Simpson's rule with five points for the displacement from node to node.
    points = (0.0, 0.25, 0.5, 0.75, 1.0)
    weights = np.array([7.0, 32.0, 12.0, 32.0, 7.0])[:, None] / 90.0
    angle = np.stack([heading[:-1] + u * (k0 + 0.5 * bend * u) for u in points])
    x = np.concatenate([[0.0], np.cumsum((weights * np.cos(angle)).sum(0))])
    y = np.concatenate([[0.0], np.cumsum((weights * np.sin(angle)).sum(0))])
    middle = int(BEYOND + site.length / 2)
    return Curve(curvature, heading, x - x[middle], y - y[middle])


def lane_centre(site: Site, row: Ints, s: Floats) -> tuple[Floats, Floats]:
    """Lateral position `d` of the centre line of `row` at `s`, and its slope `dd/ds`."""
    centre = (np.where(row < site.lanes, row, -1) + 0.5) * site.lane_width
    slope = np.zeros_like(centre)
    if site.on_ramp is not None:
        aside, rate = smooth_step((site.on_ramp.parallel - s) / _RAMP_LENGTH)
        on = row == site.on_row
        centre = np.where(on, centre - _RAMP_SIDEWAYS * aside, centre)
        slope = np.where(on, _RAMP_SIDEWAYS * rate / _RAMP_LENGTH, slope)
    if site.off_ramp is not None:
        aside, rate = smooth_step((s - site.off_ramp.diverge) / _RAMP_LENGTH)
        off = row == site.off_row
        centre = np.where(off, centre - _RAMP_SIDEWAYS * aside, centre)
        slope = np.where(off, -_RAMP_SIDEWAYS * rate / _RAMP_LENGTH, slope)
    return centre, slope


def lane_direction(site: Site, curve: Curve, row: Ints, s: Floats) -> Floats:
    """Direction (rad, world, not wrapped) of the centre line of `row` at `s`."""
    curvature, heading, _, _ = curve.at(s)
    centre, slope = lane_centre(site, row, s)
    return heading + np.arctan2(slope, 1.0 - curvature * centre)


def lane_extent(site: Site, row: int) -> tuple[float, float]:
    """First and last metre of a row; empty (0, 0) for a ramp that the site does not have."""
    if row == site.on_row:
        return (site.on_ramp.start, site.on_ramp.last + TAPER) if site.on_ramp else (0.0, 0.0)
    if row == site.off_row:
        return (site.off_ramp.parallel, site.length) if site.off_ramp else (0.0, 0.0)
    if row == site.lanes - 1 and site.last_of_left is not None:
        return 0.0, site.last_of_left + TAPER
    return 0.0, site.length


def lanes_beside(site: Site, row: Ints, s: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether there is a lane of the same direction directly to the left and to the right at `s` (ramps only where parallel)."""
    main = row < site.lanes
    most = np.full(s.shape, site.lanes - 1)
    if site.last_of_left is not None:
        most -= s > site.last_of_left + TAPER
    left = main & (row < most)
    right = main & (row > 0)
    if site.on_ramp is not None:
        beside = (s >= site.on_ramp.parallel) & (s <= site.on_ramp.last + TAPER)
        left |= (row == site.on_row) & beside
        right |= (row == 0) & beside
    if site.off_ramp is not None:
        beside = (s >= site.off_ramp.parallel) & (s <= site.off_ramp.diverge)
        left |= (row == site.off_row) & beside
        right |= (row == 0) & beside
    return left, right


def road_map(site: Site, curve: Curve, spacing: float = 5.0) -> RoadMap:
    """The lanes of a site as polylines with boundaries, in the local frame; speed limit: the one at the middle of the lane."""
    present = [r for r in range(site.rows) if lane_extent(site, r)[1] > 0.0]
    lanes: list[Lane] = []
    for row in present:
        start, end = lane_extent(site, row)
        s = np.linspace(start, end, max(2, round((end - start) / spacing) + 1))
        centre, _ = lane_centre(site, np.full(s.shape, row), s)
        _, heading, x, y = curve.at(s)

        def line(d: Floats, x: Floats = x, y: Floats = y, heading: Floats = heading) -> Floats:
            return np.stack([x - d * np.sin(heading), y + d * np.cos(heading)], axis=1)

        half = 0.5 * site.lane_width
        left = row + 1 if row + 1 < site.lanes else 0 if row in (site.on_row, site.off_row) else None
        lanes.append(
            Lane(
                id=lane_id(site, row),
                centre=line(centre),
                width=site.lane_width,
                left_boundary=line(centre + half),
                right_boundary=line(centre - half),
                left=None if left is None else lane_id(site, left),
                right=lane_id(site, row - 1) if 0 < row < site.lanes else None,
                speed_limit=float(speed_limit(site, np.array([0.5 * (start + end)]))[0]),
            )
        )
    return RoadMap(lanes=tuple(lanes))


def lane_id(site: Site, row: int) -> str:
    """Name of a lane in the road map."""
    return {site.on_row: "on-ramp", site.off_row: "off-ramp"}.get(row, f"lane-{row + 1}")


def speed_limit(site: Site, s: Floats) -> Floats:
    """The posted speed limit at `s`, m/s."""
    starts = np.array([a for a, _ in site.limits])
    values = np.array([v for _, v in site.limits])
    return values[np.clip(np.searchsorted(starts, s, side="right") - 1, 0, None)]
