"""Attention with masks against attention over the agents that are left."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from twm_multiagent.attention import AgentLayer, NeighbourPooling, ScenePooling

D, HEADS = 8, 2


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 10**6))
def test_agents_attend_as_if_those_who_are_absent_were_not_in_the_batch(seed: int) -> None:
    layer = AgentLayer(D, HEADS, 0.0).eval()
    tokens, exists = draw(1, 6, D, seed=seed), draw(1, 6, seed=seed + 1) > -0.5
    if not exists.any():
        return
    left = tokens[:, exists[0]]
    torch.testing.assert_close(layer(tokens, exists)[:, exists[0]], layer(left, torch.ones(1, left.shape[1]).bool()), atol=1e-5, rtol=1e-4)


def test_one_layer_equals_softmax_attention_written_out() -> None:
    layer = AgentLayer(D, HEADS, 0.0).eval()
    x, exists = draw(1, 4, D, seed=0), torch.tensor([[True, True, False, True]])
    q, k, v = layer.qkv(F.layer_norm(x, (D,), layer.norm_attention.weight, layer.norm_attention.bias))[0].chunk(3, dim=-1)
    mixed = torch.zeros(4, D)
    for h in range(HEADS):
        cut = slice(h * D // HEADS, (h + 1) * D // HEADS)
        for i in range(4):
            seen = [j for j in range(4) if exists[0, j] or j == i]
            weight = torch.stack([q[i, cut] @ k[j, cut] for j in seen]).div((D / HEADS) ** 0.5).softmax(0)
            mixed[i, cut] = sum(w * v[j, cut] for w, j in zip(weight, seen, strict=True))
    y = x[0] + layer.out(mixed)
    expected = y + layer.forward_2(F.gelu(layer.forward_1(layer.norm_forward(y))))
    torch.testing.assert_close(layer(x, exists)[0], expected)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_one_layer_equals_torchs_pre_norm_layer(activation: Any) -> None:
    layer = AgentLayer(D, HEADS, 0.0, activation).eval()
    torchs = seed_layer(layer, activation)
    x, exists = draw(2, 5, D, seed=0), torch.tensor([[True] * 5, [True, False, True, True, False]])
    torch.testing.assert_close(layer(x, exists)[exists], torchs(x, src_key_padding_mask=~exists)[exists], atol=1e-5, rtol=1e-4)


def seed_layer(layer: AgentLayer, activation: Any) -> torch.nn.TransformerEncoderLayer:
    """torch's own layer with the same weights."""
    theirs = torch.nn.TransformerEncoderLayer(D, HEADS, 4 * D, 0.0, activation, batch_first=True, norm_first=True)
    named = {
        "self_attn.in_proj_": layer.qkv,
        "self_attn.out_proj.": layer.out,
        "linear1.": layer.forward_1,
        "linear2.": layer.forward_2,
        "norm1.": layer.norm_attention,
        "norm2.": layer.norm_forward,
    }
    theirs.load_state_dict({f"{name}{part}": getattr(module, part) for name, module in named.items() for part in ("weight", "bias")})
    # In evaluation without gradients torch takes a fused path that warns about nested tensors.
    return theirs.train()


@given(st.integers(0, 10**6))
def test_a_message_is_a_sum_over_real_neighbours_with_weights_that_add_up_to_one(seed: int) -> None:
    pool = NeighbourPooling(5, 4, HEADS, D)
    pairs, real = draw(1, 3, 4, 5, seed=seed), draw(1, 3, 4, seed=seed + 1) > 0
    out = pool(pairs, real)
    for i in range(3):
        hidden = F.silu(pool.embed_2(F.silu(pool.embed_1(pairs[0, i][real[0, i]]))))
        heads = [torch.zeros(4)] * HEADS if not len(hidden) else [pool.score(hidden)[:, h].softmax(0) @ hidden for h in range(HEADS)]
        torch.testing.assert_close(out[0, i], pool.out(torch.cat(heads)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("attention", [True, False])
@given(seed=st.integers(0, 10**6))
def test_pooling_equals_pooling_of_those_who_exist(attention: bool, seed: int) -> None:
    pool = ScenePooling(D, HEADS, D, attention=attention)
    tokens, exists = draw(1, 5, D, seed=seed), draw(1, 5, seed=seed + 1) > 0
    left = tokens[0, exists[0]]
    if pool.score is None:
        pooled = left.mean(0) if len(left) else torch.zeros(D)
    else:
        parts = left.unflatten(-1, (HEADS, -1))
        pooled = torch.cat([pool.score(left)[:, h].softmax(0) @ parts[:, h] for h in range(HEADS)]) if len(left) else torch.zeros(D)
    torch.testing.assert_close(pool(tokens, exists)[0], pool.norm(pool.out(pooled)), atol=1e-5, rtol=1e-4)


def test_dropout_acts_in_training_only() -> None:
    layer, x = AgentLayer(D, HEADS, 0.5), draw(1, 4, D, seed=0)
    exists = torch.ones(1, 4).bool()
    assert torch.equal(layer.eval()(x, exists), layer(x, exists))
    with torch.random.fork_rng(devices=[]):
        layer.train()
        assert not torch.equal(layer(x, exists), layer(x, exists))
