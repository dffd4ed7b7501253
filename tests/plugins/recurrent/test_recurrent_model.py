"""The dynamics `gru` and `lstm` equal torch.nn.GRU and LSTM, feed on their predictions, and keep their promises about masks and resets."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from twm_core import ActionSpec, DynamicsSpecs, EmbeddingSpec, Feature, Mismatch, UsageError
from twm_core.nn.interfaces import Embedding, Trace
from twm_core.nn.state import at_time, map_state
from twm_recurrent.config import GRUConfig, LSTMConfig
from twm_recurrent.model import Recurrent, build_gru, build_lstm
from twm_recurrent.plugin import twm_components

B, T, A, E = 2, 7, 4, 5


class Maker:
    """Makes models of one kind with small sizes, in evaluation."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, *, scene: int | None = None, agents: int | None = None, action: Any = None, **options: Any) -> Recurrent:
        torch.manual_seed(0)
        embedding = EmbeddingSpec(scene=scene, agents=agents)
        spec = None if action is None else ActionSpec(layout=action, features=(Feature(name="a"), Feature(name="b")))
        if self.kind == "gru":
            gru = GRUConfig(**{"hidden": 6, **options})
            return build_gru(gru, DynamicsSpecs(embedding=embedding, action=spec, latent=gru.latent(embedding, spec))).eval()
        lstm = LSTMConfig(**{"hidden": 6, **options})
        return build_lstm(lstm, DynamicsSpecs(embedding=embedding, action=spec, latent=lstm.latent(embedding, spec))).eval()


@pytest.fixture(params=["gru", "lstm"])
def make(request: pytest.FixtureRequest) -> Maker:
    return Maker(request.param)


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tokens(seed: int = 2, agents: int = A) -> Tensor:
    return torch.randn(B, T, agents, E, generator=seeded(seed))


def ragged() -> Tensor:
    exists = torch.rand(B, T, A, generator=seeded(1)) > 0.35
    exists[0, :, 0] = True
    exists[0, :, 1] = torch.tensor([0, 0, 1, 1, 0, 0, 1]).bool()
    exists[1, :, 3] = False
    return exists


def resets(at: int | None = 3) -> Tensor:
    first = torch.zeros(B, T, dtype=torch.bool)
    first[0, 0] = True
    if at is not None:
        first[1, at] = True
    return first


def plain(
    model: Recurrent, x: Tensor, actions: Tensor | None, first: Tensor, exists: Tensor, withheld: Tensor | None = None
) -> tuple[list[Tensor], list[Tensor]]:
    """One agent and step at a time, with torch.nn's network called on single inputs: z and memory of posterior and prior.

    x `[B,T,A,E]`, actions `[B,T,A,U]`, withheld `[B,T,A]`.
    """
    layers, hidden = model.config.n_layers, model.config.hidden
    count = 2 if isinstance(model.network(), torch.nn.LSTM) else 1
    rows: list[list[Tensor]] = [[] for _ in range(2 * (1 + count))]
    for b in range(x.shape[0]):
        for a in range(x.shape[2]):
            nothing = [torch.zeros(x.shape[-1]), *(torch.zeros(layers, 1, hidden) for _ in range(count))]
            (z, *memory), seen = nothing, False
            out: list[list[Tensor]] = [[] for _ in rows]
            for t in range(x.shape[1]):
                known = t > 0 and bool(exists[b, t - 1, a]) and not bool(first[b, t])
                if first[b, t]:
                    (z, *memory), seen = nothing, False
                inputs = [z]
                if actions is not None:
                    inputs.append(actions[b, t - 1, a] if known else torch.zeros(actions.shape[-1]))
                _, after = model.network()(torch.cat(inputs).view(1, 1, -1), memory[0] if count == 1 else tuple(memory))
                memory = [after] if count == 1 else list(after)
                guess = model.project(memory[0][-1, 0])
                for column, entry in zip(out[1 + count :], (guess, *(m[:, 0] for m in memory)), strict=True):
                    column.append(entry)
                here = bool(exists[b, t, a]) and not (withheld is not None and bool(withheld[b, t, a]))
                seen = seen or here
                z = x[b, t, a] if here else guess
                if not seen:
                    z, *memory = nothing
                for column, entry in zip(out, (z, *(m[:, 0] for m in memory)), strict=False):
                    column.append(entry)
            for column, entries in zip(rows, out, strict=True):
                column.append(torch.stack(entries))
    done = [torch.stack(r).unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2) for r in rows]
    return done[: 1 + count], done[1 + count :]


