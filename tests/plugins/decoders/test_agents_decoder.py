"""The agent decoder: kinematic priors, both layouts, frames, masks and rollouts."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from twm_core import DecoderSpecs, LatentSpec, Mismatch, PluginError
from twm_core.angles import wrap_tensor
from twm_core.data.schema import traffic_observations
from twm_core.nn.interfaces import Anchor, Features
from twm_decoders.agents import AgentsDecoder, build
from twm_decoders.config import MOTION, AgentsConfig
from twm_decoders.kinematics import residual_between, turn
from twm_decoders.motion import Motion

# Not the order of the schema, so that a fixed index would be noticed.
FEATURES = ("length", "vy", "vx", "yaw_rate", "heading", "ay", "y", "ax", "x")
OBS_SPEC = traffic_observations(features=FEATURES, dt=0.2, context=3, horizon=4, protocol="p")
STATE = OBS_SPEC.get("agents.state")
AT = {n: STATE.index(n) for n in FEATURES}
B, S, H, A, D = 2, 3, 4, 5, 6
PRIORS = ["constant-velocity", "constant-turn", "gated-turn"]
LAYOUTS = ["agents", "scene"]


def make(layout: str = "agents", *, zero_head: bool = False, **options: Any) -> AgentsDecoder:
    """A decoder with random weights, residual statistics that are not the identity, and on wish a head that says nothing."""
    config = AgentsConfig.model_validate({"width": 8, "layers": 1, **options})
    latent = LatentSpec(layout=layout, width=D)  # pyrefly: ignore[bad-argument-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        decoder = build(config, DecoderSpecs(latent=latent, obs_spec=OBS_SPEC, output=config.output(latent, OBS_SPEC)))
    if zero_head:
        torch.nn.init.zeros_(decoder.head.weight)
        torch.nn.init.zeros_(decoder.head.bias)
    else:
        decoder.scale.update(torch.randn(50, 5, generator=torch.Generator().manual_seed(9)) * 0.2 + 0.05)
    return decoder.eval()


def anchor(seed: int = 0, *, present: float = 0.7) -> Anchor:
    g = torch.Generator().manual_seed(seed)
    exists = torch.rand(B, A, generator=g) < present
    exists[:, 0] = present > 0
    state = torch.randn(B, A, len(FEATURES), generator=g) * 2
    return Anchor(torch.where(exists[..., None], state, 0), exists, torch.tensor([0.2, 0.5]))


def features(layout: str, *lead: int, seed: int = 1) -> Features:
    g = torch.Generator().manual_seed(seed)
    if layout == "agents":
        return Features(None, torch.randn(*lead, A, D, generator=g))
    return Features(torch.randn(*lead, D, generator=g), None)


def motion(dist: Any) -> Motion:
    assert isinstance(dist, Motion)
    return dist


def close(one: Tensor, other: Tensor, *, atol: float = 2e-4) -> None:
    """Equal states, headings compared as directions."""
    keep = [0, 1, 3, 4]
    torch.testing.assert_close(one[..., keep], other[..., keep], atol=atol, rtol=1e-4)
    assert (wrap_tensor((one - other)[..., 2]).abs() < atol).all()


def world(start: Anchor, angle: float, dx: float, dy: float) -> Anchor:
    """The same situation in a world that was turned, then shifted."""
    state, by = start.state.clone(), torch.tensor(angle)
    for x, y in (("x", "y"), ("vx", "vy"), ("ax", "ay")):
        state[..., AT[x]], state[..., AT[y]] = turn(start.state[..., AT[x]], start.state[..., AT[y]], by)
    state[..., AT["x"]] += dx
    state[..., AT["y"]] += dy
    state[..., AT["heading"]] = wrap_tensor(state[..., AT["heading"]] + by)
    return start._replace(state=torch.where(start.exists[..., None], state, 0))


def moved(states: Tensor, angle: float, dx: float, dy: float) -> Tensor:
    x, y, h, vx, vy = states.unbind(-1)
    by = torch.tensor(angle)
    x, y = turn(x, y, by)
    return torch.stack([x + dx, y + dy, h + by, *turn(vx, vy, by)], dim=-1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_head_that_says_nothing_predicts_constant_velocity(layout: str) -> None:
    decoder, start = make(layout, zero_head=True, prior="constant-velocity"), anchor()
    states = decoder.rollout(features(layout, B, S, H), start)["agents.state"].mean
    t = (start.dt[:, None] * torch.arange(1, H + 1))[:, None, :, None]
    x, y, vx, vy = (start.state[:, None, None, :, AT[name]] for name in ("x", "y", "vx", "vy"))
    expected = torch.stack([x + vx * t, y + vy * t], dim=-1).expand(B, S, H, A, 2)
    torch.testing.assert_close(states[..., :2], expected)
    for i, name in ((3, "vx"), (4, "vy")):
        torch.testing.assert_close(states[..., i], start.state[:, None, None, :, AT[name]].expand(B, S, H, A))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_constant_turn_prior_turns_velocity_and_heading_at_the_last_yaw_rate(layout: str) -> None:
    decoder, start = make(layout, zero_head=True, prior="constant-turn"), anchor()
    states = decoder.rollout(features(layout, B, S, H), start)["agents.state"].mean.detach()
    for b, a in start.exists.nonzero().tolist():
        known = {n: float(start.state[b, a, i]) for n, i in AT.items()}
        for h in range(H):
            angle = known["yaw_rate"] * float(start.dt[b]) * (h + 1)
            expected = [
                known["vx"] * math.cos(angle) - known["vy"] * math.sin(angle),
                known["vx"] * math.sin(angle) + known["vy"] * math.cos(angle),
            ]
            for s in range(S):
                assert states[b, s, h, a, 3:].tolist() == pytest.approx(expected, abs=1e-4)
                assert math.cos(float(states[b, s, h, a, 2]) - known["heading"] - angle) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gates_that_are_shut_leave_constant_velocity_and_open_ones_let_the_acceleration_through(layout: str) -> None:
    decoder, start = make(layout, zero_head=True, prior="gated-turn"), anchor()
    state = start.state.clone()
    # Straight ahead with the velocity along the heading, accelerating along it and not turning.
    state[..., AT["vx"]], state[..., AT["vy"]] = turn(torch.tensor(3.0), torch.tensor(0.0), state[..., AT["heading"]])
    state[..., AT["ax"]], state[..., AT["ay"]] = turn(torch.tensor(1.5), torch.tensor(0.0), state[..., AT["heading"]])
    state[..., AT["yaw_rate"]] = 0
    start = start._replace(state=torch.where(start.exists[..., None], state, 0))
    t = start.dt[:, None, None, None] * torch.arange(1, H + 1)[None, None, :, None]
    for bias, acceleration in ((-40.0, 0.0), (40.0, 1.5)):
        torch.nn.init.constant_(decoder.head.bias[-2:], bias)
        states = decoder.rollout(features(layout, B, S, H), start)["agents.state"].mean
        way = (states[..., :2] - start.state[:, None, None, :, [AT["x"], AT["y"]]]).norm(dim=-1)
        torch.testing.assert_close(way, ((3 * t + acceleration * t.square() / 2) * start.exists[:, None, None]).expand_as(way))


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_decoding_one_step_equals_the_first_step_of_a_rollout(layout: str, prior: str) -> None:
    decoder, start = make(layout, prior=prior), anchor()
    futures = features(layout, B, 1, H)
    rolled = decoder.rollout(futures, start)
    first = Features(*(None if f is None else f[:, 0, 0] for f in futures))
    single = decoder(first, start)
    close(motion(single["agents.state"]).mean, rolled["agents.state"].mean[:, 0, 0])
    torch.testing.assert_close(motion(single["agents.state"]).heading, motion(rolled["agents.state"]).heading[:, 0, 0])
    torch.testing.assert_close(single["agents.exists"].mean, rolled["agents.exists"].mean[:, 0, 0])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_rollout_equals_decoding_step_after_step(layout: str) -> None:
    """With constant velocity nothing but pose and velocity is carried from step to step, so a loop over `forward` must agree."""
    decoder, start = make(layout, prior="constant-velocity"), anchor()
    futures = features(layout, B, S, H)
    rolled = motion(decoder.rollout(futures, start)["agents.state"])
    for s in range(S):
        now = start
        for h in range(H):
            step = motion(decoder(Features(*(None if f is None else f[:, s, h] for f in futures)), now)["agents.state"])
            close(rolled.mean[:, s, h][start.exists], step.mean[start.exists])
            assert (wrap_tensor(rolled.heading[:, s, h] - step.heading)[start.exists].abs() < 1e-4).all()
            state = now.state.clone()
            state[..., [AT[n] for n in MOTION]] = step.mean
            now = now._replace(state=state)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("layout", LAYOUTS)
@given(seed=st.integers(0, 10**6), angle=st.floats(-4, 4), dx=st.floats(-50, 50), dy=st.floats(-50, 50))
def test_predictions_turn_and_shift_with_the_world(layout: str, prior: str, seed: int, angle: float, dx: float, dy: float) -> None:
    decoder, start, futures = make(layout, prior=prior), anchor(seed), features(layout, B, S, H, seed=seed)
    here, there = decoder.rollout(futures, start), decoder.rollout(futures, world(start, angle, dx, dy))
    present = start.exists[:, None, None].expand(B, S, H, A)
    close(there["agents.state"].mean[present], moved(here["agents.state"].mean, angle, dx, dy)[present], atol=2e-3)
    torch.testing.assert_close(there["agents.exists"].mean[present], here["agents.exists"].mean[present], atol=1e-3, rtol=0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_permuting_the_agents_permutes_the_predictions(layout: str) -> None:
    decoder, start, futures = make(layout), anchor(), features(layout, B, S, H)
    order = torch.tensor([3, 0, 4, 1, 2])
    there = decoder.rollout(
        Features(futures.scene, None if futures.agents is None else futures.agents[..., order, :]),
        start._replace(state=start.state[:, order], exists=start.exists[:, order]),
    )
    torch.testing.assert_close(there["agents.state"].mean, decoder.rollout(futures, start)["agents.state"].mean[..., order, :])


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_absent_agents_change_nothing_in_values_and_gradients(layout: str, prior: str) -> None:
    decoder, clean, futures = make(layout, prior=prior), anchor(), features(layout, B, S, H)
    dirty = clean._replace(state=clean.state.masked_fill(~clean.exists[..., None], torch.nan))
    gradients = []
    for start in (clean, dirty):
        decoder.zero_grad()
        states = decoder.rollout(futures, start)["agents.state"].mean
        assert states.isfinite().all()
        torch.where(start.exists[:, None, None, :, None], states, 0).square().sum().backward()
        gradients.append([p.grad.clone() for p in decoder.parameters() if p.grad is not None])
    assert torch.equal(*(decoder.rollout(futures, s)["agents.state"].mean for s in (clean, dirty)))
    assert all(torch.equal(a, b) and a.isfinite().all() for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_empty_scene_is_finite_with_finite_gradients(layout: str) -> None:
    decoder, start = make(layout), anchor(present=0.0)
    assert not start.exists.any()
    out = decoder.rollout(features(layout, B, S, H), start)
    (out["agents.state"].mean.sum() + out["agents.exists"].mean.sum()).backward()
    assert out["agents.state"].mean.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in decoder.parameters())


def test_an_agent_of_a_pooled_latent_asks_with_its_own_motion() -> None:
    decoder, start = make("scene"), anchor(present=1.0)
    states = motion(decoder(features("scene", B), start)["agents.state"])
    residual = residual_between(start.state[..., [AT[n] for n in MOTION]], states.mean, start.dt)
    assert residual[0].std(dim=0).min() > 1e-5


def test_agent_features_are_preferred_where_there_are_both() -> None:
    config = AgentsConfig(width=8, layers=1)
    latent = LatentSpec(layout="both", width=D, scene_width=3)
    decoder = build(config, DecoderSpecs(latent=latent, obs_spec=OBS_SPEC, output=config.output(latent, OBS_SPEC)))
    assert not decoder.pooled
    both = Features(torch.zeros(B, 3), features("agents", B).agents)
    assert decoder(both, anchor())["agents.state"].mean.shape == (B, A, 5)


def test_statistics_are_those_of_the_residuals_of_agents_that_exist_at_both_steps() -> None:
    g = torch.Generator().manual_seed(3)
    state, exists = torch.randn(B, 6, A, len(FEATURES), generator=g), torch.rand(B, 6, A, generator=g) < 0.6
    batch = {"agents.state": state.masked_fill(~exists[..., None], torch.nan), "agents.exists": exists, "dt": torch.tensor([0.2, 0.5])}
    decoder = make("scene", zero_head=True)
    decoder.collect_statistics(batch)
    rows = []
    for b in range(B):
        for t in range(5):
            for a in range(A):
                if exists[b, t, a] and exists[b, t + 1, a]:
                    one, two = (state[b, t + i, a, [AT[n] for n in MOTION]][None] for i in (0, 1))
                    rows.append(residual_between(one, two, batch["dt"][b])[0])
    expected = torch.stack(rows)
    assert int(decoder.scale.count) == len(rows)
    torch.testing.assert_close(decoder.scale.centre, expected.mean(0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(decoder.scale.std, expected.std(0, unbiased=False), atol=1e-5, rtol=1e-4)
    assert decoder.query is not None
    assert int(decoder.query.count) == int(exists.sum())


def test_existence_can_be_left_out() -> None:
    decoder = make(existence=False)
    assert set(decoder(features("agents", B), anchor())) == {"agents.state"}
    assert not AgentsConfig(existence=False).output(LatentSpec(layout="agents", width=D), OBS_SPEC).has("agents.exists")


def test_motion_cannot_be_decoded_without_an_anchor() -> None:
    with pytest.raises(PluginError, match="decoder agents: decoding motion needs an anchor, got none"):
        make()(features("agents", B), None)


def test_priors_that_turn_need_a_yaw_rate_and_the_remedy_works() -> None:
    seen = traffic_observations(features=MOTION, dt=0.2, context=3, horizon=4, protocol="p")
    latent = LatentSpec(layout="agents", width=D)
    for prior in ("constant-turn", "gated-turn"):
        with pytest.raises(Mismatch, match=r"needs feature '.*' in key 'agents\.state'") as caught:
            AgentsConfig(prior=prior).output(latent, seen)
        assert caught.value.remedy == "set decoder.agents.prior to 'constant-velocity'"
    assert AgentsConfig(prior="constant-velocity").output(latent, seen).get("agents.state").features == MOTION


def test_the_decoded_keys_are_those_of_the_output_spec() -> None:
    config = AgentsConfig()
    output = config.output(LatentSpec(layout="agents", width=D), OBS_SPEC)
    assert set(make()(features("agents", B), anchor())) == {k.key for k in output.keys}
