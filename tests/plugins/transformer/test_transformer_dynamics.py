"""The dynamics `transformer` equal torch's own layers on the same weights, whole, in chunks, step by step and from the cache."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from twm_core import ActionSpec, DynamicsSpecs, EmbeddingSpec, Feature, Mismatch, UsageError
from twm_core.nn.interfaces import Embedding, Trace
from twm_core.nn.state import at_time, map_state
from twm_transformer.config import TransformerConfig
from twm_transformer.model import TransformerDynamics, build
from twm_transformer.plugin import twm_components
from twm_transformer.positions import LearnedPositions, SinusoidalPositions

B, T, A, E = 2, 7, 4, 5


def make(*, scene: int | None = None, agents: int | None = None, action: Any = None, **options: Any) -> TransformerDynamics:
    config = TransformerConfig(**{"width": 8, "heads": 2, "feedforward": 2, "window": 4, **options})
    embedding = EmbeddingSpec(scene=scene, agents=agents)
    spec = None if action is None else ActionSpec(layout=action, features=(Feature(name="a"), Feature(name="b")))
    torch.manual_seed(0)
    model = build(config, DynamicsSpecs(embedding=embedding, action=spec, latent=config.latent(embedding, spec))).eval()
    source = seeded(12)
    with torch.no_grad():  # norms and biases off their initial values, so that a forgotten one shows
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=source))
    return model


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tokens(seed: int = 2, steps: int = T) -> Tensor:
    return torch.randn(B, steps, A, E, generator=seeded(seed))


def ragged() -> Tensor:
    exists = torch.rand(B, T, A, generator=seeded(1)) > 0.35
    exists[0, :, 0] = True
    exists[0, :, 1] = torch.tensor([0, 0, 1, 1, 0, 0, 1]).bool()
    exists[1, :, 3] = False
    return exists


def resets() -> Tensor:
    first = torch.zeros(B, T, dtype=torch.bool)
    first[:, 0] = True
    first[1, 3] = True
    return first


def readings(trace: Trace) -> list[Tensor]:
    return [trace.posterior.z, trace.prior.z]


def weigh(values: list[Tensor]) -> Tensor:
    return sum(((x * torch.randn(x.shape, generator=seeded(i))).sum() for i, x in enumerate(values)), torch.zeros(()))


def assert_close(ours: Tensor, wanted: Tensor, limit: float = 1e-5) -> None:
    assert ours.shape == wanted.shape
    assert float((ours.detach() - wanted.detach()).abs().max()) < limit * max(float(wanted.detach().abs().max()), 1.0)


def torch_layers(model: TransformerDynamics) -> list[nn.TransformerEncoderLayer]:
    """torch's own layers with the weights of the model; the parameters are shared, so that gradients are, too."""
    layers: list[nn.TransformerEncoderLayer] = []
    width, config = model.config.width, model.config
    for block in model.network.blocks:
        layer = nn.TransformerEncoderLayer(
            width, config.heads, config.feedforward * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        ).train()  # in evaluation torch takes another, fused path
        layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias = block.query_key_value.weight, block.query_key_value.bias
        layer.self_attn.out_proj.weight, layer.self_attn.out_proj.bias = block.out.weight, block.out.bias
        layer.linear1.weight, layer.linear1.bias, layer.linear2.weight, layer.linear2.bias = (
            block.up.weight,
            block.up.bias,
            block.down.weight,
            block.down.bias,
        )
        layer.norm1, layer.norm2 = block.attention_norm, block.feedforward_norm
        layers.append(layer)
    return layers


def predict(model: TransformerDynamics, history: list[Tensor]) -> Tensor:
    """The prediction `[D]` after all inputs `[W]` since the start, everything computed anew."""
    x = (torch.stack(history) + model.network.positions(torch.arange(len(history)))).unsqueeze(0)
    distance = torch.arange(len(history)).view(-1, 1) - torch.arange(len(history))
    hidden = (distance < 0) | (distance >= model.config.window)
    for layer in torch_layers(model):
        x = layer(x, src_mask=hidden)
    return model.project(model.network.norm(x[0, -1]))


