"""The decoders `vector`, `reward` and `continue` against NumPy in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from twm_core import KeySpec, LatentSpec, ObservationSpec
from twm_core.nn.distributions import Distribution, Normal
from twm_core.nn.interfaces import Decoder, Features
from twm_core.specs import DecoderSpecs
from twm_multimodal import heads, vector
from twm_multimodal.config_heads import ContinueConfig, RewardConfig, VectorConfig

LATENT = LatentSpec(layout="scene", width=6)
OBS_SPEC = ObservationSpec(
    keys=(
        KeySpec(key="vector.own.pose", axes="B T D", shape=(3,)),
        KeySpec(key="vector.kind", axes="B T", dtype="int64", classes=4),
        KeySpec(key="reward", axes="B T", role="target"),
        KeySpec(key="is_terminal", axes="B T", dtype="bool", role="target"),
    ),
    dt=0.1,
    context=2,
    horizon=1,
)
FEATURES = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))


def built(build: Any, config: Any) -> Decoder:
    torch.manual_seed(0)
    return build(config, DecoderSpecs(latent=LATENT, obs_spec=OBS_SPEC, output=config.output(LATENT, OBS_SPEC)))


def decoded(module: Decoder) -> dict[str, Distribution]:
    with torch.no_grad():
        return module(Features(FEATURES, None), None)


def weights(module: nn.Module) -> dict[str, np.ndarray]:
    return {k: v.double().numpy() for k, v in module.state_dict().items()}


def linear(x: np.ndarray, w: dict[str, np.ndarray], name: str) -> np.ndarray:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def trunk(w: dict[str, np.ndarray], layers: int) -> np.ndarray:
    """(Linear, RMS norm, SiLU) x layers."""
    x = FEATURES.double().numpy()
    for i in range(layers):
        x = linear(x, w, f"mlp.linears.{i}")
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-4) * w[f"mlp.norms.{i}.scale"]
        x = x / (1 + np.exp(-x))
    return x


def layer_norm_trunk(module: nn.Module, layers: int) -> Tensor:
    """(Linear without bias, layer norm, SiLU) x layers, in float64 by torch's own functions."""
    w = {k: v.double() for k, v in module.state_dict().items()}
    x = FEATURES.double()
    for i in range(layers):
        norm = f"mlp.norms.{i}.0"
        assert f"mlp.linears.{i}.bias" not in w
        x = nn.functional.layer_norm(x @ w[f"mlp.linears.{i}.weight"].T, (8,), w[f"{norm}.weight"], w[f"{norm}.bias"], 1e-3)
        x = nn.functional.silu(x)
    return x


def agree(ours: Tensor, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-5, atol=1e-5)


def test_symlog_vectors_and_labels_are_a_linear_head_each_on_one_trunk() -> None:
    module = built(vector.build, VectorConfig(units=8))
    w, out = weights(module), decoded(module)
    hidden = trunk(w, 3)
    pred = linear(hidden, w, "heads.vector/own/pose.pred")
    agree(out["vector.own.pose"].mean, np.sign(pred) * np.expm1(np.abs(pred)))
    agree(out["vector.kind"].logits, linear(hidden, w, "heads.vector/kind.logits"))  # type: ignore[attr-defined]


@pytest.mark.parametrize("distribution", ["mse", "normal"])
def test_vectors_in_their_own_units_are_scaled_by_the_training_data(distribution: Any) -> None:
    module = built(vector.build, VectorConfig(units=8, layers=1, distribution=distribution, min_std=0.1, max_std=20.0))
    poses = torch.randn(7, 4, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 50.0, 0.2]) + 7
    missing = poses.clone()
    missing[0, 0, 1] = -torch.inf
    module.collect_statistics({"vector.own.pose": missing, "vector.kind": torch.zeros(7, 4, dtype=torch.int64)})
    rows = poses.double().numpy().reshape(-1, 3)[1:]
    w, out = weights(module), decoded(module)["vector.own.pose"]
    hidden = trunk(w, 1)
    agree(out.mean, rows.mean(0) + rows.std(0) * linear(hidden, w, "heads.vector/own/pose.pred"))
    if isinstance(out, Normal):
        share = 1 / (1 + np.exp(-linear(hidden, w, "heads.vector/own/pose.spread")))
        agree(out.std, rows.std(0) * 0.1 ** (1 - share) * 20.0**share)


def test_a_fresh_two_hot_reward_expects_nothing_anywhere() -> None:
    for distribution in ("symexp-twohot", "symlog-twohot"):
        config: Any = RewardConfig(units=8, distribution=distribution)
        assert decoded(built(heads.build_reward, config))["reward"].mean.eq(0).all()


def test_a_reward_by_squared_error_is_one_linear_head() -> None:
    module = built(heads.build_reward, RewardConfig(units=8, layers=2, distribution="mse"))
    w = weights(module)
    agree(decoded(module)["reward"].mean, linear(trunk(w, 2), w, "head")[..., 0])


def test_going_on_is_a_sigmoid_and_its_discount_follows_the_horizon() -> None:
    module = built(heads.build_continue, ContinueConfig(units=8, horizon=50.0))
    w, out = weights(module), decoded(module)["continue"]
    logit = linear(trunk(w, 1), w, "head")[..., 0]
    agree(out.mean, 1 / (1 + np.exp(-logit)))
    p = 1 / (1 + np.exp(-logit))
    agree(out.log_prob(torch.ones(2, 5)), 0.98 * np.log(p) + 0.02 * np.log(1 - p))


@pytest.mark.parametrize("form", ["symexp-twohot", "symlog-twohot", "mse"])
def test_a_reward_head_learns_rewards_of_any_size(form: Any) -> None:
    module = built(heads.build_reward, RewardConfig(units=16, distribution=form))
    rewards = torch.tensor([[0.0, 1.0, -1.0, 0.5, 2.0], [0.0, 0.0, -3.0, 4.0, 30.0]])
    optimizer = torch.optim.Adam(module.parameters(), lr=0.03)
    for _ in range(250):
        optimizer.zero_grad()
        (-module(Features(FEATURES, None), None)["reward"].log_prob(rewards)).mean().backward()
        optimizer.step()
    np.testing.assert_allclose(decoded(module)["reward"].mean.numpy(), rewards.numpy(), atol=0.3, rtol=0.05)


@pytest.mark.parametrize(
    ("build", "config", "head", "key"),
    [
        (vector.build, VectorConfig(units=8, layers=5, norm="layer", eps=1e-3), "heads.vector/kind.logits", "vector.kind"),
        (heads.build_reward, RewardConfig(units=8, layers=5, norm="layer", eps=1e-3, distribution="mse"), "head", "reward"),
        (heads.build_continue, ContinueConfig(units=8, layers=5, norm="layer", eps=1e-3), "head", "continue"),
    ],
)
def test_with_layer_norms_the_trunk_is_that_of_the_early_release(build: Any, config: Any, head: str, key: str) -> None:
    module = built(build, config)
    found: Any = decoded(module)[key]
    out = linear(layer_norm_trunk(module, 5).numpy(), weights(module), head)
    if key == "vector.kind":
        agree(found.logits, out)
    else:
        agree(found.mean, out[..., 0] if key == "reward" else 1 / (1 + np.exp(-out[..., 0])))
