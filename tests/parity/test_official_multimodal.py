"""The encoder and the image decoder against the official implementation's own numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from check import PIXEL
from official_multimodal import encoder_parameters, image_decoder_parameters
from safetensors.torch import load_file
from torch import Tensor

from twm_core.nn.interfaces import Features
from twm_core.specs import DecoderSpecs, EncoderSpecs, KeySpec, LatentSpec, ObservationSpec
from twm_multimodal.config import ImageConfig, MultimodalConfig
from twm_multimodal.encoder import build as build_encoder
from twm_multimodal.image_decoder import build as build_decoder

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "dreamerv3_parity"
LATENT = LatentSpec(layout="scene", width=96, family="categorical", deter=64, groups=4, classes=8)
VECTORS = (KeySpec(key="vector.kind", axes="B T", dtype="int64", classes=5), KeySpec(key="vector.vector", axes="B T D", shape=(24,)))
IMAGES = (
    KeySpec(key="image.image", axes="B T C H W", dtype="uint8", shape=(3, 64, 64)),
    KeySpec(key="vector.vector", axes="B T D", shape=(3,)),
)


def load(name: str) -> dict[str, Tensor]:
    path = DATA / f"{name}_seed0.safetensors"
    if not path.exists():
        pytest.skip(f"{path.name} is not at hand")
    return load_file(path)


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def encoder(name: str, tensors: dict[str, Tensor]) -> torch.nn.Module:
    obs_spec = ObservationSpec(keys=VECTORS if name == "vector" else IMAGES, dt=1.0, context=1, horizon=0)
    config = MultimodalConfig(depth=4, units=32)
    module = build_encoder(config, EncoderSpecs(obs_spec=obs_spec, embedding=config.embedding(obs_spec)))
    module.load_state_dict(encoder_parameters(part(tensors, "param/")), strict=True)
    return module


def batch(name: str, tensors: dict[str, Tensor], prefix: str = "in/obs/") -> dict[str, Tensor]:
    found = {"vector.vector": tensors[f"{prefix}vector"]}
    if name == "vector":
        return {**found, "vector.kind": tensors[f"{prefix}kind"].long()}
    return {**found, "image.image": tensors[f"{prefix}image"].permute(0, 1, 4, 2, 3)}


def decoder(tensors: dict[str, Tensor]) -> torch.nn.Module:
    obs_spec = ObservationSpec(keys=IMAGES, dt=1.0, context=1, horizon=0)
    config = ImageConfig(depth=4, units=32)
    module = build_decoder(config, DecoderSpecs(latent=LATENT, obs_spec=obs_spec, output=config.output(LATENT, obs_spec)))
    module.load_state_dict(image_decoder_parameters(part(tensors, "param/")), strict=True)
    return module


def features(tensors: dict[str, Tensor]) -> Features:
    return Features(torch.cat([tensors["out/deter"], tensors["out/stoch"].flatten(-2)], dim=-1), None)


def relative(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).abs().max() / b.double().abs().max())


@pytest.mark.parametrize("name", ["vector", "image"])
def test_tokens_are_the_official_ones(name: str) -> None:
    tensors = load(name)
    with torch.no_grad():
        tokens = encoder(name, tensors)(batch(name, tensors)).scene
    assert relative(tokens, tensors["out/tokens"]) < 1e-5


def test_tokens_with_missing_values_are_the_official_ones() -> None:
    tensors = load("vector")
    seen = batch("vector", tensors, "missing/")
    assert bool((seen["vector.vector"] == -torch.inf).any())
    assert bool((seen["vector.kind"] == -1).any())
    with torch.no_grad():
        tokens = encoder("vector", tensors)(seen).scene
    assert relative(tokens, tensors["missing/tokens"]) < 1e-5


def test_decoded_images_and_their_loss_are_the_official_ones() -> None:
    tensors = load("image")
    with torch.no_grad():
        decoded = decoder(tensors)(features(tensors), None)["image.image"]
        loss = -decoded.log_prob(batch("image", tensors)["image.image"])
    assert relative(decoded.mean.permute(0, 1, 3, 4, 2), tensors["out/dec/image/pred"]) < PIXEL
    assert relative(loss, tensors["out/loss/image"]) < 1e-5


def test_gradients_of_the_decoder_are_the_official_ones() -> None:
    """Its parameters appear in the image's loss only, so that they can be compared without the rest of the model."""
    tensors = load("image")
    module = decoder(tensors)
    loss = -module(features(tensors), None)["image.image"].log_prob(batch("image", tensors)["image.image"]).mean()
    loss.backward()
    official = image_decoder_parameters(part(tensors, "grad/"))
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None
        assert relative(parameter.grad, official[name]) < 1e-4, name


def test_the_sizes_of_the_published_image_model_are_kept() -> None:
    """Encoder 220,416 and decoder 2,387,139: what 8,390,851 leaves when the published vector-only parts are taken away.

    7,386,904 has a vector encoder of 539,648 and a vector decoder of 1,326,104; 1,024 image tokens instead of 512 make the posterior's
    first layer wider by 512 x 512.
    """
    obs_spec = ObservationSpec(keys=IMAGES[:1], dt=1.0, context=1, horizon=0)
    latent = LatentSpec(layout="scene", width=512 + 1024, family="categorical", deter=512, groups=32, classes=32)
    ours, theirs = MultimodalConfig(units=512), ImageConfig(units=512)
    embedding = ours.embedding(obs_spec)
    assert embedding.scene == 1024
    enc = build_encoder(ours, EncoderSpecs(obs_spec=obs_spec, embedding=embedding))
    dec = build_decoder(theirs, DecoderSpecs(latent=latent, obs_spec=obs_spec, output=theirs.output(latent, obs_spec)))
    counts = [sum(p.numel() for p in m.parameters()) for m in (enc, dec)]
    assert counts == [220_416, 2_387_139]
    assert 7_386_904 - 539_648 - 1_326_104 + 512 * 512 + sum(counts) == 8_390_851
