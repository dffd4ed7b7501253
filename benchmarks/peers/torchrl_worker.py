"""torchrl's DreamerV3 world model: one training step, and imagination, through its own modules and loss."""

from __future__ import annotations

import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule, TensorDictSequential
from torchrl.modules.models.model_based import (
    DreamerV3MLP,
    RSSMPosteriorV3,
    RSSMPriorV3,
    RSSMRolloutV3,
)
from torchrl.objectives.dreamer_v3 import DreamerV3ModelLoss
from torchrl.trainers.algorithms.dreamer_v3 import DreamerV3Optimizer
from worker import ACTION, BATCH, BLOCKS, CLASSES, DETER, GROUPS, HIDDEN, HORIZON, ROWS, STEPS, UNITS, VECTOR, Job, inputs, serve

STATE = GROUPS * CLASSES


class SymlogMLP(DreamerV3MLP):
    """The vector encoder."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.sign() * x.abs().log1p())


class Symexp(DreamerV3MLP):
    """An MLP whose output is in plain units."""

    def forward(self, *x: torch.Tensor) -> torch.Tensor:
        y = super().forward(*x)
        return y.sign() * torch.expm1(y.abs())


class VectorHead(torch.nn.Module):
    """The loss takes the symlog of prediction and target, so the prediction is given in plain units."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Symexp(STATE + DETER, VECTOR, depth=3, num_cells=UNITS)

    def forward(self, state: torch.Tensor, belief: torch.Tensor) -> torch.Tensor:
        return self.model(state, belief)


def core() -> tuple[RSSMPriorV3, RSSMPosteriorV3]:
    """Prior (with the block GRU) and posterior at the common sizes."""
    prior = RSSMPriorV3(
        action_shape=torch.Size([ACTION]),
        action_dim=ACTION,
        hidden_dim=HIDDEN,
        rnn_hidden_dim=DETER,
        num_categoricals=GROUPS,
        num_classes=CLASSES,
        recurrent_model="block_gru",
        num_blocks=BLOCKS,
        unimix=0.01,
    )
    posterior = RSSMPosteriorV3(
        hidden_dim=HIDDEN,
        num_categoricals=GROUPS,
        num_classes=CLASSES,
        rnn_hidden_dim=DETER,
        obs_embed_dim=UNITS,
        use_rms_norm=True,
        unimix=0.01,
    )
    return prior, posterior


def training() -> Job:
    """Loss, gradient and update on the common batch."""
    prior, posterior = core()
    rollout = RSSMRolloutV3(
        TensorDictModule(
            prior,
            in_keys=["state", "belief", "action"],
            out_keys=[("next", "prior_logits"), ("next", "state"), ("next", "belief")],
        ),
        TensorDictModule(
            posterior,
            in_keys=[("next", "belief"), ("next", "encoded_latents")],
            out_keys=[("next", "posterior_logits"), ("next", "state")],
        ),
    )
    latent = [("next", "state"), ("next", "belief")]
    world_model = TensorDictSequential(
        TensorDictModule(
            SymlogMLP(VECTOR, None, depth=3, num_cells=UNITS), in_keys=[("next", "vector")], out_keys=[("next", "encoded_latents")]
        ),
        rollout,
        TensorDictModule(VectorHead(), in_keys=latent, out_keys=[("next", "reco_pixels")]),
        TensorDictModule(
            DreamerV3MLP(STATE + DETER, 255, depth=1, num_cells=UNITS, outscale=0.0), in_keys=latent, out_keys=[("next", "reward_logits")]
        ),
        TensorDictModule(DreamerV3MLP(STATE + DETER, 1, depth=1, num_cells=UNITS), in_keys=latent, out_keys=[("next", "continue_pred")]),
    )
    loss = DreamerV3ModelLoss(
        world_model, kl_mode="separate", unimix=0.01, lambda_continue=1.0, continue_target_scale=1 - 1 / 333, reco_symlog=True
    )
    loss.set_keys(pixels="vector")
    optimizer = DreamerV3Optimizer(world_model.parameters())
    batch = inputs(image=False)
    data = TensorDict(
        {
            "state": torch.zeros(BATCH, STEPS, STATE),
            "belief": torch.zeros(BATCH, STEPS, DETER),
            "action": torch.cat((torch.zeros_like(batch["action"][:, :1]), batch["action"][:, :-1]), 1),
            "is_init": batch["is_first"].unsqueeze(-1),
            "next": {
                "vector": batch["vector"],
                "reward": batch["reward"].unsqueeze(-1),
                "terminated": batch["is_terminal"].unsqueeze(-1),
            },
        },
        [BATCH, STEPS],
    )

    def step() -> None:
        losses, _ = loss(data.clone(False))
        total = sum(v.sum() for k, v in losses.items() if k.startswith("loss_"))
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()

    return sum(p.numel() for p in world_model.parameters()), step


def imagination() -> Job:
    """The prior rolled forward with given actions."""
    prior, posterior = core()
    belief = torch.randn(ROWS, DETER).tanh()
    state = torch.nn.functional.one_hot(torch.randint(CLASSES, (ROWS, GROUPS)), CLASSES).float().flatten(-2)
    actions = torch.rand(HORIZON, ROWS, ACTION) * 2 - 1

    @torch.no_grad()
    def roll() -> None:
        here, now, states, beliefs = state, belief, [], []
        for t in range(HORIZON):
            _, here, now = prior(here, now, actions[t])
            states.append(here)
            beliefs.append(now)
        torch.stack(states)
        torch.stack(beliefs)

    return sum(p.numel() for m in (prior, posterior) for p in m.parameters()), roll


if __name__ == "__main__":
    serve({"train": training, "imagine": imagination})
