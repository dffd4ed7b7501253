"""The KL loss against the closed form, with free nats, masks and stopped gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from twm_core import LatentSpec, LossSpecs, OutputSpec, PluginError
from twm_core.data.schema import MOTION, traffic_observations
from twm_core.nn.distributions import Categorical, Normal
from twm_core.nn.interfaces import Belief, Features
from twm_losses.config import KLConfig
from twm_losses.kl import KL, build

OBS_SPEC = traffic_observations(features=MOTION, dt=0.1, context=3, horizon=4, protocol="p")


def logits(seed: int, *lead: int) -> Tensor:
    return torch.randn(*lead, 2, 3, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def beliefs(scene: Any, q: Tensor, p: Tensor) -> Any:
    return scene.outputs(**{n: Belief(None, Features(None, None), Categorical(x)) for n, x in (("posterior", q), ("prior", p))})


def kl(q: Tensor, p: Tensor) -> float:
    """sum over groups and classes of q log(q / p), from raw logits, in float64."""
    q_, p_ = (np.exp(x.detach().double().numpy()) for x in (q, p))
    q_, p_ = (x / x.sum(-1, keepdims=True) for x in (q_, p_))
    return float((q_ * np.log(q_ / p_)).sum())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.sampled_from([0.0, 1.0, 3.0]))
@torch.no_grad()
def test_terms_equal_the_closed_form_clipped_for_each_agent_that_exists(scenes: Any, seed: int, free: float) -> None:
    scene = scenes(seed)
    shape = scene.exists.shape
    q, p = logits(seed, *shape), logits(seed + 1, *shape)
    terms = KL(config=KLConfig(dyn=2.0, rep=0.5, free_nats=free), agents=True)(beliefs(scene, q, p), scene.batch)
    each = [max(kl(q[i], p[i]), free) for i in map(tuple, scene.exists.nonzero().tolist())]
    expected = np.mean(each) if each else 0
    np.testing.assert_allclose([terms["dyn"].item(), terms["rep"].item()], [2 * expected, 0.5 * expected], rtol=1e-4)


def gaussians(seed: int, *lead: int) -> Tensor:
    """Means and raw deviations `[...,6]` of three Gaussians each."""
    return torch.randn(*lead, 6, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def normal(x: Tensor) -> Normal:
    return Normal(x[..., :3], torch.nn.functional.softplus(x[..., 3:]) + 0.1)


def independent(family: str, q: Tensor, p: Tensor) -> Tensor:
    """KL of every latent by `torch.distributions`, in float64."""
    q, p = q.double(), p.double()
    if family == "categorical":
        pair = [torch.distributions.Categorical(logits=x) for x in (q, p)]
    else:
        pair = [torch.distributions.Normal(x[..., :3], torch.nn.functional.softplus(x[..., 3:]) + 0.1) for x in (q, p)]
    return torch.distributions.kl_divergence(*pair).sum(-1)


MAKE = {"categorical": (logits, Categorical), "gaussian": (gaussians, normal)}


def pair_of(scene: Any, family: str, seed: int = 0) -> tuple[Tensor, Tensor, Any]:
    """Leaves of posterior and prior, and outputs made of them."""
    leaf, distribution = MAKE[family]
    q, p = leaf(seed, *scene.exists.shape), leaf(seed + 1, *scene.exists.shape)
    sides = {n: Belief(None, Features(None, None), distribution(x)) for n, x in (("posterior", q), ("prior", p))}
    return q, p, scene.outputs(**sides)


@pytest.mark.parametrize("free", ["sum", "mean"])
@pytest.mark.parametrize("nats", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("family", MAKE)
def test_both_forms_equal_torch_distributions_with_free_nats_on_both_sides(scene: Any, family: str, nats: float, free: Any) -> None:
    q, p, outputs = pair_of(scene, family)
    with torch.no_grad():
        each = independent(family, q, p)[scene.exists].numpy()
        expected = np.maximum(each, nats).mean() if free == "sum" else max(each.mean(), nats)
        split = KL(config=KLConfig(dyn=2.0, rep=0.5, free_nats=nats, free=free), agents=True)(outputs, scene.batch)
        balance = KL(config=KLConfig(form="balance", alpha=0.7, free_nats=nats, free=free), agents=True)(outputs, scene.batch)
    np.testing.assert_allclose([split["dyn"].item(), split["rep"].item()], [2 * expected, 0.5 * expected], rtol=1e-5)
    assert set(balance) == {"balance"}
    np.testing.assert_allclose(balance["balance"].item(), expected, rtol=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.8, 1.0])
@pytest.mark.parametrize("family", MAKE)
def test_balance_shares_the_gradient_between_prior_and_posterior(scene: Any, family: str, alpha: float) -> None:
    """By the stopped gradients the prior gets alpha times the gradient of the KL, and the posterior the rest."""
    q, p, outputs = pair_of(scene, family)
    KL(config=KLConfig(form="balance", alpha=alpha, free_nats=0.0), agents=True)(outputs, scene.batch)["balance"].backward()
    q_, p_ = (x.detach().double().requires_grad_() for x in (q, p))
    independent(family, q_, p_)[scene.exists].mean().backward()
    for leaf, exact, share in ((p, p_, alpha), (q, q_, 1 - alpha)):
        assert leaf.grad is not None
        assert exact.grad is not None
        np.testing.assert_allclose(leaf.grad.double().numpy(), share * exact.grad.numpy(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("form", ["split", "balance"])
@pytest.mark.parametrize("family", MAKE)
def test_latents_of_absent_agents_may_hold_anything(scene: Any, family: str, form: Any) -> None:
    q, p, outputs = pair_of(scene, family)
    loss = KL(config=KLConfig(form=form, free_nats=0.0), agents=True)
    usual = sum(loss(outputs, scene.batch).values()).item()
    distribution = MAKE[family][1]
    q.data[~scene.exists] = torch.nan
    p.data[~scene.exists] = 1e30
    sides = {n: Belief(None, Features(None, None), distribution(x)) for n, x in (("posterior", q), ("prior", p))}
    total = sum(loss(scene.outputs(**sides), scene.batch).values())
    total.backward()
    assert total.item() == pytest.approx(usual)
    for x in (q, p):
        assert x.grad is not None
        assert x.grad[scene.exists].isfinite().all()
        assert (x.grad[scene.exists] != 0).any()


def test_a_floor_under_the_average_stops_every_gradient_at_once(scene: Any) -> None:
    q, p, outputs = pair_of(scene, "gaussian")
    sum(KL(config=KLConfig(free="mean", free_nats=1e3), agents=True)(outputs, scene.batch).values()).backward()
    assert q.grad is not None
    assert p.grad is not None
    assert not q.grad.any()
    assert not p.grad.any()


def test_a_scene_latent_counts_at_every_step(scene: Any) -> None:
    q, p = logits(0, 2, 7), logits(1, 2, 7)
    terms = KL(config=KLConfig(dyn=1.0, rep=1.0, free_nats=0.0), agents=False)(beliefs(scene, q, p), scene.batch)
    expected = np.mean([kl(q[b, t], p[b, t]) for b in range(2) for t in range(7)])
    np.testing.assert_allclose(terms["dyn"].item(), expected, rtol=1e-4)


@pytest.mark.parametrize(("term", "trained", "left_alone"), [("dyn", "prior", "posterior"), ("rep", "posterior", "prior")])
def test_each_term_trains_one_side_only_and_only_where_agents_exist(scene: Any, term: str, trained: str, left_alone: str) -> None:
    sides = {"posterior": logits(0, *scene.exists.shape), "prior": logits(1, *scene.exists.shape)}
    KL(config=KLConfig(free_nats=0), agents=True)(beliefs(scene, *sides.values()), scene.batch)[term].backward()
    assert sides[left_alone].grad is None
    gradient = sides[trained].grad
    assert gradient is not None
    assert torch.equal(gradient.abs().sum((-2, -1)) > 0, scene.exists)


def test_below_the_free_nats_nothing_is_pushed(scene: Any) -> None:
    q, p = logits(0, *scene.exists.shape), logits(1, *scene.exists.shape)
    terms = KL(config=KLConfig(dyn=1.0, rep=1.0, free_nats=1e3), agents=True)(beliefs(scene, q, p), scene.batch)
    assert [v.item() for v in terms.values()] == pytest.approx([1e3, 1e3])
    sum(terms.values()).backward()
    assert q.grad is not None
    assert p.grad is not None
    assert not q.grad.any()
    assert not p.grad.any()


def test_gaussian_latents_are_compared_too(scene: Any) -> None:
    shape = (*scene.exists.shape, 3)
    q, p = Normal(torch.ones(shape), torch.ones(3)), Normal(torch.zeros(shape), torch.ones(3))
    outputs = scene.outputs(posterior=Belief(None, Features(None, None), q), prior=Belief(None, Features(None, None), p))
    # Three unit Gaussians one deviation apart: 3 x 1/2 nats.
    terms = KL(config=KLConfig(dyn=1.0, rep=0.0, free_nats=0.0), agents=True)(outputs, scene.batch)
    assert (terms["dyn"].item(), terms["rep"].item()) == (pytest.approx(1.5), 0)


@pytest.mark.parametrize("options", [{}, {"free": "mean"}, {"form": "balance"}, {"form": "balance", "free": "mean"}])
def test_an_empty_scene_costs_nothing_and_has_finite_gradients(empty_scene: Any, options: Any) -> None:
    q, p = logits(0, *empty_scene.exists.shape), logits(1, *empty_scene.exists.shape)
    terms = KL(config=KLConfig(**options), agents=True)(beliefs(empty_scene, q, p), empty_scene.batch)
    assert {v.item() for v in terms.values()} == {0}
    sum(terms.values()).backward()
    assert q.grad is not None
    assert not q.grad.any()


def test_dynamics_that_declare_chance_but_give_none_are_refused(scene: Any) -> None:
    with pytest.raises(PluginError, match="loss kl: the dynamics declare a stochastic latent but give no distribution"):
        KL(config=KLConfig(), agents=True)(scene.outputs(), scene.batch)


def test_it_needs_chance_and_masks_by_the_layout() -> None:
    refused = KLConfig().accepts(OutputSpec(), LatentSpec(layout="agents", width=2), OBS_SPEC)
    assert refused is not None
    assert refused.needs == "a stochastic latent (gaussian or categorical)"
    assert refused.remedy == "choose --dynamics rssm-cat"
    for layout, agents in (("agents", True), ("scene", False)):
        latent = LatentSpec(layout=layout, width=2, family="gaussian")  # pyrefly: ignore[bad-argument-type]
        assert KLConfig().accepts(OutputSpec(), latent, OBS_SPEC) is None
        assert build(KLConfig(), LossSpecs(output=OutputSpec(), latent=latent, obs_spec=OBS_SPEC)).agents == agents
