"""The sites: stretches of motorway, described by numbers only. Torch-free and numpy-free, because the config names them.

A site is a reference curve (its right-hand edge) with `lanes` main lanes to the left of it, counted from the right, and at most one
on-ramp, one off-ramp and one lane that ends. The curve is given by pieces `(length m, curvature at start, curvature at end 1/m)`,
between which the curvature runs linearly (a straight, an arc or a clothoid); positive curvature turns left. Distances along the
curve are in metres from its start, speeds in m/s, flows in vehicles per second.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from twm_core.errors import UsageError

MOST_LANES = 5
ON_RAMP_TOKEN = MOST_LANES + 1
OFF_RAMP_TOKEN = MOST_LANES + 2
LANE_TOKENS = OFF_RAMP_TOKEN + 1
"""Lane tokens: 0 unknown, 1 to 5 the main lanes from the right, 6 an on-ramp, 7 an off-ramp; the same at every site."""

_UNBEND = 60.0

TAPER = 60.0
"""Metres by which a lane that ends goes on behind the last point at which a driver may begin to leave it."""


@dataclass(frozen=True, kw_only=True)
class OnRamp:
    """A lane from the right: it starts at `start`, runs beside the road from `parallel`, and changes may begin until `last`."""

    start: float
    parallel: float
    last: float
    flow: float
    speed: float


@dataclass(frozen=True, kw_only=True)
class OffRamp:
    """A lane to the right: it runs beside the road from `parallel`, changes may begin until `last`, and it parts from `diverge` on.

    `share` is the share of the vehicles in the two right-hand lanes that want to leave by it.
    """

    parallel: float
    last: float
    diverge: float
    share: float


@dataclass(frozen=True, kw_only=True)
class Site:
    """One stretch of motorway.

    Attributes:
        name: Lower case with hyphens.
        lanes: Main lanes at the start.
        pieces: `(length, curvature at start, curvature at end)` of the reference curve, in order.
        limits: `(from metre, speed limit)`, the first from 0.
        flow: Vehicles per second that want to enter each main lane.
        trucks: Share of trucks on the right-hand lane (half of it on the second, none further left).
        heading: Direction of the road at its start, rad.
        on_ramp: None where there is none.
        off_ramp: None where there is none.
        last_of_left: Where a driver on the left-most lane may last begin to leave it, because it ends `TAPER` later; None: it goes on.
        outflow: Lowest and highest speed of the traffic behind the end of the section, which wanders between them; None: free.
        lane_width: Metres.
    """

    name: str
    lanes: int
    pieces: tuple[tuple[float, float, float], ...]
    limits: tuple[tuple[float, float], ...]
    flow: float
    trucks: float
    heading: float
    on_ramp: OnRamp | None = None
    off_ramp: OffRamp | None = None
    last_of_left: float | None = None
    outflow: tuple[float, float] | None = None
    lane_width: float = 3.6

    @property
    def length(self) -> float:
        """Length of the section, m."""
        return sum(p[0] for p in self.pieces)

    @property
    def on_row(self) -> int:
        """Row of the on-ramp: simulation and geometry number the lanes 0 .. lanes - 1 from the right, then the two ramps."""
        return self.lanes

    @property
    def off_row(self) -> int:
        """Row of the off-ramp."""
        return self.lanes + 1

    @property
    def rows(self) -> int:
        """Number of rows, whether or not the site has the ramps."""
        return self.lanes + 2

    def token(self, row: int) -> int:
        """The lane token of a row."""
        return {self.on_row: ON_RAMP_TOKEN, self.off_row: OFF_RAMP_TOKEN}.get(row, row + 1)


def _bends(*pieces: tuple[float, float], clothoid: float = 60.0) -> tuple[tuple[float, float, float], ...]:
    """Pieces of constant curvature `(length, curvature)`, joined by clothoids of `clothoid` metres."""
    joined: list[tuple[float, float, float]] = []
    before: float | None = None
    for length, curvature in pieces:
        if before is not None:
            joined.append((clothoid, before, curvature))
        joined.append((length, curvature, curvature))
        before = curvature
    return tuple(joined)


SITES: tuple[Site, ...] = (
    Site(name="straight-3", lanes=3, pieces=((700.0, 0.0, 0.0),), limits=((0.0, 33.3),), flow=0.33, trucks=0.25, heading=0.3),
    Site(
        name="bends-2",
        lanes=2,
        pieces=_bends((60, 0.0), (160, 1 / 320), (160, -1 / 380), (80, 1 / 500)),
        limits=((0.0, 27.8),),
        flow=0.36,
        trucks=0.25,
        heading=-1.2,
    ),
    Site(
        name="on-ramp-3",
        lanes=3,
        pieces=_bends((150, 0.0), (200, -1 / 700), (200, 0.0)),
        limits=((0.0, 27.8),),
        flow=0.29,
        trucks=0.2,
        heading=2.0,
        on_ramp=OnRamp(start=20.0, parallel=170.0, last=400.0, flow=0.17, speed=20.0),
    ),
    Site(
        name="off-ramp-3",
        lanes=3,
        pieces=_bends((180, 1 / 900), (200, 1 / 450), (240, 0.0)),
        limits=((0.0, 30.6), (350.0, 27.8)),
        flow=0.34,
        trucks=0.2,
        heading=-2.6,
        off_ramp=OffRamp(parallel=280.0, last=470.0, diverge=520.0, share=0.35),
    ),
    Site(
        name="lane-drop-4",
        lanes=4,
        pieces=_bends((200, 0.0), (120, 1 / 600), (220, 0.0)),
        limits=((0.0, 27.8), (250.0, 22.2)),
        flow=0.29,
        trucks=0.15,
        heading=1.1,
        last_of_left=390.0,
    ),
    Site(
        name="waves-3",
        lanes=3,
        pieces=_bends((160, 0.0), (180, -1 / 450), (140, -1 / 900)),
        limits=((0.0, 22.2),),
        flow=0.36,
        trucks=0.15,
        heading=-0.5,
        outflow=(0.0, 10.0),
    ),
    Site(
        name="orbital-5",
        lanes=5,
        pieces=_bends((260, 1 / 650), (280, 1 / 520)),
        limits=((0.0, 25.0),),
        flow=0.22,
        trucks=0.25,
        heading=0.9,
        on_ramp=OnRamp(start=0.0, parallel=90.0, last=290.0, flow=0.13, speed=20.0),
        off_ramp=OffRamp(parallel=360.0, last=480.0, diverge=510.0, share=0.25),
    ),
    Site(
        name="interchange-3",
        lanes=3,
        pieces=_bends((140, 0.0), (150, 1 / 300), (120, -1 / 600), (60, 0.0)),
        limits=((0.0, 27.8), (150.0, 22.2)),
        flow=0.28,
        trucks=0.2,
        heading=-1.9,
        on_ramp=OnRamp(start=10.0, parallel=120.0, last=310.0, flow=0.14, speed=19.0),
        off_ramp=OffRamp(parallel=390.0, last=500.0, diverge=530.0, share=0.3),
    ),
    Site(
        name="waves-bend-2",
        lanes=2,
        pieces=_bends((100, 1 / 400), (160, -1 / 350), (120, 0.0)),
        limits=((0.0, 25.0),),
        flow=0.38,
        trucks=0.2,
        heading=2.7,
        outflow=(2.0, 12.0),
    ),
    Site(
        name="fork-4",
        lanes=4,
        pieces=_bends((220, -1 / 1200), (160, -1 / 420), (200, 1 / 800)),
        limits=((0.0, 33.3), (300.0, 27.8)),
        flow=0.3,
        trucks=0.25,
        heading=1.6,
        off_ramp=OffRamp(parallel=300.0, last=480.0, diverge=530.0, share=0.4),
    ),
)
"""All sites, in the order of their tokens (token = 1 + position). Append only: the order decides tokens and seeds."""

SITE_NAMES = tuple(s.name for s in SITES)


def lengthened(site: Site, metres: float) -> Site:
    """The site with `metres` of straight road behind it, of which up to 60 unbend the last curve; the site itself for 0."""
    if metres == 0:
        return site
    last = site.pieces[-1][2]
    unbend = min(_UNBEND, metres) if last else 0.0
    more = ((unbend, last, 0.0),) if unbend else ()
    return replace(site, pieces=(*site.pieces, *more, *(((metres - unbend, 0.0, 0.0),) if metres > unbend else ())))


def site_named(name: str) -> Site:
    """The site called `name`.

    Raises:
        UsageError: There is none.
    """
    for site in SITES:
        if site.name == name:
            return site
    raise UsageError(f"dataset highway has no site {name!r}", f"sites are {', '.join(SITE_NAMES)}")
