"""The world model: what it concatenates and sums, its convention of time, and that forecasts never see the future.

The toy dynamics are an exact adder, z[t+1] = z[t] + action[t], so a step too early or too late shows as a wrong number.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from torch import Tensor, nn

from twm_core import ActionSpec, Feature, KeySpec, LatentSpec, LossConfig, ObservationSpec, PluginError
from twm_core.data.dataset import Batch
from twm_core.kinds.loss import Branch, RolloutRequest
from twm_core.nn.build import build_world_model
from twm_core.nn.distributions import Categorical, Distribution, Normal
from twm_core.nn.fusion import Fusion
from twm_core.nn.interfaces import Anchor, Decoder, Dynamics, Embedding, Encoder, Features, Loss, Outputs, Policy, Trace
from twm_core.nn.state import State, repeat_samples, stack_time, unfold_samples
from twm_core.nn.world_model import LossTerm, WorldModel
from twm_core.plugin.registry import discover
from twm_core.recipe.assembly import Plan, assemble
from twm_core.recipe.fusion import FusionConfig
from twm_core.recipe.layers import default_layer, option_layer, resolve
from twm_core.specs import EmbeddingSpec, OutputSpec

CONTEXT, HORIZON, B = 3, 4, 2
STEPS = CONTEXT + HORIZON
OBS_SPEC = ObservationSpec(
    keys=(
        KeySpec(key="position", axes="B T F", shape=(1,), features=(Feature(name="x"),)),
        KeySpec(key="is_first", axes="B T", dtype="bool"),
        KeySpec(key="answer", axes="B", role="target"),
    ),
    dt=1.0,
    context=CONTEXT,
    horizon=HORIZON,
)
ACTION = ActionSpec(layout="scene", features=(Feature(name="push"),))


class Sum(NamedTuple):
    z: Tensor


class Look(Encoder):
    """Positions, times a factor."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor
        self.shown = 0

    def forward(self, batch: Batch) -> Embedding:
        assert "answer" not in batch or batch["position"].shape[1] == STEPS
        return Embedding(batch["position"] * self.factor, None)

    def collect_statistics(self, batch: Batch) -> None:
        self.shown += len(batch["position"])


