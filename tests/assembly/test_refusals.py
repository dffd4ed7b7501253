"""Mistakes that people make with keys, images, maps and actions are refused before torch is imported, with a remedy that works."""

from __future__ import annotations

from typing import Any

import pytest

from twm_core.errors import TwmError
from twm_core.plugin.registry import discover
from twm_core.recipe.assembly import Plan, assemble
from twm_core.recipe.layers import default_layer, option_layer, resolve

REGISTRY = discover(environ={})
EPISODES: dict[str, Any] = {
    "dataset.component": "shapes",
    "encoder.components": ["multimodal"],
    "dynamics.component": "rssm-cat",
    "decoder.components": ["image", "vector", "reward", "continue"],
    "loss.components": ["nll", "kl"],
}
BOTH = {"encoder.components": ["multiagent", "roadmap"]}


def plan(**options: Any) -> Plan:
    return assemble(resolve([default_layer(), *(option_layer(k, v, "test") for k, v in options.items())]), REGISTRY)


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "an image that no encoder takes": (
        {**EPISODES, "encoder.multimodal.image_keys": "$^"},
        {"encoder.multimodal.image_keys": r"image\..*"},
        "no encoder takes image.camera",
        "--encoder multimodal",
    ),
    "a pattern of images that matches nothing": (
        {**EPISODES, "encoder.multimodal.image_keys": "camera"},
        {"encoder.multimodal.image_keys": r"image\.camera"},
        "'camera'",
        "encoder.multimodal.image_keys",
    ),
    "a pattern of vectors that matches nothing": (
        {**EPISODES, "encoder.multimodal.vector_keys": "speed.*"},
        {"encoder.multimodal.vector_keys": r"vector\..*"},
        "'speed.*'",
        "encoder.multimodal.vector_keys",
    ),
    "a pattern that is no regular expression": (
        {**EPISODES, "decoder.vector.keys": "("},
        {"decoder.vector.keys": "vector.*"},
        "decoder.vector.keys = '('",
        "fields of decoder vector",
    ),
    "a pattern of decoded vectors that matches nothing": (
        {**EPISODES, "decoder.vector.keys": "speed"},
        {"decoder.vector.keys": r"vector\.state"},
        "'speed'",
        "decoder.vector.keys",
    ),
    "a pattern of a loss that matches nothing": (
        {**EPISODES, "loss.nll.keys": "speed"},
        {"loss.nll.keys": "reward"},
        "'speed'",
        "loss.nll.keys",
    ),
    "a map encoder without a map": (BOTH, {"dataset.raster": True}, "map.raster", "dataset.raster"),
    "a map penalty without a map": (
        {"loss.components": ["huber", "boundary"], "loss.boundary.mode": "map"},
        {"dataset.raster": True},
        "map.raster",
        "dataset.raster",
    ),
    "an image decoder on data without images": (
        {**EPISODES, "dataset.images": False},
        {"dataset.images": True},
        "decoder image",
        "images",
    ),
    "required actions that the data does not have": (
        {**EPISODES, "dataset.actions": "none", "dynamics.actions": "required"},
        {"dataset.actions": "continuous"},
        "actions",
        "actions",
    ),
    "actions that the dynamics are told not to expect": (
        {**EPISODES, "dynamics.actions": "none"},
        {"dynamics.actions": "auto"},
        "actions",
        "dynamics.actions",
    ),
    "one action for each agent and a latent of the scene": (
        {"dataset.actions": True, "dynamics.layout": "scene"},
        {"dynamics.layout": "agents"},
        "one action for each agent",
        "layout",
    ),
    "tokens of other widths that are to be summed": (
        {**BOTH, "dataset.raster": True, "fusion.mode": "add", "encoder.roadmap.width": 32},
        {"fusion.mode": "concat"},
        "equal width for fusion 'add'",
        "fusion.mode",
    ),
    "an encoder whose tokens nobody reads": (
        {**BOTH, "dataset.raster": True, "encoder.roadmap.tokens": "scene", "dynamics.component": "gru"},
        {"fusion.mode": "cross-attention"},
        "is not read: it gives embedding(scene 64)",
        "fusion.mode to 'cross-attention'",
    ),
    "agent tokens and a latent of the scene": (
        {**BOTH, "dataset.raster": True, "encoder.roadmap.tokens": "agents", "dynamics.layout": "scene"},
        {"encoder.roadmap.tokens": "both"},
        "reads scene tokens",
        "let it give scene tokens",
    ),
    "deterministic dynamics that no loss trains": (
        {**EPISODES, "dynamics.component": "gru", "decoder.components": ["vector"], "loss.components": ["nll"], "dataset.images": False},
        {"loss.nll.prediction": 1.0},
        "no loss trains dynamics gru",
        "loss.nll.prediction to 1",
    ),
    "two modes wanted of a decoder with one": (
        {"loss.components": ["huber", "wta"]},
        {"decoder.agents.distribution": "mixture"},
        "loss wta",
        "mixture",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_refused_with_a_remedy_that_works(name: str) -> None:
    options, mended, message, hint = CASES[name]
    with pytest.raises(TwmError) as refusal:
        plan(**options)
    assert message in refusal.value.message
    assert refusal.value.hint is not None
    assert hint in refusal.value.hint
    plan(**{**options, **mended})
