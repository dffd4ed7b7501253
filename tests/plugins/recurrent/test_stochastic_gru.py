"""The dynamics `stochastic-gru` against a plain float64 loop over torch.nn.GRUCell, its masks, and its divergence."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, kl_divergence
from torch.distributions import Normal as TorchNormal

from twm_core import ActionSpec, DynamicsSpecs, EmbeddingSpec, Feature, Mismatch, UsageError
from twm_core.nn.interfaces import Embedding, Trace
from twm_core.nn.state import at_time, map_state
from twm_recurrent.config import StochasticGRUConfig
from twm_recurrent.stochastic import StochasticGRU, build

B, T, A, E, D, G = 2, 6, 4, 5, 7, 3


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(*, scene: int | None = None, agents: int | None = None, action: Any = None, **options: Any) -> StochasticGRU:
    config = StochasticGRUConfig(**{"deter": D, "stoch": G, **options})
    embedding = EmbeddingSpec(scene=scene, agents=agents)
    spec = None if action is None else ActionSpec(layout=action, features=(Feature(name="a"), Feature(name="b")))
    torch.manual_seed(0)
    return build(config, DynamicsSpecs(embedding=embedding, action=spec, latent=config.latent(embedding, spec))).eval()


def noiseless(action: Any) -> StochasticGRU:
    """A model of agents whose samples are their means."""
    model = make(agents=E, action=action, max_logvar=60.0)
    with torch.no_grad():
        for head in (model.prior, model.posterior):
            head.bias[G:] = -1e6
    return model


def tokens(seed: int = 2) -> Tensor:
    return torch.randn(B, T, A, E, generator=seeded(seed))


def ragged() -> Tensor:
    exists = torch.rand(B, T, A, generator=seeded(1)) > 0.35
    exists[0, :, 1] = torch.tensor([0, 0, 1, 1, 0, 1]).bool()
    exists[1, :, 3] = False
    return exists


def resets() -> Tensor:
    first = torch.zeros(B, T, dtype=torch.bool)
    first[:, 0] = True
    first[1, 3] = True
    return first


def fields(trace: Trace) -> list[Tensor]:
    return [*trace.posterior[:4], *trace.prior[:4]]


def weigh(values: list[Tensor]) -> Tensor:
    return sum(((x.float() * torch.randn(x.shape, generator=seeded(i))).sum() for i, x in enumerate(values)), torch.zeros(()))


def assert_close(ours: Tensor, wanted: Tensor, limit: float = 2e-5) -> None:
    assert ours.shape == wanted.shape
    assert float((ours.detach().double() - wanted.detach().double()).abs().max()) < limit * max(float(wanted.detach().abs().max()), 1.0)


def plain(
    model: StochasticGRU, x: Tensor, actions: Tensor | None, first: Tensor, exists: Tensor, withheld: Tensor, noise: Tensor
) -> list[Tensor]:
    """One agent and step at a time in float64; the model must be float64. Fields of posterior, then of prior, `[B,T,A,...]`."""
    limit = model.config.max_logvar

    def gaussian(raw: Tensor, eps: Tensor) -> list[Tensor]:
        mean, std = raw[:G], torch.sqrt(torch.exp(limit * torch.tanh(raw[G:] / limit)))
        return [mean + std * eps, mean, std]

    rows: list[list[Tensor]] = [[] for _ in range(8)]
    for b in range(x.shape[0]):
        for a in range(x.shape[2]):
            initial = [torch.zeros(n).double() for n in (D, G, G)] + [torch.ones(G).double()]
            state, seen = initial, False
            out: list[list[Tensor]] = [[] for _ in range(8)]
            for t in range(x.shape[1]):
                if first[b, t]:
                    state, seen = initial, False
                inputs = [state[1]]
                if actions is not None:
                    known = t > 0 and bool(exists[b, t - 1, a]) and not bool(first[b, t])
                    inputs.append(actions[b, t - 1, a].double() if known else torch.zeros(2).double())
                deter = model.gru(torch.cat(inputs).unsqueeze(0), state[0].unsqueeze(0))[0]
                prior = [deter, *gaussian(model.prior(deter), noise[b, t, a])]
                here = bool(exists[b, t, a]) and not bool(withheld[b, t, a])
                seen = seen or here
                if here:
                    state = [deter, *gaussian(model.posterior(torch.cat([deter, x[b, t, a].double()])), noise[b, t, a])]
                else:
                    state = prior if seen else initial
                for column, entry in zip(out, [*state, *prior], strict=True):
                    column.append(entry)
            for column, entries in zip(rows, out, strict=True):
                column.append(torch.stack(entries))
    return [torch.stack(r).unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2) for r in rows]


@pytest.mark.parametrize("action", [None, "agents"])
@pytest.mark.parametrize("masked", ["", "ragged", "withheld", "ragged and withheld"])
def test_values_and_gradients_equal_the_plain_loop(action: str | None, masked: str) -> None:
    nobody = torch.zeros(B, T, A, dtype=torch.bool)
    exists = ragged() if "ragged" in masked else None
    withheld = torch.rand(B, T, A, generator=seeded(4)) < 0.4 if "withheld" in masked else None
    actions = None if action is None else torch.randn(B, T, A, 2, generator=seeded(8))
    ours = make(agents=E, action=action)
    wanted = make(agents=E, action=action).double()
    trace = ours.observe(Embedding(None, tokens()), actions, resets(), exists, withheld=withheld, generator=seeded(5))
    noise = torch.randn(B, T, A, G, generator=seeded(5)).double()
    values = plain(
        wanted,
        tokens(),
        actions,
        resets(),
        exists if exists is not None else ~nobody,
        withheld if withheld is not None else nobody,
        noise,
    )
    weigh(fields(trace)).backward()
    weigh(values).backward()
    for a, b in zip(fields(trace), values, strict=True):
        assert_close(a, b)
    for p, q in zip(ours.parameters(), wanted.parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        assert_close(p.grad, q.grad, 1e-4)


def test_a_full_mask_gives_what_no_mask_gives_so_that_the_hoisted_prior_is_the_same() -> None:
    model = make(agents=E)
    everybody = torch.ones(B, T, A, dtype=torch.bool)
    one, two = (model.observe(Embedding(None, tokens()), None, resets(), e, generator=seeded()) for e in (None, everybody))
    for a, b in zip(fields(one), fields(two), strict=True):
        assert_close(a, b)


def test_the_divergence_is_that_of_torch() -> None:
    model = make(scene=E)
    trace = model.observe(Embedding(tokens()[:, :, 0], None), None, resets(), None, generator=seeded())
    ours = model.distribution(trace.posterior).kl(model.distribution(trace.prior))
    posterior, prior = (Independent(TorchNormal(s.mean, s.std), 1) for s in trace)
    assert_close(ours, kl_divergence(posterior, prior))
    assert ours.shape == (B, T)


def test_carried_agents_have_the_very_sample_of_their_prior_and_unseen_ones_stay_initial() -> None:
    exists, first = ragged(), torch.zeros(B, T, dtype=torch.bool)
    model = make(agents=E)
    trace = model.observe(Embedding(None, tokens()), None, first, exists, generator=seeded())
    seen = exists.cumsum(1) > 0
    initial = model.initial((B, A))
    for ours, prior, start in zip(trace.posterior[:4], trace.prior[:4], initial[:4], strict=True):
        assert torch.equal(ours[seen & ~exists], prior[seen & ~exists])
        assert torch.equal(ours[~seen], start.unsqueeze(1).expand_as(ours)[~seen])


def test_the_log_variance_is_bounded_without_a_kink() -> None:
    model = make(scene=E, max_logvar=4.0)
    raw = torch.linspace(-1e4, 1e4, 2 * G * 50).view(50, 2 * G).requires_grad_()
    _, std = model._gaussian(raw)
    logvar = 2 * std.log()
    assert float(logvar.detach().abs().max()) <= 4.0001
    _, small = model._gaussian(torch.full((2 * G,), 0.01))
    assert_close(2 * small.log(), torch.full((G,), 0.01))
    std.sum().backward()
    assert raw.grad is not None
    assert bool(raw.grad.isfinite().all())


def test_features_are_the_deterministic_part_then_the_sample() -> None:
    config = StochasticGRUConfig(deter=D, stoch=G)
    latent = config.latent(EmbeddingSpec(agents=E), None)
    assert (latent.layout, latent.width, latent.family, latent.deter, latent.groups) == ("agents", D + G, "gaussian", D, G)
    model = make(scene=E)
    state = map_state(lambda x: torch.rand(x.shape, generator=seeded()), model.initial((B,)))
    assert torch.equal(model.features(state).scene, torch.cat((state.deter, state.stoch), dim=-1))


def test_a_scene_token_informs_every_agent() -> None:
    model, scene = make(scene=2, agents=E), torch.randn(B, T, 2, generator=seeded(6))
    one, two = (model.observe(Embedding(s, tokens()), None, resets(), ragged(), generator=seeded()) for s in (scene, -scene))
    changed = (one.posterior.mean != two.posterior.mean).any(-1)
    assert bool(changed[ragged()].all())


def test_chunks_that_carry_state_and_action_equal_the_whole_sequence() -> None:
    """Without variance, because chunks draw other noise."""
    model = noiseless(action="agents")
    exists, cut = ragged(), 4
    actions = torch.where(exists.unsqueeze(-1), torch.randn(B, T, A, 2, generator=seeded(8)), float("nan"))
    x, first = tokens(), resets()
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
    for a, b in zip(fields(tail), fields(whole), strict=True):
        assert_close(a, b[:, cut:])


def test_samples_of_an_imagined_future_have_the_spread_of_its_distribution() -> None:
    model = make(scene=E, action="scene")
    start = model.initial((1,))
    actions = torch.zeros(1, 1, 2)
    future = model.imagine(start, 1, actions, samples=4000, generator=seeded())
    assert future.stoch.shape == (1, 4000, 1, G)
    assert_close(future.stoch.mean(dim=(0, 1, 2)), future.mean[0, 0, 0], 0.1)
    assert_close(future.stoch.std(dim=1)[0, 0], future.std[0, 0, 0], 0.1)


def test_a_policy_chooses_from_the_features_of_each_imagined_state() -> None:
    model = noiseless(action="scene")
    start = map_state(lambda x: torch.rand(x.shape, generator=seeded(6)), model.initial((B, A)))

    def policy(features: Any) -> Tensor:
        return features.agents[:, 0, :2]

    closed = model.imagine(start, 3, policy)
    visited = [start, *(map_state(lambda x, h=h: x[:, 0, h], closed) for h in range(2))]
    opened = model.imagine(start, 3, torch.stack([policy(model.features(s)) for s in visited], dim=1))
    assert_close(opened.deter, closed.deter)


@pytest.mark.parametrize("pattern", ["nobody at step 2", "one agent", "all slots full", "nobody ever"])
def test_every_company_gives_finite_values_and_gradients(pattern: str) -> None:
    model = make(agents=E)
    exists = torch.full((B, T, A), pattern in ("nobody at step 2", "all slots full"))
    exists[:, 2] &= pattern != "nobody at step 2"
    exists[:, :, 1] |= pattern == "one agent"
    trace = model.observe(Embedding(None, tokens()), None, resets(), exists, generator=seeded())
    weigh(fields(trace)).backward()
    assert all(bool(x.isfinite().all()) for x in fields(trace))
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())


def test_bfloat16_autocast_keeps_float32_states_and_trains() -> None:
    model = make(agents=E)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        trace = model.observe(Embedding(None, tokens()), None, resets(), ragged(), generator=seeded())
        model.imagine(at_time(trace.posterior, 0), 2, generator=seeded())
    assert {x.dtype for x in fields(trace)} == {torch.float32}
    weigh(fields(trace)).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


def test_what_does_not_suit_is_refused() -> None:
    with pytest.raises(Mismatch, match="a scene token for layout 'scene'"):
        StochasticGRUConfig(layout="scene").latent(EmbeddingSpec(agents=E), None)
    model = make(scene=E, action="scene")
    with pytest.raises(Mismatch, match="needs actions of width 2, got none"):
        model.observe(Embedding(tokens()[:, :, 0], None), None, resets(), None)
    with pytest.raises(UsageError, match="at least one step, got 0"):
        model.imagine(model.initial((B,)), 0, torch.zeros(B, 0, 2))
