"""Tokens of several encoders joined: side by side, summed, and by attention of the first to the others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from twm_core.errors import Mismatch
from twm_core.nn.fusion import Fusion
from twm_core.nn.interfaces import Embedding
from twm_core.recipe.fusion import FusionConfig
from twm_core.specs import EmbeddingSpec

B, T, A = 2, 3, 4


def token(width: int | None, *lead: int) -> Tensor | None:
    return None if width is None else torch.randn(*lead, width, generator=torch.Generator().manual_seed(width))


def embedding(spec: EmbeddingSpec) -> Embedding:
    return Embedding(token(spec.scene, B, T), token(spec.agents, B, T, A))


def fuse(mode: str, specs: list[EmbeddingSpec], **options: int) -> tuple[Embedding, EmbeddingSpec, Fusion]:
    config = FusionConfig.model_validate({"mode": mode, **options})
    torch.manual_seed(0)
    module = Fusion(config=config, embeddings=specs)
    return module([embedding(s) for s in specs]), config.embedding(specs), module


BOTH, SCENE, AGENTS = EmbeddingSpec(scene=8, agents=4), EmbeddingSpec(scene=6), EmbeddingSpec(agents=4)


@pytest.mark.parametrize("mode", ["concat", "add", "cross-attention"])
@pytest.mark.parametrize(
    "specs",
    [[BOTH], [BOTH, EmbeddingSpec(scene=8)], [SCENE, AGENTS], [AGENTS, EmbeddingSpec(scene=8)], [BOTH, BOTH, AGENTS]],
    ids=str,
)
def test_what_comes_out_has_the_declared_widths(mode: str, specs: list[EmbeddingSpec]) -> None:
    found, promised, _ = fuse(mode, specs, heads=2)
    assert (None if found.scene is None else list(found.scene.shape)) == (None if promised.scene is None else [B, T, promised.scene])
    assert (None if found.agents is None else list(found.agents.shape)) == (None if promised.agents is None else [B, T, A, promised.agents])


def test_concat_puts_tokens_side_by_side() -> None:
    found, _, _ = fuse("concat", [BOTH, SCENE])
    first, second = embedding(BOTH), embedding(SCENE)
    assert found.scene is not None
    assert first.scene is not None
    assert torch.equal(found.scene[..., :8], first.scene)
    assert second.scene is not None
    assert torch.equal(found.scene[..., 8:], second.scene)


def test_add_sums_them_and_refuses_other_widths() -> None:
    found, _, _ = fuse("add", [AGENTS, AGENTS])
    single = embedding(AGENTS).agents
    assert single is not None
    assert found.agents is not None
    torch.testing.assert_close(found.agents, 2 * single)
    with pytest.raises(Mismatch, match="equal width") as refusal:
        FusionConfig(mode="add").embedding([BOTH, SCENE])
    assert "concat" in str(refusal.value.remedy)


def test_cross_attention_refuses_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(Mismatch, match="multiple of fusion"):
        FusionConfig(mode="cross-attention", heads=3).embedding([BOTH, SCENE])


def test_a_scene_token_of_another_encoder_informs_every_agent() -> None:
    specs = [AGENTS, SCENE]
    found, _, module = fuse("cross-attention", specs, heads=2)
    agents, scene = embedding(AGENTS), embedding(SCENE)
    assert scene.scene is not None
    other = module([agents, Embedding(scene.scene + 1, None)])
    assert found.agents is not None
    assert other.agents is not None
    assert (found.agents != other.agents).any(dim=-1).all()


def test_cross_attention_equals_a_loop_over_tokens() -> None:
    specs = [BOTH, SCENE]
    found, _, module = fuse("cross-attention", specs, heads=2)
    query, source = embedding(BOTH).agents, embedding(SCENE).scene
    assert query is not None
    assert source is not None
    part = module.attention["agents"]
    weights = {n: p.detach().double() for n, p in part.named_parameters()}
    for b, t, a in [(0, 0, 0), (1, 2, 3), (0, 1, 2)]:
        q, s = query[b, t, a].double(), source[b, t].double()
        hat = (q - q.mean()) / (q.var(unbiased=False) + 1e-5).sqrt() * weights["norm.weight"] + weights["norm.bias"]
        asked = weights["query.weight"] @ hat + weights["query.bias"]
        offered = weights["offers.0.weight"] @ s + weights["offers.0.bias"]
        key, value = offered[:4], offered[4:]
        mixed = torch.cat([torch.sigmoid((asked[i : i + 2] @ key[i : i + 2]) / 2**0.5) * value[i : i + 2] for i in (0, 2)])
        wanted = q + weights["out.weight"] @ mixed + weights["out.bias"]
        assert found.agents is not None
        torch.testing.assert_close(found.agents[b, t, a].double(), wanted, atol=1e-5, rtol=1e-5)


def test_one_encoder_is_passed_on_without_parameters() -> None:
    found, _, module = fuse("cross-attention", [BOTH])
    assert not list(module.parameters())
    assert found.scene is not None
    assert torch.equal(found.scene, embedding(BOTH).scene)
