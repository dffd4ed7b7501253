"""Specs address things by name, compare by value, print on one line and explain what is missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from twm_core import ActionSpec, EmbeddingSpec, Feature, KeySpec, LatentSpec, Mismatch, ObservationSpec, OutputKey, OutputSpec

STATE = KeySpec(key="agents.state", axes="B T A F", shape=(3,), features=tuple(Feature(name=n) for n in ("x", "y", "speed")))
OBS_SPEC = ObservationSpec(
    keys=(STATE, KeySpec(key="image", axes="B T H W C", dtype="uint8", shape=(8, 8, 3))), dt=0.25, context=4, horizon=6
)


@given(st.permutations(["x", "y", "heading", "vx", "vy", "length"]))
def test_a_feature_is_found_at_its_place_whatever_the_order(names: list[str]) -> None:
    key = KeySpec(key="k", axes="B T A F", features=tuple(Feature(name=n) for n in names))
    assert [key.index(n) for n in names] == list(range(len(names)))


def test_a_missing_feature_is_named_with_those_that_are_there() -> None:
    with pytest.raises(Mismatch, match=r"needs feature 'vx' in key 'agents.state', got \['x', 'y', 'speed'\]"):
        STATE.index("vx")


def test_an_observation_spec_finds_keys_by_name() -> None:
    assert OBS_SPEC.names == ("agents.state", "image")
    assert OBS_SPEC.get("agents.state") is STATE
    assert OBS_SPEC.has("image")
    assert not OBS_SPEC.has("lidar")


def test_a_missing_key_is_named_with_those_that_are_there() -> None:
    with pytest.raises(Mismatch, match=r"needs key 'lidar', got keys agents\.state, image"):
        OBS_SPEC.get("lidar")


def test_an_observation_spec_describes_itself_on_one_line() -> None:
    assert OBS_SPEC.describe() == "observations(agents.state, image; dt 0.25 s, 4+6 steps)"


@pytest.mark.parametrize("bad", [{"dt": 0.0}, {"dt": -1.0}, {"context": 0}, {"horizon": -1}, {"colour": "red"}])
def test_impossible_observation_specs_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ObservationSpec(**{"keys": (), "dt": 0.1, "context": 1, "horizon": 0, **bad})


def test_specs_are_frozen_and_compare_by_value() -> None:
    assert ObservationSpec.model_validate(OBS_SPEC.model_dump()) == OBS_SPEC
    with pytest.raises(ValidationError, match="frozen"):
        OBS_SPEC.dt = 1.0  # pyrefly: ignore[read-only]


def test_a_categorical_feature_is_as_wide_as_its_classes() -> None:
    assert Feature(name="lane", kind="categorical", size=5).width == 5
    assert Feature(name="x").width == 1
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        Feature(name="lane", kind="categorical", size=1)


def test_an_action_is_as_wide_as_its_features_together() -> None:
    action = ActionSpec(layout="agents", features=(Feature(name="a"), Feature(name="turn", kind="categorical", size=3)))
    assert action.width == 1 + 3


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (EmbeddingSpec(), "embedding(nothing)"),
        (EmbeddingSpec(scene=3), "embedding(scene 3)"),
        (EmbeddingSpec(scene=3, agents=4), "embedding(scene 3, agents 4)"),
        (LatentSpec(layout="agents", width=7, family="categorical"), "latent(layout agents, width 7, family categorical)"),
        (OutputSpec(), "output(nothing)"),
        (OutputSpec(keys=(OutputKey(key="image", distribution="normal"),)), "output(image: normal)"),
    ],
)
def test_specs_print_on_one_line(spec: object, text: str) -> None:
    assert str(spec) == text


@pytest.mark.parametrize(("layout", "scene", "agents"), [("scene", 5, None), ("agents", None, 5), ("both", 9, 5)])
def test_a_latent_has_scene_or_agent_features_by_its_layout(layout: str, scene: int | None, agents: int | None) -> None:
    latent = LatentSpec(layout=layout, width=5, scene_width=9 if layout == "both" else None)  # pyrefly: ignore[bad-argument-type]
    assert (latent.scene, latent.agents) == (scene, agents)


def test_an_output_spec_finds_keys_and_explains_the_lack_of_one() -> None:
    output = OutputSpec(keys=(OutputKey(key="image", distribution="normal"),))
    assert output.has("image")
    assert output.get("image").distribution == "normal"
    with pytest.raises(Mismatch, match=r"needs a decoder that returns 'reward', got output\(image: normal\)"):
        output.get("reward")
