"""Whole scans of every variant against the float64 reference: resets, births, absences, withheld steps; gradients by differences."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from twm_core.nn.interfaces import Embedding, Trace
from twm_rssm.model import RSSM

_spec = importlib.util.spec_from_file_location("plain_rssm", Path(__file__).with_name("plain_rssm.py"))
assert _spec is not None
assert _spec.loader is not None
plain_rssm = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(plain_rssm)

Make = Callable[..., RSSM]
B, T, A, E = 2, 6, 3, 4
EARLY: dict[str, Any] = {"core": "gru", "norm": "layer", "eps": 1e-3, "initial": "learned"}
VARIANTS: dict[str, dict[str, Any]] = {
    "cat": {"family": "cat"},
    "cat early": {"family": "cat", "unimix_stored": True, "unimix": 0.1, **EARLY},
    "cat gru rms": {"family": "cat", "core": "gru", "dynlayers": 2},
    "cat learned blocks, layer norm": {"family": "cat", "initial": "learned", "norm": "layer", "dynlayers": 2, "obslayers": 2},
    "gauss": {"family": "gauss"},
    "gauss early": {"family": "gauss", **EARLY},
    "gauss softplus alone": {"family": "gauss", "std": "softplus", "core": "gru", "heads": 0, "imglayers": 1},
    "gauss learned blocks": {"family": "gauss", "initial": "learned"},
}


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise_of(model: RSSM, lead: tuple[int, ...]) -> Tensor:
    """What `observe` draws from `seeded()`."""
    draw = torch.rand if model.family.one_hot else torch.randn
    return draw((*lead, model.shape[0]), generator=seeded())


def resets() -> Tensor:
    first = torch.zeros(B, T, dtype=torch.bool)
    first[0, 0] = first[1, 3] = True
    return first


def ragged() -> Tensor:
    """There, come and go, come back; nobody at all at step 2 of the first scene; one agent that never comes."""
    exists = torch.rand(B, T, A, generator=seeded(1)) > 0.35
    exists[0, :, 0] = True
    exists[0, 2] = False
    exists[0, :2, 1] = False
    exists[1, :, 2] = False
    return exists


PRESENCE: dict[str, Callable[[], Tensor]] = {
    "ragged": ragged,
    "all slots full": lambda: torch.ones(B, T, A, dtype=torch.bool),
    "one agent": lambda: torch.ones(B, T, 1, dtype=torch.bool),
}


def agree(trace: Trace, wanted: dict[str, Any], *, squeeze: bool = False) -> None:
    ours = {
        "deter": trace.posterior.deter,
        "stoch": trace.posterior.stoch,
        "stats": trace.posterior.stats,
        "prior_deter": trace.prior.deter,
        "prior_stoch": trace.prior.stoch,
        "prior_stats": trace.prior.stats,
    }
    for name, value in ours.items():
        reference = wanted[name][:, :, 0] if squeeze else wanted[name]
        assert tuple(value.shape) == reference.shape, name
        np.testing.assert_allclose(value.detach().numpy(), reference, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("withheld", [None, "steps", "agents"])
@pytest.mark.parametrize("presence", PRESENCE)
@pytest.mark.parametrize("variant", VARIANTS)
def test_agents_equal_the_float64_reference(make: Make, variant: str, presence: str, withheld: str | None) -> None:
    model = make(agents=E, action="agents", **VARIANTS[variant])
    exists, first = PRESENCE[presence](), resets()
    agents = exists.shape[-1]
    tokens = torch.randn(B, T, agents, E, generator=seeded(2))
    actions = 2 * torch.randn(B, T, agents, 2, generator=seeded(8))
    kept = None
    if withheld is not None:
        kept = torch.rand((B, T) if withheld == "steps" else (B, T, agents), generator=seeded(11)) < 0.4
    trace = model.observe(Embedding(None, tokens), actions, first, exists, withheld=kept, generator=seeded())
    each = None if kept is None else kept.reshape(B, T, -1).expand(B, T, agents).numpy()
    plain = plain_rssm.Plain(model.config, plain_rssm.weights_of(model))
    noise = noise_of(model, (B, T, agents)).double().numpy()
    agree(trace, plain.observe(tokens.double().numpy(), actions.double().numpy(), first.numpy(), exists.numpy(), noise, each))


@pytest.mark.parametrize("withheld", [False, True])
@pytest.mark.parametrize("action", [None, "scene"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_scene_equals_the_float64_reference(make: Make, variant: str, action: str | None, withheld: bool) -> None:
    model = make(scene=E, action=action, **VARIANTS[variant])
    first, tokens = resets(), torch.randn(B, T, E, generator=seeded(2))
    actions = None if action is None else 2 * torch.randn(B, T, 2, generator=seeded(8))
    kept = torch.rand((B, T), generator=seeded(11)) < 0.4 if withheld else None
    trace = model.observe(Embedding(tokens, None), actions, first, None, withheld=kept, generator=seeded())
    plain = plain_rssm.Plain(model.config, plain_rssm.weights_of(model))
    wanted = plain.observe(
        tokens.unsqueeze(2).double().numpy(),
        None if actions is None else actions.unsqueeze(2).double().numpy(),
        first.numpy(),
        np.ones((B, T, 1), dtype=bool),
        noise_of(model, (B, T)).unsqueeze(2).double().numpy(),
        None if kept is None else kept.unsqueeze(2).numpy(),
    )
    agree(trace, wanted, squeeze=True)


@pytest.mark.parametrize("variant", [k for k, v in VARIANTS.items() if v["family"] == "gauss"])
def test_gaussian_gradients_equal_differences_of_the_float64_reference(make: Make, variant: str) -> None:
    """Reparameterised samples are smooth, so that the derivative along a direction of the weights is a central difference."""
    model = make(agents=E, action="agents", **VARIANTS[variant])
    exists, first = ragged(), resets()
    tokens, actions = torch.randn(B, T, A, E, generator=seeded(2)), torch.randn(B, T, A, 2, generator=seeded(8))
    trace = model.observe(Embedding(None, tokens), actions, first, exists, generator=seeded())
    values = {"deter": trace.posterior.deter, "stoch": trace.posterior.stoch, "prior_stoch": trace.prior.stoch}
    factors = {k: torch.randn(v.shape, generator=seeded(i)) for i, (k, v) in enumerate(values.items())}
    sum(((values[k] * factors[k]).sum() for k in values), torch.zeros(())).backward()
    source = np.random.default_rng(0)
    weights = plain_rssm.weights_of(model)
    noise = noise_of(model, (B, T, A)).double().numpy()

    def total(moved: dict[str, Any]) -> float:
        out = plain_rssm.Plain(model.config, moved).observe(
            tokens.double().numpy(), actions.double().numpy(), first.numpy(), exists.numpy(), noise
        )
        return float(sum((out[k] * factors[k].double().numpy()).sum() for k in values))

    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        direction = source.standard_normal(weights[name].shape)
        step = 1e-5
        slope = (
            total({**weights, name: weights[name] + step * direction}) - total({**weights, name: weights[name] - step * direction})
        ) / (2 * step)
        ours = float((parameter.grad.double().numpy() * direction).sum())
        assert ours == pytest.approx(slope, rel=1e-3, abs=2e-3), name
