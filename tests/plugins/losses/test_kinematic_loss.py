"""The kinematic loss against plain loops in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from twm_core import PluginError
from twm_losses.motion.config import KinematicConfig
from twm_losses.motion.kinematic import build

NAMES = ("x", "y", "vx", "vy", "heading")
Step = tuple[list[float], list[float], float]


def huber(e: float, beta: float = 1.0) -> float:
    return e * e / (2 * beta) if abs(e) < beta else abs(e) - beta / 2


def predictions(drive: Any) -> Iterator[Step]:
    """The true state one step before, the decoded one, and dt, of all that count."""
    for b, t, a in drive.moved.nonzero().tolist():
        yield [drive.true(n)[b, t - 1, a] for n in NAMES], [drive.guess(n)[b, t, a] for n in NAMES], float(drive.batch["dt"][b])


def futures(drive: Any, samples: int = 3, steps: int = 3) -> Iterator[Step]:
    """Consecutive states along the futures; the first follows the last observed state."""
    for b, h, a in drive.here.nonzero().tolist():
        for s in range(samples):
            if h >= steps or (h > 0 and not drive.here[b, h - 1, a]):
                continue
            before = [drive.true(n)[b, drive.start - 1, a] if h == 0 else drive.future(n)[b, s, h - 1, a] for n in NAMES]
            yield before, [drive.future(n)[b, s, h, a] for n in NAMES], float(drive.batch["dt"][b])


def gap(step: Step, rule: str, beta: float) -> float:
    (x, y, vx, vy, _), (x2, y2, ux, uy, _), dt = step
    mx, my = (ux, uy) if rule == "backward" else ((vx + ux) / 2, (vy + uy) / 2)
    return huber(math.sqrt((x2 - x - dt * mx) ** 2 + (y2 - y - dt * my) ** 2 + 1e-6), beta)


def too_fast(step: Step, limit: float) -> float:
    (_, _, vx, vy, _), (_, _, ux, uy, _), dt = step
    return huber(max(0.0, math.hypot(ux - vx, uy - vy) / dt - limit))


def too_sharp(step: Step, limit: float) -> float:
    before, after, dt = step
    turned = abs((after[4] - before[4] + math.pi) % (2 * math.pi) - math.pi)
    return huber(max(0.0, turned / dt - limit))


@pytest.mark.parametrize("rule", ["trapezoid", "backward"])
@pytest.mark.parametrize("seed", range(4))
def test_gaps_equal_a_plain_loop(drives: Any, seed: int, rule: Any) -> None:
    drive = drives(seed)
    config = KinematicConfig(prediction=2.0, futures=0.5, samples=3, rule=rule, beta=3.0)
    terms = build(config, drive.specs)(drive.outputs(), drive.batch)
    assert set(terms) == {"prediction", "rollout"}
    expected = [2 * np.mean([gap(x, rule, 3.0) for x in predictions(drive)]), 0.5 * np.mean([gap(x, rule, 3.0) for x in futures(drive)])]
    np.testing.assert_allclose([terms["prediction"].item(), terms["rollout"].item()], expected, rtol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_penalties_beyond_the_limits_equal_a_plain_loop(drives: Any, seed: int) -> None:
    drive = drives(seed)
    config = KinematicConfig(
        prediction=2.0, futures=0.5, samples=3, acceleration=3.0, max_acceleration=20.0, yaw_rate=0.1, max_yaw_rate=10.0
    )
    terms = build(config, drive.specs)(drive.outputs(), drive.batch)
    for name, factor, steps in (("prediction", 2.0, list(predictions(drive))), ("rollout", 0.5, list(futures(drive)))):
        fast, sharp = (np.mean([f(x, limit) for x in steps]) for f, limit in ((too_fast, 20.0), (too_sharp, 10.0)))
        np.testing.assert_allclose(terms[f"{name}_acceleration"].item(), 3 * factor * fast, rtol=1e-5)
        np.testing.assert_allclose(terms[f"{name}_yaw_rate"].item(), 0.1 * factor * sharp, rtol=1e-5)


def test_it_reads_its_own_samples_and_steps_of_a_larger_rollout(drive: Any) -> None:
    config = KinematicConfig(prediction=0.0, futures=1.0, samples=2, steps=2)
    terms = build(config, drive.specs)(drive.outputs(), drive.batch)
    np.testing.assert_allclose(terms["rollout"].item(), np.mean([gap(x, "trapezoid", 1.0) for x in futures(drive, 2, 2)]), rtol=1e-5)


def test_uniform_motion_is_consistent(drive: Any) -> None:
    """Straight on at constant velocity the gap is nothing but the millimetre inside the root, and no limit is exceeded."""
    time = torch.arange(6.0)[None, :, None] * drive.batch["dt"][:, None, None]
    motion = {"vx": torch.full((2, 6, 4), 3.0), "vy": torch.full((2, 6, 4), -1.0), "heading": torch.zeros(2, 6, 4)}
    motion |= {"x": 3 * time.expand(2, 6, 4), "y": -time.expand(2, 6, 4)}
    drive.batch["agents.state"] = torch.stack([motion[n] for n in drive.seen_names], -1)
    state = torch.stack([motion[n] for n in drive.names], -1)
    drive.decoded.data, drive.futures.data = state, state[:, None, drive.start :].repeat(1, 3, 1, 1, 1)
    config = KinematicConfig(futures=1.0, samples=3, acceleration=1.0, max_acceleration=0.1, yaw_rate=1.0, max_yaw_rate=0.1)
    terms = build(config, drive.specs)(drive.outputs(), drive.batch)
    assert {k: pytest.approx(v.item(), abs=1e-6) for k, v in terms.items()} == dict.fromkeys(terms, 0)
    sum(terms.values()).backward()
    assert drive.decoded.grad.isfinite().all()
    assert drive.futures.grad.isfinite().all()


def test_agents_that_do_not_count_have_no_gradient(drive: Any) -> None:
    config = KinematicConfig(futures=1.0, samples=3, acceleration=1.0, max_acceleration=0.1, yaw_rate=1.0, max_yaw_rate=0.1)
    sum(build(config, drive.specs)(drive.outputs(), drive.batch).values()).backward()
    assert drive.decoded.grad.isfinite().all()
    assert drive.futures.grad.isfinite().all()
    assert torch.equal((drive.decoded.grad != 0).any(-1), drive.moved)
    assert not drive.futures.grad[~drive.here[:, None].expand(-1, 3, -1, -1)].any()


def test_an_empty_scene_costs_nothing_and_trains_nothing(drives: Any) -> None:
    drive = drives(presence=0.0)
    terms = build(KinematicConfig(futures=1.0, acceleration=1.0, yaw_rate=1.0), drive.specs)(drive.outputs(), drive.batch)
    sum(terms.values()).backward()
    assert {v.item() for v in terms.values()} == {0}
    assert not drive.decoded.grad.any()
    assert not drive.futures.grad.any()


def test_it_asks_for_a_rollout_only_where_futures_have_a_factor() -> None:
    assert (KinematicConfig().branches(), KinematicConfig().rollout()) == ({"prediction"}, None)
    config = KinematicConfig(prediction=0.0, futures=0.1, samples=4, steps=2)
    request = config.rollout()
    assert request is not None
    assert (config.branches(), request.samples, request.steps) == ({"rollout"}, 4, 2)


def test_without_a_rollout_it_says_why(drive: Any) -> None:
    with pytest.raises(PluginError, match="loss kinematic: the world model made no rollout"):
        build(KinematicConfig(futures=1.0), drive.specs)(drive.outputs(rollout=None), drive.batch)
