"""The map rasters of windows: each road map is drawn once, and every window gets a crop of it in the frame of its scene.

The scene's frame has its origin at the median position of the agents at the first observed step at which there is one, and its x axis
along their mean heading (the direction of the sum of their unit vectors). It is taken from the first step, so that the raster tells no
step of the window what comes after it. Where nobody is seen, it is the map's own frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from twm_core.data.roads.lane_lines import boundaries
from twm_core.data.roads.raster import Pose, draw_road, edges, pixel_centres, to_pixels
from twm_core.data.scenario import RoadMap, Scenario
from twm_core.data.schema import RASTER_CHANNELS
from twm_core.errors import DataError

_FINER = 2
"""The drawing has this many pixels to one of a crop, so that interpolation blurs little."""


@dataclass(frozen=True, kw_only=True)
class RasterOptions:
    """Size of the map raster of a window: `size` by `size` pixels of `metres_per_pixel`."""

    size: int
    metres_per_pixel: float


@dataclass(frozen=True)
class Drawing:
    """A whole road map, uint8 `[C,H,W]`, and the pose of that raster."""

    raster: NDArray[np.uint8]
    pose: Pose


def draw_whole(road: RoadMap, metres_per_pixel: float) -> Drawing:
    """The whole map on a raster that runs along its axes, twice as fine as crops of `metres_per_pixel` will be."""
    fine = metres_per_pixel / _FINER
    lines = [b for lane in road.lanes for b in (*boundaries(lane), lane.centre)] + [line.points for line in edges(road)]
    if not lines:
        return Drawing(np.zeros((len(RASTER_CHANNELS), 1, 1), dtype=np.uint8), Pose(0.0, 0.0, 0.0, fine))
    points = np.concatenate(lines)
    low, high = points.min(axis=0) - 2 * fine, points.max(axis=0) + 2 * fine
    width, height = (int(n) for n in np.ceil((high - low) / fine))
    middle = (low + high) / 2
    pose = Pose(float(middle[0]), float(middle[1]), 0.0, fine)
    return Drawing(draw_road(road, pose, (height, width), line_width=float(_FINER)), pose)


def crop(drawing: Drawing, pose: Pose, size: int) -> NDArray[np.uint8]:
    """The square raster uint8 `[C,size,size]` in a pose, read from a drawing by bilinear interpolation; 0 beyond the drawing."""
    _, height, width = drawing.raster.shape
    at = to_pixels(pixel_centres(pose, (size, size)), drawing.pose, (height, width)).astype(np.float32) - np.float32(0.5)
    low = np.floor(at).astype(np.int32)
    part = at - low
    total = np.zeros((len(drawing.raster), size, size), dtype=np.float32)
    for right in (0, 1):
        for below in (0, 1):
            column, row = low[..., 0] + right, low[..., 1] + below
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            weight = (part[..., 0] if right else 1 - part[..., 0]) * (part[..., 1] if below else 1 - part[..., 1])
            values = drawing.raster[:, np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
            total += values * np.where(inside, weight, np.float32(0))
    return np.rint(total).astype(np.uint8)


def road_digest(road: RoadMap) -> str:
    """A hash (hex) of everything that is drawn of a road map."""
    digest = hashlib.sha256()
    for lane in road.lanes:
        for line in (lane.centre, *boundaries(lane)):
            digest.update(np.ascontiguousarray(line, dtype=np.float64).tobytes())
    for edge in edges(road):
        digest.update(b"edge" + np.ascontiguousarray(edge.points, dtype=np.float64).tobytes())
    return digest.hexdigest()


@dataclass
class MapCrops:
    """Rasters of windows; a map that several scenarios share is drawn once, when it is first needed.

    Args:
        scenarios: Those that windows are cut from.
        options: Size of the rasters.

    Raises:
        DataError: A scenario has no road map.
    """

    scenarios: Sequence[Scenario]
    options: RasterOptions
    _digest: dict[int, str] = field(init=False, default_factory=dict)
    _drawings: dict[str, Drawing] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for scenario in self.scenarios:
            road_of(scenario)

    def window(
        self, scenario: Scenario, state: NDArray[np.float32], exists: NDArray[np.bool_], features: Sequence[str] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Raster uint8 `[C,size,size]` and pose float32 `[4]` of a window, in the order of `twm_core.data.schema.POSE`.

        Args:
            scenario: Where the window was cut.
            state: `agents.state` at its observed steps, `[T,A,F]`.
            exists: Who is there, `[T,A]`.
            features: Names of the columns of `state`; the scenario's by default.
        """
        pose = scene_pose(features or scenario.features, state, exists, self.options.metres_per_pixel)
        return crop(self._drawing(road_of(scenario)), pose, self.options.size), np.asarray(pose, dtype=np.float32)

    def _drawing(self, road: RoadMap) -> Drawing:
        # The scenarios hold their maps, so an id stays that of one map.
        if id(road) not in self._digest:
            self._digest[id(road)] = road_digest(road)
        key = self._digest[id(road)]
        if key not in self._drawings:
            self._drawings[key] = draw_whole(road, self.options.metres_per_pixel)
        return self._drawings[key]


def road_of(scenario: Scenario) -> RoadMap:
    """The road map of a scenario.

    Raises:
        DataError: It has none.
    """
    if scenario.road is None:
        raise DataError(f"scenario {scenario.id}: a map raster is asked for, but it has no road map", "set dataset.raster to false")
    return scenario.road


def scene_pose(features: Sequence[str], state: NDArray[np.float32], exists: NDArray[np.bool_], metres_per_pixel: float) -> Pose:
    """The scene's frame (see the module) of observed states `[T,A,F]` with existence `[T,A]`, as the pose of a raster."""
    someone = np.flatnonzero(exists.any(axis=1))
    if not len(someone):
        return Pose(0.0, 0.0, 0.0, metres_per_pixel)
    here = state[someone[0]][exists[someone[0]]].astype(np.float64)
    x, y, heading = (here[:, features.index(n)] for n in ("x", "y", "heading"))
    mean = np.arctan2(np.sin(heading).sum(), np.cos(heading).sum())
    return Pose(float(np.median(x)), float(np.median(y)), float(mean), metres_per_pixel)
