"""The parts of the RSSM against NumPy, dense matrices, plain autograd and counting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from twm_core.nn.distributions import Categorical
from twm_core.nn.linear import BlockLinear, dense, from_blocks, to_blocks
from twm_core.nn.norm import norm_silu
from twm_rssm.cell import Cell
from twm_rssm.interaction import Interaction, attention_bias
from twm_rssm.latents import CategoricalLatents
from twm_rssm.sampling import draw_index, straight_through


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_block_layer_is_a_dense_layer_with_a_block_diagonal_matrix() -> None:
    layer = BlockLinear(12, 24, blocks=4)
    torch.nn.init.normal_(layer.bias, generator=seeded())
    x = torch.randn(5, 12, generator=seeded())
    matrix = torch.block_diag(*layer.kernel)
    assert torch.allclose(from_blocks(layer(to_blocks(x, 4))), x @ matrix + layer.bias, atol=1e-6)


def test_weights_start_truncated_at_two_deviations_with_variance_one_over_the_whole_input() -> None:
    torch.manual_seed(0)
    for weight, fan_in in ((dense(400, 300).weight.detach(), 400), (BlockLinear(400, 800, blocks=4).kernel.detach(), 400)):
        assert float(weight.abs().max()) <= 2 * 1.1368 / fan_in**0.5
        assert float(weight.std()) * fan_in**0.5 == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize("dims", [(-1,), (0, 2)])
def test_norm_and_silu_have_the_values_and_gradients_of_the_plain_chain(dims: tuple[int, ...]) -> None:
    x = torch.randn(4, 6, 5, generator=seeded())
    scale = torch.randn((5,) if dims == (-1,) else (4, 1, 5), generator=seeded(1))
    weight = torch.randn(4, 6, 5, generator=seeded(2))
    results: list[list[Tensor]] = []
    for plain in (False, True):
        a, b = x.clone().requires_grad_(), scale.clone().requires_grad_()
        y = F.silu(a / (a.square().mean(dims, keepdim=True) + 1e-4).sqrt() * b) if plain else norm_silu(a, b, 1e-4, dims)
        (y * weight).sum().backward()
        assert a.grad is not None
        assert b.grad is not None
        results.append([y.detach(), a.grad, b.grad])
    assert all(torch.allclose(p, q, atol=1e-5) for p, q in zip(*results, strict=True))


def test_the_norm_of_zeros_is_zero_with_a_finite_gradient() -> None:
    x = torch.zeros(2, 3, requires_grad=True)
    y = norm_silu(x, torch.ones(3), 1e-4)
    y.sum().backward()
    assert bool((y == 0).all())
    assert x.grad is not None
    assert torch.allclose(x.grad, torch.full((2, 3), 50.0))  # silu'(0) / sqrt(eps)


def test_one_step_of_the_cell_equals_numpy() -> None:
    rows, deter, hidden, stoch, blocks = 3, 8, 4, 6, 2
    torch.manual_seed(0)
    cell = Cell(deter=deter, stoch=stoch, action=2, message=False, hidden=hidden, blocks=blocks, layers=1, norm="rms", eps=1e-4)
    with torch.no_grad():
        for p in cell.parameters():
            p += 0.2 * torch.randn_like(p)
    d, s, a = (torch.randn(rows, n, generator=seeded(n)) for n in (deter, stoch, 2))
    with torch.no_grad():
        step = cell.begin()
        ours = step(d, step.inputs(d, step.stoch_in(s)), step.action_part(a), None).numpy()

    w = {k: v.detach().double().numpy() for k, v in cell.named_parameters()}

    def act(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-4) * scale
        return x / (1 + np.exp(-x))

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    dn, sn, an = d.double().numpy(), s.double().numpy(), a.double().numpy()
    z = np.concatenate(
        [
            act(dn @ w["deter_in.weight"].T + w["deter_in.bias"], w["deter_norm.scale"]),
            act(sn @ w["stoch_in.weight"].T + w["stoch_in.bias"], w["stoch_norm.scale"]),
            act(an @ w["action_in.weight"].T + w["action_in.bias"], w["action_norm.scale"]),
        ],
        axis=1,
    )
    size = deter // blocks
    h = np.concatenate([np.concatenate((dn[:, g * size : (g + 1) * size], z), axis=1) @ w["mix.kernel"][g] for g in range(blocks)], axis=1)
    h = act(h + w["mix.bias"], w["norm.scale"])
    wanted = np.empty_like(dn)
    for g in range(blocks):
        i = slice(g * size, (g + 1) * size)
        gates = h[:, i] @ w["gates.kernel"][g] + w["gates.bias"][3 * g * size : 3 * (g + 1) * size]
        reset, candidate, update = gates[:, :size], gates[:, size : 2 * size], gates[:, 2 * size :]
        update = sigmoid(update - 1)
        wanted[:, i] = update * np.tanh(sigmoid(reset) * candidate) + (1 - update) * dn[:, i]
    np.testing.assert_allclose(ours, wanted, atol=1e-5)


def test_a_draw_is_one_hot_and_its_gradient_is_that_of_the_mixed_probabilities() -> None:
    logits = torch.randn(50, 3, 5, generator=seeded(), requires_grad=True)
    uniform = torch.rand(50, 3, generator=seeded(1))
    weight = torch.randn(50, 3, 5, generator=seeded(2))
    hot = straight_through(logits, uniform, 0.01)
    assert bool(((hot == 0) | (hot == 1)).all())
    assert bool((hot.sum(-1) == 1).all())
    (grad,) = torch.autograd.grad((hot * weight).sum(), logits)
    (wanted,) = torch.autograd.grad((Categorical(logits, 0.01).probs * weight).sum(), logits)
    assert torch.allclose(grad, wanted, atol=1e-6)
    (forced,) = torch.autograd.grad((straight_through(logits, uniform, 0.01, hot.detach().roll(1, -1)) * weight).sum(), logits)
    assert torch.equal(forced, grad)


def test_draws_are_as_frequent_as_the_probabilities_say() -> None:
    probs = torch.tensor([[0.05, 0.6, 0.0, 0.35]])
    index, _ = draw_index(probs.expand(40000, 4), torch.rand(40000, generator=seeded()))
    frequency = torch.bincount(index, minlength=4) / 40000
    assert torch.allclose(frequency, probs[0], atol=0.01)
    assert float(frequency[2]) == 0


@pytest.mark.parametrize(("uniform", "index"), [(0.0, 1), (0.4999, 1), (0.5, 2), (0.99999994, 2)])
def test_the_ends_of_the_unit_interval_never_draw_an_impossible_class(uniform: float, index: int) -> None:
    assert int(draw_index(torch.tensor([0.0, 0.5, 0.5]), torch.tensor(uniform))[0]) == index


def plain_attention(layer: Interaction, x: Tensor, present: Tensor) -> Tensor:
    parts = layer.project(x).view(len(x), layer.heads, -1).split((layer.key, layer.key, layer.value), dim=-1)
    out = []
    for i in range(len(x)):
        heads = []
        for h in range(layer.heads):
            others = [j for j in range(len(x)) if j != i and present[j]]
            weights = [(parts[0][i, h] @ parts[1][j, h] / layer.key**0.5).exp() for j in others]
            total = 1 + sum(weights, torch.zeros(()))
            heads.append(sum((w * parts[2][j, h] for w, j in zip(weights, others, strict=True)), torch.zeros(layer.value)) / total)
        out.append(torch.cat(heads))
    return torch.stack(out)


def test_messages_equal_a_loop_over_pairs_and_an_agent_alone_hears_exactly_nothing() -> None:
    torch.manual_seed(0)
    layer = Interaction(8, heads=2)
    x = torch.randn(3, 5, 8, generator=seeded())
    present = torch.tensor([[1, 1, 0, 1, 1], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]).bool()
    messages = layer(x.flatten(0, 1), attention_bias(present)).view(3, 5, 8)
    for b in range(3):
        assert torch.allclose(messages[b], plain_attention(layer, x[b], present[b]), atol=1e-6)
    assert bool((messages[1, 2] == 0).all())
    assert bool((messages[2] == 0).all())
    assert bool((messages[1, [0, 1, 3, 4]] != 0).any(-1).all())


def test_what_is_not_present_gets_no_gradient_from_messages() -> None:
    layer = Interaction(8, heads=2)
    x = torch.randn(4, 8, generator=seeded(), requires_grad=True)
    present = torch.tensor([[True, False, True, True]])
    layer(x, attention_bias(present))[[0, 2, 3]].sum().backward()
    assert x.grad is not None
    assert bool((x.grad[1] == 0).all())
    assert bool(x.grad.isfinite().all())


def test_one_row_of_the_plain_step_is_the_cell(make: Callable[..., object], plain_step: Callable[..., Tensor]) -> None:
    model = make(scene=5, dynlayers=2)
    d, s = torch.randn(1, 16, generator=seeded()), torch.randn(1, 12, generator=seeded())
    cell = model.cell.begin()  # type: ignore[attr-defined]
    ours = cell(d, cell.inputs(d, cell.stoch_in(s)), None, None)
    assert torch.allclose(ours[0], plain_step(model, d[0], s[0], None, None), atol=1e-6)


@pytest.mark.parametrize("unimix", [0.0, 0.01])
def test_a_latent_of_an_rssm_is_no_number(unimix: float) -> None:
    family = CategoricalLatents(3, 4, unimix=unimix, stored=False)
    stats = torch.randn(2, 3, 4)
    stats[0, :, 1] = torch.nan
    for value in (family.sample(stats, torch.rand(2, 3)), family.mode(stats)):
        assert value[0].isnan().any(-1).all()
        assert value[1].isfinite().all()
        assert value[1].sum(-1).eq(1).all()
