"""What the options promise: dense core, families, learned initial state, stored mixtures, withheld observations, published sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from twm_core import ActionSpec, DynamicsSpecs, EmbeddingSpec, Feature, UsageError
from twm_core.nn.interfaces import Embedding
from twm_core.nn.state import at_time, map_state
from twm_rssm.config import RSSMCatConfig, RSSMGaussConfig
from twm_rssm.gru_cell import GRUCell
from twm_rssm.latents import CategoricalLatents, GaussianLatents
from twm_rssm.model import RSSM, build

Make = Callable[..., RSSM]
B, T, A, E = 2, 6, 3, 4
EARLY: dict[str, Any] = {"core": "gru", "norm": "layer", "eps": 1e-3, "initial": "learned"}
KINDS = [{"family": "cat"}, {"family": "gauss"}, {"family": "cat", "unimix_stored": True, **EARLY}, {"family": "gauss", **EARLY}]
NO_RESET = torch.zeros(B, T, dtype=torch.bool)


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tokens(*shape: int) -> Tensor:
    return torch.randn(B, T, *shape, E, generator=seeded(2))


def close(a: Tensor, b: Tensor, limit: float = 1e-5) -> bool:
    """Equal up to `limit`, relative to the largest number where that is above one."""
    if not a.numel():
        return a.shape == b.shape
    return a.shape == b.shape and float((a - b).detach().abs().max()) <= limit * max(1.0, float(b.detach().abs().max()))


# The dense core ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_one_step_of_the_early_core_equals_numpy(norm: Any) -> None:
    rows, deter, hidden, stoch, eps = 3, 8, 4, 6, 1e-3
    torch.manual_seed(0)
    cell = GRUCell(deter=deter, stoch=stoch, action=2, message=False, hidden=hidden, layers=1, norm=norm, eps=eps)
    with torch.no_grad():
        for p in cell.parameters():
            p += 0.2 * torch.randn_like(p)
    d, s, a = (torch.randn(rows, n, generator=seeded(n)) for n in (deter, stoch, 2))
    with torch.no_grad():
        step = cell.begin()
        ours = step(d, step.inputs(d, step.stoch_in(s)), step.action_part(a), None).numpy()
    w = {k: v.detach().double().numpy() for k, v in cell.named_parameters()}
    dn, sn, an = (x.double().numpy() for x in (d, s, a))

    def normed(x: Any, name: str, scale: str, offset: str) -> Any:
        if norm == "rms":
            return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * w[f"{name}.{scale}"]
        hat = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
        return hat * w[f"{name}.{scale}"] + w[f"{name}.{offset}"]

    kernel = np.concatenate((w["stoch_in.weight"], w["action_in.weight"]), axis=1)  # one Linear on [stoch, action]
    x = normed(np.concatenate((sn, an), axis=1) @ kernel.T + w.get("stoch_in.bias", 0.0), "norm", "scale", "offset")
    x = x / (1 + np.exp(-x))
    gates = np.concatenate((dn, x), axis=1) @ w["gates.weight"].T + w.get("gates.bias", 0.0)
    reset, candidate, update = np.split(normed(gates, "gates_norm", "weight", "bias"), 3, axis=1)
    update = 1 / (1 + np.exp(1 - update))
    wanted = update * np.tanh(candidate / (1 + np.exp(-reset))) + (1 - update) * dn
    np.testing.assert_allclose(ours, wanted, atol=1e-5)


def test_layers_before_a_layer_norm_have_no_bias_and_those_before_an_rms_norm_have_one(make: Make) -> None:
    early = {k for k, _ in make(agents=E, action="agents", obslayers=2, **EARLY).named_parameters() if k.endswith(".bias")}
    assert early == {"cell.gates_norm.bias", "posterior.logits.bias", "prior.logits.bias"}
    today = {k for k, _ in make(agents=E, core="gru").named_parameters() if k.endswith(".bias")}
    assert {"cell.stoch_in.bias", "cell.gates.bias", "posterior.first.bias", "prior.layers.0.bias"} <= today


def test_the_early_model_has_as_many_parameters_as_its_layers_say() -> None:
    d, h, s, e, u = 24, 16, 4 * 8, 10, 3
    config = RSSMCatConfig(layout="scene", deter=d, hidden=h, groups=4, classes=8, imglayers=1, unimix_stored=True, **EARLY)
    action = ActionSpec(layout="scene", features=tuple(Feature(name=f"u{i}") for i in range(u)))
    embedding = EmbeddingSpec(scene=e)
    model = build(config, DynamicsSpecs(embedding=embedding, action=action, latent=config.latent(embedding, action)))
    core = (s + u) * h + 2 * h + (d + h) * 3 * d + 2 * 3 * d
    heads = (d * h + 2 * h + h * s + s) + ((d + e) * h + 2 * h + h * s + s)
    assert sum(p.numel() for p in model.parameters()) == core + heads + d  # d: the initial state


# The families --------------------------------------------------------------------------------------------------------


def test_the_straight_through_gradient_is_the_one_derived_by_hand() -> None:
    """p = (1 - u) s + u / C with s = softmax(l): d(w . p) / dl_j = (1 - u) s_j (w_j - w . s), whether the mixture is stored or not."""
    raw = torch.randn(40, 12, generator=seeded(), requires_grad=True)
    noise, weight = torch.rand(40, 3, generator=seeded(1)), torch.randn(40, 3, 4, generator=seeded(2))
    soft = raw.detach().double().view(40, 3, 4).softmax(-1)
    w = weight.double()
    wanted = (0.8 * soft * (w - (w * soft).sum(-1, keepdim=True))).flatten(1).float()
    draws = []
    for stored in (False, True):
        family = CategoricalLatents(3, 4, unimix=0.2, stored=stored)
        stats = family.stats(raw)
        draws.append(family.sample(stats, noise))
        (grad,) = torch.autograd.grad((draws[-1] * weight).sum(), raw)
        assert close(grad, wanted)
        assert close(family.distribution(stats).mean, (0.8 * soft + 0.2 / 4).float())
    assert torch.equal(draws[0], draws[1])


@pytest.mark.parametrize("stored", [False, True])
def test_the_categorical_divergence_is_that_of_torch_between_mixed_probabilities(stored: bool) -> None:
    family = CategoricalLatents(3, 4, unimix=0.05, stored=stored)
    raws = [3 * torch.randn(7, 12, generator=seeded(i)) for i in (0, 1)]
    p, q = (torch.distributions.Categorical(probs=0.95 * r.view(7, 3, 4).double().softmax(-1) + 0.05 / 4) for r in raws)
    ours = [family.distribution(family.stats(r)) for r in raws]
    assert close(ours[0].kl(ours[1]), torch.distributions.kl_divergence(p, q).sum(-1).float())  # type: ignore[arg-type]
    assert close(ours[0].entropy(), p.entropy().sum(-1).float())


@pytest.mark.parametrize("std", ["sigmoid2", "softplus"])
def test_gaussian_divergence_density_and_deviation_are_those_of_torch(std: Any) -> None:
    family = GaussianLatents(5, std=std, min_std=0.1)
    raws = [2 * torch.randn(7, 10, generator=seeded(i)) for i in (0, 1)]
    wanted = []
    for raw in raws:
        mean, s = raw.double().chunk(2, dim=-1)
        deviation = 2 / (1 + torch.exp(-s / 2)) if std == "sigmoid2" else torch.log1p(torch.exp(s))
        wanted.append(torch.distributions.Normal(mean, deviation + 0.1))
    ours = [family.distribution(family.stats(r)) for r in raws]
    assert close(ours[0].std, wanted[0].stddev.float())
    assert close(ours[0].kl(ours[1]), torch.distributions.kl_divergence(*wanted).sum(-1).float())
    value = torch.randn(7, 5, generator=seeded(4))
    assert close(ours[0].log_prob(value), wanted[0].log_prob(value.double()).sum(-1).float())
    assert close(family.mode(family.stats(raws[0])), wanted[0].mean.float(), 0)


def test_gaussian_samples_carry_the_gradient_of_mean_and_deviation_also_where_they_are_forced() -> None:
    family = GaussianLatents(3, std="sigmoid2", min_std=0.1)
    raw = torch.randn(20, 6, generator=seeded(), requires_grad=True)
    noise, weight = torch.randn(20, 3, generator=seeded(1)), torch.randn(20, 3, generator=seeded(2))
    drawn = family.sample(family.stats(raw), noise)
    (grad,) = torch.autograd.grad((drawn * weight).sum(), raw)
    half = raw.detach()[:, 3:].div(2).sigmoid()
    wanted = torch.cat((weight, weight * noise * half * (1 - half)), dim=-1)  # d 2 sigmoid(s / 2) = sigmoid' (s / 2)
    assert close(grad, wanted)
    forced = family.sample(family.stats(raw), torch.zeros(20, 3), drawn.detach())
    assert torch.equal(forced, drawn.detach())
    (again,) = torch.autograd.grad((forced * weight).sum(), raw)
    assert close(again, wanted)


# The learned initial state -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["cat", "gauss"])
@pytest.mark.parametrize("core", ["gru", "block-gru"])
def test_a_learned_state_begins_sequences_resets_and_births(make: Make, family: str, core: str) -> None:
    model = make(family=family, agents=E, core=core, initial="learned")
    start = model.initial((B, A))
    assert close(start.deter, model.start.tanh().expand(B, A, -1), 0)  # type: ignore[union-attr]
    mode = model.distribution(start._replace(stats=model.family.stats(model.prior(start.deter)))).mode
    assert close(start.stoch, mode)
    assert bool((start.has_started == 0).all())
    exists = torch.ones(B, T, A, dtype=torch.bool)
    exists[:, :3, 1] = False
    first = NO_RESET.clone()
    first[:, 4] = True
    trace = model.observe(Embedding(None, tokens(A)), None, first, exists, generator=seeded())
    unseen = at_time(trace.posterior, 2)
    for ours, wanted in zip(map_state(lambda x: x[:, 1], unseen), map_state(lambda x: x[:, 1], start), strict=True):
        assert torch.equal(ours, wanted)
    # Nobody is heard after a reset, so that its prior is the imagined step from the initial state; the same holds at a birth
    # for an agent that hears nobody.
    nobody = torch.zeros(B, A, dtype=torch.bool)
    one = model.imagine(start, 1, exists=nobody, generator=seeded())
    assert close(trace.prior.deter[:, 4], one.deter[:, 0, 0])
    assert close(trace.prior.deter[:, 0], one.deter[:, 0, 0])
    trace.posterior.deter[:, 3, 1].sum().backward()
    assert model.start is not None
    assert model.start.grad is not None
    assert bool((model.start.grad != 0).all())


def test_a_birth_without_neighbours_is_a_step_from_the_learned_state(make: Make) -> None:
    model = make(family="gauss", agents=E, heads=0, **EARLY)
    exists = torch.ones(B, T, 1, dtype=torch.bool)
    exists[:, :3] = False
    trace = model.observe(Embedding(None, tokens(1)), None, NO_RESET, exists, generator=seeded())
    assert close(trace.posterior.deter[:, 3], model.imagine(model.initial((B, 1)), 1, generator=seeded()).deter[:, 0, 0])


@pytest.mark.parametrize("options", KINDS)
def test_chunks_carry_who_has_been_seen_even_where_all_of_it_was_withheld(make: Make, options: Any) -> None:
    model = make(agents=E, **options)
    exists = torch.rand(B, T, A, generator=seeded(1)) > 0.4
    withheld = torch.rand(B, T, A, generator=seeded(4)) > 0.5
    withheld[:, :3, 0] = True
    x = tokens(A)
    whole = model.observe(Embedding(None, x), None, NO_RESET, exists, withheld=withheld, generator=seeded())
    forced = whole.posterior.stoch.detach()
    carry = None
    for t in range(T):
        now = slice(t, t + 1)
        part = model.observe(
            Embedding(None, x[:, now]),
            None,
            NO_RESET[:, now],
            exists[:, now],
            state=carry,
            withheld=withheld[:, now],
            forced=forced[:, now],
        )
        for name in ("deter", "stats", "present", "has_started"):
            assert close(getattr(part.posterior, name)[:, 0], getattr(whole.posterior, name)[:, t])
        assert close(part.prior.deter[:, 0], whole.prior.deter[:, t])
        carry = at_time(part.posterior, 0)
        # A forced sample is taken as it is: put the initial one back where nothing has been seen yet.
        carry = carry._replace(stoch=whole.posterior.stoch[:, t])


# Withheld observations -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("garbage", [9.0, float("nan")])
@pytest.mark.parametrize("layout", ["scene", "agents"])
@pytest.mark.parametrize("options", KINDS)
def test_a_withheld_observation_changes_nothing_and_leaves_the_prior(make: Make, options: Any, layout: str, garbage: float) -> None:
    lead = () if layout == "scene" else (A,)
    model = make(**{layout: E}, **options)
    withheld = torch.rand((B, T, *lead), generator=seeded(4)) > 0.5
    withheld[0, 0] = True
    results = []
    for fill in (0.0, garbage):
        x = torch.where(withheld.unsqueeze(-1), fill, tokens(*lead)).requires_grad_()
        embedding = Embedding(x, None) if layout == "scene" else Embedding(None, x)
        model.zero_grad()
        trace = model.observe(embedding, None, NO_RESET, None, withheld=withheld, generator=seeded())
        (trace.posterior.deter.sum() + trace.posterior.stoch.square().sum() + trace.prior.stats.square().sum()).backward()
        assert x.grad is not None
        grads = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        results.append([*map_state(Tensor.detach, trace.posterior), *map_state(Tensor.detach, trace.prior), x.grad, *grads])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    begun = (~withheld).cumsum(1) > 0
    assert torch.equal(trace.posterior.has_started, begun.float())
    assert torch.equal(trace.posterior.present, torch.ones(B, T, *lead))
    for name in ("deter", "stats"):
        assert torch.equal(getattr(trace.posterior, name)[withheld & begun], getattr(trace.prior, name)[withheld & begun])
    # The sample is drawn inside the scan, from a product with fewer rows.
    torch.testing.assert_close(trace.posterior.stoch[withheld & begun], trace.prior.stoch[withheld & begun], rtol=1e-6, atol=1e-6)
    initial = model.initial((B, T, *lead))
    for ours, wanted in zip(trace.posterior[:3], initial[:3], strict=True):
        assert torch.equal(ours[~begun], wanted[~begun])


@pytest.mark.parametrize("layout", ["scene", "agents"])
def test_withholding_nothing_is_observing(make: Make, layout: str) -> None:
    lead = () if layout == "scene" else (A,)
    model = make(**{layout: E})
    embedding = Embedding(tokens(), None) if layout == "scene" else Embedding(None, tokens(A))
    usual, none = (model.observe(embedding, None, NO_RESET, None, withheld=w, generator=seeded()) for w in (None, NO_RESET))
    for a, b in zip((*usual.posterior, *usual.prior), (*none.posterior, *none.prior), strict=True):
        assert close(a, b)
    assert none.posterior.deter.shape == (B, T, *lead, 16)


def test_a_scene_latent_refuses_to_withhold_agent_by_agent(make: Make) -> None:
    with pytest.raises(UsageError, match=r"withheld has shape \(2, 6, 3\), but layout 'scene' has one latent") as caught:
        make(scene=E).observe(Embedding(tokens(), None), None, NO_RESET, None, withheld=torch.zeros(B, T, A, dtype=torch.bool))
    assert "[B,T]" in (caught.value.hint or "")


# Imagination ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["scene", "agents"])
@pytest.mark.parametrize("options", KINDS)
def test_the_first_imagined_step_is_the_next_prior_and_fast_equals_slow(make: Make, options: Any, layout: str) -> None:
    model = make(**{layout: E}, action=layout, **options)
    lead = () if layout == "scene" else (A,)
    embedding = Embedding(tokens(), None) if layout == "scene" else Embedding(None, tokens(A))
    actions = 2 * torch.randn(B, T, *lead, 2, generator=seeded(8))
    trace = model.observe(embedding, actions, NO_RESET, None, generator=seeded())
    start = map_state(Tensor.detach, at_time(trace.posterior, 2))
    slow = model.imagine(start, 3, actions[:, 2:], samples=4, generator=seeded())
    assert close(slow.deter[:, 0, 0], trace.prior.deter[:, 3])
    assert close(slow.stats[:, 1, 0], trace.prior.stats[:, 3])
    with torch.no_grad():
        fast = model.imagine(start, 3, actions[:, 2:], samples=4, generator=seeded())
    for a, b in zip(fast, slow, strict=True):
        assert close(a, b)
    assert bool((fast.has_started == 1).all())
    assert not torch.equal(fast.stoch[:, 0], fast.stoch[:, 1])


# Sizes ---------------------------------------------------------------------------------------------------------------

SIZES = {
    "1m": (512, 64, 4),
    "12m": (2048, 256, 16),
    "25m": (3072, 384, 24),
    "50m": (4096, 512, 32),
    "100m": (6144, 768, 48),
    "200m": (8192, 1024, 64),
    "400m": (12288, 1536, 96),
}


@pytest.mark.parametrize("size", SIZES)
def test_every_published_size_is_reached_by_options(size: str) -> None:
    """Counted from the layer shapes of the official core, posterior and prior, without memory for the weights."""
    d, h, classes = SIZES[size]
    s, e, u, blocks = 32 * classes, 4 * h, 6, 8
    config = RSSMCatConfig(layout="scene", deter=d, hidden=h, groups=32, classes=classes, blocks=blocks)
    action = ActionSpec(layout="scene", features=tuple(Feature(name=f"u{i}") for i in range(u)))
    embedding = EmbeddingSpec(scene=e)
    with torch.device("meta"):
        model = build(config, DynamicsSpecs(embedding=embedding, action=action, latent=config.latent(embedding, action)))
    inputs = sum(i * h + 2 * h for i in (d, s, u))
    core = inputs + blocks * (d // blocks + 3 * h) * (d // blocks) + 2 * d + 3 * d * d // blocks + 3 * d
    heads = ((d + e) * h + 2 * h + h * s + s) + (d * h + 2 * h + h * h + 2 * h + h * s + s)
    assert sum(p.numel() for p in model.parameters()) == core + heads


def test_the_gaussian_config_says_what_flows() -> None:
    latent = RSSMGaussConfig(deter=32, stoch=6).latent(EmbeddingSpec(scene=7, agents=5), None)
    assert (latent.layout, latent.family, latent.width, latent.deter, latent.groups, latent.classes) == ("agents", "gaussian", 38, 32, 6, 0)
    assert RSSMGaussConfig(core="gru", deter=250).deter == 250  # only blocks must divide it


def test_the_one_hot_mode_carries_no_gradient_and_is_the_most_probable_class() -> None:
    family = CategoricalLatents(2, 3, unimix=0.1, stored=False)
    raw = torch.randn(5, 6, generator=seeded(), requires_grad=True)
    mode = family.mode(family.stats(raw))
    assert not mode.requires_grad
    assert torch.equal(mode, F.one_hot(raw.view(5, 2, 3).argmax(-1), 3).float())


@pytest.mark.parametrize("options", KINDS)
def test_bfloat16_autocast_stays_close_for_every_family_and_core(make: Make, options: Any) -> None:
    model = make(agents=E, action="agents", **options)
    actions, exists = torch.randn(B, T, A, 2, generator=seeded(8)), torch.rand(B, T, A, generator=seeded(1)) > 0.3
    whole = model.observe(Embedding(None, tokens(A)), actions, NO_RESET, exists, generator=seeded())
    forced = whole.posterior.stoch.detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model.observe(Embedding(None, tokens(A)), actions, NO_RESET, exists, generator=seeded(), forced=forced)
        future = model.imagine(map_state(Tensor.detach, at_time(half.posterior, -1)), 3, actions, generator=seeded())
    assert half.posterior.deter.dtype == future.deter.dtype == torch.float32
    assert close(half.posterior.deter, whole.posterior.deter, 0.05)
    (half.posterior.stoch.square().sum() + half.prior.stoch.square().sum() + future.stoch.square().sum()).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
