"""Slots: one MLP on the latent of the scene, whose heads emit all agents at once; against NumPy in float64."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from twm_core import DecoderSpecs, LatentSpec
from twm_core.data.schema import MOTION, traffic_observations
from twm_core.nn.interfaces import Anchor, Features
from twm_decoders.agents import AgentsDecoder, build
from twm_decoders.config import AgentsConfig
from twm_decoders.parametrisation import Absolute

OBS_SPEC = traffic_observations(features=("ax", *reversed(MOTION), "ay"), dt=0.2, context=3, horizon=4, protocol="p")
B, S, H, A, D, SLOTS = 2, 3, 4, 5, 6, 7


def make(**options: Any) -> AgentsDecoder:
    config = AgentsConfig.model_validate(
        {"width": 8, "layers": 2, "queries": "slots", "slots": SLOTS, "parametrisation": "absolute", "activation": "relu", **options}
    )
    latent = LatentSpec(layout="scene", width=D)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        decoder = build(config, DecoderSpecs(latent=latent, obs_spec=OBS_SPEC, output=config.output(latent, OBS_SPEC)))
    g = torch.Generator().manual_seed(2)
    state = torch.randn(B, 6, A, len(OBS_SPEC.get("agents.state").features), generator=g) * 3 + 1
    decoder.collect_statistics({"agents.state": state, "agents.exists": torch.rand(B, 6, A, generator=g) < 0.8, "dt": torch.ones(B)})
    return decoder.eval()


def anchor(agents: int = A) -> Anchor:
    state = torch.randn(B, agents, len(OBS_SPEC.get("agents.state").features), generator=torch.Generator().manual_seed(4))
    return Anchor(state, torch.ones(B, agents, dtype=torch.bool), torch.full((B,), 0.2))


def scene(*lead: int) -> Tensor:
    return torch.randn(*lead, D, generator=torch.Generator().manual_seed(1))


def affine(decoder: AgentsDecoder, name: str, x: np.ndarray) -> np.ndarray:
    weights = {k: v.double().numpy() for k, v in decoder.state_dict().items()}
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def after(activation: str, x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) if activation == "relu" else x / (1 + np.exp(-x))


@pytest.mark.parametrize(("activation", "heading"), list(itertools.product(["relu", "silu"], ["residual", "angle-head"])))
def test_states_and_existence_of_all_slots_are_linear_in_one_mlp_of_the_latent(activation: str, heading: str) -> None:
    decoder, read = make(activation=activation, heading=heading), scene(B)
    with torch.no_grad():
        decoded = decoder(Features(read, None), anchor())
    x = read.double().numpy()
    for layer in range(2):
        x = after(activation, affine(decoder, f"hidden.{layer}", x))
    out = affine(decoder, "head", x).reshape(B, SLOTS, 6)[:, :A]
    assert isinstance(decoder.scale, Absolute)
    unit, origin = decoder.scale.unit.double().numpy(), decoder.scale.origin.double().numpy()
    change = unit * out[..., :5]
    if heading == "angle-head":
        small = after(activation, affine(decoder, "angle.0", x))
        angle = unit[2] * affine(decoder, "angle.2", small).reshape(B, SLOTS, 2)[:, :A]
        change[..., 2] = np.arctan2(angle[..., 0], 1 + angle[..., 1])
    expected = origin + change
    expected[..., 2] = np.arctan2(np.sin(expected[..., 2]), np.cos(expected[..., 2]))
    np.testing.assert_allclose(decoded["agents.state"].mean.numpy(), expected, atol=2e-5)
    np.testing.assert_allclose(decoded["agents.exists"].mean.numpy(), 1 / (1 + np.exp(-out[..., 5])), atol=1e-6)


def test_the_first_layer_reads_the_latent_and_nothing_else() -> None:
    decoder = make()
    assert decoder.hidden[0].weight.shape == (8, D)
    assert decoder.head.weight.shape == (SLOTS * 6, 8)
    assert not [n for n, _ in decoder.named_parameters() if "embedding" in n]


@pytest.mark.parametrize("distribution", ["deterministic", "gaussian", "mixture"])
@pytest.mark.parametrize("parametrisation", ["kinematic", "displacement", "absolute"])
def test_a_slot_says_the_same_whoever_else_is_in_the_batch(parametrisation: str, distribution: str) -> None:
    decoder, futures = make(parametrisation=parametrisation, distribution=distribution, prior="constant-velocity", modes=2), scene(B, S, H)
    many, few = anchor(), Anchor(*(x[:, :2] if x.dim() > 1 else x for x in anchor()))
    with torch.no_grad():
        whole, part = (decoder.rollout(Features(futures, None), start) for start in (many, few))
    for key in ("agents.state", "agents.exists"):
        mean = whole[key].mean[:, :, :, :2]
        torch.testing.assert_close(part[key].mean, mean)


def test_gates_of_every_slot_begin_nearly_shut() -> None:
    seen = traffic_observations(features=(*MOTION, "ax", "ay", "yaw_rate"), dt=0.2, context=3, horizon=4, protocol="p")
    config, latent = AgentsConfig(width=8, queries="slots", slots=3), LatentSpec(layout="scene", width=D)
    decoder = build(config, DecoderSpecs(latent=latent, obs_spec=seen, output=config.output(latent, seen)))
    assert torch.equal(decoder.head.bias.view(3, 8)[:, -2:], torch.full((3, 2), -1.5))
    assert (decoder.head.bias.view(3, 8)[:, :-2] != -1.5).all()
