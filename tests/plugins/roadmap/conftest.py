"""A small road, seen from rasters in any pose, with agents around it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.data.roads.raster import Pose, draw_road
from twm_core.data.scenario import Lane, RoadMap
from twm_core.data.schema import MOTION, POSE, RASTER_CHANNELS, traffic_observations
from twm_core.specs import EncoderSpecs, ObservationSpec
from twm_roadmap.config import RoadMapConfig
from twm_roadmap.model import RoadMapEncoder, build

_ANGLE = np.linspace(0, 2, 60)
_LINES = (
    30 * np.stack([np.sin(_ANGLE), 1 - np.cos(_ANGLE)], axis=1),
    np.linspace([-20.0, 20.0], [50.0, -5.0], 30),
)
POSE_USED = Pose(15.0, 10.0, 0.4, 1.0)
ROAD = RoadMap(lanes=tuple(Lane(id=str(i), centre=line, width=5.0) for i, line in enumerate(_LINES)))


def turned_road(angle: float, dx: float, dy: float) -> RoadMap:
    """The road turned about the origin, then shifted."""
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return RoadMap(lanes=tuple(Lane(id=lane.id, centre=lane.centre @ turn.T + (dx, dy), width=lane.width) for lane in ROAD.lanes))


class Scenes:
    """Batches of one road.

    Attributes:
        obs_spec: Their spec.
        size: Pixels along each side of the raster.
    """

    size = 64
    steps, agents = 3, 4
    road = ROAD
    turned_road = staticmethod(turned_road)

    def __init__(self) -> None:
        self.obs_spec: ObservationSpec = traffic_observations(
            features=MOTION, dt=0.2, context=2, horizon=1, protocol="p", raster_size=self.size
        )

    def raster(self, road: RoadMap, pose: Pose) -> tuple[Tensor, Tensor]:
        """`map.raster` and `map.pose` of one window."""
        return torch.from_numpy(draw_road(road, pose, (self.size, self.size)))[None], torch.tensor([list(pose)], dtype=torch.float32)

    def batch(self, road: RoadMap = ROAD, pose: Pose = POSE_USED, *, presence: float = 0.7, seed: int = 0) -> Batch:
        """One window with agents on and about the road."""
        g = torch.Generator().manual_seed(seed)
        state = torch.randn(1, self.steps, self.agents, len(MOTION), generator=g) * 6
        state[..., MOTION.index("x")] += 15
        state[..., MOTION.index("y")] += 8
        exists = torch.rand(1, self.steps, self.agents, generator=g) < presence
        raster, where = self.raster(road, pose)
        first = torch.zeros(1, self.steps, dtype=torch.bool)
        return {
            "agents.state": torch.where(exists[..., None], state, 0),
            "agents.exists": exists,
            "map.raster": raster,
            "map.pose": where,
            "is_first": first,
        }

    def encoder(self, **options: Any) -> RoadMapEncoder:
        """A small encoder with weights from a fixed seed."""
        small = {"width": 8, "channels": 4, "layers": 3, "crop_metres": 24.0, "crop_pixels": 8, "pool": 2}
        config = RoadMapConfig(**{**small, **options})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return build(config, EncoderSpecs(obs_spec=self.obs_spec, embedding=config.embedding(self.obs_spec))).eval()


@pytest.fixture
def scenes() -> Scenes:
    assert [f.name for f in POSE] == list(Pose._fields)
    assert len(RASTER_CHANNELS) == 3
    return Scenes()
