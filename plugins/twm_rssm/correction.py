"""The correction of the deterministic state by what is seen, an option.

    u, c = split(MLP([deter, embedding]))        deter' = deter + sigmoid(u - 1) (tanh(c) - deter)

Without it, all that a step teaches passes through the stochastic state, which for a future of metres and centimetres is narrow: a few
categorical variables. With it the recurrence sees the observation too, as in the variational recurrent network (Chung et al., "A
recurrent latent variable model for sequential data", 2015), while imagination runs without it. The gate is that of the cell.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from twm_rssm.heads import Posterior
from twm_rssm.norms import NormKind

Correcting = Callable[[Tensor, Tensor], Tensor]
"""deter `[R,D]` and the embedding's part `[R,hidden]` to the corrected deter `[R,D]`."""


class Correction(nn.Module):
    """See the module.

    Args:
        deter: Width of the deterministic state.
        embedding: Width of the embedding.
        hidden: Width of the hidden layer.
        norm: Kind of its norm.
        eps: Of the norm.
    """

    def __init__(self, deter: int, embedding: int, hidden: int, *, norm: NormKind, eps: float) -> None:
        super().__init__()
        self.head = Posterior(deter, embedding, hidden, 2 * deter, layers=1, norm=norm, eps=eps)

    def from_embedding(self, tokens: Tensor) -> Tensor:
        """The embedding's part of the first layer, for a whole sequence at once: `[...,E]` to `[...,hidden]`."""
        return self.head.from_embedding(tokens)

    def begin(self) -> Correcting:
        """For the steps of one sequence."""
        head = self.head.begin()

        def correct(deter: Tensor, embedding_part: Tensor) -> Tensor:
            update, candidate = head(deter, embedding_part).float().chunk(2, dim=-1)
            return torch.lerp(deter, candidate.tanh(), (update - 1).sigmoid())

        return correct
