"""The losses `nll` and `mse` against plain loops, their choice of keys, and what they leave out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from twm_core import Feature, KeySpec, LatentSpec, LossSpecs, Mismatch, ObservationSpec, OutputKey, OutputSpec
from twm_core.nn.distributions import Classes, Continue, Distribution, SymlogMSE, TwoHot, symexp_bins
from twm_core.nn.interfaces import Belief, Features, Outputs
from twm_losses import mse, nll
from twm_losses.config_likelihood import KeyedConfig, MSEConfig, NLLConfig
from twm_losses.masks import known

B, T, D, C = 2, 4, 3, 5
LATENT = LatentSpec(layout="scene", width=8)
NOTHING = Belief(state=None, features=Features(None, None), distribution=None)
OBS_SPEC = ObservationSpec(
    keys=(
        KeySpec(key="vector.own", axes="B T D", shape=(D,)),
        KeySpec(key="vector.kind", axes="B T", dtype="int64", classes=C),
        KeySpec(key="reward", axes="B T", role="target"),
        KeySpec(key="is_terminal", axes="B T", dtype="bool", role="target"),
    ),
    dt=0.1,
    context=2,
    horizon=2,
)
OUTPUT = OutputSpec(
    keys=(
        OutputKey(key="vector.own", distribution="symlog-mse"),
        OutputKey(key="vector.kind", distribution="classes"),
        OutputKey(key="reward", distribution="symexp-twohot"),
        OutputKey(key="continue", distribution="continue"),
    )
)
GIVEN = LossSpecs(output=OUTPUT, latent=LATENT, obs_spec=OBS_SPEC)


def batch() -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(0)
    return {
        "vector.own": 5 * torch.randn(B, T, D, generator=g),
        "vector.kind": torch.randint(0, C, (B, T), generator=g),
        "reward": torch.randn(B, T, generator=g),
        "is_terminal": torch.rand(B, T, generator=g) < 0.4,
        "is_first": torch.tensor([[True, False, False, False], [True, False, True, False]]),
    }


def leaves() -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(1)
    shapes = {"vector.own": (B, T, D), "vector.kind": (B, T, C), "reward": (B, T, 11), "continue": (B, T)}
    return {k: torch.randn(s, generator=g).requires_grad_() for k, s in shapes.items()}


def outputs(raw: dict[str, Tensor]) -> Outputs:
    here: dict[str, Distribution] = {
        "vector.own": SymlogMSE(raw["vector.own"]),
        "vector.kind": Classes(raw["vector.kind"]),
        "reward": TwoHot(raw["reward"], symexp_bins(11)),
        "continue": Continue(raw["continue"], 0.9),
    }
    ahead = {k: d.map(lambda x: 0.5 * x) for k, d in here.items()}
    return Outputs(NOTHING, NOTHING, here, ahead, None)


def terms(config: KeyedConfig, specs: LossSpecs = GIVEN, raw: dict[str, Tensor] | None = None, **changed: Tensor) -> dict[str, Tensor]:
    build: Any = nll.build if isinstance(config, NLLConfig) else mse.build
    found = {k.replace("__", "."): v for k, v in changed.items()}
    return build(config, specs)(outputs(leaves() if raw is None else raw), {**batch(), **found})


@torch.no_grad()
def test_nll_is_one_mean_for_each_key_and_branch_with_its_factors() -> None:
    config = NLLConfig(reconstruction=2.0, prediction=0.5, scales={"vector": 3.0, "vector.kind": 7.0})
    found, raw, truth = terms(config), leaves(), batch()
    truth["continue"] = 1 - truth["is_terminal"].float()
    assert len(found) == 8
    for key in ("vector.own", "vector.kind", "reward", "continue"):
        for branch, factor, decoded in (
            ("reconstruction", 2.0, outputs(raw).reconstruction[key]),
            ("prediction", 0.5, outputs(raw).prediction[key]),
        ):
            counted = [(b, t) for b in range(B) for t in range(T) if branch == "reconstruction" or not truth["is_first"][b, t]]
            each = [float(-decoded.map(lambda x, b=b, t=t: x[b, t]).log_prob(truth[key][b, t])) for b, t in counted]
            factor_of_key = 3.0 if key.startswith("vector") else 1.0
            np.testing.assert_allclose(found[f"{key}.{branch}"].item(), factor * factor_of_key * np.mean(each), rtol=1e-5)


@torch.no_grad()
def test_mse_averages_squared_errors_in_each_distributions_own_coordinates() -> None:
    found, raw, truth = terms(MSEConfig()), leaves(), batch()
    v = truth["vector.own"].double().numpy()
    symlogged = np.sign(v) * np.log1p(np.abs(v))
    wanted = ((symlogged - raw["vector.own"].double().numpy()) ** 2).mean()
    np.testing.assert_allclose(found["vector.own.reconstruction"].item(), wanted, rtol=1e-5)
    p = raw["vector.kind"].double().softmax(-1).gather(-1, truth["vector.kind"][..., None])[..., 0]
    np.testing.assert_allclose(found["vector.kind.reconstruction"].item(), ((1 - p) ** 2).mean().item(), rtol=1e-5)
    q = raw["continue"].double().sigmoid()
    wanted = ((0.9 * (~truth["is_terminal"]).double() - q) ** 2).mean().item()
    np.testing.assert_allclose(found["continue.reconstruction"].item(), wanted, rtol=1e-5)


@pytest.mark.parametrize(("pattern", "keys"), [("vector", {"vector.own", "vector.kind"}), ("reward$|continue", {"reward", "continue"})])
def test_only_chosen_keys_have_terms(pattern: str, keys: set[str]) -> None:
    assert set(terms(NLLConfig(keys=pattern))) == {f"{k}.reconstruction" for k in keys}


def test_a_missing_value_counts_neither_in_the_mean_nor_in_gradients() -> None:
    own, kind = batch()["vector.own"], batch()["vector.kind"]
    own[0, 1, 2], kind[1, 3] = -torch.inf, -1
    for config in (NLLConfig(), MSEConfig()):
        raw = leaves()
        found = terms(config, raw=raw, vector__own=own, vector__kind=kind)
        sum(found.values()).backward()
        for key, at in (("vector.own", (0, 1)), ("vector.kind", (1, 3))):
            gradient = raw[key].grad
            assert gradient is not None
            assert gradient[at].eq(0).all()
            assert gradient.isfinite().all()
            assert gradient.flatten(2).ne(0).any(-1).sum() == B * T - 1
        mean = terms(config)["vector.own.reconstruction"]
        one: Any = outputs(leaves()).reconstruction["vector.own"].map(lambda x: x[0, 1])
        truth = batch()["vector.own"][0, 1]
        cost = -one.log_prob(truth) if isinstance(config, NLLConfig) else one.error(truth).square().mean()
        torch.testing.assert_close(found["vector.own.reconstruction"], (mean * B * T - cost) / (B * T - 1))


def test_not_a_number_is_no_missing_value_and_shows() -> None:
    own = batch()["vector.own"]
    own[0, 1, 2] = torch.nan
    assert terms(NLLConfig(), vector__own=own)["vector.own.reconstruction"].isnan()
    assert known(torch.tensor([[0.0, -torch.inf, torch.nan]]), 2).tolist() == [[True, False, True]]
    assert known(torch.zeros(1, 2, 3, dtype=torch.uint8), 2).tolist() == [[True, True]]


def normal_surprise(loc: list[float], value: list[float]) -> float:
    return sum(0.5 * (v - m) ** 2 + 0.5 * math.log(2 * math.pi) for m, v in zip(loc, value, strict=True))


@torch.no_grad()
def test_states_and_existence_of_agents_count_where_huber_and_existence_count_them(scene: Any) -> None:
    state = KeySpec(key="agents.state", axes="B T A F", shape=(3,), features=tuple(Feature(name=n) for n in "xzy"))
    exists = KeySpec(key="agents.exists", axes="B T A", dtype="bool")
    obs_spec = ObservationSpec(keys=(state, exists), dt=0.2, context=3, horizon=4)
    output = OutputSpec(
        keys=(
            OutputKey(key="agents.state", distribution="normal", features=scene.decoded),
            OutputKey(key="agents.exists", distribution="bernoulli"),
        )
    )
    specs = LossSpecs(output=output, latent=LatentSpec(layout="agents", width=4), obs_spec=obs_spec)
    b_, t_, a_ = scene.exists.shape
    states, existence, squares = [], [], []
    for b in range(b_):
        for a in range(a_):
            for t in range(1, t_):
                here, before = bool(scene.exists[b, t, a]), bool(scene.exists[b, t - 1, a])
                if here and before:
                    loc, value = scene.present[b, t, a].tolist(), scene.true(b, t, a)
                    states.append(normal_surprise(loc, value))
                    squares.append(np.mean([(v - m) ** 2 for m, v in zip(loc, value, strict=True)]))
                if scene.exists[b, :t, a].any():
                    logit = float(scene.logit[b, t, a])
                    existence.append(math.log1p(math.exp(-logit if here else logit)))
    found = nll.build(NLLConfig(), specs)(scene.outputs(), scene.batch)
    np.testing.assert_allclose(found["agents.state.reconstruction"].item(), np.mean(states), rtol=1e-5)
    np.testing.assert_allclose(found["agents.exists.reconstruction"].item(), np.mean(existence), rtol=1e-5)
    found = mse.build(MSEConfig(keys="agents.state"), specs)(scene.outputs(), scene.batch)
    np.testing.assert_allclose(found["agents.state.reconstruction"].item(), np.mean(squares), rtol=1e-5)


def test_branches_are_those_with_a_factor() -> None:
    assert NLLConfig().branches() == {"reconstruction"}
    assert NLLConfig(reconstruction=0, prediction=1).branches() == {"prediction"}
    assert set(terms(NLLConfig(keys="reward", reconstruction=0, prediction=1))) == {"reward.prediction"}


@pytest.mark.parametrize(
    ("options", "output", "needs", "remedy"),
    [
        ({}, OutputSpec(), "decoded keys", "add a decoder, such as --decoder agents"),
        ({"keys": "image"}, OUTPUT, "a decoded key that matches 'image'", "set loss.{}.keys to '.*'"),
        ({"scales": {"imagee": 0.1}}, OUTPUT, "a key that matches 'imagee' of scales", "leave 'imagee' out of loss.{}.scales"),
    ],
)
def test_a_choice_that_matches_nothing_is_refused(options: dict[str, Any], output: OutputSpec, needs: str, remedy: str) -> None:
    for config in (NLLConfig(**options), MSEConfig(**options)):
        refused = config.accepts(output, LATENT, OBS_SPEC)
        assert isinstance(refused, Mismatch)
        assert (refused.needs, refused.remedy) == (needs, remedy.format(config.called))
    assert NLLConfig().accepts(OUTPUT, LATENT, OBS_SPEC) is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"keys": "["}, "not a regular expression"),
        ({"scales": {"[": 1.0}}, "not a regular expression"),
        ({"scales": {"a": -1.0}}, "the factor -1.0 of 'a' is below 0"),
        ({"reconstruction": 0, "prediction": 0}, "no term is left"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        NLLConfig(**options)
