"""Drawing maps: pixels computed by hand, areas by counting points, and poses by turning the picture."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twm_core.data.roads.lane_lines import boundaries, inside_polygon
from twm_core.data.roads.raster import Pose, draw_line, draw_lines, draw_road, fill_polygon, pixel_centres, to_pixels
from twm_core.data.scenario import LINE_KINDS, Lane, RoadLine, RoadMap
from twm_core.data.schema import RASTER_CHANNELS

POSES = st.builds(Pose, st.floats(-50, 50), st.floats(-50, 50), st.floats(-7, 7), st.floats(0.1, 5))


def straight(start: tuple[float, float], end: tuple[float, float], width: float = 4.0) -> Lane:
    return Lane(id="a", centre=np.linspace(start, end, 11), width=width)


@given(POSES)
def test_pixel_centres_lie_in_the_middle_of_their_pixels(pose: Pose) -> None:
    shape = (3, 5)
    back = to_pixels(pixel_centres(pose, shape), pose, shape)
    rows, columns = np.meshgrid(np.arange(3) + 0.5, np.arange(5) + 0.5, indexing="ij")
    np.testing.assert_allclose(back, np.stack([columns, rows], axis=-1), atol=1e-9)


def test_row_0_has_the_largest_y_and_columns_run_along_the_heading() -> None:
    centres = pixel_centres(Pose(10.0, 20.0, 0.0, 2.0), (2, 4))
    np.testing.assert_allclose(centres[0, 0], [7, 21])
    np.testing.assert_allclose(centres[1, 3], [13, 19])
    turned = pixel_centres(Pose(10.0, 20.0, math.pi / 2, 2.0), (2, 4))
    np.testing.assert_allclose(turned[0, 0], [9, 17])
    np.testing.assert_allclose(turned[0, 3], [9, 23])


def test_a_rectangle_covers_its_share_of_each_pixel() -> None:
    target = np.zeros((3, 5))
    fill_polygon(target, np.array([[1.25, 0.5], [3.5, 0.5], [3.5, 2.0], [1.25, 2.0]]))
    np.testing.assert_allclose(target, [[0, 0.375, 0.5, 0.25, 0], [0, 0.75, 1, 0.5, 0], [0, 0, 0, 0, 0]])


def test_a_polygon_that_leaves_the_raster_is_cut() -> None:
    target = np.zeros((2, 2))
    fill_polygon(target, np.array([[-10.0, -10.0], [1.5, -10.0], [1.5, 10.0], [-10.0, 10.0]]))
    np.testing.assert_allclose(target, [[1, 0.5], [1, 0.5]])
    for corner in ([-9.0, -9.0], [9.0, 0.0], [0.0, 9.0]):
        fill_polygon(target, np.array(corner) + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    np.testing.assert_allclose(target, [[1, 0.5], [1, 0.5]])


@given(st.integers(0, 10**6))
def test_any_polygon_covers_what_counting_points_finds(seed: int) -> None:
    random = np.random.default_rng(seed)
    ring = random.uniform(-2, 10, (int(random.integers(3, 7)), 2))
    target = np.zeros((8, 8))
    fill_polygon(target, ring)
    # 32 x 32 points in each pixel, inside where a ray to the left crosses the ring an odd number of times
    fine = (np.arange(8 * 32) + 0.5) / 32
    x, y = np.meshgrid(fine, fine)
    inside = np.zeros_like(x, dtype=bool)
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        crosses = (y0 <= y) != (y1 <= y)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (x0 + (y - y0) / (y1 - y0) * (x1 - x0) < x)
    counted = inside.reshape(8, 32, 8, 32).mean(axis=(1, 3))
    assert abs(target - counted).mean() < 0.02
    assert abs(target - counted).max() < 0.3


def test_a_line_through_pixel_centres_fills_them_and_fades_over_one_pixel() -> None:
    target = np.zeros((5, 6))
    draw_line(target, np.array([[-3.0, 2.5], [9.0, 2.5]]), 1.0)
    np.testing.assert_allclose(target[2], 1.0, atol=0.01)
    np.testing.assert_allclose(np.delete(target, 2, axis=0), 0.0, atol=1e-9)
    draw_line(target, np.array([[-3.0, 2.5], [9.0, 2.5]]), 2.0)
    np.testing.assert_allclose(target[[1, 3]], 0.5, atol=0.02)
    between = np.zeros((4, 4))
    draw_line(between, np.array([[2.0, -2.0], [2.0, 6.0]]), 1.0)
    np.testing.assert_allclose(between, [[0, 0.5, 0.5, 0]] * 4, atol=0.02)


def test_a_line_ends_where_it_ends_and_may_lie_outside() -> None:
    target = np.zeros((3, 8))
    draw_line(target, np.array([[0.5, 1.5], [3.5, 1.5]]), 1.0)
    np.testing.assert_allclose(target[1, :4], 1.0, atol=0.01)
    assert not target[1, 5:].any()
    before = target.copy()
    draw_line(target, np.array([[50.0, 1.5], [90.0, 1.5]]), 1.0)
    assert np.array_equal(target, before)


def test_a_straight_lane_is_drawn_as_area_boundaries_and_centre() -> None:
    # A lane along x from -10 to 10 with y in [-2, 2]: at 1 m a pixel, rows 2 to 5 of 8.
    drawn = draw_road(RoadMap(lanes=(straight((-10, 0), (10, 0)),)), Pose(0.0, 0.0, 0.0, 1.0), (8, 8))
    assert drawn.shape == (len(RASTER_CHANNELS), 8, 8)
    assert drawn.dtype == np.uint8
    area, boundary, centre = (drawn[RASTER_CHANNELS.index(n)] for n in ("drivable", "boundary", "centre"))
    np.testing.assert_array_equal(area, np.repeat([[0], [0], [255], [255], [255], [255], [0], [0]], 8, axis=1))
    np.testing.assert_allclose(boundary, np.repeat([[0], [127.5], [127.5], [0], [0], [127.5], [127.5], [0]], 8, axis=1), atol=4)
    np.testing.assert_allclose(centre, np.repeat([[0], [0], [0], [127.5], [127.5], [0], [0], [0]], 8, axis=1), atol=4)


def test_lanes_beside_one_another_leave_no_seam() -> None:
    # Their common border runs through the middle of a row of pixels.
    lanes = (straight((-10, 2), (10, 2)), straight((-10, -2), (10, -2)))
    drawn = draw_road(RoadMap(lanes=lanes), Pose(0.0, 0.5, 0.0, 1.0), (4, 4))
    assert (drawn[RASTER_CHANNELS.index("drivable")] == 255).all()


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turning_the_raster_turns_the_picture_the_other_way(quarters: int) -> None:
    road = RoadMap(lanes=(straight((-10, 1), (6, 5)), straight((0, -9), (2, 9))))
    usual = draw_road(road, Pose(0.0, 0.0, 0.0, 0.5), (32, 32))
    turned = draw_road(road, Pose(0.0, 0.0, quarters * math.pi / 2, 0.5), (32, 32))
    assert abs(turned.astype(int) - np.rot90(usual, -quarters, axes=(1, 2)).astype(int)).mean() < 3


def test_given_boundaries_are_used_and_missing_ones_are_made_from_the_width() -> None:
    left, right = boundaries(straight((0, 0), (0, 10), width=3.0))
    np.testing.assert_allclose(left[:, 0], -1.5)
    np.testing.assert_allclose(right[:, 0], 1.5)
    own = np.array([[0.0, 1.0], [5.0, 1.0]])
    lane = Lane(id="a", centre=np.array([[0.0, 0.0], [5.0, 0.0]]), width=3.0, left_boundary=own)
    assert boundaries(lane)[0] is own
    np.testing.assert_allclose(boundaries(lane)[1], [[0, -1.5], [5, -1.5]])


def test_a_map_without_lanes_is_empty() -> None:
    assert not draw_road(RoadMap(), Pose(0.0, 0.0, 0.0, 1.0), (4, 4)).any()


@given(POSES, st.integers(0, 10**6))
def test_in_any_pose_a_pixel_shows_the_share_of_it_that_lanes_cover(pose: Pose, seed: int) -> None:
    random = np.random.default_rng(seed)
    bend = np.cumsum(random.normal(0, 0.3, 8))
    middle = np.asarray([pose.x, pose.y])
    centre = middle + pose.metres_per_pixel * (np.cumsum(2.5 * np.stack([np.cos(bend), np.sin(bend)], axis=1), axis=0) - [8, 2])
    lane = Lane(id="a", centre=centre, width=4.0 * pose.metres_per_pixel)
    area = draw_road(RoadMap((lane,)), pose, (10, 12))[RASTER_CHANNELS.index("drivable")] / 255
    # 12 x 12 points in each pixel, in metres: right along the heading, up across it.
    fine = 12
    u = ((np.arange(12 * fine) + 0.5) / fine - 6) * pose.metres_per_pixel
    v = (5 - (np.arange(10 * fine) + 0.5) / fine) * pose.metres_per_pixel
    right = np.asarray([math.cos(pose.heading), math.sin(pose.heading)])
    up = np.asarray([-right[1], right[0]])
    points = middle + u[None, :, None] * right + v[:, None, None] * up
    left, other = boundaries(lane)
    inside = inside_polygon(points.reshape(-1, 2), np.concatenate([left, other[::-1]])).reshape(10, fine, 12, fine)
    # Four scan lines in a pixel put an edge that runs along the rows up to 1/8 beside its place, and a pixel may hold two such edges.
    assert np.abs(area - inside.mean(axis=(1, 3))).max() <= 0.25 + 1 / 255
    assert np.abs(area - inside.mean(axis=(1, 3))).mean() < 0.03


def test_edges_of_the_road_are_boundaries_and_other_lines_are_not_drawn() -> None:
    points = np.array([[-10.0, 0.0], [10.0, 0.0]])
    drawn = draw_road(RoadMap(lines=(RoadLine("edge", points),)), Pose(0.0, 0.0, 0.0, 1.0), (3, 6))
    np.testing.assert_allclose(drawn[RASTER_CHANNELS.index("boundary"), 1], 255, atol=4)
    assert not drawn[RASTER_CHANNELS.index("drivable")].any()
    others = tuple(RoadLine(kind, points) for kind in LINE_KINDS if kind != "edge")
    assert not draw_road(RoadMap(lines=others), Pose(0.0, 0.0, 0.0, 1.0), (3, 6)).any()


def test_many_lines_at_once_are_drawn_as_one_after_the_other() -> None:
    random = np.random.default_rng(3)
    lines = [random.uniform(-5, 25, (6, 2)) for _ in range(20)]
    once, singly = np.zeros((16, 20)), np.zeros((16, 20))
    draw_lines(once, lines, 1.5)
    for line in lines:
        draw_line(singly, line, 1.5)
    np.testing.assert_array_equal(once, singly)
