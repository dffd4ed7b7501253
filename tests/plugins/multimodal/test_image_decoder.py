"""The decoder `image`: fast upsampling against its definition, distributions against torch's, layouts and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from twm_core.errors import Mismatch
from twm_core.nn.interfaces import Features
from twm_core.nn.norm import NormSiLU
from twm_core.specs import DecoderSpecs, KeySpec, LatentSpec, ObservationSpec
from twm_multimodal.block_spatial import BlockSpatialCNN
from twm_multimodal.config import ImageConfig
from twm_multimodal.image_decoder import Image, build
from twm_multimodal.pixels import ImageMSE, ImageNormal
from twm_multimodal.stage import gather, spread
from twm_multimodal.upsampling import UpConv, fold_matrix

FRONT = KeySpec(key="image.front", axes="B T C H W", dtype="uint8", shape=(3, 16, 32))
REAR = KeySpec(key="image.rear", axes="B T C H W", dtype="uint8", shape=(1, 16, 32))
SMALL = KeySpec(key="image.small", axes="B T C H W", dtype="uint8", shape=(1, 16, 16))
SPEED = KeySpec(key="vector.speed", axes="B T D", shape=(3,))
LATENT = LatentSpec(layout="scene", width=30, family="gaussian", deter=16, groups=14)
TINY: dict[str, Any] = {"depth": 4, "mults": (1, 2, 4), "units": 8}


def obs_spec(*keys: KeySpec) -> ObservationSpec:
    return ObservationSpec(keys=keys, dt=0.1, context=2, horizon=1)


def make(latent: LatentSpec = LATENT, keys: tuple[KeySpec, ...] = (FRONT, REAR), **options: Any) -> Image:
    config, spec = ImageConfig(**{**TINY, **options}), obs_spec(*keys)
    torch.manual_seed(0)
    return build(config, DecoderSpecs(latent=latent, obs_spec=spec, output=config.output(latent, spec)))


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("bias", [True, False])
def test_the_folded_convolution_equals_doubling_and_convolving(kernel: int, bias: bool) -> None:
    """Values and gradients, in float64."""
    torch.manual_seed(kernel)
    layer = UpConv(3, 5, kernel=kernel, bias=bias).double()
    found: list[list[Tensor]] = []
    for run in (layer.forward, layer.plain):
        x = torch.randn(2, 4, 6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
        y = run(x)
        assert y.shape == (2, 8, 12, 5)
        weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        found.append([y, *torch.autograd.grad((y * weights).sum(), [x, *layer.parameters()])])
    for fast, plain in zip(*found, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-12, atol=1e-12)


def test_the_definition_is_nearest_doubling_and_convolving() -> None:
    layer, x = UpConv(3, 5, kernel=5, bias=True), torch.randn(2, 4, 6, 3)
    doubled = F.interpolate(x.movedim(-1, 1), scale_factor=2.0, mode="nearest")
    torch.testing.assert_close(layer.plain(x), F.conv2d(doubled, layer.weight, layer.bias, padding=2).movedim(1, -1))


def test_five_taps_fall_on_three_pixels() -> None:
    np.testing.assert_array_equal(fold_matrix(5)[0], [[1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]])
    np.testing.assert_array_equal(fold_matrix(5)[1], [[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 1]])


def test_spread_puts_four_pixels_in_their_places() -> None:
    x = torch.arange(2 * 3 * 2 * 2 * 1).reshape(1, 2, 3, 2, 2, 1)
    whole = spread(x)
    assert whole.shape == (1, 4, 6, 1)
    assert all(
        whole[0, 2 * r + p, 2 * c + q, 0] == x[0, r, c, p, q, 0] for r in range(2) for c in range(3) for p in range(2) for q in range(2)
    )
    assert torch.equal(gather(whole), x)


@pytest.mark.parametrize("norm", ["rms", "layer"])
@pytest.mark.parametrize("cache", [1, 1 << 20])
def test_the_fast_decoder_equals_the_plain_one(monkeypatch: pytest.MonkeyPatch, norm: str, cache: int) -> None:
    """Values and gradients to 1e-5 of the largest, one image at a time and all at once."""
    monkeypatch.setattr("twm_multimodal.stage.CACHE", cache)
    module = make(norm=norm)
    assert isinstance(module.cnn, BlockSpatialCNN)
    found: list[list[Tensor]] = []
    for run in (module.cnn.forward, module.cnn.plain):
        x = torch.randn(5, 30, generator=torch.Generator().manual_seed(1), requires_grad=True)
        y = run(x)
        weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
        found.append([y, *torch.autograd.grad((y * weights).mean(), [x, *module.parameters()])])
    for fast, plain in zip(*found, strict=True):
        assert float((fast - plain).detach().abs().max() / plain.detach().abs().max()) < 1e-5


def test_the_small_map_is_block_major() -> None:
    """Block g of the deterministic state writes channels g * c .. of every pixel, and nothing else."""
    module = make(blocks=4)
    assert isinstance(module.cnn, BlockSpatialCNN)
    module.cnn.norm = torch.nn.Identity()
    x = torch.zeros(1, 30)
    base = module.cnn.small_map(x)
    x[0, 4:8] = 1.0  # block 1 of 4
    changed = (module.cnn.small_map(x) - base).abs()[0] > 0
    assert changed.shape == (2, 4, 16)
    assert bool(changed[..., 4:8].all())
    assert not bool(changed[..., :4].any() or changed[..., 8:].any())


@pytest.mark.parametrize("upsampling", ["block-spatial", "transposed"])
def test_several_images_are_split_again(upsampling: str) -> None:
    module = make(upsampling=upsampling)
    decoded = module(Features(torch.randn(2, 3, 30), None), None)
    assert {k: tuple(d.mean.shape) for k, d in decoded.items()} == {"image.front": (2, 3, 3, 16, 32), "image.rear": (2, 3, 1, 16, 32)}
    assert all(bool(((d.mean >= 0) & (d.mean <= 1)).all()) for d in decoded.values())


def test_with_both_layouts_the_scene_is_decoded() -> None:
    latent = LatentSpec(layout="both", width=7, scene_width=30)
    module = make(latent, upsampling="transposed", squash="shift")
    scene = torch.randn(2, 3, 30)
    one, two = (module(Features(scene, torch.randn(2, 3, 5, 7)), None)["image.front"].mean for _ in range(2))
    assert torch.equal(one, two)


def test_transposed_doublings_are_the_same_as_inserting_zeros() -> None:
    """A transposed convolution of stride 2 is a convolution of the map with zeros between its pixels, by the turned kernel."""
    module = make(upsampling="transposed", minres=8, keys=(REAR,), residual=0)
    last = module.cnn.last
    assert isinstance(last, torch.nn.ConvTranspose2d)
    x = torch.randn(1, last.in_channels, 8, 16)
    wide = torch.zeros(1, last.in_channels, 15, 31)
    wide[:, :, ::2, ::2] = x
    torch.testing.assert_close(
        last(x), F.conv2d(wide, last.weight.flip(-1, -2).transpose(0, 1), last.bias, padding=2), rtol=1e-5, atol=1e-5
    )


def test_squared_error_is_summed_without_a_half() -> None:
    source = np.random.default_rng(0)
    pixels, loc = source.integers(0, 256, (2, 3, 1, 4, 5), dtype=np.uint8), source.random((2, 3, 1, 4, 5), dtype=np.float32)
    wanted = -((loc.astype(np.float64) - pixels / 255) ** 2).sum(axis=(2, 3, 4))
    found = ImageMSE(torch.from_numpy(loc)).log_prob(torch.from_numpy(pixels))
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5)
    as_float = ImageMSE(torch.from_numpy(loc)).log_prob(torch.from_numpy(pixels / 255))
    np.testing.assert_allclose(as_float.numpy(), wanted, rtol=1e-5)


def test_gaussian_pixels_are_those_of_torch() -> None:
    torch.manual_seed(0)
    loc, value = torch.rand(2, 3, 2, 4, 5), torch.rand(2, 3, 2, 4, 5)
    mine, theirs = ImageNormal(loc, 0.3), torch.distributions.Independent(torch.distributions.Normal(loc, 0.3), 3)
    torch.testing.assert_close(mine.log_prob(value), theirs.log_prob(value), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(mine.entropy(), theirs.entropy())
    draws = torch.stack([mine.sample(torch.Generator().manual_seed(i)) for i in range(400)])
    assert abs(float((draws - loc).std()) - 0.3) < 0.01


@pytest.mark.parametrize(
    ("latent", "keys", "options", "needs", "remedy"),
    [
        (LatentSpec(layout="agents", width=8), (FRONT,), {}, "features of the scene", "set dynamics.layout to 'scene'"),
        (LATENT, (SPEED,), {}, "images", "choose a dataset with images"),
        (LATENT, (FRONT,), {"image_keys": "camera"}, "images whose key matches", r"set decoder.image.image_keys to 'image\.front'"),
        (LATENT, (FRONT, SMALL), {}, "images of one size", r"set decoder.image.image_keys to 'image\.front$'"),
        (LATENT, (FRONT,), {"mults": (1, 2, 3, 4, 4)}, "multiples of 32", "set decoder.image.mults to [2, 3, 4, 4]"),
        (LATENT, (FRONT,), {"upsampling": "transposed", "minres": 3}, "3 times a power of two", "set decoder.image.minres to 8"),
        (
            LatentSpec(layout="scene", width=8),
            (FRONT,),
            {},
            "deterministic and a stochastic",
            "set decoder.image.upsampling to 'transposed'",
        ),
        (LATENT, (FRONT,), {"blocks": 5}, "5 blocks divide", "set decoder.image.blocks to 1"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_remedy(
    latent: LatentSpec, keys: tuple[KeySpec, ...], options: dict[str, Any], needs: str, remedy: str
) -> None:
    with pytest.raises(Mismatch) as caught:
        ImageConfig(**{**TINY, **options}).output(latent, obs_spec(*keys))
    assert needs in caught.value.needs
    assert (caught.value.remedy or "").startswith(remedy)


def test_the_remedies_work() -> None:
    spec = obs_spec(FRONT)
    cures: list[dict[str, Any]] = [
        {"mults": [2, 3, 4, 4]},
        {"upsampling": "transposed", "minres": 8},
        {"blocks": 1},
        {"upsampling": "transposed"},
    ]
    for cure in cures:
        assert ImageConfig(**{**TINY, **cure}).output(LATENT, spec).has("image.front")


def test_a_norm_without_the_fused_pass_gives_the_same() -> None:
    """Layer norms go through plain operations; an RMS norm may, too."""
    layer, norm = UpConv(3, 5, kernel=5, bias=True), NormSiLU(5, eps=1e-4)
    x = torch.randn(2, 4, 4, 3)
    torch.testing.assert_close(layer(x, norm), layer(x, torch.nn.Sequential(norm)), rtol=1e-5, atol=1e-5)
