"""Vector decoder, reward and continue heads, their losses and gradients against the official implementation's own numbers.

Features are the stored ones, so that only what is under test can differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from official_heads import continue_parameters, reward_parameters, vector_decoder_parameters
from safetensors import safe_open
from torch import Tensor

from twm_core import KeySpec, LatentSpec, ObservationSpec
from twm_core.nn.distributions import TwoHot, symexp_bins
from twm_core.nn.interfaces import Belief, Decoder, Features, Outputs
from twm_core.nn.symlog import symexp, symlog
from twm_core.specs import DecoderSpecs, LossSpecs, OutputSpec
from twm_losses import nll
from twm_losses.config_likelihood import NLLConfig
from twm_multimodal import heads, vector
from twm_multimodal.config_heads import ContinueConfig, RewardConfig, VectorConfig

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "dreamerv3_parity"
NOTHING = Belief(state=None, features=Features(None, None), distribution=None)


class Official(NamedTuple):
    sizes: dict[str, Any]
    tensors: dict[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def under(self, prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}

    @property
    def features(self) -> Tensor:
        return torch.cat((self["out/deter"], self["out/stoch"].flatten(2)), dim=-1)


@pytest.fixture(scope="module", params=["vector", "image"])
def official(request: pytest.FixtureRequest) -> Official:
    path = DATA / f"{request.param}_seed0.safetensors"
    if not path.is_file():
        pytest.skip(f"{path.name} is not at hand")
    with safe_open(path, "pt") as file:
        return Official(json.loads(file.metadata()["config"]), {k: file.get_tensor(k) for k in file.keys()})  # noqa: SIM118 - no mapping


def batch_and_specs(official: Official) -> tuple[dict[str, Tensor], ObservationSpec, dict[str, str]]:
    """The official batch under our keys, its spec, and our key for each official one."""
    batch = {"vector.vector": official["in/obs/vector"], **{k: official[f"in/{k}"] for k in ("reward", "is_first", "is_terminal")}}
    keys = [
        KeySpec(key="vector.vector", axes="B T D", shape=(batch["vector.vector"].shape[-1],)),
        KeySpec(key="reward", axes="B T", role="target"),
        KeySpec(key="is_terminal", axes="B T", dtype="bool", role="target"),
    ]
    names = {"vector": "vector.vector"}
    if "in/obs/kind" in official.tensors:
        batch["vector.kind"] = official["in/obs/kind"].long()
        keys.append(KeySpec(key="vector.kind", axes="B T", dtype="int64", classes=5))
        names["kind"] = "vector.kind"
    return batch, ObservationSpec(keys=tuple(keys), dt=1.0, context=6, horizon=6), names


def decoders(official: Official) -> tuple[dict[str, Decoder], dict[str, dict[str, Tensor]], LossSpecs]:
    """Our decoders with the official parameters, the official gradients under our names, and what they decode."""
    sizes = official.sizes
    _, seen, names = batch_and_specs(official)
    latent = LatentSpec(layout="scene", width=official.features.shape[-1], deter=sizes["deter"])
    units, eps = sizes["units"], sizes["norm_eps"]
    configs = {
        "vector": (VectorConfig(units=units, layers=sizes["dec_layers"], eps=eps), vector.build),
        "reward": (RewardConfig(units=units, layers=sizes["head_layers"], eps=eps, bins=sizes["bins"]), heads.build_reward),
        "continue": (ContinueConfig(units=units, layers=sizes["head_layers"], eps=eps, horizon=sizes["horizon"]), heads.build_continue),
    }

    def mapped(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        return {
            "vector": vector_decoder_parameters(tensors, deter=sizes["deter"], keys=names),
            "reward": reward_parameters(tensors),
            "continue": continue_parameters(tensors),
        }

    parameters = mapped(official.under("param/"))
    built, outputs = {}, []
    for name, (config, build) in configs.items():
        output = config.output(latent, seen)
        outputs += output.keys
        built[name] = build(config, DecoderSpecs(latent=latent, obs_spec=seen, output=output))
        built[name].load_state_dict(parameters[name], strict=True)
    return built, mapped(official.under("grad/")), LossSpecs(output=OutputSpec(keys=tuple(outputs)), latent=latent, obs_spec=seen)


def close(ours: Tensor, theirs: Tensor, limit: float = 1e-5) -> None:
    """max |a - b| <= limit max |b|"""
    assert ours.shape == theirs.shape
    worst = (ours.double() - theirs.double()).abs().max() / theirs.double().abs().max()
    assert worst <= limit, f"{float(worst):.2g}"


@torch.no_grad()
def test_decoded_distributions_equal_the_official_ones(official: Official) -> None:
    built, _, _ = decoders(official)
    features = Features(official.features, None)
    decoded = {k: d for m in built.values() for k, d in m(features, None).items()}
    close(decoded["vector.vector"].pred, official["out/dec/vector/pred"])
    close(decoded["vector.vector"].mean, symexp(official["out/dec/vector/pred"].double()))
    if "vector.kind" in decoded:
        close(decoded["vector.kind"].logits, official["out/dec/kind/logits"])
        assert torch.equal(decoded["vector.kind"].mode, official["out/dec/kind/pred"].long())
    close(decoded["reward"].logits, official["out/rew/logits"])
    close(decoded["reward"].mean, official["out/rew/pred"], 1e-4)
    close(decoded["continue"].logit, official["out/con/logit"])
    close(decoded["continue"].mean, official["out/con/prob"])


@torch.no_grad()
def test_costs_of_every_step_and_their_mean_equal_the_official_ones(official: Official) -> None:
    built, _, given = decoders(official)
    batch, _, _ = batch_and_specs(official)
    features = Features(official.features, None)
    decoded = {k: d for m in built.values() for k, d in m(features, None).items()}
    theirs = {"vector.vector": "vector", "vector.kind": "kind", "reward": "rew", "continue": "con"}
    truth = {**batch, "continue": 1 - batch["is_terminal"].float()}
    terms = nll.build(NLLConfig(), given)(Outputs(NOTHING, NOTHING, decoded, {}, None), batch)
    assert set(terms) == {f"{key}.reconstruction" for key in decoded}
    for key, distribution in decoded.items():
        wanted = official[f"out/loss/{theirs[key]}"]
        close(-distribution.log_prob(truth[key]), wanted)
        close(terms[f"{key}.reconstruction"], wanted.double().mean())
    close(decoded["continue"].discount * truth["continue"], official["out/con/target"])


def test_gradients_of_every_parameter_equal_the_official_ones(official: Official) -> None:
    built, gradients, given = decoders(official)
    batch, _, _ = batch_and_specs(official)
    features = Features(official.features, None)
    decoded = {k: d for m in built.values() for k, d in m(features, None).items()}
    sum(nll.build(NLLConfig(), given)(Outputs(NOTHING, NOTHING, decoded, {}, None), batch).values()).backward()
    for name, module in built.items():
        for parameter, value in module.named_parameters():
            assert value.grad is not None
            close(value.grad, gradients[name][parameter])


@torch.no_grad()
def test_heads_agree_on_imagined_states(official: Official) -> None:
    built, _, _ = decoders(official)
    features = torch.cat((official["out/imagine/deter"], official["out/imagine/stoch"].flatten(2)), dim=-1)
    imagined = Features(features[:, None], None)
    close(built["reward"].rollout(imagined, None)["reward"].mean[:, 0], official["out/imagine/rew_pred"], 1e-4)
    close(built["continue"].rollout(imagined, None)["continue"].mean[:, 0], official["out/imagine/con_prob"])


def test_symlog_and_symexp_equal_the_tables(official: Official) -> None:
    torch.testing.assert_close(symlog(official["fn/x"]), official["fn/symlog"], rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(symexp(official["fn/y"]), official["fn/symexp"], rtol=1e-6, atol=1e-7)


def test_two_hot_losses_expectations_and_gradients_equal_the_tables(official: Official) -> None:
    bins = symexp_bins(255)
    torch.testing.assert_close(bins, official["out/rew/bins"], rtol=1e-5, atol=1e-6)
    logits = official["fn/twohot/logits"].clone().requires_grad_()
    distribution = TwoHot(logits, bins)
    loss = -distribution.log_prob(official["fn/twohot/target"])
    loss.sum().backward()
    close(loss.detach(), official["fn/twohot/loss"])
    assert logits.grad is not None
    close(logits.grad, official["fn/twohot/loss_grad"])
    torch.testing.assert_close(distribution.mean.detach(), official["fn/twohot/pred"], rtol=1e-4, atol=1e-3)
