"""Open-loop rollout loss: what counts when a model is asked for futures.

The world model observes the protocol's context, samples `S` futures of `H` steps (to the end of the window, unless `steps` says less or a
curriculum is growing) and decodes them. On the distance d[s, h] between decoded and true position (metres), with huber over it:

    mean   average over futures, agents and steps
    best   average over agents of the smallest average over steps (winner takes all: Guzman-Rivera et al., "Multiple choice
           learning", 2012), which lets the futures differ; or of the few smallest, fewer and fewer of them (`anneal`: Makansi et al.,
           "Overcoming limitations of mixture density networks", 2019)

plus the binary cross-entropy of existence along the futures, and latent overshooting (see `overshooting`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.nn.interfaces import Loss, Outputs
from twm_core.nn.masking import masked_mean
from twm_core.specs import LossSpecs
from twm_losses.config import RolloutConfig
from twm_losses.distance import huber_distance
from twm_losses.futures import futures, winners
from twm_losses.overshooting import overshooting


class RolloutLoss(Loss):
    """Terms `best`, `mean`, `existence` and `overshooting`.

    Args:
        config: Its options.
        truth: Where x and y stand in `agents.state` of the batch.
        decoded: Where they stand in what is decoded.
        existence: Whether `agents.exists` is decoded.
        agents: Whether there is one latent per agent.
    """

    def __init__(self, *, config: RolloutConfig, truth: list[int], decoded: list[int], existence: bool, agents: bool) -> None:
        super().__init__()
        self.config = config
        self.truth = truth
        self.decoded = decoded
        self.existence = existence
        self.agents = agents

    def forward(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        config = self.config
        made = futures(outputs.rollout, batch, config.rollout(), "rollout")
        here = made.here  # B H A
        guess = made.decoded("agents.state").mean[..., self.decoded]  # B S H A 2
        error = torch.where(here[:, None, ..., None], guess - made.truth(batch, self.truth)[:, None], 0)
        cost = huber_distance(error, config.beta)
        steps = here.sum(dim=1)  # B A
        average = (cost * here[:, None]).sum(dim=2) / steps.clamp_min(1)[:, None]  # B S A
        if config.final > 0:
            last = (here * torch.arange(1, made.steps + 1, device=here.device)[:, None]).argmax(dim=1)  # B A
            average = average + config.final * cost.gather(2, last[:, None, None].expand(-1, made.samples, 1, -1)).squeeze(2)
        counted = steps > 0
        learning = winners(made.samples, outputs.step, config.anneal)
        best = average.topk(learning, dim=1, largest=False).values.mean(dim=1) if learning > 1 else average.min(dim=1).values
        terms = {
            "best": config.best * masked_mean(best, counted),
            "mean": config.mean * masked_mean(average.mean(dim=1), counted),
        }
        if self.existence and config.existence > 0:
            exists = made.future(batch["agents.exists"])[:, None].expand(-1, made.samples, -1, -1)
            surprise = -made.decoded("agents.exists").log_prob(exists)
            known = (made.began[:, None] & made.within[..., None])[:, None].expand_as(surprise)
            terms["existence"] = config.existence * masked_mean(torch.where(known, surprise, 0), known)
        if config.overshooting > 0:
            nats = overshooting(
                outputs, made.rollout, batch, agents=self.agents, samples=made.samples, steps=made.steps, free_nats=config.free_nats
            )
            terms["overshooting"] = config.overshooting * nats
        return terms


def build(config: RolloutConfig, specs: LossSpecs) -> RolloutLoss:
    """Build the loss for the features that the decoder returns."""
    state, decoded = specs.obs_spec.get("agents.state"), specs.output.get("agents.state").features
    return RolloutLoss(
        config=config,
        truth=[state.index(n) for n in ("x", "y")],
        decoded=[decoded.index(n) for n in ("x", "y")],
        existence=specs.output.has("agents.exists"),
        agents=specs.latent.layout == "agents",
    )
