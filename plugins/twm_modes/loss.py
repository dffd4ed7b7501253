"""Evolving winner takes all over whole futures.

For each agent, with the average distance a_k and the final distance f_k of future k from the truth (metres),

    cost_k = a_k + final f_k          regression = mean over the n best k of cost_k,   n falls from K to 1 during `anneal` steps
    classification = -log softmax(logits)[best],  best = argmin a_k
    centre = a + final f of the single future
    spread = -log N(truth; loc_best, std_best^2 I), averaged over steps, with the location taken as given

So every future learns at first, and nobody is left without an agent that it is best for. Makansi et al., "Overcoming limitations of mixture
density networks: a sampling and fitting framework for multimodal future prediction", 2019. Averaged over agents that exist at the last
observed step, were observed long enough, and exist later.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.errors import PluginError
from twm_core.nn.batches import same_episode
from twm_core.nn.distributions import HasFutures
from twm_core.nn.interfaces import Loss, Outputs
from twm_core.nn.masking import masked_mean
from twm_core.specs import LossSpecs
from twm_modes.config import KEY, ModesLossConfig

STATE, EXISTS = "agents.state", "agents.exists"
_LOG_TWO_PI = math.log(2 * math.pi)


def winners(modes: int, step: int | None, anneal: int) -> int:
    """How many of the best futures learn at an optimizer step: all at first, 1 after `anneal` steps and outside training."""
    if step is None or step >= anneal:
        return 1
    return max(1, round(modes - (modes - 1) * step / anneal))


class ModesLoss(Loss):
    """Terms `regression` and `centre` (metres), `classification` and `spread` (nats).

    Args:
        config: Its options.
        position: Where x and y stand in `agents.state` of the batch.
    """

    def __init__(self, *, config: ModesLossConfig, position: list[int]) -> None:
        super().__init__()
        self.config = config
        self.position = position

    def forward(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        if outputs.ahead is None:
            raise PluginError("loss modes: the world model decoded nothing ahead", "use a dataset whose windows have predicted steps")
        start, made = outputs.ahead.start, outputs.ahead.decoded[KEY]
        if not isinstance(made, HasFutures):
            raise PluginError(
                f"loss modes: {KEY} is a {type(made).__name__}, which has no whole futures",
                "give the distribution the attributes modes, mode_logits, std and centre",
            )
        futures = cast(HasFutures, made)
        exists = batch[EXISTS]
        now, long = exists[:, start - 1], exists[:, :start].sum(dim=1) >= self.config.observed
        steps = futures.modes.shape[2]
        here = exists[:, start : start + steps] & (now & long)[:, None] & same_episode(batch["is_first"], start)[:, :steps, None]
        counted = here.any(dim=1)  # B A
        rows = here.transpose(1, 2)[counted]  # R H
        truth = batch[STATE][:, start : start + steps][..., self.position].transpose(1, 2)[counted]  # R H 2
        guess = futures.modes[:, 0, ..., :2].transpose(1, 2)[counted]  # R H K 2
        centre = futures.centre[:, 0, ..., :2].transpose(1, 2)[counted]  # R H 2
        error = torch.where(rows[..., None, None], torch.cat([guess, centre[:, :, None]], dim=2) - truth[:, :, None], 0)
        distance = (error.square().sum(dim=-1) + 1e-6).sqrt()  # R H K+1
        count = rows.sum(dim=1).clamp_min(1)[:, None]
        average = (distance * rows[..., None]).sum(dim=1) / count  # R K+1
        # The last step at which an agent is there; argmax of an empty tensor is refused.
        last = (rows * torch.arange(1, steps + 1, device=rows.device)).max(dim=1).values.clamp_min(1) - 1
        final = distance.gather(1, last[:, None, None].expand(-1, 1, distance.shape[-1])).squeeze(1)
        costs = average + self.config.final * final
        best = average[:, :-1].detach().argmin(dim=1)
        learning = winners(average.shape[1] - 1, outputs.step, self.config.anneal)
        cost = costs[:, :-1].topk(learning, dim=1, largest=False).values.mean(dim=1)
        logits = futures.mode_logits[:, 0].transpose(1, 2)[counted]  # R H K, the same at every step
        logits = logits.gather(1, last[:, None, None].expand(-1, 1, logits.shape[-1])).squeeze(1)
        surprise = F.cross_entropy(logits, best, reduction="none")
        std = futures.std[:, 0].transpose(1, 2)[counted].gather(2, best[:, None, None].expand(-1, steps, 1)).squeeze(-1)  # R H
        squared = error.detach().square().sum(dim=-1).gather(2, best[:, None, None].expand(-1, steps, 1)).squeeze(-1)
        nats = 0.5 * squared / std.square() + 2 * std.log() + _LOG_TWO_PI
        every = torch.ones_like(cost, dtype=torch.bool)
        return {
            "regression": masked_mean(cost, every),
            "centre": self.config.centre * masked_mean(costs[:, -1], every),
            "classification": self.config.classification * masked_mean(surprise, every),
            "spread": self.config.spread * masked_mean((nats * rows).sum(dim=1) / count[:, 0], every),
        }


def build(config: ModesLossConfig, specs: LossSpecs) -> ModesLoss:
    """Build the loss for the features of the data."""
    state = specs.obs_spec.get(STATE)
    return ModesLoss(config=config, position=[state.index("x"), state.index("y")])
