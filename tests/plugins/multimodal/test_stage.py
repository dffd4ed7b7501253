"""Convolution, pooling or doubling, norm and SiLU in one pass: values and gradients are those of plain operations, in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from twm_multimodal.cnn import PlainCNN
from twm_multimodal.stage import Kind, stage

EPS = 1e-4


def plain(x: Tensor, weight: Tensor, bias: Tensor | None, scale: Tensor | None, kind: Kind) -> Tensor:
    """What the docstring of `stage` says, with torch's own operations."""
    y = F.conv2d(x.movedim(-1, 1), weight, bias, padding=weight.shape[-1] // 2)
    y = F.max_pool2d(y, 2) if kind == "pool" else F.pixel_shuffle(y.unflatten(1, (4, -1)).transpose(1, 2).flatten(1, 2), 2)
    y = y.movedim(1, -1)
    return y if scale is None else F.silu(F.rms_norm(y, scale.shape, scale, EPS))


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("cache", [1, 300, 1 << 20])
@pytest.mark.parametrize(("kind", "normed"), [("pool", True), ("pool", False), ("double", True), ("spread", False)])
@pytest.mark.parametrize("biased", [True, False])
def test_values_and_gradients_are_those_of_plain_operations(
    monkeypatch: pytest.MonkeyPatch, cache: int, kind: Kind, normed: bool, biased: bool
) -> None:
    """One image at a time, two, and all five at once."""
    monkeypatch.setattr("twm_multimodal.stage.CACHE", cache)
    outputs = 3 if kind == "pool" else 12
    leaves = [drawn(0, 5, 4, 6, 2), drawn(1, outputs, 2, 5, 5), drawn(2, outputs) if biased else None, drawn(3, 3) if normed else None]
    given = [None if x is None else x.requires_grad_() for x in leaves]
    wanted_from = [x for x in given if x is not None]
    found = []
    x, weight, bias, scale = given
    assert x is not None
    assert weight is not None
    for y in (stage(x, weight, bias, scale, eps=EPS, kind=kind), plain(x, weight, bias, scale, kind)):
        found.append([y, *torch.autograd.grad((y * drawn(4, *y.shape)).sum(), wanted_from)])
    for mine, reference in zip(*found, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-10, atol=1e-10)


def test_without_gradients_the_values_are_the_same() -> None:
    x, weight, scale = drawn(0, 5, 4, 6, 2), drawn(1, 3, 2, 5, 5).requires_grad_(), drawn(3, 3)
    with torch.no_grad():
        quiet = stage(x, weight, None, scale, eps=EPS, kind="pool")
    assert not quiet.requires_grad
    torch.testing.assert_close(stage(x, weight, None, scale, eps=EPS, kind="pool"), quiet, rtol=0, atol=0)


def test_mixed_precision_costs_no_more_than_in_plain_operations() -> None:
    torch.manual_seed(0)
    cnn = PlainCNN(inputs=3, channels=(8, 8), kernel=5, norm="rms", eps=EPS)
    x = torch.rand(64, 3, 16, 16) - 0.5
    found = []
    for run, enabled in ((cnn.forward, False), (cnn.forward, True), (cnn.plain, True)):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = run(x).float()
        found.append([y.detach(), *torch.autograd.grad(y.square().sum(), list(cnn.parameters()))])
    for full, mixed, plain in zip(*found, strict=True):
        assert float((mixed - full).norm()) <= 1.5 * float((plain - full).norm()) + 1e-3 * float(full.norm())


def test_the_network_is_its_stages() -> None:
    torch.manual_seed(0)
    cnn = PlainCNN(inputs=3, channels=(8, 8), kernel=5, norm="rms", eps=EPS)
    x = torch.rand(4, 3, 16, 16) - 0.5
    torch.testing.assert_close(cnn(x), cnn.plain(x), rtol=1e-5, atol=1e-5)
