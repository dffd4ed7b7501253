"""The multi-agent encoder as a whole: frames, masks, order, options."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from twm_core import EmbeddingSpec, EncoderSpecs, KeySpec, Mismatch, ObservationSpec
from twm_core.data.dataset import Batch
from twm_core.data.schema import traffic_observations
from twm_multiagent.config import MultiAgentConfig
from twm_multiagent.model import MultiAgentEncoder, build

FEATURES = ("length", "vy", "heading", "x", "ax", "vx", "y", "ay", "yaw_rate")
OBS_SPEC = traffic_observations(features=FEATURES, dt=0.1, context=3, horizon=2, protocol="p", lanes=5, sites=4)
B, T, A = 2, 4, 5
OPTIONS = [
    pytest.param({}, id="as-it-is"),
    pytest.param({"pooling": "mean", "embeddings": "sum", "site_width": 2}, id="mean-and-sum"),
    pytest.param({"neighbours": 0, "layers": 2}, id="no-neighbours"),
    pytest.param({"pooling": "none", "layers": 0, "type_width": 0, "lane_width": 0}, id="no-scene-no-tokens"),
    pytest.param({"frame": "scene", "hidden": 12, "pooled": "hidden"}, id="scene-frame"),
]
WORLD = pytest.param({"frame": "world", "activation": "relu", "pooled": "hidden", "pooling": "mean"}, id="world-frame")


def make(obs_spec: ObservationSpec = OBS_SPEC, **options: Any) -> MultiAgentEncoder:
    config = MultiAgentConfig(**{"width": 8, "heads": 2, "pair_width": 8, "neighbours": 3, "layers": 1, **options})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(config, EncoderSpecs(obs_spec=obs_spec, embedding=config.embedding(obs_spec))).eval()


def batch(seed: int = 0, *, presence: float = 0.7) -> Batch:
    g = torch.Generator().manual_seed(seed)
    exists = torch.rand(B, T, A, generator=g) < presence
    state = torch.randn(B, T, A, len(FEATURES), generator=g) * 3
    return {
        "agents.state": torch.where(exists[..., None], state, 0),
        "agents.exists": exists,
        "agents.type": torch.randint(0, 8, (B, A), generator=g),
        "agents.lane": torch.randint(0, 5, (B, T, A), generator=g),
        "site": torch.randint(0, 4, (B,), generator=g),
    }


@pytest.mark.parametrize("options", OPTIONS)
def test_tokens_have_the_widths_of_the_spec(options: dict[str, Any]) -> None:
    out = make(**options)(batch())
    spec = MultiAgentConfig(width=8, heads=2, **{k: v for k, v in options.items() if k == "pooling"}).embedding(OBS_SPEC)
    assert spec == EmbeddingSpec(scene=None if options.get("pooling") == "none" else 8, agents=8)
    assert out.agents is not None
    assert out.agents.shape == (B, T, A, 8)
    assert (out.scene is None) == (spec.scene is None)
    assert out.scene is None or out.scene.shape == (B, T, 8)


@pytest.mark.parametrize("options", [*OPTIONS, WORLD])
def test_what_stands_in_masked_slots_changes_nothing_in_values_and_gradients(options: dict[str, Any]) -> None:
    clean, dirty = batch(), batch()
    absent = ~clean["agents.exists"]
    dirty["agents.state"] = dirty["agents.state"].masked_fill(absent[..., None], torch.nan)
    dirty["agents.lane"] = dirty["agents.lane"].masked_fill(absent, 77)
    gone = absent.all(dim=1)
    dirty["agents.type"] = dirty["agents.type"].masked_fill(gone, -3)
    encoder, found = make(**options), []
    for case in (clean, dirty):
        encoder.zero_grad()
        out = encoder(case)
        tokens = [t for t in out if t is not None]
        torch.stack([t.square().sum() for t in tokens]).sum().backward()
        found.append([*tokens, *(p.grad for p in encoder.parameters() if p.grad is not None)])
    assert all(torch.equal(a, b) and a.isfinite().all() for a, b in zip(*found, strict=True))
    assert not found[0][-1].isnan().any()


def test_the_tokens_of_absent_agents_are_zero() -> None:
    case = batch()
    out = make()(case)
    assert out.agents is not None
    assert not out.agents[~case["agents.exists"]].any()
    assert out.agents[case["agents.exists"]].abs().sum(-1).gt(0).all()


@pytest.mark.parametrize("options", OPTIONS)
@given(seed=st.integers(0, 10**6), angle=st.floats(-4, 4), dx=st.floats(-50, 50), dy=st.floats(-50, 50))
def test_tokens_do_not_change_when_the_world_is_turned_and_shifted(
    options: dict[str, Any], seed: int, angle: float, dx: float, dy: float
) -> None:
    encoder, here = make(**options), batch(seed)
    at, state = {n: i for i, n in enumerate(FEATURES)}, here["agents.state"]
    new = state.clone()
    c, s = math.cos(angle), math.sin(angle)
    for x, y in (("x", "y"), ("vx", "vy"), ("ax", "ay")):
        new[..., at[x]], new[..., at[y]] = c * state[..., at[x]] - s * state[..., at[y]], s * state[..., at[x]] + c * state[..., at[y]]
    new[..., at["x"]] += dx
    new[..., at["y"]] += dy
    new[..., at["heading"]] += angle
    for one, other in zip(encoder(here), encoder({**here, "agents.state": new}), strict=True):
        if one is not None:
            assert other is not None
            torch.testing.assert_close(other, one, atol=5e-3, rtol=1e-3)


@pytest.mark.parametrize("options", [*OPTIONS, WORLD])
def test_permuting_the_agents_permutes_their_tokens_and_leaves_the_scene_alone(options: dict[str, Any]) -> None:
    encoder, here, order = make(**options), batch(presence=1.0), torch.tensor([2, 0, 4, 3, 1])
    there = {k: v if k == "site" else v[:, order] if v.dim() == 2 else v[:, :, order] for k, v in here.items()}
    one, other = encoder(here), encoder(there)
    assert one.agents is not None
    assert other.agents is not None
    torch.testing.assert_close(other.agents, one.agents[:, :, order], atol=1e-5, rtol=1e-4)
    if one.scene is not None:
        torch.testing.assert_close(other.scene, one.scene, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("options", [*OPTIONS, WORLD])
def test_an_empty_scene_is_finite_with_finite_gradients(options: dict[str, Any]) -> None:
    encoder = make(**options)
    out = encoder(batch(presence=0.0))
    torch.stack([t.sum() for t in out if t is not None]).sum().backward()
    assert all(t is None or t.isfinite().all() for t in out)
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())
    assert out.agents is not None
    assert not out.agents.any()


def test_each_step_is_seen_on_its_own() -> None:
    encoder, here = make(), batch()
    whole = encoder(here)
    for t in range(T):
        step = {k: v[:, t : t + 1] if k in ("agents.state", "agents.exists", "agents.lane") else v for k, v in here.items()}
        for one, other in zip(encoder(step), whole, strict=True):
            assert one is not None
            assert other is not None
            torch.testing.assert_close(one[:, 0], other[:, t], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("embeddings", ["sum", "concat"])
@pytest.mark.parametrize(("key", "option"), [("agents.type", "type_width"), ("agents.lane", "lane_width"), ("site", "site_width")])
def test_an_embedding_is_read_when_it_has_a_width_and_only_then(embeddings: str, key: str, option: str) -> None:
    for width in (0, 3):
        encoder, here = make(embeddings=embeddings, **{option: width}), batch(presence=1.0)
        one, other = encoder(here).agents, encoder({**here, key: (here[key] + 1) % 4}).agents
        assert one is not None
        assert other is not None
        assert torch.equal(one, other) == (width == 0)


def test_keys_that_the_data_does_not_have_are_left_out() -> None:
    seen = traffic_observations(features=FEATURES, dt=0.1, context=3, horizon=2, protocol="p")
    encoder, here = make(seen, site_width=2), batch()
    assert [key for key, _ in encoder.tokens.keys] == ["agents.type"]
    del here["agents.lane"], here["site"]
    assert encoder(here).agents is not None


def test_statistics_are_those_of_agents_that_exist() -> None:
    encoder, here = make(), batch()
    encoder.collect_statistics({**here, "agents.state": here["agents.state"].masked_fill(~here["agents.exists"][..., None], torch.nan)})
    rows = encoder.own(here["agents.state"], here["agents.exists"])[here["agents.exists"]]
    assert int(encoder.normaliser.count) == len(rows)
    torch.testing.assert_close(encoder.normaliser.centre, rows.mean(0))
    torch.testing.assert_close(encoder.normaliser.std, rows.std(0, unbiased=False))


def test_heads_must_divide_the_widths() -> None:
    with pytest.raises(ValidationError, match="width 10 is not a multiple of heads 4"):
        MultiAgentConfig(width=10, heads=4)
    with pytest.raises(ValidationError, match="hidden 10 is not a multiple of heads 4"):
        MultiAgentConfig(hidden=10, heads=4)


def test_without_agent_tokens_there_must_be_a_scene_token() -> None:
    with pytest.raises(ValidationError, match="pooling none without agent_tokens gives nothing"):
        MultiAgentConfig(pooling="none", agent_tokens=False)
    assert MultiAgentConfig(width=16, agent_tokens=False).embedding(OBS_SPEC) == EmbeddingSpec(scene=16)
    for pooled in ("tokens", "hidden"):
        out = make(agent_tokens=False, pooled=pooled)(batch())
        assert out.agents is None
        assert out.scene is not None


def test_only_the_world_frame_knows_where_the_scene_is() -> None:
    here = batch(presence=1.0)
    far = {**here, "agents.state": here["agents.state"].clone()}
    far["agents.state"][..., FEATURES.index("x")] += 64.0
    for frame, knows in (("agent", False), ("scene", False), ("world", True)):
        encoder = make(frame=frame)
        one, other = encoder(here).agents, encoder(far).agents
        assert one is not None
        assert other is not None
        assert torch.allclose(one, other, atol=5e-3) != knows


def test_dropout_acts_behind_the_first_input_layer_too() -> None:
    encoder = make(layers=0, dropout=0.5)
    assert torch.equal(encoder(batch()).agents, encoder(batch()).agents)
    with torch.random.fork_rng(devices=[]):
        encoder.train()
        assert not torch.equal(encoder(batch()).agents, encoder(batch()).agents)


SEED: dict[str, Any] = {
    "width": 24,
    "hidden": 16,
    "heads": 8,
    "layers": 2,
    "frame": "world",
    "neighbours": 0,
    "pooling": "mean",
    "pooled": "hidden",
    "agent_tokens": False,
    "embeddings": "concat",
    "type_width": 8,
    "lane_width": 16,
    "site_width": 8,
    "activation": "relu",
    "forward_activation": "relu",
}


def test_the_traffic_world_models_encoder_can_be_built_exactly() -> None:
    """Linear, LayerNorm, ReLU, Linear on features and embeddings; torch's pre-norm Transformer; masked mean; Linear and LayerNorm."""
    encoder, here = make(**SEED), batch()
    encoder.collect_statistics(here)
    theirs = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(16, 8, 64, 0.0, "relu", batch_first=True, norm_first=True), 2, enable_nested_tensor=False
    ).train()
    for layer, other in zip(encoder.layers, theirs.layers, strict=True):
        named = {
            "self_attn.in_proj_": layer.qkv,
            "self_attn.out_proj.": layer.out,
            "linear1.": layer.forward_1,
            "linear2.": layer.forward_2,
            "norm1.": layer.norm_attention,
            "norm2.": layer.norm_forward,
        }
        other.load_state_dict({f"{name}{part}": getattr(module, part) for name, module in named.items() for part in ("weight", "bias")})
    exists = here["agents.exists"]
    at = {n: here["agents.state"][..., i] for i, n in enumerate(FEATURES)}
    world = ["x", "y", "cos", "sin", "vx", "vy", "ax", "ay", "length", "yaw_rate"]
    at |= {"cos": at["heading"].cos(), "sin": at["heading"].sin()}
    rows = torch.stack([at[n] for n in world], dim=-1)
    rows = (rows - rows[exists].mean(0)) / rows[exists].std(0, unbiased=False)
    tables = {key: table for (key, _), table in zip(encoder.tokens.keys, encoder.tokens.tables, strict=True)}
    assert {k: t.embedding_dim for k, t in tables.items()} == {"agents.type": 8, "agents.lane": 16, "site": 8}
    size = exists.shape
    parts = [
        tables["agents.type"](here["agents.type"])[:, None].expand(*size, -1),
        tables["agents.lane"](here["agents.lane"]),
        tables["site"](here["site"])[:, None, None].expand(*size, -1),
    ]
    inside = torch.nn.Sequential(encoder.input, encoder.input_norm, torch.nn.ReLU(), encoder.input_2)
    tokens = inside(torch.cat([rows.clamp(-10, 10), *parts], dim=-1)).flatten(0, 1)
    there = exists.flatten(0, 1)
    # Torch gives NaN for a scene in which everybody is masked; such steps are compared with nothing.
    someone = there.any(dim=1)
    mixed = theirs(tokens[someone], src_key_padding_mask=~there[someone])
    mean = torch.stack([m[e].mean(dim=0) for m, e in zip(mixed, there[someone], strict=True)])
    pool = encoder.pool
    assert pool is not None
    expected = torch.nn.functional.layer_norm(pool.out(mean), (24,), pool.norm.weight, pool.norm.bias)
    out = encoder(here)
    assert out.agents is None
    assert out.scene is not None
    torch.testing.assert_close(out.scene.flatten(0, 1)[someone], expected, atol=1e-5, rtol=1e-4)
    # Nothing else is in it.
    parameters = sum(p.numel() for module in (inside, *tables.values(), theirs, pool) for p in module.parameters())
    assert parameters == sum(p.numel() for p in encoder.parameters())


def test_data_without_agents_or_without_motion_is_refused() -> None:
    picture = ObservationSpec(keys=(KeySpec(key="image", axes="B T H W C"),), dt=0.1, context=1, horizon=0)
    with pytest.raises(Mismatch, match=r"needs key 'agents\.state', got observations") as caught:
        MultiAgentConfig().embedding(picture)
    assert caught.value.remedy == "choose a dataset of traffic, such as --dataset highway"
    still = ObservationSpec(keys=(KeySpec(key="agents.state", axes="B T A F"),), dt=0.1, context=1, horizon=0)
    with pytest.raises(Mismatch, match=r"needs feature 'x' in key 'agents\.state'"):
        MultiAgentConfig().embedding(still)
