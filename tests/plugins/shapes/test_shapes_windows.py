"""Windows and pictures of the dataset `shapes`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from twm_core.errors import DataError, UsageError
from twm_core.specs import DatasetSpecs
from twm_shapes.config import ShapesConfig
from twm_shapes.model import ShapesDataset, build
from twm_shapes.render import COLOURS, GROUNDS, render
from twm_shapes.world import RADII


def made(**options: Any) -> ShapesDataset:
    config = ShapesConfig.model_validate({"episodes": 12, "evaluation_episodes": 6, "image_size": 16, **options})
    seen, action = config.observations()
    return build(config, DatasetSpecs(obs_spec=seen, action=action))


def test_spanning_windows_go_on_with_the_next_episode_and_lose_no_step_between() -> None:
    dataset = made(stride=32)
    windows, steps = dataset.windows("train"), dataset.steps("train")
    batch = windows.batch(range(len(windows)))
    covered = len(windows) * 32
    for key in ("vector.state", "reward", "is_last", "action"):
        flat = batch[key].reshape(covered, *batch[key].shape[2:]).numpy()
        np.testing.assert_array_equal(flat, steps.arrays[key][:covered])
    assert batch["is_first"][:, 0].all()
    inner = batch["is_first"][:, 1:]
    assert inner.any()
    torch.testing.assert_close(inner, batch["is_last"][:, :-1])
    assert windows.report()["steps in no window"] == steps.start[-1] - covered


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_windows_that_do_not_span_lie_within_one_episode_and_the_last_one_ends_with_it(split: str) -> None:
    dataset = made(spanning=False)
    windows, steps = dataset.windows(split), dataset.steps(split)
    batch = windows.batch(range(len(windows)))
    assert not batch["is_first"][:, 1:].any()
    assert not batch["is_last"][:, :-1].any()
    assert batch["is_last"][:, -1].sum() == (np.diff(steps.start) >= 32).sum()
    report = windows.report()
    assert report["episodes shorter than a window"] == (np.diff(steps.start) < 32).sum() > 0


def test_reading_does_not_change_what_is_read_later() -> None:
    windows = made().windows("train")
    before = windows.batch([3])
    windows.batch([3])["is_first"][:] = True
    after = windows.batch([3])
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_the_state_is_named_and_moves_with_its_velocity() -> None:
    dataset = made(shapes=4)
    state = dataset.obs_spec.get("vector.state")
    assert state.features[state.index("hazard2_vy")].unit == "box/s"
    values = dataset.windows("val").batch([0])["vector.state"][0]
    x, vx = values[:, state.index("target_x")], values[:, state.index("target_vx")]
    moved = x[1:] - x[:-1]
    free = (vx[1:] == vx[:-1]).numpy()  # no wall in between
    assert free.sum() > 10
    np.testing.assert_allclose(moved[free], (vx[1:] * 0.1)[free], atol=1e-6)


def test_what_is_not_asked_for_is_not_given() -> None:
    blind, deaf = made(images=False), made(vectors=False, actions="none")
    assert not blind.obs_spec.has("image.camera")
    assert "image.camera" not in blind.windows("train").batch([0])
    assert not deaf.obs_spec.has("vector.state")
    assert set(deaf.windows("train").batch([0])) == set(deaf.obs_spec.names)
    assert deaf.action is None


def test_fingerprints_tell_options_apart() -> None:
    prints = {made(**o).fingerprint() for o in ({}, {"seed": 1}, {"stride": 4}, {"noise": 0.1}, {"spanning": False}, {"image_size": 32})}
    assert len(prints) == 6
    assert made().fingerprint() in prints


@pytest.mark.parametrize(
    ("options", "message"),
    [({"images": False, "vectors": False}, "neither images nor vectors"), ({"episode_steps": 20}, "shorter than a window of 8")],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ShapesConfig.model_validate(options).observations()


def test_splits_without_windows_and_unknown_ones_are_refused() -> None:
    with pytest.raises(DataError, match="no window of 100 steps"):
        made(context=50, horizon=50, evaluation_episodes=1, seed=3).windows("val")
    with pytest.raises(DataError, match="no split 'dev'"):
        made().windows("dev")


def painted(position: np.ndarray, phase: int, size: int, fine: int = 16) -> np.ndarray:
    """The same picture from `fine` x `fine` samples in each pixel, without soft edges."""
    at = (np.arange(size * fine) + 0.5) / (size * fine)
    x, y = np.meshgrid(at, 1 - at)
    picture = np.tile(GROUNDS[phase].astype(float), (size * fine, size * fine, 1))
    for k in (*range(1, len(position)), 0):
        dx, dy = np.abs(x - position[k, 0]), np.abs(y - position[k, 1])
        inside = np.maximum(dx, dy) < RADII[k] if k % 2 else np.hypot(dx, dy) < RADII[k]
        picture[inside] = COLOURS[k]
    return picture.reshape(size, fine, size, fine, 3).mean(axis=(1, 3)).transpose(2, 0, 1)


@pytest.mark.parametrize("size", [16, 64, 97])
def test_pictures_equal_supersampled_ones(size: int) -> None:
    random = np.random.default_rng(size)
    radius = np.array(RADII)[:, None]
    position = radius + (1 - 2 * radius) * random.random((4, 6, 2))
    position[0, 0], position[1, 0] = (RADII[0], RADII[0]), (1 - RADII[0], 1 - RADII[0])  # into corners
    pictures = render(position, np.arange(1, 5), size)
    assert pictures.dtype == np.uint8
    for n in range(4):
        difference = np.abs(pictures[n].astype(float) - painted(position[n], n + 1, size))
        assert difference.max() < 45  # soft edges that meet inside one pixel mix otherwise
        assert difference.mean() * size < 16


def test_a_disc_covers_its_area_and_row_0_is_at_the_top() -> None:
    position = np.array([[[0.3, 0.9], [0.8, 0.2]]])
    picture = render(position, np.array([1]), 128)[0].astype(float)
    white = (picture[0] - GROUNDS[1][0]) / (COLOURS[0][0] - GROUNDS[1][0])
    disc = white[:64]
    assert disc.sum() == pytest.approx(math.pi * (RADII[0] * 128) ** 2, rel=0.01)
    rows, columns = np.indices(disc.shape)
    assert (disc * (columns + 0.5)).sum() / disc.sum() == pytest.approx(0.3 * 128, abs=0.1)
    assert (disc * (rows + 0.5)).sum() / disc.sum() == pytest.approx(0.1 * 128, abs=0.1)
