"""Latent overshooting: what was imagined several steps ahead against what was believed once those steps had been seen.

With q[t] the posterior of step t and p[t | t0] the state imagined from the posterior of step t0, for the steps t of a rollout from t0,

    stochastic latents      max(KL(sg(q[t]) || p[t | t0]), free nats), summed over the variables of a latent
    deterministic latents   |sg(features of q[t]) - features of p[t | t0]|^2, averaged over the features

The posterior is never pulled towards the imagination; that is the business of `kl`. Hafner et al., "Learning latent dynamics for planning
from pixels", 2019 (there for all starts t0, here for the last observed step).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.nn.batches import same_episode
from twm_core.nn.distributions import Distribution
from twm_core.nn.interfaces import Features, Outputs, Rollout
from twm_core.nn.masking import masked_mean
from twm_losses.kl import where_present


def overshooting(
    outputs: Outputs, rollout: Rollout, batch: Batch, *, agents: bool, samples: int, steps: int | None, free_nats: float
) -> Tensor:
    """Average over samples, steps and latents that exist (now and at the last observed step, in one episode); nats, or squared features.

    Args:
        outputs: With the posterior beliefs.
        rollout: With the imagined beliefs.
        batch: Says who exists.
        agents: Whether there is one latent per agent.
        samples: Futures to take.
        steps: Steps to take; None takes all.
        free_nats: Floor under the KL of each latent.
    """
    features = _features(rollout.belief.features, agents)[:, :samples, :steps]
    length = features.shape[2]
    at = slice(rollout.start, rollout.start + length)
    within = same_episode(batch["is_first"], rollout.start)[:, None, :length]
    mask = within.expand(features.shape[:3])
    if agents:
        exists = batch["agents.exists"]
        mask = (within[..., None] & (exists[:, at] & exists[:, rollout.start - 1, None])[:, None]).expand(features.shape[:-1])
    imagined, believed = rollout.belief.distribution, outputs.posterior.distribution
    if imagined is not None and believed is not None:
        imagined = where_present(imagined.map(lambda x: x[:, :samples, :steps]), mask)
        known = where_present(believed.map(lambda x: x.detach()[:, at].unsqueeze(1)), mask[:, :1])
        return masked_mean(_kl(known, imagined).clamp_min(free_nats), mask)
    truth = _features(outputs.posterior.features, agents).detach()[:, None, at]
    gap = torch.where(mask[..., None], features - truth, 0)
    return masked_mean(gap.square(), mask)


def _features(features: Features, agents: bool) -> Tensor:
    return cast(Tensor, features.agents if agents else features.scene)


def _kl(known: Distribution, imagined: Distribution) -> Tensor:
    return known.kl(imagined)
