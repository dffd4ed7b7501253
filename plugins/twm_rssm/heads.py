"""Prior and posterior: from the deterministic state (and, for the posterior, the embedding) to categorical logits."""

from __future__ import annotations

from torch import Tensor, nn

from twm_rssm.block_linear import dense
from twm_rssm.norm import NormSiLU


class Head(nn.Module):
    """(Linear, RMS norm, SiLU) x layers, then a linear layer: `[...,inputs]` to logits `[...,outputs]`.

    Args:
        inputs: Width of the input.
        hidden: Width of the layers.
        outputs: Width of the result.
        layers: Hidden layers.
        eps: Of the norms.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, *, layers: int, eps: float) -> None:
        super().__init__()
        widths = [inputs] + [hidden] * (layers - 1)
        self.layers = nn.ModuleList(dense(width, hidden) for width in widths)
        self.norms = nn.ModuleList(NormSiLU(hidden, eps=eps) for _ in widths)
        self.logits = dense(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Raw logits."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(layer(x))
        return self.logits(x)


class Posterior(nn.Module):
    """A head on [deter, embedding] whose first layer is split, so that the embedding's part is done for the whole sequence at once.

    Args:
        deter: Width of the deterministic state.
        embedding: Width of the embedding.
        hidden: Width of the layers.
        outputs: Width of the result.
        layers: Hidden layers.
        eps: Of the norms.
    """

    def __init__(self, deter: int, embedding: int, hidden: int, outputs: int, *, layers: int, eps: float) -> None:
        super().__init__()
        self.from_deter = dense(deter, hidden, bias=False, fan_in=deter + embedding)
        self.from_embedding = dense(embedding, hidden, fan_in=deter + embedding)
        self.norm = NormSiLU(hidden, eps=eps)
        self.more = nn.ModuleList(dense(hidden, hidden) for _ in range(layers - 1))
        self.more_norms = nn.ModuleList(NormSiLU(hidden, eps=eps) for _ in range(layers - 1))
        self.logits = dense(hidden, outputs)

    def forward(self, deter: Tensor, embedding_part: Tensor) -> Tensor:
        """Raw logits `[R,outputs]` from `deter` `[R,D]` and `from_embedding(embedding)` `[R,hidden]`."""
        x = self.norm(self.from_deter(deter) + embedding_part)
        for layer, norm in zip(self.more, self.more_norms, strict=True):
            x = norm(layer(x))
        return self.logits(x)
