"""Parameter counts of DreamerV3's world model at the sizes at which public implementations agree, and the sizes of the presets.

Models are built on the meta device: counted, never computed with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import nn

from twm_core import ActionSpec, DecoderSpecs, DynamicsSpecs, EncoderSpecs, Feature, KeySpec, ObservationSpec
from twm_core.nn.build import build_world_model
from twm_core.plugin.registry import discover
from twm_core.recipe.assembly import Plan, assemble
from twm_core.recipe.layers import Layer, default_layer, resolve

REGISTRY = discover(environ={})
VECTOR, ACTION, UNITS, DEPTH = 24, 6, 512, 16
RSSM = {"deter": 512, "hidden": 512, "groups": 32, "classes": 32, "blocks": 8, "layout": "scene"}
SIZES = {
    "1m": (512, 64, 4, 4, 64),
    "12m": (2048, 256, 16, 16, 256),
    "25m": (3072, 384, 24, 24, 384),
    "50m": (4096, 512, 32, 32, 512),
    "100m": (6144, 768, 48, 48, 768),
    "200m": (8192, 1024, 64, 64, 1024),
    "400m": (12288, 1536, 96, 96, 1536),
}
"""deter, hidden, classes, depth and units of the published sizes."""
EARLY = {"small": (256, 256, 16, 256), "medium": (1024, 1024, 48, 1024), "full": (4096, 1024, 96, 1024)}
"""deter, hidden, depth and units of the early release (`full`) and of narrower ones."""


def observations(*, image: bool) -> ObservationSpec:
    observed = KeySpec(key="vector.state", axes="B T D", shape=(VECTOR,))
    if image:
        observed = KeySpec(key="image.camera", axes="B T C H W", dtype="uint8", shape=(3, 64, 64))
    ends = (KeySpec(key=k, axes="B T", dtype="bool") for k in ("is_first", "is_last", "is_terminal"))
    return ObservationSpec(keys=(observed, KeySpec(key="reward", axes="B T"), *ends), dt=1.0, context=64, horizon=0)


def part(kind: str, name: str, options: Mapping[str, Any], given: Callable[[Any], Any]) -> tuple[Any, int]:
    """The config of a component, and how many parameters it has when it is given `given(config)`."""
    found = REGISTRY.find(kind, name)
    config = found.load_config()(**options)
    with torch.device("meta"):
        return config, count(found.load_build()(config, given(config)))


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("image", "published"), [(False, 7_386_904), (True, 8_390_851)])
def test_the_world_model_has_as_many_parameters_as_the_published_ones(image: bool, published: int) -> None:
    seen = observations(image=image)
    action = ActionSpec(layout="scene", features=tuple(Feature(name=f"a{i}") for i in range(ACTION)))
    cnn = {"depth": DEPTH} if image else {}
    encoder, total = part(
        "encoder", "multimodal", {"units": UNITS, "layers": 3, **cnn}, lambda c: EncoderSpecs(obs_spec=seen, embedding=c.embedding(seen))
    )
    tokens = encoder.embedding(seen)
    dynamics, more = part(
        "dynamics", "rssm-cat", RSSM, lambda c: DynamicsSpecs(embedding=tokens, action=action, latent=c.latent(tokens, action))
    )
    total += more
    latent = dynamics.latent(tokens, action)
    observed = {"image": {"depth": DEPTH, "units": UNITS}} if image else {"vector": {"units": UNITS, "layers": 3}}
    for name, options in (observed | {k: {"units": UNITS, "layers": 1} for k in ("reward", "continue")}).items():
        total += part("decoder", name, options, lambda c: DecoderSpecs(latent=latent, obs_spec=seen, output=c.output(latent, seen)))[1]
    assert total == published


def plan(preset: str, size: str) -> Plan:
    return assemble(resolve([default_layer(), Layer("test", {"preset": preset, "size": size})]), REGISTRY)


@pytest.mark.parametrize("size", SIZES)
def test_each_size_of_the_preset_dreamer_v3_is_the_published_one(size: str) -> None:
    deter, hidden, classes, depth, units = SIZES[size]
    made = plan("dreamer-v3", size)
    rssm: Any = made.one("dynamics").config
    assert (rssm.deter, rssm.hidden, rssm.classes, rssm.groups, rssm.blocks) == (deter, hidden, classes, 32, 8)
    assert (rssm.dynlayers, rssm.obslayers, rssm.imglayers, rssm.unimix) == (1, 1, 2, 0.01)
    configs: dict[str, Any] = {p.name: p.config for kind in ("encoder", "decoder") for p in made.parts[kind]}
    assert set(configs) == {"multimodal", "image", "vector", "reward", "continue"}
    assert all((c.units, c.eps, c.norm) == (units, 1e-4, "rms") for c in configs.values())
    assert [configs[n].layers for n in ("multimodal", "vector", "reward", "continue")] == [3, 3, 1, 1]
    assert all((configs[n].depth, configs[n].mults, configs[n].kernel) == (depth, (2, 3, 4, 4), 5) for n in ("multimodal", "image"))
    assert (made.latent.deter, made.latent.width) == (deter, deter + 32 * classes)


@pytest.mark.parametrize("size", EARLY)
def test_each_size_of_the_preset_dreamer_v3_early_has_the_parts_of_the_release(size: str) -> None:
    deter, hidden, depth, units = EARLY[size]
    made = plan("dreamer-v3-early", size)
    rssm: Any = made.one("dynamics").config
    assert (rssm.core, rssm.initial, rssm.unimix_stored, rssm.norm, rssm.eps) == ("gru", "learned", True, "layer", 1e-3)
    assert (rssm.deter, rssm.hidden, rssm.groups, rssm.classes) == (deter, hidden, 32, 32)
    assert (rssm.dynlayers, rssm.obslayers, rssm.imglayers, rssm.unimix) == (1, 1, 1, 0.01)
    configs: dict[str, Any] = {p.name: p.config for kind in ("encoder", "decoder") for p in made.parts[kind]}
    assert all((c.norm, c.eps) == ("layer", 1e-3) for c in configs.values())
    assert all((configs[n].layers, configs[n].units) == (5, units) for n in ("multimodal", "vector", "reward", "continue"))
    assert (configs["multimodal"].cnn, configs["multimodal"].depth, configs["multimodal"].minres) == ("resnet", depth, 4)
    assert (configs["image"].upsampling, configs["image"].depth, configs["image"].squash) == ("transposed", depth, "shift")
    assert (configs["vector"].distribution, configs["reward"].distribution) == ("symlog-mse", "symlog-twohot")
    kl: Any = next(p.config for p in made.parts["loss"] if p.name == "kl")
    assert (kl.dyn, kl.rep, kl.free_nats) == (0.5, 0.1, 1.0)
    training = made.training
    assert (training.lr, training.lr_end, training.warmup, training.clip) == (1e-4, 1.0, 0, 1000.0)
    optimizer: Any = made.one("optimizer")
    assert (optimizer.name, optimizer.config.weight_decay, optimizer.config.agc) == ("adamw", 0.0, 0.0)


def test_no_layer_of_the_early_preset_is_left_with_an_rms_norm() -> None:
    with torch.device("meta"):
        model = build_world_model(plan("dreamer-v3-early", "small"), seed=0)
    kinds = {type(m).__name__ for m in model.modules() if "Norm" in type(m).__name__}
    assert "LayerNorm" in kinds
    assert not {k for k in kinds if "RMS" in k or k == "NormSiLU"}
