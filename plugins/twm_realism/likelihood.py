"""Likelihood of what happened under a histogram of simulated futures, with additive (Laplace) smoothing.

    p(bin) = (c(bin) + a) / (sum of all c + a n),        log-likelihood of a value = log p(its bin)

with `c` the (weighted) number of simulated values of an agent in a bin, `a` the pseudocount and `n` the number of bins. Values outside the
range belong to the outermost bins. Values of all steps share the histogram of their agent, unless `per_step`.

Shapes: `S` futures, `H` steps, `M` agents.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from twm_realism.config import Bins


def bin_of(values: Float[Tensor, "*R"], bins: Bins) -> Int[Tensor, "*R"]:
    """Number of the bin of each value; the upper end belongs to the last bin."""
    at = (values - bins.low) * (bins.count / (bins.high - bins.low))
    return at.nan_to_num(0.0).floor().clamp(0, bins.count - 1).long()


def log_likelihood(
    log: Float[Tensor, "H M"],
    simulated: Float[Tensor, "S H M"],
    counted: Bool[Tensor, "H M"],
    weight: Float[Tensor, "S M"],
    bins: Bins,
    *,
    pseudocount: float,
    per_step: bool = False,
) -> Float[Tensor, "H M"]:
    """Log-likelihood in nats of each logged value; meaningless where it is not `counted`.

    Args:
        log: What happened.
        simulated: The same feature in each future.
        counted: Which steps of which agents are known; the others are in no histogram.
        weight: How many futures each future stands for, adding up to `S` or to as many copies as are meant.
        bins: Range and number of bins.
        pseudocount: `a`.
        per_step: A histogram for each step.
    """
    samples, steps, agents = simulated.shape
    counts = torch.zeros(bins.count, steps if per_step else 1, agents, dtype=weight.dtype, device=weight.device)
    mass = weight[:, None] * counted  # [S, H, M]
    which = bin_of(simulated, bins)
    if per_step:
        counts.scatter_add_(0, which, mass)
    else:
        counts[:, 0].scatter_add_(0, which.reshape(samples * steps, agents), mass.reshape(samples * steps, agents))
    counts += pseudocount
    share = (counts / counts.sum(dim=0)).log().expand(-1, steps, -1)
    return share.gather(0, bin_of(log, bins)[None])[0]