class Adder(Dynamics):
    """z[t+1] = z[t] + action[t]; the posterior is what is seen (the first entry of the tokens)."""

    latent = LatentSpec(layout="scene", width=1)

    def initial(self, batch_shape: tuple[int, ...], *, device: torch.device | None = None) -> Sum:
        return Sum(torch.zeros(*batch_shape, 1, device=device))

    def observe(
        self,
        embedding: Embedding,
        actions: Tensor | None,
        is_first: Tensor,
        exists: Tensor | None,
        *,
        state: State | None = None,
        first_action: Tensor | None = None,
        withheld: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Trace:
        assert embedding.scene is not None
        assert actions is not None
        seen = embedding.scene[..., :1]
        return Trace(Sum(seen), Sum(torch.cat([torch.zeros_like(seen[:, :1]), seen[:, :-1] + actions[:, :-1]], dim=1)))

    def imagine(
        self,
        state: State,
        steps: int,
        actions: Tensor | Policy | None = None,
        *,
        exists: Tensor | None = None,
        samples: int = 1,
        generator: torch.Generator | None = None,
    ) -> State:
        now, states = repeat_samples(state, samples), []
        for h in range(steps):
            push = actions[:, h].repeat_interleave(samples, dim=0) if isinstance(actions, Tensor) else actions(self.features(now))  # pyrefly: ignore[not-callable]
            now = Sum(now.z + push)
            states.append(now)
        return unfold_samples(stack_time(states), samples)

    def features(self, state: State) -> Features:
        return Features(state.z, None)


class Say(Decoder):
    """The latent itself, under the given key."""

    def __init__(self, key: str = "position") -> None:
        super().__init__()
        self.key = key

    def forward(self, features: Features, anchor: Anchor | None) -> dict[str, Distribution]:
        assert anchor is None
        assert features.scene is not None
        return {self.key: Normal(features.scene, torch.ones(1))}


class Listen(Loss):
    """Keeps the outputs it was given; its terms are fixed numbers times one parameter."""

    def __init__(self, **terms: float) -> None:
        super().__init__()
        self.terms = terms
        self.scale = nn.Parameter(torch.ones(()))
        self.heard: list[Outputs] = []

    def forward(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        self.heard.append(outputs)
        return {k: self.scale * v for k, v in self.terms.items()}


class Wants(LossConfig):
    """Asks for what a test says."""

    wanted: frozenset[Branch] = Field(frozenset(), description="Branches.")
    samples: int = Field(0, description="Futures.")
    steps: int | None = Field(None, description="Their length.")
    grow: int = Field(0, description="Curriculum.")

    def branches(self) -> frozenset[Branch]:
        return self.wanted

    def rollout(self) -> RolloutRequest | None:
        return RolloutRequest(samples=self.samples, steps=self.steps, grow=self.grow) if self.samples else None


def term(loss: Loss, *branches: Branch, **options: Any) -> LossTerm:
    return LossTerm(Wants(wanted=frozenset(branches), **options), loss)


def model(**changes: Any) -> WorldModel:
    encoders = changes.pop("encoders", {"look": Look()})
    fusion = Fusion(config=FusionConfig(), embeddings=[EmbeddingSpec(scene=1)] * len(encoders))
    parts: dict[str, Any] = {"encoders": encoders, "fusion": fusion, "dynamics": Adder(), "decoders": {"say": Say()}, "losses": {}}
    return WorldModel(**{**parts, "obs_spec": OBS_SPEC, "action": ACTION, "output": OutputSpec(), **changes})


def batch(seed: int = 0) -> Batch:
    """Positions that the actions lead to, exactly (whole numbers)."""
    push = torch.randint(-9, 10, (B, STEPS, 1), generator=torch.Generator().manual_seed(seed)).float()
    position = torch.cat([torch.full((B, 1, 1), 100.0), 100 + push[:, :-1].cumsum(dim=1)], dim=1)
    first = torch.zeros(B, STEPS, dtype=torch.bool)
    first[:, 0] = True
    return {"position": position, "action": push, "is_first": first, "answer": torch.ones(B)}


@given(st.integers(0, 10**6))
def test_an_action_leads_from_its_observation_to_the_next_one(seed: int) -> None:
    loss, here = Listen(a=1.0), batch(seed)
    model(losses={"l": term(loss, "reconstruction", "prediction", "rollout", samples=2)}).loss(here)
    outputs = loss.heard[0]
    assert torch.equal(outputs.reconstruction["position"].mean, here["position"])
    assert torch.equal(outputs.prediction["position"].mean[:, 1:], here["position"][:, 1:])
    assert outputs.rollout is not None
    assert outputs.rollout.start == CONTEXT
    rolled = outputs.rollout.decoded["position"].mean
    assert torch.equal(rolled, here["position"][:, None, CONTEXT:].expand(B, 2, HORIZON, 1))


@given(st.integers(0, 10**6), st.integers(1, STEPS - 1), st.integers(1, 5), st.integers(1, 3))
def test_a_forecast_follows_the_last_observed_step(seed: int, context: int, steps: int, samples: int) -> None:
    here = batch(seed)
    actions = torch.arange(B * steps * 1.0).view(B, steps, 1)
    out = model().forecast(here, context=context, steps=steps, samples=samples, actions=actions)["position"].mean
    assert out.shape == (B, samples, steps, 1)
    for b in range(B):
        now = float(here["position"][b, context - 1])
        for h in range(steps):
            now += float(actions[b, h])
            assert out[b, :, h].eq(now).all()


def test_a_policy_chooses_the_actions_of_a_forecast() -> None:
    def back_to_zero(features: Features) -> Tensor:
        assert features.scene is not None
        return -features.scene / 2

    out = model().forecast(batch(), samples=2, actions=back_to_zero)["position"].mean
    last = batch()["position"][:, CONTEXT - 1]
    torch.testing.assert_close(out[:, 1, :, 0], last * 0.5 ** torch.arange(1, HORIZON + 1))


def test_the_loss_is_the_weighted_sum_of_all_terms() -> None:
    one, two = Listen(a=2.0, b=5.0), Listen(a=11.0)
    total, terms = model(losses={"one": term(one, weight=0.5), "two": term(two, weight=3.0)}).loss(batch())
    assert total.item() == 0.5 * (2 + 5) + 3 * 11
    assert {k: v.item() for k, v in terms.items()} == {"one.a": 2, "one.b": 5, "two.a": 11}
    total.backward()
    assert one.scale.grad is not None
    assert two.scale.grad is not None
    assert (one.scale.grad.item(), two.scale.grad.item()) == (3.5, 33)


def test_calling_the_model_is_its_loss() -> None:
    made = model(losses={"l": term(Listen(a=2.0))})
    assert made(batch())[0].item() == made.loss(batch())[0].item() == 2


@pytest.mark.parametrize("branch", ["reconstruction", "prediction", "rollout"])
def test_only_the_branches_that_losses_ask_for_are_decoded(branch: Branch) -> None:
    loss = Listen(a=1.0)
    model(losses={"l": term(loss, branch, samples=1), "m": term(Listen(a=1.0))}).loss(batch())
    outputs = loss.heard[0]
    made = {"reconstruction": bool(outputs.reconstruction), "prediction": bool(outputs.prediction), "rollout": outputs.rollout is not None}
    assert made == {b: b == branch for b in made}


def test_the_rollout_has_as_many_futures_as_the_most_demanding_loss_wants() -> None:
    loss = Listen(a=1.0)
    model(losses={"l": term(loss, "rollout", samples=2), "m": term(Listen(a=1.0), "rollout", samples=5)}).loss(batch())
    assert loss.heard[0].rollout is not None
    assert loss.heard[0].rollout.decoded["position"].mean.shape == (B, 5, HORIZON, 1)


@pytest.mark.parametrize(("step", "length"), [(0, 1), (1, 1), (3, 3), (5, HORIZON), (None, HORIZON)])
def test_a_rollout_grows_over_the_steps_of_its_curriculum(step: int | None, length: int) -> None:
    loss = Listen(a=1.0)
    model(losses={"l": term(loss, "rollout", samples=1, grow=6)}).loss(batch(), step=step)
    assert loss.heard[0].rollout is not None
    assert loss.heard[0].rollout.decoded["position"].mean.shape[2] == length


def test_the_rollout_is_as_long_as_the_most_demanding_loss_wants_and_tells_its_states() -> None:
    loss = Listen(a=1.0)
    model(losses={"l": term(loss, "rollout", samples=1, steps=1), "m": term(Listen(a=1.0), "rollout", samples=1, steps=2)}).loss(batch())
    rollout = loss.heard[0].rollout
    assert rollout is not None
    assert rollout.decoded["position"].mean.shape[2] == 2
    assert rollout.belief.features.scene is not None
    assert torch.equal(rollout.belief.features.scene, rollout.decoded["position"].mean)


def test_the_weight_of_a_loss_follows_its_ramp_and_is_final_in_validation() -> None:
    made = model(losses={"l": term(Listen(a=1.0), weight=3.0, weight_start=1.0, ramp_from=10, ramp_steps=4)})
    assert [made.loss(batch(), step=k)[0].item() for k in (0, 10, 11, 12, 14, 99)] == [1, 1, 1.5, 2, 3, 3]
    assert made.loss(batch())[0].item() == 3


def test_windows_without_a_horizon_have_no_rollout() -> None:
    loss = Listen(a=1.0)
    obs_spec = OBS_SPEC.model_copy(update={"context": STEPS, "horizon": 0})
    model(losses={"l": term(loss, "rollout", samples=1)}, obs_spec=obs_spec).loss(batch())
    assert loss.heard[0].rollout is None


def test_tokens_of_several_encoders_stand_side_by_side_in_order() -> None:
    made = model(encoders={"z": Look(), "a": Look(3.0)})
    tokens = made.embed(batch())
    assert tokens.scene is not None
    assert tokens.agents is None
    position = batch()["position"]
    assert torch.equal(tokens.scene, torch.cat([position, 3 * position], dim=-1))


def test_several_decoders_return_their_keys_together() -> None:
    made = model(decoders={"one": Say("position"), "two": Say("copy")})
    out = made.forecast(batch(), actions=batch()["action"][:, CONTEXT - 1 : -1])
    assert set(out) == {"position", "copy"}
    assert torch.equal(out["position"].mean, out["copy"].mean)


def test_every_part_is_shown_the_statistics_and_registered_as_a_module() -> None:
    one, two = Look(), Look()
    made = model(encoders={"one": one, "two": two}, losses={"l": term(Listen(a=1.0))})
    made.collect_statistics(batch())
    assert (one.shown, two.shown) == (B, B)
    assert [n for n, _ in made.named_parameters()] == ["losses.l.scale"]


# The installed parts.

SMALL: dict[str, dict[str, Any]] = {
    "gru": {"dynamics.component": "gru", "dynamics.hidden": 8},
    "rssm-cat": {"dynamics.component": "rssm-cat"},
}


def plan(dynamics: str, **changes: Any) -> Plan:
    options = {
        "dataset.observed_seconds": 0.8,
        "dataset.predicted_seconds": 0.8,
        "encoder.multiagent.width": 8,
        "encoder.multiagent.heads": 2,
        "encoder.multiagent.pair_width": 8,
        "decoder.agents.width": 8,
        **SMALL[dynamics],
        **changes,
    }
    return assemble(resolve([default_layer(), *(option_layer(k, v, "test") for k, v in options.items())]), discover(environ={}))


def traffic(made: Plan, seed: int = 0, agents: int = 3) -> Batch:
    """Noise in every key of the spec, with agents that come and go."""
    g = torch.Generator().manual_seed(seed)
    sizes = {"B": B, "T": made.obs_spec.context + made.obs_spec.horizon, "A": agents}
    found: Batch = {}
    for key in made.obs_spec.keys:
        shape = [sizes[a] for a in key.axes.split() if a in sizes] + list(key.shape)
        noise = torch.rand(shape, generator=g)
        found[key.key] = noise < 0.7 if key.dtype == "bool" else (noise * (key.classes or 3)).to(getattr(torch, key.dtype))
    found["is_first"] = torch.zeros_like(found["is_first"])
    found["is_first"][:, 0] = True
    found["agents.exists"][:, :, 0] = True
    found["agents.state"] = found["agents.state"].where(found["agents.exists"][..., None], 0.0)
    if made.action is not None:
        found["action"] = torch.randn(*found["agents.exists"].shape, made.action.width, generator=g)
    return found


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def tensors(out: dict[str, Distribution]) -> dict[str, Tensor]:
    return {k: d.mean for k, d in out.items()}


@pytest.mark.parametrize("dynamics", list(SMALL))
@pytest.mark.parametrize("what", ["NaN", "noise", "nothing"])
def test_a_forecast_reads_nothing_after_the_context(dynamics: str, what: str) -> None:
    made = plan(dynamics)
    world = build_world_model(made, seed=0).eval()
    here = traffic(made)
    there: Batch = {}
    for key, value in here.items():
        spec = made.obs_spec.get(key) if key != "action" else None
        if spec is not None and spec.role == "target":
            there[key] = torch.zeros_like(value)
            continue
        if spec is not None and "T" not in spec.axes.split():
            there[key] = value
            continue
        there[key] = value[:, : made.obs_spec.context].clone() if what == "nothing" else value.clone()
        if what != "nothing":
            later = there[key][:, made.obs_spec.context :]
            if later.is_floating_point():
                later.copy_(torch.full_like(later, torch.nan) if what == "NaN" else 1e3 * torch.randn(later.shape, generator=seeded()))
            else:
                later.copy_((torch.rand(later.shape, generator=seeded()) * 2).to(later.dtype))
    actions = here["action"][:, made.obs_spec.context - 1 : -1] if made.action is not None else None
    one, other = (tensors(world.forecast(x, samples=2, actions=actions, generator=seeded())) for x in (here, there))
    assert set(one) == {"agents.state", "agents.exists"}
    assert one["agents.state"].shape == (B, 2, made.obs_spec.horizon, 3, 5)
    for key, value in one.items():
        assert value.isfinite().all()
        assert torch.equal(value, other[key]), key


@pytest.mark.parametrize("dynamics", list(SMALL))
def test_the_loss_of_the_installed_parts_is_finite_and_their_weighted_sum(dynamics: str) -> None:
    made = plan(dynamics)
    world = build_world_model(made, seed=0)
    total, terms = world.loss(traffic(made), generator=seeded())
    weights = {name: t.config.weight_at(None) for name, t in world.terms.items()}
    expected = sum(weights[k.partition(".")[0]] * v.item() for k, v in terms.items())
    assert total.item() == pytest.approx(expected, rel=1e-5)
    total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in world.parameters())
    distribution = world.outputs(traffic(made), generator=seeded()).posterior.distribution
    assert isinstance(distribution, Categorical) == (dynamics == "rssm-cat")


def test_the_seed_decides_the_parameters_and_the_global_generator_is_left_alone() -> None:
    made = plan("gru")
    before = torch.random.get_rng_state()
    one, same, other = (build_world_model(made, seed=s).state_dict() for s in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(v, same[k]) for k, v in one.items())
    assert any(not torch.equal(v, other[k]) for k, v in one.items())


def test_a_build_that_returns_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan("gru")
    monkeypatch.setattr(type(made.one("dynamics").registered), "load_build", lambda self: lambda config, given: "nothing")
    with pytest.raises(PluginError, match=r"dynamics gru \(twm .*\): build returned str, not a Dynamics") as caught:
        made.one("dynamics").build(None)
    assert caught.value.hint == "return a twm_core.nn.interfaces:Dynamics"
