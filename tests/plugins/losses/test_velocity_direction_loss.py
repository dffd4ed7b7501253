"""The loss on directions of velocities against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from twm_losses.motion.config import VelocityDirectionConfig
from twm_losses.motion.velocity_direction import build


def velocities(drive: Any) -> tuple[Any, Any]:
    """Decoded and true velocities `[B,T,A,2]`."""
    return np.stack([drive.guess("vx"), drive.guess("vy")], -1), np.stack([drive.true("vx"), drive.true("vy")], -1)


@pytest.mark.parametrize("threshold", [0.5, 3.0])
@pytest.mark.parametrize("seed", range(5))
def test_it_equals_numpy_over_agents_that_are_fast_enough(drives: Any, seed: int, threshold: float) -> None:
    drive = drives(seed)
    config = VelocityDirectionConfig(threshold=threshold, reconstruction=0.5, prediction=2.0)
    terms = build(config, drive.specs)(drive.outputs(), drive.batch)
    u, v = velocities(drive)
    with np.errstate(invalid="ignore"):
        counted = drive.moved.numpy() & (np.linalg.norm(v, axis=-1) > threshold)
    assert counted.any()
    cosine = (u * v).sum(-1) / np.linalg.norm(u, axis=-1) / np.linalg.norm(v, axis=-1)
    cost = (1 - cosine)[counted].mean()
    np.testing.assert_allclose([terms["reconstruction"].item(), terms["prediction"].item()], [0.5 * cost, 2 * cost], rtol=1e-5)


def test_slow_agents_are_not_trained(drive: Any) -> None:
    build(VelocityDirectionConfig(threshold=3.0), drive.specs)(drive.outputs(), drive.batch)["prediction"].backward()
    speed = torch.from_numpy(np.linalg.norm(velocities(drive)[1], axis=-1))
    assert drive.decoded.grad.isfinite().all()
    assert torch.equal((drive.decoded.grad != 0).any(dim=-1), drive.moved & (speed > 3.0))


def test_the_decoded_speed_does_not_matter(drive: Any) -> None:
    loss = build(VelocityDirectionConfig(), drive.specs)
    before = loss(drive.outputs(), drive.batch)["prediction"].item()
    drive.decoded.data *= 10
    assert loss(drive.outputs(), drive.batch)["prediction"].item() == pytest.approx(before, rel=1e-5)


def test_a_decoded_velocity_of_zero_costs_one_and_has_a_finite_gradient(drive: Any) -> None:
    drive.decoded.data.zero_()
    term = build(VelocityDirectionConfig(), drive.specs)(drive.outputs(), drive.batch)["prediction"]
    term.backward()
    assert term.item() == pytest.approx(1)
    assert drive.decoded.grad.isfinite().all()


def test_a_scene_in_which_nobody_moves_costs_nothing_and_trains_nothing(drive: Any) -> None:
    drive.batch["agents.state"] = torch.where(drive.exists[..., None], 0.0, torch.nan).repeat(1, 1, 1, 5)
    term = build(VelocityDirectionConfig(), drive.specs)(drive.outputs(), drive.batch)["prediction"]
    term.backward()
    assert term.item() == 0
    assert not drive.decoded.grad.any()
