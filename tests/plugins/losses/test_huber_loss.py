"""The Huber loss against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twm_core import LatentSpec, LossSpecs, OutputKey, OutputSpec
from twm_core.data.schema import traffic_observations
from twm_losses.config import HuberConfig
from twm_losses.huber import Huber, build

LATENT = LatentSpec(layout="agents", width=2)
OBS_SPEC = traffic_observations(features=("vy", "vx", "heading", "y", "x"), dt=0.1, context=2, horizon=2, protocol="p")


def huber(e: float, beta: float) -> float:
    return e * e / (2 * beta) if abs(e) < beta else abs(e) - beta / 2


def make(scene: Any, **options: Any) -> Huber:
    return Huber(config=HuberConfig(**options), features=list(scene.truth))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.sampled_from([0.1, 1.0, 5.0]))
@torch.no_grad()
def test_both_terms_equal_a_plain_loop(scenes: Any, seed: int, beta: float) -> None:
    scene = scenes(seed)
    terms = make(scene, beta=beta, reconstruction=0.5, prediction=2.0)(scene.outputs(), scene.batch)
    b_, t_, a_ = scene.exists.shape
    for name, factor, guess in (("reconstruction", 0.5, scene.present), ("prediction", 2.0, scene.present * 0.5 + 1)):
        costs = [
            huber(true - float(guess[b, t, a, i]), beta)
            for b in range(b_)
            for t in range(1, t_)
            for a in range(a_)
            if scene.exists[b, t, a] and scene.exists[b, t - 1, a]
            for i, true in enumerate(scene.true(b, t, a))
        ]
        np.testing.assert_allclose(terms[name].item(), factor * np.mean(costs) if costs else 0, rtol=1e-4)


def test_what_does_not_count_has_no_gradient(scene: Any) -> None:
    sum(make(scene)(scene.outputs(), scene.batch).values()).backward()
    counted = torch.zeros_like(scene.exists)
    counted[:, 1:] = scene.exists[:, 1:] & scene.exists[:, :-1]
    assert not scene.present.grad[~counted].any()
    assert scene.present.grad[counted].abs().sum(-1).gt(0).all()


def test_an_empty_scene_costs_nothing_and_has_finite_gradients(empty_scene: Any) -> None:
    terms = make(empty_scene)(empty_scene.outputs(), empty_scene.batch)
    assert [v.item() for v in terms.values()] == [0, 0]
    sum(terms.values()).backward()
    assert not empty_scene.present.grad.any()


@pytest.mark.parametrize("left_out", ["reconstruction", "prediction"])
def test_a_factor_of_zero_leaves_the_branch_out(scene: Any, left_out: str) -> None:
    config = HuberConfig(**{left_out: 0})
    assert config.branches() == {"reconstruction", "prediction"} - {left_out}
    assert set(Huber(config=config, features=list(scene.truth))(scene.outputs(**{left_out: {}}), scene.batch)) == config.branches()


def test_features_are_found_by_name_whatever_the_order() -> None:
    output = OutputSpec(keys=(OutputKey(key="agents.state", distribution="normal", features=("x", "y", "vy")),))
    assert build(HuberConfig(), LossSpecs(output=output, latent=LATENT, obs_spec=OBS_SPEC)).features == [4, 3, 0]


def test_it_needs_decoded_states() -> None:
    refused = HuberConfig().accepts(OutputSpec(), LATENT, OBS_SPEC)
    assert refused is not None
    assert refused.message == "needs a decoder that returns 'agents.state', got output(nothing)"
    assert refused.remedy == "add --decoder agents"
    output = OutputSpec(keys=(OutputKey(key="agents.state", distribution="motion"),))
    assert HuberConfig().accepts(output, LATENT, OBS_SPEC) is None
