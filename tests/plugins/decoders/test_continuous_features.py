"""The option `features = "continuous"`: everything continuous of a state is decoded, angles as angles, nothing discrete."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from twm_core import DecoderSpecs, LatentSpec, Mismatch, ObservationSpec, OutputSpec
from twm_core.data.schema import MOTION, traffic_observations
from twm_core.nn.distributions import Distribution
from twm_core.nn.interfaces import Anchor, Features
from twm_core.specs import Feature
from twm_decoders.agents import AgentsDecoder, build
from twm_decoders.config import AgentsConfig
from twm_decoders.further_features import FurtherFeatures, WiderGaussianMotion, WiderMotion

# Not the order of the schema, so that a fixed index would be noticed.
FEATURES = ("length", "vy", "lane_known", "vx", "lane_angle", "heading", "y", "speed_limit", "x", "fresh")
_TRAFFIC = traffic_observations(features=FEATURES, dt=0.2, context=3, horizon=4, protocol="p")
_STATE = _TRAFFIC.get("agents.state")
LIGHTS = Feature(name="lights", kind="categorical", size=3)
OBS_SPEC = _TRAFFIC.model_copy(
    update={
        "keys": tuple(
            k.model_copy(update={"features": (*k.features, LIGHTS), "shape": (len(FEATURES) + 1,)}) if k == _STATE else k
            for k in _TRAFFIC.keys
        )
    }
)
STATE: Any = OBS_SPEC.get("agents.state")
DECODED = (*MOTION, "length", "lane_angle", "speed_limit")
AT = [STATE.index(n) for n in DECODED]
ANGLES = [DECODED.index("heading"), DECODED.index("lane_angle")]
B, S, H, A, D = 2, 3, 4, 5, 6
FORMS = {"agents": ("agents", "motion"), "asked": ("scene", "motion"), "slots": ("scene", "slots")}


def settings(form: str, **options: Any) -> tuple[AgentsConfig, LatentSpec]:
    layout, queries = FORMS[form]
    values = {"width": 8, "parametrisation": "absolute", "features": "continuous", "queries": queries, "slots": A + 1, **options}
    return AgentsConfig.model_validate(values), LatentSpec.model_validate({"layout": layout, "width": D})


def recording() -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(3)
    state, exists = torch.randn(B, 6, A, len(STATE.features), generator=g), torch.rand(B, 6, A, generator=g) < 0.8
    for angle in ("heading", "lane_angle"):
        state[..., STATE.index(angle)] = wrapped(3 + 0.4 * state[..., STATE.index(angle)])
    return {"agents.state": state.masked_fill(~exists[..., None], torch.nan), "agents.exists": exists, "dt": torch.tensor([0.2, 0.5])}


def make(form: str = "agents", *, zero: bool = False, **options: Any) -> AgentsDecoder:
    config, latent = settings(form, **options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        decoder = build(config, DecoderSpecs(latent=latent, obs_spec=OBS_SPEC, output=config.output(latent, OBS_SPEC)))
    decoder.collect_statistics(recording())
    for module in (decoder.head, decoder.spread) if zero else ():
        for parameter in () if module is None else module.parameters():
            nn.init.zeros_(parameter)
    return decoder.eval()


def anchor() -> Anchor:
    g = torch.Generator().manual_seed(0)
    return Anchor(torch.randn(B, A, len(STATE.features), generator=g), torch.rand(B, A, generator=g) < 0.7, torch.tensor([0.2, 0.5]))


def read(form: str, *lead: int) -> Features:
    g = torch.Generator().manual_seed(1)
    return Features(None, torch.randn(*lead, A, D, generator=g)) if form == "agents" else Features(torch.randn(*lead, D, generator=g), None)


def wrapped(angle: Tensor) -> Tensor:
    return torch.atan2(angle.sin(), angle.cos())


def state_of(decoder: AgentsDecoder, form: str = "agents") -> Distribution:
    return decoder.rollout(read(form, B, S, H), anchor())["agents.state"]


def test_the_output_spec_names_the_motion_then_everything_else_that_is_continuous_or_an_angle() -> None:
    config, latent = settings("agents")
    assert config.output(latent, OBS_SPEC).get("agents.state").features == DECODED
    assert config.model_copy(update={"features": "motion"}).output(latent, OBS_SPEC).get("agents.state").features == MOTION


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("distribution", ["deterministic", "gaussian"])
def test_zeros_are_the_mean_of_every_feature_over_the_training_data(form: str, distribution: str) -> None:
    decoded: Any = state_of(make(form, zero=True, distribution=distribution), form)
    data = recording()
    rows = data["agents.state"][data["agents.exists"]][:, AT].double().numpy()
    mean, std = rows.mean(0), rows.std(0)
    for i in ANGLES:
        s, c = np.sin(rows[:, i]).mean(), np.cos(rows[:, i]).mean()
        mean[i], std[i] = math.atan2(s, c), math.sqrt(-2 * math.log(math.hypot(s, c)))
    assert decoded.mean.shape == (B, S, H, A, len(DECODED))
    np.testing.assert_allclose(decoded.mean.detach().numpy(), np.broadcast_to(mean, decoded.mean.shape), atol=1e-5)
    others = np.broadcast_to(std[5:], (B, S, H, A, len(DECODED) - 5))
    np.testing.assert_allclose(decoded.further.std.detach().numpy(), others, rtol=1e-5)
    assert type(decoded) is (WiderGaussianMotion if distribution == "gaussian" else WiderMotion)


def test_errors_are_in_deviations_and_of_all_angles_the_short_way_round() -> None:
    decoder = make()
    decoded = state_of(decoder)
    apart = torch.tensor([0.1, -0.2, 0.3, 0.4, -0.5, 0.6, -0.7, 0.8])
    value = decoded.mean.detach() + apart
    for i, turns in zip(ANGLES, (1, -2), strict=True):
        value[..., i] += turns * 2 * math.pi
    expected = (apart / decoder.scale.unit).expand_as(value)
    torch.testing.assert_close(decoded.error(value), expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("distribution", ["deterministic", "gaussian"])
def test_log_densities_are_those_of_independent_gaussians(distribution: str) -> None:
    decoded: Any = state_of(make(distribution=distribution))
    value = decoded.mean.detach() + 0.1
    motion = decoded.motion.log_prob(value[..., :5])
    others = torch.distributions.Normal(decoded.further.loc, decoded.further.std).log_prob(decoded.further.loc + 0.1).sum(-1)
    torch.testing.assert_close(decoded.log_prob(value), motion + others, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_a_rollout_equals_decoding_step_after_step(form: str) -> None:
    decoder, now, futures = make(form, distribution="gaussian"), anchor(), read(form, B, S, H)
    rolled: Any = decoder.rollout(futures, now)["agents.state"]
    for h in range(H):
        step: Any = decoder(Features(*(None if f is None else f[:, 0, h] for f in futures)), now)["agents.state"]
        torch.testing.assert_close(rolled.mean[:, 0, h], step.mean)
        torch.testing.assert_close(rolled.further.std[:, 0, h], step.further.std)
        state = now.state.clone()
        state[..., AT] = step.mean.detach()
        now = now._replace(state=state)


def test_draws_of_a_rollout_have_one_error_for_all_steps_and_the_deviation_that_is_told() -> None:
    one = read("agents", B, 1, H).agents
    assert one is not None
    many = Features(None, one.expand(-1, 3000, -1, -1, -1))
    decoded: Any = make(distribution="gaussian").rollout(many, anchor())["agents.state"]
    with torch.no_grad():
        z = decoded.error(decoded.sample(torch.Generator().manual_seed(0)))
        others = z[..., 5:] * decoded.further.scale / decoded.further.std
    torch.testing.assert_close(others, others[:, :, :1].expand_as(others), atol=1e-3, rtol=1e-3)
    angle = DECODED.index("lane_angle") - 5
    straight = [i for i in range(3) if i != angle]
    assert (others[..., straight].std(dim=1) - 1).abs().max() < 0.06

    def first(x: Tensor) -> Tensor:
        return x[:, :1]

    taken = decoded.map(first)
    assert taken.stochastic
    assert not taken.further.steps
    assert decoded.detach().further.steps


def test_angles_stay_on_the_circle_when_drawn() -> None:
    loc, one = torch.full((500, 2), 3.0), torch.ones(500, 2)
    drawn = FurtherFeatures(loc, one, one, torch.tensor([True, False])).sample(torch.Generator().manual_seed(0))
    assert drawn[:, 0].abs().max() <= math.pi + 1e-6
    assert drawn[:, 1].max() > math.pi


@pytest.mark.parametrize("form", FORMS)
def test_unknown_states_of_absent_agents_reach_nothing(form: str) -> None:
    decoder, start = make(form, distribution="gaussian"), anchor()
    dirty = start._replace(state=start.state.masked_fill(~start.exists[..., None], torch.nan))
    clean = start._replace(state=torch.where(start.exists[..., None], start.state, 0))
    means = [decoder.rollout(read(form, B, S, H), s)["agents.state"].mean for s in (clean, dirty)]
    assert torch.equal(*means)
    assert means[0].isfinite().all()


@pytest.mark.parametrize(
    ("options", "needs", "remedies"),
    [
        (
            {"parametrisation": "kinematic", "prior": "constant-velocity"},
            "absolute states",
            [{"features": "motion"}, {"parametrisation": "absolute"}],
        ),
        ({"parametrisation": "displacement"}, "absolute states", [{"features": "motion"}, {"parametrisation": "absolute"}]),
        ({"distribution": "mixture"}, "one course", [{"features": "motion"}, {"distribution": "gaussian"}]),
        ({"parametrisation": "displacement", "distribution": "mixture"}, "absolute states", [{"features": "motion"}]),
    ],
)
def test_motions_that_are_integrated_or_have_modes_refuse_other_features_with_remedies_that_work(
    options: dict[str, Any], needs: str, remedies: list[dict[str, str]]
) -> None:
    config, latent = settings("agents", **options)
    with pytest.raises(Mismatch, match=f"needs {needs}") as caught:
        config.output(latent, OBS_SPEC)
    told = ", or ".join(f"set decoder.agents.{name} to '{value}'" for r in remedies for name, value in r.items())
    assert caught.value.remedy == told
    for remedy in remedies:
        assert isinstance(config.model_copy(update=remedy).output(latent, OBS_SPEC), OutputSpec)


def test_a_dataset_with_the_motion_only_has_nothing_else_to_decode() -> None:
    config, latent = settings("agents")
    bare: ObservationSpec = traffic_observations(features=MOTION, dt=0.2, context=3, horizon=4, protocol="p")
    assert config.output(latent, bare).get("agents.state").features == MOTION
