"""The rollout loss against plain loops over futures, agents and steps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twm_core import LatentSpec, LossSpecs, OutputKey, OutputSpec, PluginError
from twm_core.data.schema import traffic_observations
from twm_losses.config import RolloutConfig
from twm_losses.rollout import RolloutLoss, build

LATENT = LatentSpec(layout="agents", width=2)
OBS_SPEC = traffic_observations(features=("vy", "vx", "heading", "y", "x"), dt=0.1, context=2, horizon=2, protocol="p")


def make(scene: Any, **options: Any) -> RolloutLoss:
    config = RolloutConfig(**{"samples": 3, "best": 1.0, "mean": 1.0, "existence": 1.0, **options})
    return RolloutLoss(config=config, truth=list(scene.truth), decoded=[0, 1], existence=True, agents=True)


def huber(e: float, beta: float) -> float:
    return e * e / (2 * beta) if abs(e) < beta else abs(e) - beta / 2


def costs(scene: Any, beta: float) -> dict[tuple[int, int], list[float]]:
    """For each agent that exists at the last observed step and later: the average cost of each of its futures."""
    found = {}
    b_, t_, a_ = scene.exists.shape
    for b in range(b_):
        for a in range(a_):
            steps = [t for t in range(scene.start, t_) if scene.exists[b, t, a] and scene.exists[b, scene.start - 1, a]]
            if not steps:
                continue
            found[b, a] = [
                sum(
                    huber(math.sqrt(math.dist(scene.futures[b, s, t - scene.start, a].tolist(), scene.true(b, t, a)) ** 2 + 1e-6), beta)
                    for t in steps
                )
                / len(steps)
                for s in range(scene.futures.shape[1])
            ]
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.sampled_from([0.3, 1.0, 4.0]))
@torch.no_grad()
def test_best_and_mean_equal_a_plain_loop(scenes: Any, seed: int, beta: float) -> None:
    scene = scenes(seed)
    terms = make(scene, beta=beta, best=0.7, mean=0.2)(scene.outputs(), scene.batch)
    each = list(costs(scene, beta).values())
    np.testing.assert_allclose(terms["best"].item(), 0.7 * np.mean([min(c) for c in each]) if each else 0, rtol=1e-4)
    np.testing.assert_allclose(terms["mean"].item(), 0.2 * np.mean(each) if each else 0, rtol=1e-4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6))
@torch.no_grad()
def test_existence_equals_a_plain_loop_over_agents_that_began(scenes: Any, seed: int) -> None:
    scene = scenes(seed)
    term = make(scene, existence=0.5)(scene.outputs(), scene.batch)["existence"]
    b_, t_, a_ = scene.exists.shape
    each = [
        math.log1p(math.exp(-logit if scene.exists[b, t, a] else logit))
        for b in range(b_)
        for a in range(a_)
        if scene.exists[b, scene.start - 1, a]
        for t in range(scene.start, t_)
        for logit in scene.future_logit[b, :, t - scene.start, a].tolist()
    ]
    np.testing.assert_allclose(term.item(), 0.5 * np.mean(each) if each else 0, rtol=1e-4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.sampled_from([0, 1, 2, 5, None]))
@torch.no_grad()
def test_the_last_step_and_the_few_best_futures_equal_a_plain_loop(scenes: Any, seed: int, step: int | None) -> None:
    scene = scenes(seed)
    final, anneal = 0.4, 4
    terms = make(scene, beta=0.5, final=final, anneal=anneal)(scene.outputs()._replace(step=step), scene.batch)
    each = []
    for (b, a), found in costs(scene, 0.5).items():
        last = max(t for t in range(scene.start, scene.exists.shape[1]) if scene.exists[b, t, a])
        ends = [
            huber(math.sqrt(math.dist(scene.futures[b, s, last - scene.start, a].tolist(), scene.true(b, last, a)) ** 2 + 1e-6), 0.5)
            for s in range(len(found))
        ]
        each.append(sorted(c + final * e for c, e in zip(found, ends, strict=True)))
    learning = 1 if step is None or step >= anneal else max(1, round(3 - 2 * step / anneal))
    np.testing.assert_allclose(terms["best"].item(), np.mean([np.mean(c[:learning]) for c in each]) if each else 0, rtol=1e-4)
    np.testing.assert_allclose(terms["mean"].item(), np.mean([np.mean(c) for c in each]) if each else 0, rtol=1e-4)


@pytest.mark.parametrize(("samples", "steps"), [(2, None), (3, 2), (1, 1)])
@torch.no_grad()
def test_it_takes_its_own_samples_and_steps_of_a_larger_rollout(scene: Any, samples: int, steps: int | None) -> None:
    loss = make(scene, samples=samples, steps=steps)
    terms = loss(scene.outputs(), scene.batch)
    decoded = scene.outputs().rollout.decoded
    cut = {k: d.map(lambda x: x[:, :samples, :steps]) for k, d in decoded.items()}
    exact = loss(scene.outputs(rollout=scene.outputs().rollout._replace(decoded=cut)), scene.batch)
    assert {k: v.item() for k, v in terms.items()} == {k: v.item() for k, v in exact.items()}
    scene.futures[:, samples:] = torch.nan
    if steps is not None:
        scene.futures[:, :, steps:] = torch.nan
    again = loss(scene.outputs(), scene.batch)
    assert (again["best"].item(), again["mean"].item()) == (terms["best"].item(), terms["mean"].item())


def test_the_best_term_trains_only_the_best_future_of_each_agent(scene: Any) -> None:
    make(scene)(scene.outputs(), scene.batch)["best"].backward()
    moved = scene.futures.grad.abs().sum((2, 4)) > 0  # B S A
    for (b, a), each in costs(scene, 1.0).items():
        assert moved[b, :, a].tolist() == [c == min(each) for c in each]


def test_agents_that_do_not_exist_have_no_gradient(scene: Any) -> None:
    terms = make(scene)(scene.outputs(), scene.batch)
    (terms["best"] + terms["mean"]).backward()
    counted = scene.exists[:, scene.start :] & scene.exists[:, scene.start - 1, None]  # B H A
    assert scene.futures.grad.isfinite().all()
    assert torch.equal(scene.futures.grad.abs().sum((1, 4)) > 0, counted)


def test_a_perfect_future_has_a_finite_gradient(scene: Any) -> None:
    scene.batch["agents.state"] = torch.zeros_like(scene.batch["agents.state"])
    scene.futures.data.zero_()
    sum(make(scene)(scene.outputs(), scene.batch).values()).backward()
    assert scene.futures.grad.isfinite().all()


def test_an_empty_scene_costs_nothing_and_has_finite_gradients(empty_scene: Any) -> None:
    terms = make(empty_scene)(empty_scene.outputs(), empty_scene.batch)
    assert {k: v.item() for k, v in terms.items()} == {"best": 0, "mean": 0, "existence": 0}
    sum(terms.values()).backward()
    assert not empty_scene.futures.grad.any()
    assert not empty_scene.future_logit.grad.any()


def test_existence_is_left_out_at_factor_zero_and_where_it_is_not_decoded(scene: Any) -> None:
    assert set(make(scene, existence=0)(scene.outputs(), scene.batch)) == {"best", "mean"}
    loss = RolloutLoss(config=RolloutConfig(), truth=list(scene.truth), decoded=[0, 1], existence=False, agents=True)
    assert set(loss(scene.outputs(), scene.batch)) == {"best", "mean"}


def test_positions_are_found_by_name_on_both_sides() -> None:
    output = OutputSpec(keys=(OutputKey(key="agents.state", distribution="motion", features=("vx", "x", "y")),))
    loss = build(RolloutConfig(), LossSpecs(output=output, latent=LATENT, obs_spec=OBS_SPEC))
    assert (loss.truth, loss.decoded, loss.existence) == ([4, 3], [1, 2], False)


def test_it_needs_positions_and_windows_with_predicted_steps() -> None:
    output = OutputSpec(keys=(OutputKey(key="agents.state", distribution="motion", features=("vx", "x", "y")),))
    assert RolloutConfig().accepts(output, LATENT, OBS_SPEC) is None
    refused = RolloutConfig().accepts(output, LATENT, OBS_SPEC.model_copy(update={"horizon": 0}))
    assert refused is not None
    assert refused.needs == "windows with predicted steps"
    nameless = OutputSpec(keys=(OutputKey(key="agents.state", distribution="motion"),))
    refused = RolloutConfig().accepts(nameless, LATENT, OBS_SPEC)
    assert refused is not None
    assert refused.message == "needs decoded features 'x', 'y' of 'agents.state', got features without names"


def test_without_a_rollout_it_says_why(scene: Any) -> None:
    with pytest.raises(PluginError, match="loss rollout: the world model made no rollout") as caught:
        make(scene)(scene.outputs(rollout=None), scene.batch)
    assert caught.value.hint == "use a dataset whose windows have predicted steps"


def test_it_asks_for_as_many_futures_as_its_config_says() -> None:
    config = RolloutConfig(samples=5, steps=7, grow=100)
    request = config.rollout()
    assert request is not None
    assert (request.samples, request.steps, request.grow) == (5, 7, 100)
    assert config.branches() == {"rollout"}
    assert config.accepts(OutputSpec(), LATENT, OBS_SPEC) is not None
