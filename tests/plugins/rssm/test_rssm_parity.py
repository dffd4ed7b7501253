"""Our RSSM computes the official implementation's numbers, from its parameters, inputs and samples."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

from twm_core import ActionSpec, DynamicsSpecs, EmbeddingSpec, Feature
from twm_core.nn.interfaces import Embedding
from twm_rssm.config import RSSMCatConfig
from twm_rssm.model import RSSM, build
from twm_rssm.state import RSSMState

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "dreamerv3_parity"


def load_map() -> Any:
    """`from_official` of tests/parity, which is a folder of files and no package."""
    spec = importlib.util.spec_from_file_location("official_rssm", Path(__file__).parents[2] / "parity" / "official_rssm.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.from_official


from_official = load_map()


class Official:
    """One file of official numbers, with our model loaded from it."""

    def __init__(self, path: Path) -> None:
        with safe_open(path, "pt") as file:
            sizes = json.loads(file.metadata()["config"])
            self.tensors: dict[str, Tensor] = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a mapping)
        config = RSSMCatConfig(
            layout="scene",
            deter=sizes["deter"],
            hidden=sizes["hidden"],
            groups=sizes["stoch"],
            classes=sizes["classes"],
            blocks=sizes["blocks"],
            unimix=sizes["unimix"],
            dynlayers=sizes["dynlayers"],
            obslayers=sizes["obslayers"],
            imglayers=sizes["imglayers"],
            eps=sizes["norm_eps"],
        )
        self.actions = self.tensors.get("in/action_onehot", self.tensors["in/action"])
        self.imagined_actions = self.tensors.get("in/imagine/action_onehot", self.tensors["in/imagine/action"])
        embedding = EmbeddingSpec(scene=self["out/tokens"].shape[-1])
        action = ActionSpec(layout="scene", features=tuple(Feature(name=f"u{i}") for i in range(self.actions.shape[-1])))
        specs = DynamicsSpecs(embedding=embedding, action=action, latent=config.latent(embedding, action))
        self.model: RSSM = build(config, specs)
        self.params = {k.removeprefix("param/dyn/"): v for k, v in self.tensors.items() if k.startswith("param/dyn/")}
        self.model.load_state_dict(from_official(self.params), strict=True)

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def observe(self) -> Any:
        stoch = self["in/carry/stoch"]
        carry = RSSMState(self["in/carry/deter"], stoch, torch.zeros_like(stoch), *2 * [torch.ones(len(stoch))], torch.zeros(len(stoch), 0))
        # Their entry t is the action before observation t; ours is the one after it.
        actions = torch.cat((self.actions[:, 1:], torch.zeros_like(self.actions[:, :1])), dim=1)
        return self.model.observe(
            Embedding(self["out/tokens"], None),
            actions,
            self["in/is_first"],
            None,
            state=carry,
            first_action=self.actions[:, 0],
            forced=self["out/stoch"],
        )


@pytest.fixture(scope="module", params=["vector", "image"])
def official(request: pytest.FixtureRequest) -> Official:
    path = DATA / f"{request.param}_seed0.safetensors"
    if not path.is_file():
        pytest.skip(f"the official numbers are not at hand: {path.name}")
    return Official(path)


def assert_same(ours: Tensor, theirs: Tensor, limit: float = 1e-5) -> None:
    assert ours.shape == theirs.shape
    assert float((ours.detach() - theirs).abs().max() / theirs.abs().max()) < limit


def test_every_official_number_has_one_place_in_ours(official: Official) -> None:
    assert sum(p.numel() for p in official.model.parameters()) == sum(p.numel() for p in official.params.values())


def test_observe_gives_the_official_states_and_logits(official: Official) -> None:
    trace = official.observe()
    assert_same(trace.posterior.deter, official["out/deter"])
    assert_same(trace.posterior.stoch, official["out/stoch"])
    assert_same(trace.posterior.stats, official["out/post_logit"])
    assert_same(trace.prior.stats, official["out/prior_logit"])
    assert torch.equal(trace.prior.deter, trace.posterior.deter)


def test_distributions_give_the_official_divergence_and_entropies(official: Official) -> None:
    trace = official.observe()
    posterior, prior = official.model.distribution(trace.posterior), official.model.distribution(trace.prior)
    assert_same(posterior.log_probs, official["out/post_logprob_mixed"])
    assert_same(prior.log_probs, official["out/prior_logprob_mixed"])
    assert_same(posterior.kl(prior), official["out/kl_raw"])
    assert_same(posterior.entropy(), official["out/post_entropy"])
    assert_same(prior.entropy(), official["out/prior_entropy"])


def test_one_imagined_step_gives_the_official_one(official: Official) -> None:
    stoch = official["out/stoch"][:, -1]
    state = RSSMState(
        official["out/deter"][:, -1], stoch, torch.zeros_like(stoch), *2 * [torch.ones(len(stoch))], torch.zeros(len(stoch), 0)
    )
    with torch.no_grad():
        one = official.model.imagine(state, 1, official.imagined_actions[:, :1])
    assert_same(one.deter[:, 0, 0], official["out/imagine1/deter"])
    assert_same(one.stats[:, 0, 0], official["out/imagine1/logit"])


def test_imagination_with_the_official_samples_gives_the_official_states(official: Official) -> None:
    """Each step starts from our own deterministic state and from the one-hots that the official run drew."""
    stoch = official["out/stoch"][:, -1]
    state = RSSMState(
        official["out/deter"][:, -1], stoch, torch.zeros_like(stoch), *2 * [torch.ones(len(stoch))], torch.zeros(len(stoch), 0)
    )
    deters, logits = [], []
    for h in range(official.imagined_actions.shape[1]):
        with torch.no_grad():
            one = official.model.imagine(state, 1, official.imagined_actions[:, h : h + 1])
        deters.append(one.deter[:, 0, 0])
        logits.append(one.stats[:, 0, 0])
        state = RSSMState(deters[-1], official["out/imagine/stoch"][:, h], logits[-1], state.present, state.has_started, state.motion)
    assert_same(torch.stack(deters, dim=1), official["out/imagine/deter"])
    assert_same(torch.stack(logits, dim=1), official["out/imagine/logit"])


def official_loss(official: Official) -> Tensor:
    """The official total loss of the vector set from our trace, with the decoder and heads written out from the stored parameters."""

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ official[f"param/{name}/kernel"] + official[f"param/{name}/bias"]

    def layer(x: Tensor, name: str, norm: str) -> Tensor:
        x = linear(x, name)
        return F.silu(x * (x.square().mean(-1, keepdim=True) + 1e-4).rsqrt() * official[f"param/{norm}/scale"])

    trace = official.observe()
    posterior, prior = official.model.distribution(trace.posterior), official.model.distribution(trace.prior)
    dyn = posterior.detach().kl(prior).clamp_min(1.0)
    rep = posterior.kl(prior.detach()).clamp_min(1.0)
    stoch = trace.posterior.stoch.flatten(-2)
    x = torch.cat((stoch, trace.posterior.deter), dim=-1)
    for i in range(3):
        x = layer(x, f"dec/mlp/linear{i}", f"dec/mlp/norm{i}")
    seen = official["in/obs/vector"]
    vector = (linear(x, "dec/vec/vector/pred") - seen.sign() * seen.abs().log1p()).square().sum(-1)
    kind = F.cross_entropy(linear(x, "dec/vec/kind/logits").flatten(0, 1), official["in/obs/kind"].flatten().long(), reduction="none")
    features = official.model.features(trace.posterior).scene
    assert features is not None
    bins, reward = official["out/rew/bins"], official["in/reward"].unsqueeze(-1)
    above = (bins < reward).sum(-1).clamp(1, len(bins) - 1)
    low, high = bins[above - 1], bins[above]
    share = ((reward.squeeze(-1) - low) / (high - low)).clamp(0, 1).unsqueeze(-1)
    target = (
        torch.zeros(*reward.shape[:-1], len(bins)).scatter_(-1, above.unsqueeze(-1), share).scatter_(-1, above.unsqueeze(-1) - 1, 1 - share)
    )
    logits = linear(layer(features, "rew/mlp/linear0", "rew/mlp/norm0"), "rew/head/logits")
    two_hot = -(target * logits.log_softmax(-1)).sum(-1)
    logit = linear(layer(features, "con/mlp/linear0", "con/mlp/norm0"), "con/head/logit").squeeze(-1)
    goes_on = F.binary_cross_entropy_with_logits(logit, (1 - official["in/is_terminal"].float()) * (1 - 1 / 333), reduction="none")
    return dyn.mean() + 0.1 * rep.mean() + vector.mean() + kind.mean() + two_hot.mean() + goes_on.mean()


def test_gradients_through_time_and_samples_are_the_official_ones(official: Official) -> None:
    if "in/obs/kind" not in official.tensors:
        pytest.skip("the image decoder is tested with the decoders")
    loss = official_loss(official)
    assert_same(loss, official["out/loss_total"], 1e-6)
    official.model.zero_grad()
    loss.backward()
    theirs = from_official({k.removeprefix("grad/dyn/"): v for k, v in official.tensors.items() if k.startswith("grad/dyn/")})
    for name, parameter in official.model.named_parameters():
        assert parameter.grad is not None, name
        assert_same(parameter.grad, theirs[name])
