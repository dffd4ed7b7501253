"""Crops around agents against maps that are drawn in the agent's own frame, and against interpolation written out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from twm_core.data.roads.raster import Pose, draw_road
from twm_core.data.schema import MOTION
from twm_roadmap.crops import grid_points, sample_around

X, Y, HEADING = (MOTION.index(n) for n in ("x", "y", "heading"))


def agent(x: float, y: float, heading: float) -> Tensor:
    state = torch.zeros(1, 1, 1, len(MOTION))
    state[..., X], state[..., Y], state[..., HEADING] = x, y, heading
    return state


def look(scenes: Any, raster: Tensor, pose: Tensor, agents: Tensor, grid: Tensor, *, turned: bool = True) -> Tensor:
    state, where, size = scenes.obs_spec.get("agents.state"), scenes.obs_spec.get("map.pose"), (scenes.size, scenes.size)
    return sample_around(raster.float(), size, pose, agents, grid, pose_spec=where, state_spec=state, turned=turned)


def test_grid_points_are_the_centres_of_cells_with_row_0_to_the_left() -> None:
    grid = grid_points(4, 8.0, 3.0)
    np.testing.assert_allclose(grid[0, :, 0], [0, 2, 4, 6])
    np.testing.assert_allclose(grid[:, 0, 1], [3, 1, -1, -3])


def test_a_crop_equals_the_map_drawn_in_the_agents_frame(scenes: Any) -> None:
    ahead, metres, points = 4.0, 16.0, 16
    random = np.random.default_rng(0)
    error: dict[float, list[float]] = {0.0: [], 0.1: []}
    for _ in range(40):
        x, y, heading, turn = random.uniform((5, 0, -4, -4), (25, 20, 4, 4))
        raster, pose = scenes.raster(scenes.road, Pose(15.0, 10.0, turn, 1.0))
        crop = look(scenes, raster, pose, agent(x, y, heading), grid_points(points, metres, ahead))[0, 0, 0]
        for wrong, found in error.items():
            own = Pose(x + ahead * math.cos(heading), y + ahead * math.sin(heading), heading + wrong, metres / points)
            found.append(abs(crop.numpy() - draw_road(scenes.road, own, (points, points))).mean())
    # Of 255; what remains is blur, because a crop interpolates a drawing of its own scale. A heading that is off by 0.1 rad doubles it.
    assert np.mean(error[0.0]) < 10
    assert np.mean(error[0.1]) > 1.8 * np.mean(error[0.0])


def test_an_upright_crop_at_pixel_centres_is_a_cut_of_the_raster(scenes: Any) -> None:
    raster, pose = scenes.raster(scenes.road, Pose(0.0, 0.0, 0.0, 2.0))
    # Raster columns 40..43 and rows 20..23 around the corner (42, 22), which lies at u = 20 m, v = 20 m.
    crop = look(scenes, raster, pose, agent(20.0, 20.0, 0.0), grid_points(4, 8.0, 0.0))
    torch.testing.assert_close(crop[0, 0, 0], raster[0, :, 20:24, 40:44].float())


def test_features_of_half_the_size_lie_over_the_same_place(scenes: Any) -> None:
    _, pose = scenes.raster(scenes.road, Pose(3.0, -2.0, 0.7, 1.5))
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    fine = torch.stack([rows, columns])[None]
    coarse = torch.nn.functional.avg_pool2d(fine, 2)
    grid = grid_points(5, 20.0, 3.0)
    here = agent(5.0, 4.0, -0.4)
    torch.testing.assert_close(look(scenes, coarse, pose, here, grid), look(scenes, fine, pose, here, grid), atol=1e-3, rtol=1e-4)


def test_a_grid_that_does_not_turn_is_aligned_with_the_raster(scenes: Any) -> None:
    raster, pose = scenes.raster(scenes.road, Pose(0.0, 0.0, 0.3, 1.0))
    grid = grid_points(6, 12.0, 0.0)
    one, other = (look(scenes, raster, pose, agent(9.0, 5.0, heading), grid, turned=False) for heading in (0.0, 2.0))
    assert torch.equal(one, other)
    torch.testing.assert_close(one, look(scenes, raster, pose, agent(9.0, 5.0, 0.3), grid))


def test_beyond_the_raster_everything_reads_zero(scenes: Any) -> None:
    raster, pose = torch.full((1, 3, 64, 64), 9), torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    assert not look(scenes, raster, pose, agent(200.0, 0.0, 1.0), grid_points(4, 8.0, 0.0)).any()
    inside = look(scenes, raster, pose, agent(0.0, 0.0, 1.0), grid_points(4, 8.0, 0.0))
    torch.testing.assert_close(inside, torch.full_like(inside, 9))


def test_every_agent_of_every_step_gets_its_own_crop(scenes: Any) -> None:
    case = scenes.batch(presence=1.0)
    grid = grid_points(4, 10.0, 2.0)
    together = look(scenes, case["map.raster"], case["map.pose"], case["agents.state"], grid)
    assert together.shape == (1, scenes.steps, scenes.agents, 3, 4, 4)
    for t in range(scenes.steps):
        for a in range(scenes.agents):
            alone = look(scenes, case["map.raster"], case["map.pose"], case["agents.state"][:, t : t + 1, a : a + 1], grid)
            torch.testing.assert_close(together[:, t, a], alone[:, 0, 0])