def readings(trace: Trace) -> list[Tensor]:
    """z and memory of posterior and prior."""
    return [*trace.posterior[:-1], *trace.prior[:-1]]


def weigh(values: list[Tensor]) -> Tensor:
    return sum(((x * torch.randn(x.shape, generator=seeded(i))).sum() for i, x in enumerate(values)), torch.zeros(()))


def assert_close(ours: Tensor, wanted: Tensor, limit: float = 2e-5) -> None:
    assert ours.shape == wanted.shape
    assert float((ours.detach() - wanted.detach()).abs().max()) < limit * max(float(wanted.detach().abs().max()), 1.0)


def test_a_whole_sequence_equals_torch_on_the_same_weights(make: Maker) -> None:
    model = make(scene=E, n_layers=2)
    x = tokens(agents=1)[:, :, 0]
    trace = model.observe(Embedding(x, None), None, resets(None), None)
    shifted = torch.cat((torch.zeros_like(x[:, :1]), x[:, :-1]), dim=1)
    hidden, last = model.network()(shifted.transpose(0, 1))
    assert_close(trace.posterior.carry[:, :, -1], hidden.transpose(0, 1))
    assert_close(trace.posterior.carry[:, -1], (last if make.kind == "gru" else last[0]).transpose(0, 1))
    if make.kind == "lstm":
        assert_close(trace.posterior.cell[:, -1], last[1].transpose(0, 1))
    assert_close(trace.prior.z, model.project(hidden).transpose(0, 1))
    assert torch.equal(trace.posterior.z, x)


def test_gradients_of_a_whole_sequence_equal_those_of_torch(make: Maker) -> None:
    model = make(scene=E, n_layers=2)
    results = []
    for ours in (True, False):
        model.zero_grad()
        x = tokens(agents=1)[:, :, 0].requires_grad_()
        if ours:
            guess = model.observe(Embedding(x, None), None, resets(None), None).prior.z
        else:
            shifted = torch.cat((torch.zeros_like(x[:, :1]), x[:, :-1]), dim=1)
            guess = model.project(model.network()(shifted.transpose(0, 1))[0]).transpose(0, 1)
        weigh([guess]).backward()
        results.append([x.grad, *(p.grad for p in model.parameters())])
    for a, b in zip(*results, strict=True):
        assert a is not None
        assert b is not None
        assert_close(a, b)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("action", [None, "agents"])