def plain(
    model: TransformerDynamics, x: Tensor, actions: Tensor | None, first: Tensor, exists: Tensor, withheld: Tensor | None = None
) -> list[Tensor]:
    """z of posterior and prior, one agent and step at a time, without cache. x `[B,T,A,E]`, actions `[B,T,A,U]`."""
    rows: list[list[Tensor]] = [[], []]
    for b in range(x.shape[0]):
        for a in range(x.shape[2]):
            history: list[Tensor] = []
            z, seen = torch.zeros(E), False
            out: list[list[Tensor]] = [[], []]
            for t in range(x.shape[1]):
                if first[b, t] or not seen:
                    history, z, seen = [], torch.zeros(E), False
                consumed = model.from_z(z)
                if actions is not None and t > 0 and bool(exists[b, t - 1, a]) and not bool(first[b, t]):
                    consumed = consumed + model.from_action(actions[b, t - 1, a])
                history = [*history, consumed]
                guess = predict(model, history)
                here = bool(exists[b, t, a]) and not (withheld is not None and bool(withheld[b, t, a]))
                seen = seen or here
                z = (x[b, t, a] if here else guess) if seen else torch.zeros(E)
                out[0].append(z)
                out[1].append(guess)
            for column, entries in zip(rows, out, strict=True):
                column.append(torch.stack(entries))
    return [torch.stack(r).unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2) for r in rows]


@pytest.mark.parametrize("window", [3, 16])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_a_whole_sequence_equals_torch_layers_on_the_same_weights(window: int, positions: str) -> None:
    model = make(scene=E, window=window, positions=positions)
    x, first = tokens()[:, :, 0], torch.zeros(B, T, dtype=torch.bool)
    guess = model.observe(Embedding(x, None), None, first, None).prior.z
    inputs = model.from_z(torch.cat((torch.zeros_like(x[:, :1]), x[:, :-1]), dim=1)) + model.network.positions(torch.arange(T))
    distance = torch.arange(T).view(-1, 1) - torch.arange(T)
    for layer in torch_layers(model):
        inputs = layer(inputs, src_mask=(distance < 0) | (distance >= window))
    assert_close(guess, model.project(model.network.norm(inputs)))


