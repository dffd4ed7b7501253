"""What the decoders `vector`, `reward` and `continue` accept, and how they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from twm_core import DecoderConfig, Feature, KeySpec, LatentSpec, Mismatch, ObservationSpec
from twm_multimodal.config_heads import ContinueConfig, RewardConfig, VectorConfig

SCENE = LatentSpec(layout="scene", width=8)
AGENTS = LatentSpec(layout="agents", width=8)
BOTH = LatentSpec(layout="both", width=8, scene_width=6)
STATE = KeySpec(key="vector.state", axes="B T D", shape=(2,), features=(Feature(name="speed"), Feature(name="fuel")))
KIND = KeySpec(key="vector.kind", axes="B T", dtype="int64", classes=5)
OTHERS = (
    KeySpec(key="reward", axes="B T"),
    KeySpec(key="is_terminal", axes="B T", dtype="bool"),
    KeySpec(key="dt", axes="B"),
    KeySpec(key="image.front", axes="B T C H W", dtype="uint8", shape=(3, 8, 8)),
)


def obs_spec(*keys: KeySpec) -> ObservationSpec:
    return ObservationSpec(keys=keys, dt=0.1, context=2, horizon=1)


ALL = obs_spec(STATE, KIND, *OTHERS)


@pytest.mark.parametrize("latent", [SCENE, BOTH])
def test_each_decodes_its_keys_from_features_of_the_scene(latent: LatentSpec) -> None:
    vectors = VectorConfig(distribution="normal").output(latent, ALL)
    assert [(k.key, k.distribution, k.features) for k in vectors.keys] == [
        ("vector.kind", "classes", ()),
        ("vector.state", "normal", ("speed", "fuel")),
    ]
    assert RewardConfig().output(latent, ALL).get("reward").distribution == "symexp-twohot"
    assert ContinueConfig().output(latent, ALL).get("continue").distribution == "continue"


def test_a_pattern_chooses_among_vectors_and_labels_only() -> None:
    assert [k.key for k in VectorConfig(keys=".*").output(SCENE, ALL).keys] == ["vector.kind", "vector.state"]
    assert [k.key for k in VectorConfig(keys=".*state").output(SCENE, ALL).keys] == ["vector.state"]


@pytest.mark.parametrize("config", [VectorConfig(), RewardConfig(), ContinueConfig()])
def test_latents_of_agents_alone_are_refused(config: DecoderConfig) -> None:
    with pytest.raises(Mismatch, match=r"needs features of the scene, got latent\(layout agents") as refused:
        config.output(AGENTS, ALL)
    assert refused.value.remedy == "set dynamics.layout to 'scene'"


@pytest.mark.parametrize(
    ("config", "needs", "remedy"),
    [
        (VectorConfig(), "vectors [B,T,D] or labels [B,T]", "--dataset shapes"),
        (RewardConfig(), "key 'reward'", "--dataset shapes"),
        (ContinueConfig(), "key 'is_terminal'", "--dataset shapes"),
    ],
)
def test_data_without_the_key_is_refused_and_a_dataset_named(config: DecoderConfig, needs: str, remedy: str) -> None:
    with pytest.raises(Mismatch) as refused:
        config.output(SCENE, obs_spec(OTHERS[2]))
    assert needs in refused.value.needs
    assert remedy in str(refused.value.remedy)


def test_a_pattern_that_matches_nothing_is_refused_with_the_keys_there_are() -> None:
    with pytest.raises(Mismatch, match=r"match 'vektor', got the vectors and labels vector\.kind, vector\.state") as refused:
        VectorConfig(keys="vektor").output(SCENE, ALL)
    assert refused.value.remedy == "set decoder.vector.keys to '.*'"
    VectorConfig(keys=".*").output(SCENE, ALL)


def test_a_vector_of_another_shape_is_refused_with_a_pattern_that_works() -> None:
    speed = KeySpec(key="vector.speed", axes="B T")
    with pytest.raises(Mismatch, match=r"got vector\.speed with axes B T, float32") as refused:
        VectorConfig().output(SCENE, obs_spec(STATE, speed))
    pattern = str(refused.value.remedy).split("such as ")[1].strip("'")
    assert [k.key for k in VectorConfig(keys=pattern).output(SCENE, obs_spec(STATE, speed)).keys] == ["vector.state"]


@pytest.mark.parametrize(
    ("config", "options", "says"),
    [
        (VectorConfig, {"keys": "("}, "not a regular expression"),
        (VectorConfig, {"min_std": 2.0, "max_std": 1.0}, "max_std 1.0 is not above min_std 2.0"),
        (RewardConfig, {"bins": 254}, "no bin stands at 0"),
        (ContinueConfig, {"horizon": 1.0}, "greater than 1"),
    ],
)
def test_bad_options_are_refused(config: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        config(**options)