@pytest.mark.parametrize("masked", ["everybody there", "ragged", "withheld", "ragged and withheld"])
def test_values_and_gradients_equal_the_plain_loop(make: Maker, layers: int, action: str | None, masked: str) -> None:
    model = make(agents=E, n_layers=layers, action=action)
    exists = ragged() if "ragged" in masked else None
    withheld = torch.rand(B, T, A, generator=seeded(4)) < 0.4 if "withheld" in masked else None
    actions = None if action is None else torch.randn(B, T, A, 2, generator=seeded(8))
    everywhere = torch.ones(B, T, A, dtype=torch.bool)
    results = []
    for reference in (False, True):
        model.zero_grad()
        values = (
            [x for state in plain(model, tokens(), actions, resets(), everywhere if exists is None else exists, withheld) for x in state]
            if reference
            else readings(model.observe(Embedding(None, tokens()), actions, resets(), exists, withheld=withheld))
        )
        weigh(values).backward()
        results.append([*values, *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    assert len(results[0]) == (4 if make.kind == "gru" else 6) + len(list(model.parameters()))
    for a, b in zip(*results, strict=True):
        assert_close(a, b, 1e-4)


def test_a_withheld_step_is_withheld_from_everybody_or_from_single_agents(make: Maker) -> None:
    model = make(agents=E)
    step = torch.zeros(B, T, dtype=torch.bool)
    step[:, 2:4] = True
    one = model.observe(Embedding(None, tokens()), None, resets(), ragged(), withheld=step)
    two = model.observe(Embedding(None, tokens()), None, resets(), ragged(), withheld=step.unsqueeze(-1).expand(B, T, A))
    assert all(torch.equal(a, b) for a, b in zip(readings(one), readings(two), strict=True))


def test_a_scene_begins_at_its_first_step_that_is_not_withheld(make: Maker) -> None:
    model = make(scene=E)
    x, step = tokens(agents=1)[:, :, 0], torch.zeros(B, T, dtype=torch.bool)
    step[:, :3] = True
    first = resets(None)
    late = model.observe(Embedding(x, None), None, first, None, withheld=step)
    assert bool((late.posterior.z[:, :3] == 0).all())
    alone = model.observe(Embedding(x[:, 3:], None), None, torch.zeros(B, T - 3, dtype=torch.bool), None)
    for a, b in zip(readings(late), readings(alone), strict=True):
        assert_close(a[:, 3:], b)


def test_single_agents_cannot_be_withheld_from_a_scene(make: Maker) -> None:
    with pytest.raises(UsageError, match=r"withheld has shape \(2, 7, 4\), but there is one state for the scene"):
        make(scene=E).observe(Embedding(tokens()[:, :, 0], None), None, resets(), None, withheld=torch.zeros(B, T, A, dtype=torch.bool))


def test_everybody_present_gives_the_same_with_and_without_a_mask(make: Maker) -> None:
    model = make(agents=E)
    everywhere = torch.ones(B, T, A, dtype=torch.bool)
    one, two = (model.observe(Embedding(None, tokens()), None, resets(), e) for e in (None, everywhere))
    for a, b in zip(readings(one), readings(two), strict=True):
        assert_close(a, b)


def test_scene_actions_reach_every_agent(make: Maker) -> None:
    model = make(agents=E, action="scene")
    actions = torch.randn(B, T, 2, generator=seeded(8))
    everywhere = torch.ones(B, T, A, dtype=torch.bool)
    ours = model.observe(Embedding(None, tokens()), actions, resets(), None)
    wanted = plain(model, tokens(), actions.unsqueeze(2).expand(-1, -1, A, -1), resets(), everywhere)
    for a, b in zip(readings(ours), [*wanted[0], *wanted[1]], strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("garbage", [7.0, float("nan"), float("inf")])
def test_what_stands_where_agents_are_absent_changes_no_value_and_no_gradient(make: Maker, garbage: float) -> None:
    model = make(agents=E, action="agents")
    exists = ragged()
    results = []
    for fill in (0.0, garbage):
        x = torch.where(exists.unsqueeze(-1), tokens(), fill).requires_grad_()
        actions = torch.where(exists.unsqueeze(-1), torch.randn(B, T, A, 2, generator=seeded(8)), fill)
        model.zero_grad()
        values = readings(model.observe(Embedding(None, x), actions, resets(), exists))
        weigh(values).backward()
        assert x.grad is not None
        results.append([*values, x.grad, *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_absent_agents_are_carried_by_their_prior_and_unseen_ones_stay_initial(make: Maker) -> None:
    exists = ragged()
    trace = make(agents=E).observe(Embedding(None, tokens()), None, torch.zeros(B, T, dtype=torch.bool), exists)
    seen = exists.cumsum(1) > 0
    for ours, prior in zip(trace.posterior[:-1], trace.prior[:-1], strict=True):
        assert torch.equal(ours[seen & ~exists], prior[seen & ~exists])
        assert bool((ours[~seen] == 0).all())


def test_the_prior_knows_nothing_of_its_step_not_even_who_is_there(make: Maker) -> None:
    model, exists, at = make(agents=E), ragged(), 4
    other = exists.clone()
    other[:, at:] = ~other[:, at:]
    x = tokens()
    y = x.clone()
    y[:, at:] = tokens(9)[:, at:]
    first = torch.zeros(B, T, dtype=torch.bool)
    one, two = (model.observe(Embedding(None, v), None, first, e) for v, e in ((x, exists), (y, other)))
    assert all(torch.equal(a[:, : at + 1], b[:, : at + 1]) for a, b in zip(one.prior[:-1], two.prior[:-1], strict=True))


def test_permuting_agents_permutes_their_states(make: Maker) -> None:
    model, order = make(agents=E), torch.tensor([2, 0, 3, 1])
    straight = model.observe(Embedding(None, tokens()), None, resets(), ragged())
    permuted = model.observe(Embedding(None, tokens()[:, :, order]), None, resets(), ragged()[:, :, order])
    for a, b in zip(readings(permuted), readings(straight), strict=True):
        assert_close(a, b[:, :, order])


def test_a_scene_of_the_batch_gives_the_same_alone_and_each_agent_too(make: Maker) -> None:
    model = make(agents=E)
    whole = model.observe(Embedding(None, tokens()), None, resets(), ragged())
    alone = model.observe(Embedding(None, tokens()[:1]), None, resets()[:1], ragged()[:1])
    single = model.observe(Embedding(None, tokens()[:, :, 1:2]), None, resets(), ragged()[:, :, 1:2])
    for a, b, c in zip(readings(whole), readings(alone), readings(single), strict=True):
        assert_close(a[:1], b)
        assert_close(a[:, :, 1:2], c)


@pytest.mark.parametrize("cut", [1, 3, 4])
def test_chunks_that_carry_the_state_equal_the_whole_sequence(make: Maker, cut: int) -> None:
    model = make(agents=E, n_layers=2)
    x, exists, first = tokens(), ragged(), resets()
    whole = model.observe(Embedding(None, x), None, first, exists)
    head = model.observe(Embedding(None, x[:, :cut]), None, first[:, :cut], exists[:, :cut])
    tail = model.observe(Embedding(None, x[:, cut:]), None, first[:, cut:], exists[:, cut:], state=at_time(head.posterior, cut - 1))
    for a, b in zip(readings(tail), readings(whole), strict=True):
        assert_close(a, b[:, cut:])


def test_one_imagined_step_is_the_prior_of_the_next_step(make: Maker) -> None:
    model = make(agents=E, action="agents")
    actions = torch.randn(B, T, A, 2, generator=seeded(8))
    exists = ragged()
    trace = model.observe(Embedding(None, tokens()), actions, torch.zeros(B, T, dtype=torch.bool), exists)
    for t in range(T - 1):
        one = model.imagine(at_time(trace.posterior, t), 1, actions[:, t : t + 1], exists=exists[:, t])
        assert_close(one.z[:, 0, 0], trace.prior.z[:, t + 1])
        assert_close(one.carry[:, 0, 0], trace.prior.carry[:, t + 1])


@pytest.mark.parametrize("layers", [1, 2])
def test_imagination_is_observing_its_own_predictions(make: Maker, layers: int) -> None:
    model = make(agents=E, n_layers=layers)
    trace = model.observe(Embedding(None, tokens()), None, resets(), None)
    start = at_time(trace.posterior, T - 1)
    future = map_state(lambda x: x[:, 1], model.imagine(start, 5, samples=2))
    fed = model.observe(Embedding(None, future.z), None, torch.zeros(B, 5, dtype=torch.bool), None, state=start)
    for a, b in zip(fed.posterior, future, strict=True):
        assert_close(a, b)
    assert_close(fed.prior.z, future.z)


def test_a_policy_chooses_from_the_features_of_each_imagined_state(make: Maker) -> None:
    model = make(scene=E, action="scene")
    start = map_state(lambda x: torch.rand(x.shape, generator=seeded(6)), model.initial((B,)))

    def policy(features: Any) -> Tensor:
        return features.scene[..., :2]

    closed = model.imagine(start, 3, policy)
    actions = torch.stack([start.z[:, :2], closed.z[:, 0, 0, :2], closed.z[:, 0, 1, :2]], dim=1)
    assert_close(model.imagine(start, 3, actions).z, closed.z)


def test_the_action_of_an_agent_that_was_absent_does_not_reach_the_next_chunk(make: Maker) -> None:
    model = make(agents=E, action="agents")
    exists, cut = ragged(), 5
    actions = torch.where(exists.unsqueeze(-1), torch.randn(B, T, A, 2, generator=seeded(8)), float("nan"))
    whole = model.observe(Embedding(None, tokens()), actions, resets(), exists)
    head = model.observe(Embedding(None, tokens()[:, :cut]), actions[:, :cut], resets()[:, :cut], exists[:, :cut])
    carried = at_time(head.posterior, cut - 1)
    assert not bool(exists[:, cut - 1].all())
    tail = model.observe(
        Embedding(None, tokens()[:, cut:]),
        actions[:, cut:],
        resets()[:, cut:],
        exists[:, cut:],
        state=carried,
        first_action=actions[:, cut - 1],
    )
    for a, b in zip(readings(tail), readings(whole), strict=True):
        assert_close(a, b[:, cut:])


@pytest.mark.parametrize("pattern", ["nobody at step 2", "one agent", "all slots full", "nobody ever"])
def test_every_company_gives_finite_values_and_gradients(make: Maker, pattern: str) -> None:
    model = make(agents=E)
    exists = torch.full((B, T, A), pattern in ("nobody at step 2", "all slots full"))
    exists[:, 2] &= pattern != "nobody at step 2"
    exists[:, :, 1] |= pattern == "one agent"
    trace = model.observe(Embedding(None, tokens()), None, resets(), exists)
    weigh(readings(trace)).backward()
    assert all(bool(x.isfinite().all()) for x in readings(trace))
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


def test_dropout_between_layers_comes_from_the_generator_and_only_in_training(make: Maker) -> None:
    model = make(agents=E, n_layers=2, dropout=0.5)

    def run(seed: int) -> Tensor:
        return model.observe(Embedding(None, tokens()), None, resets(), None, generator=seeded(seed)).prior.z

    assert torch.equal(run(1), run(2))
    model.train()
    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_bfloat16_autocast_stays_close(make: Maker) -> None:
    model = make(agents=E, n_layers=2)
    whole = model.observe(Embedding(None, tokens()), None, resets(), ragged())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model.observe(Embedding(None, tokens()), None, resets(), ragged())
        model.imagine(at_time(half.posterior, 0), 2)
    assert half.posterior.carry.dtype == torch.float32
    assert_close(half.prior.z.float(), whole.prior.z, 0.05)
    weigh([x.float() for x in readings(half)]).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


def test_the_latent_is_as_wide_as_the_embedding_and_has_no_distribution(make: Maker) -> None:
    latent = GRUConfig().latent(EmbeddingSpec(scene=7, agents=5), None)
    assert (latent.layout, latent.width, latent.family, latent.deter) == ("agents", 5, "none", 5)
    model = make(scene=E)
    state = model.initial((B,))
    assert model.distribution(state) is None
    assert model.features(state).scene is state.z


@pytest.mark.parametrize(
    ("layout", "embedding", "needs", "remedy"),
    [
        ("agents", EmbeddingSpec(scene=7), "agent tokens for layout 'agents'", "set layout to 'scene' or 'auto'"),
        ("scene", EmbeddingSpec(agents=7), "a scene token for layout 'scene'", "set layout to 'agents' or 'auto'"),
        ("auto", EmbeddingSpec(), "a scene token for layout 'scene'", "choose an encoder that gives tokens"),
    ],
)
def test_missing_tokens_are_refused_with_a_remedy(layout: Any, embedding: EmbeddingSpec, needs: str, remedy: str) -> None:
    with pytest.raises(Mismatch) as caught:
        GRUConfig(layout=layout).latent(embedding, None)
    assert caught.value.needs == needs
    assert caught.value.remedy == remedy


def test_actions_that_do_not_fit_are_refused(make: Maker) -> None:
    per_agent = ActionSpec(layout="agents", features=(Feature(name="a"),))
    with pytest.raises(Mismatch, match="one action for the scene"):
        GRUConfig().latent(EmbeddingSpec(scene=7), per_agent)
    x = Embedding(tokens()[:, :, 0], None)
    with pytest.raises(Mismatch, match="needs no actions, got actions of shape"):
        make(scene=E).observe(x, torch.zeros(B, T, 2), resets(), None)
    model = make(scene=E, action="scene")
    with pytest.raises(Mismatch, match="needs actions of width 2, got none"):
        model.observe(x, None, resets(), None)
    with pytest.raises(UsageError, match="at least one step, got 0"):
        model.imagine(model.initial((B,)), 0, torch.zeros(B, 0, 2))


def test_the_plugin_and_its_config_import_no_torch_and_no_numpy() -> None:
    code = "import sys, twm_recurrent.plugin, twm_recurrent.config; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert [c.name for c in twm_components()] == ["gru", "lstm", "stochastic-gru"]
