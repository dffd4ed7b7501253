"""The existence loss against a plain loop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twm_core import LatentSpec, OutputKey, OutputSpec
from twm_core.data.schema import MOTION, traffic_observations
from twm_losses.config import ExistenceConfig
from twm_losses.existence import Existence


def surprise(logit: float, there: bool) -> float:
    """-log of the probability given to what happened."""
    return math.log1p(math.exp(-logit if there else logit))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6))
@torch.no_grad()
def test_both_terms_equal_a_plain_loop_over_agents_seen_before(scenes: Any, seed: int) -> None:
    scene = scenes(seed, presence=0.4)
    terms = Existence(config=ExistenceConfig(reconstruction=0.5, prediction=2.0))(scene.outputs(), scene.batch)
    b_, t_, a_ = scene.exists.shape
    for name, factor, logit in (("reconstruction", 0.5, scene.logit), ("prediction", 2.0, -scene.logit)):
        costs = [
            surprise(float(logit[b, t, a]), bool(scene.exists[b, t, a]))
            for b in range(b_)
            for a in range(a_)
            for t in range(1, t_)
            if any(bool(scene.exists[b, u, a]) for u in range(t))
        ]
        np.testing.assert_allclose(terms[name].item(), factor * np.mean(costs) if costs else 0, rtol=1e-4)


def test_an_agent_that_has_left_goes_on_counting_and_one_that_never_came_does_not(scene: Any) -> None:
    scene.exists.fill_(False)
    scene.exists[0, 0, 0] = True
    sum(Existence(config=ExistenceConfig())(scene.outputs(), scene.batch).values()).backward()
    expected = torch.zeros_like(scene.exists)
    expected[0, 1:, 0] = True
    assert torch.equal(scene.logit.grad != 0, expected)


def test_an_empty_scene_costs_nothing_and_has_finite_gradients(empty_scene: Any) -> None:
    terms = Existence(config=ExistenceConfig())(empty_scene.outputs(), empty_scene.batch)
    assert [v.item() for v in terms.values()] == [0, 0]
    sum(terms.values()).backward()
    assert not empty_scene.logit.grad.any()


def test_a_factor_of_zero_leaves_the_branch_out(scene: Any) -> None:
    config = ExistenceConfig(reconstruction=0)
    assert config.branches() == {"prediction"}
    assert set(Existence(config=config)(scene.outputs(reconstruction={}), scene.batch)) == {"prediction"}


def test_it_needs_decoded_existence() -> None:
    latent = LatentSpec(layout="agents", width=2)
    seen = traffic_observations(features=MOTION, dt=0.1, context=2, horizon=2, protocol="p")
    refused = ExistenceConfig().accepts(OutputSpec(keys=(OutputKey(key="agents.state", distribution="motion"),)), latent, seen)
    assert refused is not None
    assert refused.message == "needs a decoder that returns 'agents.exists', got output(agents.state: motion)"
    assert ExistenceConfig().accepts(OutputSpec(keys=(OutputKey(key="agents.exists", distribution="bernoulli"),)), latent, seen) is None
