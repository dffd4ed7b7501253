"""What losses say when decoders or data lack something: what, what was given, and a remedy."""

from __future__ import annotations

from typing import Any

import pytest

from twm_core import KeySpec, LatentSpec, Mismatch, ObservationSpec, OutputKey, OutputSpec
from twm_core.data.schema import MOTION, traffic_observations
from twm_losses.config import ExistenceConfig, HuberConfig, RolloutConfig
from twm_losses.motion.config import AngleConfig, BoundaryConfig, KinematicConfig, VelocityDirectionConfig, WTAConfig

LATENT = LatentSpec(layout="agents", width=2)
OBS_SPEC = traffic_observations(features=MOTION, dt=0.1, context=2, horizon=2, protocol="p")
SENSORS = ObservationSpec(keys=(KeySpec(key="vector.own", axes="B T D", shape=(2,)),), dt=0.1, context=2, horizon=2)
EVERY = [HuberConfig, RolloutConfig, AngleConfig, VelocityDirectionConfig, KinematicConfig, BoundaryConfig, WTAConfig]


def states(*features: str) -> OutputSpec:
    return OutputSpec(keys=(OutputKey(key="agents.state", distribution="motion-mixture", features=features),))


def refusal(config: Any, output: OutputSpec, obs_spec: ObservationSpec) -> Mismatch:
    refused = config.accepts(output, LATENT, obs_spec)
    assert refused is not None
    return refused


@pytest.mark.parametrize("config", EVERY)
def test_every_loss_on_states_takes_a_decoder_of_motion(config: Any) -> None:
    assert config().accepts(states(*MOTION), LATENT, OBS_SPEC) is None


@pytest.mark.parametrize("config", EVERY)
def test_every_loss_on_states_needs_a_decoder_and_the_truth(config: Any) -> None:
    refused = refusal(config(), OutputSpec(), OBS_SPEC)
    assert refused.message == "needs a decoder that returns 'agents.state', got output(nothing)"
    assert refused.remedy == "add --decoder agents"
    refused = refusal(config(), states(*MOTION), SENSORS)
    assert refused.needs == "key 'agents.state'"
    assert refused.remedy == "choose a dataset of traffic, such as --dataset highway"


def test_existence_needs_the_truth_too() -> None:
    output = OutputSpec(keys=(OutputKey(key="agents.exists", distribution="bernoulli"),))
    assert refusal(ExistenceConfig(), output, SENSORS).needs == "key 'agents.exists'"


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        (AngleConfig(), "heading"),
        (VelocityDirectionConfig(), "vx"),
        (KinematicConfig(), "vy"),
        (KinematicConfig(yaw_rate=1.0), "heading"),
        (BoundaryConfig(), "y"),
        (WTAConfig(), "x"),
        (RolloutConfig(), "y"),
    ],
)
def test_features_are_needed_by_name_on_both_sides(config: Any, missing: str) -> None:
    rest = [n for n in MOTION if n != missing]
    assert refusal(config, states(*rest), OBS_SPEC).message == (
        f"needs decoded features {missing!r} of 'agents.state', got features {', '.join(rest)}"
    )
    state = OBS_SPEC.get("agents.state")
    poorer = state.model_copy(update={"features": tuple(f for f in state.features if f.name != missing)})
    obs_spec = OBS_SPEC.model_copy(update={"keys": tuple(poorer if k.key == state.key else k for k in OBS_SPEC.keys)})
    assert (
        refusal(config, states(*MOTION), obs_spec).message
        == f"needs features {missing!r} in key 'agents.state', got features {', '.join(rest)}"
    )


@pytest.mark.parametrize(
    ("config", "remedy"),
    [
        (KinematicConfig(futures=1.0), "set loss.kinematic.futures to 0"),
        (BoundaryConfig(futures=1.0), "set loss.boundary.futures to 0"),
        (WTAConfig(), "leave the loss wta out, or choose a dataset whose windows have predicted steps"),
        (RolloutConfig(), "leave the loss rollout out, or choose a dataset whose windows have predicted steps"),
    ],
)
def test_futures_need_windows_with_predicted_steps(config: Any, remedy: str) -> None:
    refused = refusal(config, states(*MOTION), OBS_SPEC.model_copy(update={"horizon": 0}))
    assert refused.needs == "windows with predicted steps"
    assert refused.remedy == remedy


def test_losses_that_need_no_futures_take_windows_without_predicted_steps() -> None:
    for config in (AngleConfig(), VelocityDirectionConfig(), KinematicConfig(), BoundaryConfig()):
        assert config.accepts(states(*MOTION), LATENT, OBS_SPEC.model_copy(update={"horizon": 0})) is None
