"""What the map encoder needs, and what it says where that is not there."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from twm_core import AssemblyError, EmbeddingSpec, KeySpec, Mismatch, ObservationSpec
from twm_core.data.schema import MOTION, traffic_observations
from twm_core.plugin.registry import discover
from twm_core.recipe.assembly import Plan, assemble
from twm_core.recipe.layers import default_layer, option_layer, resolve
from twm_roadmap.config import RoadMapConfig


def obs_spec(raster_size: int = 64) -> ObservationSpec:
    return traffic_observations(features=MOTION, dt=0.1, context=2, horizon=1, protocol="p", raster_size=raster_size)


@pytest.mark.parametrize(
    ("tokens", "embedding"),
    [
        ("scene", EmbeddingSpec(scene=24)),
        ("agents", EmbeddingSpec(agents=24)),
        ("both", EmbeddingSpec(scene=24, agents=24)),
    ],
)
def test_the_tokens_are_named_in_the_spec(tokens: Any, embedding: EmbeddingSpec) -> None:
    assert RoadMapConfig(tokens=tokens, width=24).embedding(obs_spec()) == embedding


def test_data_without_a_map_are_refused_with_a_remedy() -> None:
    with pytest.raises(Mismatch, match=r"needs key 'map\.raster', got observations") as caught:
        RoadMapConfig().embedding(obs_spec(0))
    assert caught.value.remedy is not None
    assert "set dataset.raster to true" in caught.value.remedy


def test_a_raster_of_odd_size_is_refused_with_a_size_that_fits() -> None:
    with pytest.raises(Mismatch, match="sides are multiples of 16 pixels") as caught:
        RoadMapConfig().embedding(obs_spec(90))
    assert caught.value.remedy == "set dataset.raster_size to 96, or encoder.roadmap.layers lower"
    RoadMapConfig().embedding(obs_spec(96))
    RoadMapConfig(layers=1, agent_layers=1).embedding(obs_spec(90))
    RoadMapConfig(tokens="agents", agent_layers=1).embedding(obs_spec(90))


def test_without_agents_only_a_scene_token_can_be_had() -> None:
    keys = tuple(k for k in obs_spec().keys if not k.key.startswith("agents."))
    empty = ObservationSpec(keys=keys, dt=0.1, context=2, horizon=1)
    for tokens in ("agents", "both"):
        with pytest.raises(Mismatch, match=r"needs keys 'agents\.state' and 'map\.pose'") as caught:
            RoadMapConfig(tokens=tokens).embedding(empty)
        assert caught.value.remedy == "set encoder.roadmap.tokens to scene"
    assert RoadMapConfig(tokens="scene").embedding(empty) == EmbeddingSpec(scene=64)


def test_a_raster_without_steps_is_refused() -> None:
    bare = ObservationSpec(keys=(KeySpec(key="map.raster", axes="B C H W", shape=(3, 64, 64)),), dt=0.1, context=2, horizon=1)
    with pytest.raises(Mismatch, match="needs key 'is_first'"):
        RoadMapConfig(tokens="scene").embedding(bare)


def test_layers_and_crops_must_fit_one_another() -> None:
    with pytest.raises(ValidationError, match="agent_layers 3 is more than layers 2"):
        RoadMapConfig(layers=2, agent_layers=3)
    with pytest.raises(ValidationError, match="crop_pixels 10 is not a multiple of 4"):
        RoadMapConfig(crop="pixels", crop_pixels=10)


def test_check_refuses_a_recipe_without_a_map_and_its_remedy_works() -> None:
    registry = discover(environ={})

    def check(**options: Any) -> Plan:
        chosen = {"encoder.components": ["multiagent", "roadmap"], **{k.replace("__", "."): v for k, v in options.items()}}
        return assemble(resolve([default_layer(), *(option_layer(k, v, "test") for k, v in chosen.items())]), registry)

    with pytest.raises(AssemblyError, match=r"encoder roadmap \(twm .*needs key 'map\.raster'; dataset highway") as caught:
        check()
    assert caught.value.hint is not None
    assert "set dataset.raster to true" in caught.value.hint
    alone = RoadMapConfig().embedding(obs_spec())
    assert check(dataset__raster=True).embeddings[1] == alone
    with pytest.raises(AssemblyError, match="multiples of 16 pixels"):
        check(dataset__raster=True, dataset__raster_size=90)
    assert check(dataset__raster=True, dataset__raster_size=96).embeddings[1] == alone


def test_the_keys_that_are_read_are_named() -> None:
    assert RoadMapConfig().taken(obs_spec()) == {"map.raster", "map.pose", "agents.state", "agents.exists", "is_first"}
    assert RoadMapConfig(tokens="scene").taken(obs_spec()) == {"map.raster", "is_first"}
