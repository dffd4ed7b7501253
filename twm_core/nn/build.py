"""From a plan to a world model: calls every component's `build` with its config and the resolved specs."""

from __future__ import annotations

from typing import cast

import torch

from twm_core.data.dataset import Dataset
from twm_core.kinds.loss import LossConfig
from twm_core.nn.fusion import Fusion
from twm_core.nn.world_model import STATE, LossTerm, WorldModel
from twm_core.recipe.assembly import Plan
from twm_core.recipe.chosen import Chosen
from twm_core.specs import DatasetSpecs, DecoderSpecs, DynamicsSpecs, EncoderSpecs, LossSpecs


def build_dataset(plan: Plan) -> Dataset:
    """The dataset of a plan."""
    return cast(Dataset, plan.one("dataset").build(DatasetSpecs(obs_spec=plan.obs_spec, action=plan.action)))


def build_world_model(plan: Plan, *, seed: int) -> WorldModel:
    """The world model of a plan on the CPU, its parameters drawn from `seed`. The global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoders = {
            p.name: p.build(EncoderSpecs(obs_spec=plan.obs_spec, embedding=e))
            for p, e in zip(plan.parts["encoder"], plan.embeddings, strict=True)
        }
        fusion = Fusion(config=plan.fusion, embeddings=plan.embeddings)
        dynamics = plan.one("dynamics").build(DynamicsSpecs(embedding=plan.embedding, action=plan.action, latent=plan.latent))
        decoders = {
            p.name: p.build(DecoderSpecs(latent=plan.latent, obs_spec=plan.obs_spec, output=o, embedding=plan.embedding))
            for p, o in zip(plan.parts["decoder"], plan.outputs, strict=True)
        }
        losses = {p.name: _term(p, LossSpecs(output=plan.output, latent=plan.latent, obs_spec=plan.obs_spec)) for p in plan.parts["loss"]}
    return WorldModel(
        encoders=encoders,
        fusion=fusion,
        dynamics=dynamics,
        decoders=decoders,
        losses=losses,
        obs_spec=plan.obs_spec,
        action=plan.action,
        output=plan.output,
        mover=next((p.name for p, o in zip(plan.parts["decoder"], plan.outputs, strict=True) if o.has(STATE)), None),
    )


def _term(part: Chosen, specs: LossSpecs) -> LossTerm:
    return LossTerm(cast(LossConfig, part.config), part.build(specs))
