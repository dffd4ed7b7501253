"""Options of the agent decoder: what is emitted, how agents are told apart, what is decoded, and how rollouts put it together."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from twm_core import DecoderSpecs, LatentSpec, Mismatch, UsageError
from twm_core.angles import wrap_tensor
from twm_core.data.schema import traffic_observations
from twm_core.nn.interfaces import Anchor, Features
from twm_decoders.agents import AgentsDecoder, build
from twm_decoders.config import MOTION, AgentsConfig
from twm_decoders.gaussian import GaussianMotion
from twm_decoders.kinematics import difference, turn
from twm_decoders.mixture import MixtureMotion
from twm_decoders.motion import Motion
from twm_decoders.output_distributions import blend
from twm_decoders.parametrisation import Absolute

# Not the order of the schema, so that a fixed index would be noticed.
FEATURES = ("length", "vy", "vx", "yaw_rate", "heading", "ay", "y", "ax", "x")
OBS_SPEC = traffic_observations(features=FEATURES, dt=0.2, context=3, horizon=4, protocol="p")
AT = {n: OBS_SPEC.get("agents.state").index(n) for n in FEATURES}
B, S, H, A, D, M = 2, 3, 4, 5, 6, 3
AXIS = [AT[n] for n in MOTION]
PARAMETRISATIONS = ["kinematic", "displacement", "absolute"]
HEADINGS = ["residual", "angle-head"]
DISTRIBUTIONS = ["deterministic", "gaussian", "mixture"]
FORMS = {"agents": ("agents", "motion"), "asked": ("scene", "motion"), "slots": ("scene", "slots")}
VARIANTS = [{"parametrisation": p, "heading": h, "distribution": d} for p, h, d in product(PARAMETRISATIONS, HEADINGS, DISTRIBUTIONS)]


def make(form: str = "agents", *, zero: bool = False, **options: Any) -> AgentsDecoder:
    """A decoder with random weights and statistics that are not the identity; with `zero`, its heads emit zeros."""
    layout, queries = FORMS[form]
    config = AgentsConfig.model_validate(
        {"width": 8, "layers": 1, "slots": A + 1, "modes": M, "queries": queries, "prior": "constant-velocity", **options}
    )
    latent = LatentSpec(layout=layout, width=D)  # pyrefly: ignore[bad-argument-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        decoder = build(config, DecoderSpecs(latent=latent, obs_spec=OBS_SPEC, output=config.output(latent, OBS_SPEC)))
    decoder.collect_statistics(recording())
    if zero:
        for module in (decoder.head, decoder.angle, decoder.spread):
            for parameter in () if module is None else module.parameters():
                torch.nn.init.zeros_(parameter)
    return decoder.eval()


def recording() -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(3)
    state, exists = torch.randn(B, 6, A, len(FEATURES), generator=g), torch.rand(B, 6, A, generator=g) < 0.8
    state[..., AT["heading"]] = wrap_tensor(3 + 0.4 * state[..., AT["heading"]])
    return {"agents.state": state.masked_fill(~exists[..., None], torch.nan), "agents.exists": exists, "dt": torch.tensor([0.2, 0.5])}


def anchor(seed: int = 0, *, present: float = 0.7) -> Anchor:
    g = torch.Generator().manual_seed(seed)
    exists = torch.rand(B, A, generator=g) < present
    exists[:, 0] = True
    state = torch.randn(B, A, len(FEATURES), generator=g)
    return Anchor(torch.where(exists[..., None], state, 0), exists, torch.tensor([0.2, 0.5]))


def features(form: str, *lead: int, seed: int = 1) -> Features:
    g = torch.Generator().manual_seed(seed)
    if form == "agents":
        return Features(None, torch.randn(*lead, A, D, generator=g))
    return Features(torch.randn(*lead, D, generator=g), None)


def close(one: Tensor, other: Tensor, *, atol: float = 2e-4) -> None:
    """Equal states, headings compared as directions."""
    keep = [0, 1, 3, 4]
    torch.testing.assert_close(one[..., keep], other[..., keep], atol=atol, rtol=1e-4)
    assert (wrap_tensor((one - other)[..., 2]).abs() < atol).all()


def courses(dist: Any) -> tuple[Tensor, Tensor | None]:
    """States and deviations of every course, `[...,A,M,5]`."""
    if isinstance(dist, MixtureMotion):
        return dist.modes, dist.std
    std = dist.std[..., None, :] if isinstance(dist, GaussianMotion) else None
    return dist.loc[..., None, :], std


def known(start: Anchor) -> Tensor:
    return start.state[..., AXIS]


# What zeros mean ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "heading"), list(product(FORMS, HEADINGS)))
def test_displacements_of_zero_stand_still_and_keep_heading_and_velocity(form: str, heading: str) -> None:
    decoder, start = make(form, zero=True, parametrisation="displacement", heading=heading), anchor()
    states = decoder.rollout(features(form, B, S, H), start)["agents.state"].mean
    close(states, known(start)[:, None, None].expand(B, S, H, A, 5), atol=1e-5)


@pytest.mark.parametrize(("form", "heading"), list(product(FORMS, HEADINGS)))
def test_absolute_zeros_are_the_mean_state_of_the_training_data(form: str, heading: str) -> None:
    decoder = make(form, zero=True, parametrisation="absolute", heading=heading)
    states = decoder.rollout(features(form, B, S, H), anchor())["agents.state"].mean
    data = recording()
    rows = data["agents.state"][data["agents.exists"]][:, AXIS].double().numpy()
    expected = rows.mean(0)
    expected[2] = math.atan2(np.sin(rows[:, 2]).mean(), np.cos(rows[:, 2]).mean())
    close(states, torch.from_numpy(expected).float().expand_as(states), atol=1e-5)


def test_the_statistics_of_absolute_states_are_deviations_and_a_circular_one() -> None:
    decoder, data = make(parametrisation="absolute"), recording()
    rows = data["agents.state"][data["agents.exists"]][:, AXIS].double().numpy()
    expected = rows.std(0)
    length = math.hypot(np.sin(rows[:, 2]).mean(), np.cos(rows[:, 2]).mean())
    expected[2] = math.sqrt(-2 * math.log(length))
    np.testing.assert_allclose(decoder.scale.unit.numpy(), expected, rtol=1e-5)


def test_statistics_of_absolute_states_are_persistent_buffers() -> None:
    one, other = (
        make(parametrisation="absolute"),
        AgentsDecoder(
            config=AgentsConfig(width=8, layers=1, parametrisation="absolute"), state=OBS_SPEC.get("agents.state"), width=D, pooled=False
        ),
    )
    assert torch.equal(other.scale.unit, torch.ones(5))
    other.load_state_dict(one.state_dict())
    assert torch.equal(other.scale.unit, one.scale.unit)


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_what_is_emitted_is_scaled_and_placed_as_the_parametrisation_says(parametrisation: str) -> None:
    decoder, start = make(zero=True, parametrisation=parametrisation, existence=False), anchor(present=1.0)
    emitted = [0.3, -0.2, 0.1, 0.4, 0.5]
    with torch.no_grad():
        decoder.head.bias.copy_(torch.tensor(emitted))
    states = decoder(features("agents", B), start)["agents.state"].mean.detach()
    unit = decoder.scale.unit.tolist()
    dx, dy, dh, dvx, dvy = (u * e for u, e in zip(unit, emitted, strict=True))
    for b, a in product(range(B), range(A)):
        x, y, h, vx, vy = known(start)[b, a].tolist()
        c, s, dt = math.cos(h), math.sin(h), float(start.dt[b])
        if parametrisation == "absolute":
            assert isinstance(decoder.scale, Absolute)
            expected = [o + d for o, d in zip(decoder.scale.origin.tolist(), (dx, dy, dh, dvx, dvy), strict=True)]
        else:
            coast = dt if parametrisation == "kinematic" else 0.0
            expected = [
                x + coast * vx + c * dx - s * dy,
                y + coast * vy + s * dx + c * dy,
                h + dh,
                vx + c * dvx - s * dvy,
                vy + s * dvx + c * dvy,
            ]
        close(states[b, a], torch.tensor(expected), atol=1e-5)


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_statistics_of_changes_are_those_of_the_parametrisation(parametrisation: str) -> None:
    """A vehicle that keeps its velocity has displacements and no residuals."""
    t = torch.arange(4.0)
    state = torch.zeros(1, 4, 2, len(FEATURES))
    for a, speed in ((0, 2.0), (1, 6.0)):
        state[0, :, a, AT["x"]], state[0, :, a, AT["vx"]] = speed * t, speed
    decoder = AgentsDecoder(
        config=AgentsConfig(width=8, parametrisation=parametrisation),  # pyrefly: ignore[bad-argument-type]
        state=OBS_SPEC.get("agents.state"),
        width=D,
        pooled=False,
    )
    decoder.collect_statistics({"agents.state": state, "agents.exists": torch.ones(1, 4, 2, dtype=torch.bool), "dt": torch.ones(1)})
    expected = {"kinematic": 1.0, "displacement": 2.0, "absolute": float(state[..., AT["x"]].std(unbiased=False))}
    assert float(decoder.scale.unit[0]) == pytest.approx(expected[parametrisation])


@pytest.mark.parametrize("form", FORMS)
def test_the_constant_acceleration_prior_is_x_plus_v_t_plus_half_a_t_squared(form: str) -> None:
    decoder, start = make(form, zero=True, prior="constant-acceleration"), anchor()
    states = decoder.rollout(features(form, B, S, H), start)["agents.state"].mean
    for b, a in start.exists.nonzero().tolist():
        k = {n: float(start.state[b, a, i]) for n, i in AT.items()}
        t = float(start.dt[b]) * np.arange(1, H + 1)
        expected = np.stack(
            [
                k["x"] + k["vx"] * t + k["ax"] * t**2 / 2,
                k["y"] + k["vy"] * t + k["ay"] * t**2 / 2,
                np.full(H, k["heading"]),
                k["vx"] + k["ax"] * t,
                k["vy"] + k["ay"] * t,
            ],
            axis=-1,
        )
        for s in range(S):
            close(states[b, s, :, a].detach(), torch.from_numpy(expected).float(), atol=1e-4)


def test_constant_acceleration_reads_accelerations_only_and_other_parametrisations_nothing() -> None:
    latent = LatentSpec(layout="agents", width=D)
    seen = traffic_observations(features=(*MOTION, "ax", "ay"), dt=0.2, context=3, horizon=4, protocol="p")
    assert AgentsConfig(prior="constant-acceleration").output(latent, seen).has("agents.state")
    bare = traffic_observations(features=MOTION, dt=0.2, context=3, horizon=4, protocol="p")
    with pytest.raises(Mismatch, match="needs feature 'ax'") as caught:
        AgentsConfig(prior="constant-acceleration").output(latent, bare)
    assert caught.value.remedy == "set decoder.agents.prior to 'constant-velocity'"
    for parametrisation in ("displacement", "absolute"):
        config = AgentsConfig(parametrisation=parametrisation)
        assert config.output(latent, bare).get("agents.state").features == MOTION


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_the_angle_head_adds_the_angle_of_a_sine_and_a_cosine_in_units_of_the_deviation(parametrisation: str) -> None:
    decoder, start = make(zero=True, parametrisation=parametrisation, heading="angle-head"), anchor(present=1.0)
    assert decoder.angle is not None
    with torch.no_grad():
        list(decoder.angle.parameters())[-1].copy_(torch.tensor([0.7, -0.4]))
    headings = decoder(features("agents", B), start)["agents.state"].mean[..., 2]
    unit = float(decoder.scale.unit[2])
    base = known(start)[..., 2]
    if isinstance(decoder.scale, Absolute):
        base = decoder.scale.origin[2].expand_as(base)
    assert wrap_tensor(headings - base - math.atan2(0.7 * unit, 1 - 0.4 * unit)).abs().max() < 1e-5


@pytest.mark.parametrize(("wanted", "parametrisation"), list(product([3.1, -3.1, 0.02, 1.6], ["displacement", "absolute"])))
def test_the_angle_head_learns_any_heading_across_the_seam(wanted: float, parametrisation: str) -> None:
    decoder, start = make(parametrisation=parametrisation, heading="angle-head"), anchor(present=1.0)
    assert decoder.angle is not None
    read, optimizer = features("agents", B), torch.optim.Adam(decoder.parameters(), lr=0.05)
    goal = torch.zeros(B, A, 5)
    base = known(start)[..., 2] if parametrisation == "displacement" else 0.0
    goal[..., 2] = wrap_tensor(base + torch.tensor(wanted))
    for _ in range(150):
        loss = decoder(read, start)["agents.state"].error(goal)[..., 2].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    final = decoder(read, start)["agents.state"].mean[..., 2]
    assert wrap_tensor(final - goal[..., 2]).abs().max() < 0.1
    assert (final.abs() <= math.pi).all()


# What is decoded ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_output_spec_names_the_distribution(distribution: str) -> None:
    config = AgentsConfig(distribution=distribution)  # pyrefly: ignore[bad-argument-type]
    name = config.output(LatentSpec(layout="agents", width=D), OBS_SPEC).get("agents.state").distribution
    decoded = make(distribution=distribution)(features("agents", B), anchor())["agents.state"]
    classes: dict[str, type] = {"motion": Motion, "motion-gaussian": GaussianMotion, "motion-mixture": MixtureMotion}
    assert type(decoded) is classes[name]


@pytest.mark.parametrize("distribution", ["gaussian", "mixture"])
def test_decoded_deviations_begin_at_those_of_the_training_data_and_stay_within_bounds(distribution: str) -> None:
    decoder, start = make(zero=True, distribution=distribution), anchor()
    assert decoder.spread is not None
    for bias, factor in ((0.0, 1.0), (1e4, math.exp(4)), (-1e4, math.exp(-4))):
        torch.nn.init.constant_(decoder.spread.bias, bias)
        _, std = courses(decoder(features("agents", B), start)["agents.state"])
        assert std is not None
        torch.testing.assert_close(std, (factor * decoder.scale.unit).expand_as(std))


@pytest.mark.parametrize(("form", "distribution"), list(product(FORMS, ["gaussian", "mixture"])))
def test_the_further_a_rollout_goes_the_wider_it_spreads(form: str, distribution: str) -> None:
    decoded = make(form, distribution=distribution).rollout(features(form, B, S, H), anchor())["agents.state"]
    _, std = courses(decoded)
    assert std is not None
    # Along and across mix as the frame turns, so their sums are compared.
    for pair in ([0, 1], [3, 4], [2]):
        total = std[..., pair].square().sum(-1)
        assert (total[:, :, 1:] > total[:, :, :-1]).all()


@pytest.mark.parametrize("form", FORMS)
def test_the_courses_of_a_mixture_differ_and_have_one_probability_for_the_whole_rollout(form: str) -> None:
    decoded: Any = make(form, distribution="mixture").rollout(features(form, B, S, H), anchor())["agents.state"]
    assert decoded.modes.shape == (B, S, H, A, M, 5)
    assert decoded.mode_logits.shape == (B, S, H, A, M)
    assert torch.equal(decoded.mode_logits, decoded.mode_logits[:, :, :1].expand_as(decoded.mode_logits))
    assert (decoded.modes[..., 0, :] - decoded.modes[..., 1, :]).abs().amax(-1).min() > 1e-4


@pytest.mark.parametrize(("form", "variant"), list(product(FORMS, VARIANTS)), ids=str)
def test_a_rollout_equals_decoding_step_after_step_for_each_course(form: str, variant: dict[str, Any]) -> None:
    """With nothing but pose and velocity carried from step to step a loop over `forward`, per course, must agree."""
    decoder, start, futures = make(form, **variant), anchor(), features(form, B, S, H)
    rolled = decoder.rollout(futures, start)
    states, _ = courses(rolled["agents.state"])
    with torch.no_grad():
        for s, m in product(range(S), range(states.shape[-2])):
            now = start
            for h in range(H):
                step = decoder(Features(*(None if f is None else f[:, s, h] for f in futures)), now)
                one, std = courses(step["agents.state"])
                close(states[:, s, h, :, m][start.exists], one[:, :, m][start.exists])
                if h == 0:
                    whole = courses(rolled["agents.state"])[1]
                    assert (whole is None) == (std is None)
                    if whole is not None and std is not None:
                        torch.testing.assert_close(whole[:, s, 0], std)
                    if isinstance(step["agents.state"], MixtureMotion):
                        torch.testing.assert_close(rolled["agents.state"].map(lambda x, s=s: x[:, s, 0]).mode, step["agents.state"].mode)
                    torch.testing.assert_close(rolled["agents.exists"].mean[:, s, 0], step["agents.exists"].mean)
                state = now.state.clone()
                state[..., AXIS] = one[:, :, m]
                now = now._replace(state=state)


def test_absolute_states_need_no_anchor_where_nobody_asks() -> None:
    for form in ("agents", "slots"):
        decoder, futures = make(form, parametrisation="absolute"), features(form, B, S, H)
        states = decoder.rollout(futures, None)["agents.state"].mean
        torch.testing.assert_close(states[..., :A, :], decoder.rollout(futures, anchor())["agents.state"].mean)
        single = Features(*(None if f is None else f[:, :, 0] for f in futures))
        torch.testing.assert_close(decoder(single, None)["agents.state"].mean, states[:, :, 0])


def test_existence_of_several_courses_is_their_mean_probability() -> None:
    g = torch.Generator().manual_seed(0)
    logit, choice = torch.randn(B, S, M, A, generator=g), torch.randn(B, S, 1, A, M, generator=g)
    expected = (choice[:, :, 0].softmax(-1).movedim(-1, 2) * logit.sigmoid()).sum(2)
    torch.testing.assert_close(blend(logit, choice).sigmoid(), expected)
    torch.testing.assert_close(blend(logit[:, :, :1], None), logit[:, :, 0])


# Frames, order, absence --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "distribution"), list(product(FORMS, DISTRIBUTIONS)))
@pytest.mark.parametrize("parametrisation", ["kinematic", "displacement"])
def test_courses_turn_and_shift_with_the_world_and_densities_stay(form: str, distribution: str, parametrisation: str) -> None:
    decoder = make(form, distribution=distribution, parametrisation=parametrisation, heading="angle-head")
    start, futures, by = anchor(), features(form, B, S, H), torch.tensor(1.1)
    state = start.state.clone()
    for x, y in (("x", "y"), ("vx", "vy"), ("ax", "ay")):
        state[..., AT[x]], state[..., AT[y]] = turn(start.state[..., AT[x]], start.state[..., AT[y]], by)
    state[..., AT["x"]] += 3
    state[..., AT["heading"]] += by
    moved = start._replace(state=torch.where(start.exists[..., None], state, 0))
    here, there = (decoder.rollout(futures, s)["agents.state"] for s in (start, moved))

    def turned(states: Tensor) -> Tensor:
        x, y, h, vx, vy = states.unbind(-1)
        x, y = turn(x, y, by)
        return torch.stack([x + 3, y, h + by, *turn(vx, vy, by)], dim=-1)

    present = start.exists[:, None, None].expand(B, S, H, A)
    close(courses(there)[0][present], turned(courses(here)[0])[present], atol=2e-3)
    value = here.mean.detach() + 0.1
    torch.testing.assert_close(there.log_prob(turned(value))[present], here.log_prob(value)[present], atol=0.05, rtol=5e-3)


@pytest.mark.parametrize(("form", "distribution"), list(product(["agents", "asked"], ["gaussian", "mixture"])))
def test_permuting_the_agents_permutes_every_distribution(form: str, distribution: str) -> None:
    decoder, start, futures = make(form, distribution=distribution), anchor(), features(form, B, S, H)
    order = torch.tensor([3, 0, 4, 1, 2])
    straight = decoder.rollout(futures, start)["agents.state"]
    there = decoder.rollout(
        Features(futures.scene, None if futures.agents is None else futures.agents[..., order, :]),
        start._replace(state=start.state[:, order], exists=start.exists[:, order]),
    )["agents.state"]
    torch.testing.assert_close(there.mean, straight.mean[..., order, :])
    value = straight.mean.detach() + 0.05
    torch.testing.assert_close(there.log_prob(value[..., order, :]), straight.log_prob(value)[..., order])


def test_slots_tell_agents_apart_by_their_place_in_the_batch() -> None:
    decoder, start = make("slots"), anchor(present=1.0)
    same = start._replace(state=start.state[:, :1].expand_as(start.state))
    states = decoder(features("slots", B), same)["agents.state"].mean
    assert (states[:, 1:] - states[:, :1]).abs().amax(-1).min() > 1e-3


def test_more_agents_than_slots_are_an_error_that_names_the_option() -> None:
    decoder = make("slots", slots=A - 1)
    with pytest.raises(UsageError, match=f"a batch with {A} agents cannot be decoded into {A - 1} slots") as caught:
        decoder(features("slots", B), anchor())
    assert caught.value.hint == f"set decoder.agents.slots to {A} or more, or decoder.agents.queries to 'motion'"


def test_slots_need_features_of_the_scene_and_the_remedy_works() -> None:
    config, latent = AgentsConfig(queries="slots"), LatentSpec(layout="agents", width=D)
    with pytest.raises(Mismatch, match="needs features of the scene to decode into slots") as caught:
        config.output(latent, OBS_SPEC)
    assert caught.value.remedy == "set decoder.agents.queries to 'motion'"
    assert AgentsConfig(queries="motion").output(latent, OBS_SPEC).has("agents.state")
    both = LatentSpec(layout="both", width=D, scene_width=3)
    assert build(config, DecoderSpecs(latent=both, obs_spec=OBS_SPEC, output=config.output(both, OBS_SPEC))).pooled


@pytest.mark.parametrize(("form", "variant"), list(product(FORMS, VARIANTS)), ids=str)
def test_absent_agents_change_nothing_and_gradients_are_finite(form: str, variant: dict[str, Any]) -> None:
    decoder, clean, futures = make(form, **variant), anchor(), features(form, B, S, H)
    dirty = clean._replace(state=clean.state.masked_fill(~clean.exists[..., None], torch.nan))
    present = clean.exists[:, None, None].expand(B, S, H, A)
    found = []
    for start in (clean, dirty):
        decoder.zero_grad()
        decoded = decoder.rollout(futures, start)["agents.state"]
        states, score = decoded.mean, decoded.log_prob(decoded.mean.detach() + 0.1)
        assert states.isfinite().all()
        assert score.isfinite().all()
        (torch.where(present, score, 0).sum() + torch.where(present[..., None], states, 0).sum()).backward()
        found.append([states.detach(), score.detach(), *(p.grad.clone() for p in decoder.parameters() if p.grad is not None)])
    assert all(torch.equal(a, b) and a.isfinite().all() for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("distribution", ["gaussian", "mixture"])
@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_draws_of_a_rollout_spread_as_it_says_and_hang_together(parametrisation: str, distribution: str) -> None:
    n = 4000
    decoder, start = make(zero=True, parametrisation=parametrisation, distribution=distribution), anchor(present=1.0)
    futures = features("agents", B, 1, H).agents
    assert futures is not None
    decoded: Any = decoder.rollout(Features(None, futures.expand(-1, n, -1, -1, -1)), start)["agents.state"]
    drawn = decoded.sample(torch.Generator().manual_seed(0))
    # All courses are alike, because the heads say nothing; each is off by its own deviation.
    states, std = courses(decoded)
    assert std is not None
    heading = decoded.heading[..., 0] if isinstance(decoded, MixtureMotion) else decoded.heading
    error = difference(drawn, states[..., 0, :], heading) / std[..., 0, :]
    torch.testing.assert_close(error.std(dim=1), torch.ones(B, H, A, 5), atol=0.06, rtol=0)
    if parametrisation == "absolute":
        torch.testing.assert_close(error, error[:, :, :1].expand_as(error), atol=1e-3, rtol=1e-3)
    else:  # sums of independent noise: the later step's velocity has the earlier one's error in it
        together = (error[:, :, 0, :, 3] * error[:, :, 3, :, 3]).mean(dim=1)
        torch.testing.assert_close(together, torch.full((B, A), 0.5), atol=0.07, rtol=0)


@pytest.mark.parametrize(("form", "distribution"), list(product(FORMS, ["gaussian", "mixture"])))
def test_draws_of_a_rollout_follow_the_generator(form: str, distribution: str) -> None:
    decoder, start, futures = make(form, distribution=distribution), anchor(), features(form, B, S, H)
    decoded = decoder.rollout(futures, start)["agents.state"]
    one, two, three = (decoded.sample(torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert one.shape == (B, S, H, A, 5)
    assert torch.equal(one, two)
    assert not torch.equal(one, three)
    assert (one[..., 2].abs() <= math.pi + 1e-6).all()
