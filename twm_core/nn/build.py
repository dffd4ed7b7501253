"""From a plan to a world model: calls every component's `build` with its config and the resolved specs."""

from __future__ import annotations

from typing import Any, cast

import torch

from twm_core.assembly import Plan, Planned
from twm_core.data.dataset import Dataset
from twm_core.errors import PluginError
from twm_core.kinds import KINDS
from twm_core.kinds.loss import LossConfig
from twm_core.nn.fusion import Fusion
from twm_core.nn.world_model import STATE, LossTerm, WorldModel
from twm_core.references import load_reference
from twm_core.specs import DatasetGiven, DecoderGiven, DynamicsGiven, EncoderGiven, LossGiven


def build_component(part: Planned, given: Any) -> Any:
    """Build one planned component.

    Raises:
        PluginError: `build` returned something that is not of the kind's interface.
    """
    built = part.registered.load_build()(part.config, given)
    kind = KINDS[part.registered.component.kind]
    interface = load_reference(kind.interface)
    if not isinstance(built, interface):
        raise PluginError(f"{part.whose}: build returned {type(built).__name__}, not a {interface.__name__}", f"return a {kind.interface}")
    return built


def build_dataset(plan: Plan) -> Dataset:
    """The dataset of a plan."""
    return cast(Dataset, build_component(plan.one("dataset"), DatasetGiven(seen=plan.seen, action=plan.action)))


def build_world_model(plan: Plan, *, seed: int) -> WorldModel:
    """The world model of a plan on the CPU, its parameters drawn from `seed`. The global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoders = {
            p.name: build_component(p, EncoderGiven(seen=plan.seen, embedding=e))
            for p, e in zip(plan.parts["encoder"], plan.embeddings, strict=True)
        }
        fusion = Fusion(config=plan.fusion, embeddings=plan.embeddings)
        dynamics = build_component(plan.one("dynamics"), DynamicsGiven(embedding=plan.embedding, action=plan.action, latent=plan.latent))
        decoders = {
            p.name: build_component(p, DecoderGiven(latent=plan.latent, seen=plan.seen, output=o, embedding=plan.embedding))
            for p, o in zip(plan.parts["decoder"], plan.outputs, strict=True)
        }
        losses = {p.name: _term(p, LossGiven(output=plan.output, latent=plan.latent, seen=plan.seen)) for p in plan.parts["loss"]}
    return WorldModel(
        encoders=encoders,
        fusion=fusion,
        dynamics=dynamics,
        decoders=decoders,
        losses=losses,
        seen=plan.seen,
        action=plan.action,
        output=plan.output,
        mover=next((p.name for p, o in zip(plan.parts["decoder"], plan.outputs, strict=True) if o.has(STATE)), None),
    )


def _term(part: Planned, given: LossGiven) -> LossTerm:
    return LossTerm(cast(LossConfig, part.config), build_component(part, given))
