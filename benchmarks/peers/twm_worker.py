"""twm's DreamerV3 world model: one training step, and imagination, of the components that the preset `dreamer-v3` names."""

from __future__ import annotations

from typing import Any

import torch
from worker import ACTION, BATCH, BLOCKS, CLASSES, DEPTH, DETER, GROUPS, HIDDEN, HORIZON, ROWS, STEPS, UNITS, VECTOR, Job, inputs, serve

from twm_core.nn.fusion import Fusion
from twm_core.nn.world_model import LossTerm, WorldModel
from twm_core.plugin.registry import discover
from twm_core.recipe.fusion import FusionConfig
from twm_core.specs import (
    ActionSpec,
    DecoderSpecs,
    DynamicsSpecs,
    EncoderSpecs,
    Feature,
    KeySpec,
    LossSpecs,
    ObservationSpec,
    OutputSpec,
)
from twm_optimizers.laprop import LaProp

REGISTRY = discover()


def make(kind: str, name: str, given: Any, **options: Any) -> tuple[Any, Any]:
    """A component's config and, through `given(config)`, what it builds."""
    found = REGISTRY.find(kind, name)
    config = found.load_config()(**options)
    return config, found.load_build()(config, given(config))


def world_model(*, image: bool) -> WorldModel:
    """The world model at the common sizes."""
    obs_spec = ObservationSpec(
        keys=(
            KeySpec(key="image.camera", axes="B T C H W", dtype="uint8", shape=(3, 64, 64))
            if image
            else KeySpec(key="vector.state", axes="B T D", shape=(VECTOR,)),
            KeySpec(key="reward", axes="B T"),
            *(KeySpec(key=k, axes="B T", dtype="bool") for k in ("is_first", "is_last", "is_terminal")),
        ),
        dt=1.0,
        context=STEPS,
        horizon=0,
    )
    action = ActionSpec(layout="scene", features=tuple(Feature(name=f"a{i}") for i in range(ACTION)))
    sizes = {"units": UNITS, "layers": 3} | ({"depth": DEPTH} if image else {})
    config, encoder = make("encoder", "multimodal", lambda c: EncoderSpecs(obs_spec=obs_spec, embedding=c.embedding(obs_spec)), **sizes)
    embedding = config.embedding(obs_spec)
    rssm = {"deter": DETER, "hidden": HIDDEN, "groups": GROUPS, "classes": CLASSES, "blocks": BLOCKS, "layout": "scene"}
    specs = lambda c: DynamicsSpecs(embedding=embedding, action=action, latent=c.latent(embedding, action))  # noqa: E731
    config, dynamics = make("dynamics", "rssm-cat", specs, **rssm)
    latent = config.latent(embedding, action)
    decoders, outputs = {}, []
    observed = ("image", {"depth": DEPTH, "units": UNITS}) if image else ("vector", {"units": UNITS, "layers": 3})
    for name, options in (observed, ("reward", {"units": UNITS, "layers": 1}), ("continue", {"units": UNITS, "layers": 1})):
        config, decoders[name] = make(
            "decoder", name, lambda c: DecoderSpecs(latent=latent, obs_spec=obs_spec, output=c.output(latent, obs_spec)), **options
        )
        outputs.append(config.output(latent, obs_spec))
    output = OutputSpec(keys=tuple(k for o in outputs for k in o.keys))
    losses = {}
    for name in ("nll", "kl"):
        config, loss = make("loss", name, lambda c: LossSpecs(output=output, latent=latent, obs_spec=obs_spec))
        losses[name] = LossTerm(config, loss)
    fusion = Fusion(config=FusionConfig(), embeddings=[embedding])
    return WorldModel(
        encoders={"multimodal": encoder},
        fusion=fusion,
        dynamics=dynamics,
        decoders=decoders,
        losses=losses,
        obs_spec=obs_spec,
        action=action,
        output=output,
    )


def training(*, image: bool) -> Job:
    """Loss, gradient and update on the common batch."""
    model = world_model(image=image)
    optimizer = LaProp(model.parameters(), lr=4e-5)
    batch = inputs(image=image)
    batch["image.camera" if image else "vector.state"] = batch.pop("image" if image else "vector")
    batch["is_last"] = batch["is_terminal"]
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        total, _ = model.loss(batch, generator=generator)
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()

    return sum(p.numel() for p in model.parameters()), step


def imagination() -> Job:
    """The prior rolled forward with given actions, from states of 64 steps of 16 sequences."""
    model = world_model(image=False)
    batch = inputs(image=False)
    batch["vector.state"] = batch.pop("vector")
    generator = torch.Generator().manual_seed(0)
    actions = torch.rand(ROWS, HORIZON, ACTION) * 2 - 1
    with torch.no_grad():
        posterior = model.observe(batch, generator=generator).posterior
    start = type(posterior)(*(x.flatten(0, 1) for x in posterior))
    assert BATCH * STEPS == ROWS

    @torch.no_grad()
    def roll() -> None:
        model.dynamics.features(model.imagine(start, HORIZON, actions, generator=generator))

    return sum(p.numel() for p in model.parameters()), roll


if __name__ == "__main__":
    serve({"train": lambda: training(image=False), "image": lambda: training(image=True), "imagine": imagination})
