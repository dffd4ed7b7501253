"""Deferred weight gradients: the same values and gradients as plain layers, in loops of any shape."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from twm_core.nn.linear import BlockLinear
from twm_rssm.deferred import deferred_blocks, deferred_linear
from twm_rssm.packed import can_pack, packs

R, D, T = 3, 8, 5


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layers() -> tuple[nn.Linear, BlockLinear]:
    torch.manual_seed(0)
    linear, blocks = nn.Linear(D, D).double(), BlockLinear(D, D, blocks=2).double()
    nn.init.normal_(blocks.bias)
    return linear, blocks


def loop(linear: nn.Linear, blocks: BlockLinear, x: Tensor, *, deferred: bool) -> Tensor:
    first = deferred_linear(linear.weight, linear.bias) if deferred else linear
    second = deferred_blocks(blocks.kernel, blocks.bias) if deferred else blocks
    h, out = x, []
    for _ in range(T):
        h = torch.tanh(first(h))
        h = torch.tanh(second(h.unflatten(-1, (2, -1)).transpose(0, 1))).transpose(0, 1).flatten(1)
        out.append(h)
    return torch.stack(out)


def gradients(*, deferred: bool) -> list[Tensor]:
    linear, blocks = layers()
    x = seeded(R, D).requires_grad_()
    weight = seeded(T, R, D, seed=1)
    value = loop(linear, blocks, x, deferred=deferred)
    (value * weight).sum().backward()
    found = [x.grad, *(p.grad for m in (linear, blocks) for p in m.parameters())]
    return [value.detach(), *(g for g in found if g is not None)]


def test_values_and_all_gradients_equal_those_of_plain_layers() -> None:
    plain, deferred = gradients(deferred=False), gradients(deferred=True)
    assert len(plain) == len(deferred) == 6
    for a, b in zip(deferred, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_a_second_backward_pass_begins_anew() -> None:
    linear, blocks = layers()
    value = loop(linear, blocks, seeded(R, D), deferred=True).sum()
    value.backward(retain_graph=True)
    assert linear.weight.grad is not None
    once = linear.weight.grad.clone()
    value.backward()
    torch.testing.assert_close(linear.weight.grad, 2 * once)


def test_steps_that_nobody_reads_add_nothing() -> None:
    linear, blocks = layers()
    loop(linear, blocks, seeded(R, D), deferred=True)[1].sum().backward()
    deferred = [p.grad for m in (linear, blocks) for p in m.parameters()]
    linear, blocks = layers()
    loop(linear, blocks, seeded(R, D), deferred=False)[1].sum().backward()
    for a, p in zip(deferred, [p for m in (linear, blocks) for p in m.parameters()], strict=True):
        assert a is not None
        assert p.grad is not None
        torch.testing.assert_close(a, p.grad)


def test_what_is_added_gets_its_own_gradient() -> None:
    linear, _ = layers()
    x, rows = seeded(R, D), seeded(R, D, seed=2).requires_grad_()
    weight = seeded(R, D, seed=3)
    (deferred_linear(linear.weight)(x, rows) * weight).sum().backward()
    assert rows.grad is not None
    torch.testing.assert_close(rows.grad, weight)
    one = seeded(D, seed=4).requires_grad_()
    (deferred_linear(linear.weight)(x, one) * weight).sum().backward()
    assert one.grad is not None
    torch.testing.assert_close(one.grad, weight.sum(0))


def test_without_gradients_it_is_just_the_layer() -> None:
    linear, _ = layers()
    with torch.no_grad():
        project = deferred_linear(linear.weight, linear.bias)
        torch.testing.assert_close(project(seeded(R, D)), linear(seeded(R, D)))
    for p in linear.parameters():
        p.requires_grad_(False)
    assert not deferred_linear(linear.weight, linear.bias)(seeded(R, D)).requires_grad


@pytest.mark.parametrize("frozen", ["weight", "bias"])
def test_a_frozen_part_gets_no_gradient(frozen: str) -> None:
    linear, _ = layers()
    linear.get_parameter(frozen).requires_grad_(False)
    deferred_linear(linear.weight, linear.bias)(seeded(R, D)).sum().backward()
    assert [n for n, p in linear.named_parameters() if p.grad is not None] == [n for n in ("weight", "bias") if n != frozen]


def test_under_autocast_products_are_bfloat16_and_gradients_float32() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(D, D)
    x = seeded(R, D).float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = deferred_linear(linear.weight, linear.bias)(x)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert x.grad is not None
    assert linear.weight.grad is not None
    assert (x.grad.dtype, linear.weight.grad.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(linear.weight.grad, x.detach().sum(0).expand(D, D), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("rows", [1, 16, 300])
def test_a_large_weight_that_is_packed_gives_the_same_values_and_gradients(rows: int) -> None:
    if not can_pack():
        pytest.skip("this torch cannot pack weights")
    torch.manual_seed(0)
    linear = nn.Linear(300, 250)
    assert packs(linear.weight)
    weight = seeded(rows, 250, seed=1).float()
    for offset in (None, seeded(250, seed=3).float(), seeded(rows, 250, seed=2).float()):
        found = []
        for deferred in (True, False):
            linear.zero_grad()
            x = seeded(rows, 300).float().requires_grad_()
            add = None if offset is None else offset.clone().requires_grad_()
            if deferred:
                y = deferred_linear(linear.weight, linear.bias if add is None else None)(x, add)
            else:
                y = linear(x) if add is None else x @ linear.weight.t() + add
            (y * weight).sum().backward()
            found.append([y.detach(), x.grad, linear.weight.grad.clone(), linear.bias.grad if add is None else add.grad])
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(deferred_linear(linear.weight, linear.bias)(x), linear(x), rtol=1e-5, atol=1e-5)