@pytest.mark.parametrize("action", [None, "agents"])
@pytest.mark.parametrize("masked", ["", "ragged", "withheld", "ragged and withheld"])
def test_values_and_gradients_equal_the_plain_loop(action: str | None, masked: str) -> None:
    model = make(agents=E, action=action)
    exists = ragged() if "ragged" in masked else None
    withheld = torch.rand(B, T, A, generator=seeded(4)) < 0.4 if "withheld" in masked else None
    actions = None if action is None else torch.randn(B, T, A, 2, generator=seeded(8))
    everywhere = torch.ones(B, T, A, dtype=torch.bool)
    results = []
    for reference in (False, True):
        model.zero_grad()
        x = tokens().requires_grad_()
        values = (
            plain(model, x, actions, resets(), exists if exists is not None else everywhere, withheld)
            if reference
            else readings(model.observe(Embedding(None, x), actions, resets(), exists, withheld=withheld))
        )
        weigh(values).backward()
        assert x.grad is not None
        results.append([*values, x.grad, *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    assert len(results[0]) == 3 + len(list(model.parameters()))
    for a, b in zip(*results, strict=True):
        assert_close(a, b, 5e-5)


def test_everybody_present_gives_the_same_with_and_without_a_mask() -> None:
    model = make(agents=E)
    everywhere = torch.ones(B, T, A, dtype=torch.bool)
    one, two = (model.observe(Embedding(None, tokens()), None, resets(), e) for e in (None, everywhere))
    assert all(torch.equal(a, b) for a, b in zip((*one.posterior[:3], *one.prior[:3]), (*two.posterior[:3], *two.prior[:3]), strict=True))


def test_rows_without_gaps_do_not_depend_on_whether_others_have_some() -> None:
    model, exists = make(agents=E), torch.ones(B, T, A, dtype=torch.bool)
    whole = model.observe(Embedding(None, tokens()), None, resets(), exists)
    exists[0, 3, 2] = False
    gaps = model.observe(Embedding(None, tokens()), None, resets(), exists)
    for a, b in zip(gaps.prior[:3], whole.prior[:3], strict=True):
        assert torch.equal(a[1], b[1])
        assert torch.equal(a[0, :, [0, 1, 3]], b[0, :, [0, 1, 3]])


@pytest.mark.parametrize("cut", [1, 3, 4, 6])
@pytest.mark.parametrize("window", [3, 16])
def test_chunks_that_carry_the_state_equal_the_whole_sequence(cut: int, window: int) -> None:
    model = make(agents=E, action="agents", window=window)
    exists, first, x = ragged(), resets(), tokens()
    actions = torch.where(exists.unsqueeze(-1), torch.randn(B, T, A, 2, generator=seeded(8)), float("nan"))
    whole = model.observe(Embedding(None, x), actions, first, exists)
    head = model.observe(Embedding(None, x[:, :cut]), actions[:, :cut], first[:, :cut], exists[:, :cut])
    tail = model.observe(
        Embedding(None, x[:, cut:]),
        actions[:, cut:],
        first[:, cut:],
        exists[:, cut:],
        state=at_time(head.posterior, cut - 1),
        first_action=actions[:, cut - 1],
    )
    for name in ("z", "steps", "present"):
        assert_close(getattr(tail.posterior, name), getattr(whole.posterior, name)[:, cut:])
        assert_close(getattr(tail.prior, name), getattr(whole.prior, name)[:, cut:])
    end = tail.posterior.steps[:, -1].clamp_max(window - 1)
    for back in range(1, int(end.max()) + 1):  # only as many entries count as inputs were consumed
        counts = end >= back
        assert_close(tail.posterior.cache[:, -1, ..., -back, :][counts], whole.posterior.cache[:, -1, ..., -back, :][counts])


@pytest.mark.parametrize("window", [3, 16])
@pytest.mark.parametrize("start", [0, 2, T - 1])
def test_a_rollout_from_the_cache_equals_the_full_forward_pass(window: int, start: int) -> None:
    model, steps = make(agents=E, window=window), 9
    trace = model.observe(Embedding(None, tokens()), None, torch.zeros(B, T, dtype=torch.bool), None)
    future = model.imagine(at_time(trace.posterior, start), steps, samples=2)
    assert future.z.shape == (B, 2, steps, A, E)
    assert torch.equal(future.z[:, 0], future.z[:, 1])
    everything = torch.cat((tokens()[:, : start + 1], future.z[:, 0]), dim=1)
    whole = model.observe(Embedding(None, everything), None, torch.zeros(B, start + 1 + steps, dtype=torch.bool), None)
    assert_close(future.z[:, 0], whole.prior.z[:, start + 1 :])
    assert torch.equal(future.steps[:, 0], whole.prior.steps[:, start + 1 :])
    for h in (0, steps - 1):
        entries = min(window - 1, start + 2 + h)
        assert_close(future.cache[:, 0, h, ..., -entries:, :], whole.prior.cache[:, start + 1 + h, ..., -entries:, :])


def test_an_imagined_state_can_be_imagined_from() -> None:
    model = make(agents=E)
    start = at_time(model.observe(Embedding(None, tokens()), None, resets(), ragged()).posterior, T - 1)
    long = model.imagine(start, 6)
    middle = map_state(lambda x: x[:, 0, 2], long)
    assert_close(model.imagine(middle, 3).z[:, 0], long.z[:, 0, 3:])


@pytest.mark.parametrize("window", [3, 16])
def test_gradients_of_a_rollout_are_those_of_the_full_pass_with_the_past_held_fixed(window: int) -> None:
    model = make(scene=E, window=window, n_layers=1)
    x, results, steps = tokens()[:, :, 0], [], 5
    first = torch.zeros(B, T, dtype=torch.bool)
    with torch.no_grad():
        start = at_time(model.observe(Embedding(x, None), None, first, None).posterior, T - 1)
    for cached in (True, False):
        model.zero_grad()
        z = x[:, -1].clone().requires_grad_()
        guess = model.imagine(start._replace(z=z), steps).z[:, 0] if cached else plain_rollout(model, x, z, steps)
        weigh([guess]).backward()
        assert z.grad is not None
        results.append([guess, z.grad, *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    assert len(results[0]) == 2 + len(list(model.parameters()))
    for a, b in zip(*results, strict=True):
        assert_close(a, b)


def plain_rollout(model: TransformerDynamics, x: Tensor, z: Tensor, steps: int) -> Tensor:
    """A rollout of a model with one layer, from `z`, that computes all attention anew; keys and values before `z` carry no gradient."""
    block: Any = model.network.blocks[0]
    heads, guesses = model.config.heads, []
    inputs = model.from_z(torch.cat((torch.zeros_like(x[:, :1]), x[:, :-1]), dim=1)).detach() + model.network.positions(torch.arange(T))
    past = block.query_key_value(block.attention_norm(inputs))[..., model.config.width :].detach()
    for t in range(steps):
        inputs = (model.from_z(z) + model.network.positions(torch.tensor(T + t))).unsqueeze(1)
        query, new = block.query_key_value(block.attention_norm(inputs)).split([model.config.width, 2 * model.config.width], dim=-1)
        past = torch.cat((past, new), dim=1)
        key, value = (y.unflatten(-1, (heads, -1)) for y in past[:, -model.config.window :].chunk(2, dim=-1))
        scores = torch.einsum("bqhd,bkhd->bhqk", query.unflatten(-1, (heads, -1)), key) / (model.config.width // heads) ** 0.5
        read = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), value).flatten(2)
        hidden = inputs + block.out(read)
        hidden = hidden + block.down(nn.functional.gelu(block.up(block.feedforward_norm(hidden))))
        z = model.project(model.network.norm(hidden[:, 0]))
        guesses.append(z)
    return torch.stack(guesses, dim=1)


def test_without_gradients_the_cache_is_written_in_place_and_the_result_is_the_same() -> None:
    model = make(agents=E, action="agents")
    actions = torch.randn(B, T, A, 2, generator=seeded(8))
    traces = []
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            trace = model.observe(Embedding(None, tokens()), actions, resets(), ragged())
            future = model.imagine(at_time(trace.posterior, 4), 7, actions, samples=2)
            traces.append([*trace.posterior, *trace.prior, *future])
    for a, b in zip(*traces, strict=True):
        assert_close(a.float(), b.float())


def test_the_states_of_all_steps_share_one_cache() -> None:
    model = make(agents=E, window=8)
    trace = model.observe(Embedding(None, tokens()), None, resets(), None)
    assert trace.posterior.cache.shape == (B, T, A, 2, 2, 7, 8)
    entries = trace.posterior.cache.untyped_storage().nbytes() // 4
    assert entries == B * A * 2 * 2 * (7 + T) * 8
    assert trace.prior.cache.data_ptr() == trace.posterior.cache.data_ptr()


@pytest.mark.parametrize("garbage", [7.0, float("nan"), float("inf")])
def test_what_stands_where_agents_are_absent_changes_no_value_and_no_gradient(garbage: float) -> None:
    model, exists, results = make(agents=E, action="agents"), ragged(), []
    for fill in (0.0, garbage):
        x = torch.where(exists.unsqueeze(-1), tokens(), fill).requires_grad_()
        actions = torch.where(exists.unsqueeze(-1), torch.randn(B, T, A, 2, generator=seeded(8)), fill)
        model.zero_grad()
        values = readings(model.observe(Embedding(None, x), actions, resets(), exists))
        weigh(values).backward()
        assert x.grad is not None
        results.append([*values, x.grad, *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_birth_and_a_reset_start_at_position_zero() -> None:
    model, first = make(agents=E), torch.zeros(B, T, dtype=torch.bool)
    first[1, 4] = True
    exists = torch.ones(B, T, A, dtype=torch.bool)
    exists[0, :3, 1] = False
    trace = model.observe(Embedding(None, tokens()), None, first, exists)
    assert trace.posterior.steps[0, :, 1].tolist() == [0, 0, 0, 1, 2, 3, 4]
    assert trace.posterior.steps[1, :, 0].tolist() == [1, 2, 3, 4, 1, 2, 3]
    blank = model.imagine(model.initial((B, A)), 1).z[:, 0, 0]
    assert_close(trace.prior.z[0, :4, 1], blank[0, 1].expand(4, E))
    assert_close(trace.prior.z[1, 4], blank[1])
    assert bool((trace.posterior.z[0, :3, 1] == 0).all())


def test_attention_reaches_back_as_far_as_the_window_in_each_layer_and_no_farther() -> None:
    model, first = make(scene=E, window=3, n_layers=1), torch.zeros(B, T, dtype=torch.bool)
    x = tokens()[:, :, 0].requires_grad_()
    guess = model.observe(Embedding(x, None), None, first, None).prior.z[0, 6].sum()
    (gradient,) = torch.autograd.grad(guess, x)
    assert (gradient[0] != 0).any(-1).tolist() == [False, False, False, True, True, True, False]


@pytest.mark.parametrize("pattern", ["nobody at step 2", "one agent", "all slots full", "nobody ever"])
def test_every_company_gives_finite_values_and_gradients(pattern: str) -> None:
    model = make(agents=E)
    exists = torch.full((B, T, A), pattern in ("nobody at step 2", "all slots full"))
    exists[:, 2] &= pattern != "nobody at step 2"
    exists[:, :, 1] |= pattern == "one agent"
    trace = model.observe(Embedding(None, tokens()), None, resets(), exists)
    weigh(readings(trace)).backward()
    assert all(bool(x.isfinite().all()) for x in readings(trace))
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


def test_a_policy_chooses_from_the_features_of_each_imagined_state() -> None:
    model = make(agents=E, action="agents")
    trace = model.observe(Embedding(None, tokens()), torch.zeros(B, T, A, 2), resets(), None)
    start = at_time(trace.posterior, 3)

    def policy(features: Any) -> Tensor:
        return features.agents[..., :2]

    closed = model.imagine(start, 3, policy)
    actions = torch.stack([start.z[..., :2], closed.z[:, 0, 0, :, :2], closed.z[:, 0, 1, :, :2]], dim=1)
    assert_close(model.imagine(start, 3, actions).z, closed.z)


def test_scene_actions_reach_every_agent() -> None:
    model = make(agents=E, action="scene")
    actions = torch.randn(B, T, 2, generator=seeded(8))
    everywhere = torch.ones(B, T, A, dtype=torch.bool)
    ours = model.observe(Embedding(None, tokens()), actions, resets(), None)
    wanted = plain(model, tokens(), actions.unsqueeze(2).expand(-1, -1, A, -1), resets(), everywhere)
    for a, b in zip(readings(ours), wanted, strict=True):
        assert_close(a, b)


def test_dropout_comes_from_the_generator_only_in_training_and_is_the_same_step_by_step() -> None:
    model = make(agents=E, dropout=0.5)

    def run(seed: int, exists: Tensor | None = None) -> Tensor:
        return model.observe(Embedding(None, tokens()), None, resets(), exists, generator=seeded(seed)).prior.z

    assert torch.equal(run(1), run(2))
    model.train()
    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    late = torch.ones(B, T, A, dtype=torch.bool)
    late[:, T - 2] = False  # everybody is carried once, so that all rows run step by step; until then nothing differs
    assert_close(run(1, late)[:, : T - 1], run(1)[:, : T - 1])


def test_learned_positions_begin_again_and_sinusoids_do_not() -> None:
    torch.manual_seed(0)
    learned, waves = LearnedPositions(4, 3), SinusoidalPositions(4)
    assert torch.equal(learned(torch.tensor([0, 1, 2])), learned(torch.tensor([3, 4, 5])))
    at = torch.tensor([0, 1, 700])
    wanted = torch.stack([(at / 1).sin(), (at / 100).sin(), (at / 1).cos(), (at / 100).cos()], dim=-1)
    assert_close(waves(at), wanted)


def test_bfloat16_autocast_stays_close_and_keeps_float32_states() -> None:
    model = make(agents=E)
    whole = model.observe(Embedding(None, tokens()), None, resets(), ragged())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model.observe(Embedding(None, tokens()), None, resets(), ragged())
        model.imagine(at_time(half.posterior, 0), 2)
    assert half.posterior.cache.dtype == half.prior.z.dtype == torch.float32
    assert_close(half.prior.z, whole.prior.z, 0.05)
    weigh(readings(half)).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 10, "heads": 4}, "width 10 is not a multiple of heads 4"),
        ({"width": 9, "heads": 3}, "width 9 is odd"),
        ({"positions": "learned", "max_steps": 8, "window": 9}, "window 9 is larger than max_steps 8"),
        ({"window": 1}, "greater than or equal to 2"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TransformerConfig(**options)


def test_what_does_not_suit_is_refused() -> None:
    per_agent = ActionSpec(layout="agents", features=(Feature(name="a"),))
    with pytest.raises(Mismatch, match="one action for the scene"):
        TransformerConfig().latent(EmbeddingSpec(scene=7), per_agent)
    with pytest.raises(Mismatch, match="agent tokens for layout 'agents'"):
        TransformerConfig(layout="agents").latent(EmbeddingSpec(scene=7), None)
    model = make(scene=E, action="scene")
    with pytest.raises(Mismatch, match="needs actions of width 2, got none"):
        model.observe(Embedding(tokens()[:, :, 0], None), None, resets(), None)
    with pytest.raises(UsageError, match="at least one step, got 0"):
        model.imagine(model.initial((B,)), 0, torch.zeros(B, 0, 2))


def test_the_plugin_and_its_config_import_no_torch_and_no_numpy() -> None:
    code = "import sys, twm_transformer.plugin, twm_transformer.config; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert [c.name for c in twm_components()] == ["transformer"]
