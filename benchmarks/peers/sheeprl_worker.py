"""sheeprl's `dreamer_v3_5` world model: one training step, and imagination, through its own functions."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import sheeprl
import torch
from lightning.fabric import Fabric
from omegaconf import OmegaConf
from sheeprl.algos.dreamer_v3_5.agent import build_agent
from sheeprl.algos.dreamer_v3_5.dreamer_v3_5 import world_model_loss, world_model_loss_kwargs
from sheeprl.algos.dreamer_v3_5.optim import LaProp
from sheeprl.utils.utils import dotdict
from worker import ACTION, BATCH, BLOCKS, CLASSES, DEPTH, DETER, GROUPS, HIDDEN, HORIZON, ROWS, UNITS, VECTOR, Job, inputs, serve


def build(*, image: bool) -> tuple[object, dotdict]:
    """The world model at the common sizes, and its configuration."""
    values = OmegaConf.to_container(OmegaConf.load(Path(sheeprl.__file__).parent / "configs/algo/dreamer_v3_5.yaml"), resolve=False)
    values |= {"dense_units": UNITS, "cnn_channels_multiplier": DEPTH}
    values["cnn_keys"] = {"encoder": ["image"] if image else [], "decoder": ["image"] if image else []}
    values["mlp_keys"] = {"encoder": [] if image else ["vector"], "decoder": [] if image else ["vector"]}
    world = values["world_model"]
    world |= {"discrete_size": CLASSES, "stochastic_size": GROUPS}
    world["recurrent_model"] |= {"recurrent_state_size": DETER, "hidden_size": HIDDEN, "blocks": BLOCKS}
    resolved = OmegaConf.create({"algo": values, "env": {"num_envs": 1}})
    cfg = dotdict(OmegaConf.to_container(resolved, resolve=True))
    space = gymnasium.spaces.Box(0, 255, (3, 64, 64), np.uint8) if image else gymnasium.spaces.Box(-1, 1, (VECTOR,), np.float32)
    observed = gymnasium.spaces.Dict({"image" if image else "vector": space})
    fabric = Fabric(accelerator="cpu", devices=1)
    world_model, *_ = build_agent(fabric, [ACTION], True, cfg, observed)
    return world_model, cfg


def training(*, image: bool) -> Job:
    """Loss, gradient and update on the common batch."""
    world_model, cfg = build(image=image)
    optimizer = LaProp(world_model.parameters())
    batch = {k: v.transpose(0, 1).contiguous() for k, v in inputs(image=image).items()}
    actions = torch.cat((torch.zeros_like(batch["action"][:1]), batch["action"][:-1]))
    flags = {k: batch[k].float().unsqueeze(-1) for k in ("is_first", "is_terminal")}
    key = "image" if image else "vector"
    options = world_model_loss_kwargs(cfg)

    def step() -> None:
        loss, *_ = world_model_loss(
            world_model,
            {key: batch[key]},
            actions,
            flags["is_first"],
            batch["reward"].unsqueeze(-1),
            flags["is_terminal"],
            torch.zeros(1, BATCH, DETER),
            torch.zeros(1, BATCH, GROUPS * CLASSES),
            entropies=False,
            **options,
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return sum(p.numel() for p in world_model.parameters()), step


def imagination() -> Job:
    """The prior rolled forward with given actions."""
    world_model, _ = build(image=False)
    deter = torch.randn(1, ROWS, DETER).tanh()
    stoch = torch.nn.functional.one_hot(torch.randint(CLASSES, (1, ROWS, GROUPS)), CLASSES).float().flatten(-2)
    actions = torch.rand(HORIZON, 1, ROWS, ACTION) * 2 - 1

    @torch.no_grad()
    def roll() -> None:
        here, now, found = stoch, deter, []
        for t in range(HORIZON):
            here, now = world_model.rssm.imagination(here, now, actions[t])
            found.append(torch.cat((here, now), -1))
        torch.cat(found)

    return sum(p.numel() for p in world_model.parameters()), roll


if __name__ == "__main__":
    serve({"train": lambda: training(image=False), "image": lambda: training(image=True), "imagine": imagination})
