"""Prior and posterior: from the deterministic state (and, for the posterior, the embedding) to the numbers that fix a distribution."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from twm_core.nn.linear import dense
from twm_rssm.deferred import Projection, deferred_linear
from twm_rssm.norms import NormKind, norm_silu_layer


class Head(nn.Module):
    """(Linear, norm, SiLU) x layers, then a linear layer: `[...,inputs]` to `[...,outputs]`.

    Args:
        inputs: Width of the input.
        hidden: Width of the layers.
        outputs: Width of the result.
        layers: Hidden layers.
        norm: Kind of the norms.
        eps: Of the norms.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, *, layers: int, norm: NormKind, eps: float) -> None:
        super().__init__()
        widths = [inputs] + [hidden] * (layers - 1)
        self.layers = nn.ModuleList(dense(width, hidden, bias=norm == "rms") for width in widths)
        self.norms = nn.ModuleList(norm_silu_layer(norm, hidden, eps=eps) for _ in widths)
        self.logits = dense(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`[...,inputs]` to `[...,outputs]`, for many rows at once."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(layer(x))
        return self.logits(x)

    def begin(self) -> Projection:
        """The same for the steps of one sequence: `[R,inputs]` to `[R,outputs]`."""
        layers = [deferred_linear(x.weight, x.bias) for m in self.layers for x in (cast(nn.Linear, m),)]
        last = deferred_linear(self.logits.weight, self.logits.bias)

        def step(x: Tensor) -> Tensor:
            for layer, norm in zip(layers, self.norms, strict=True):
                x = norm(layer(x))
            return last(x)

        return step


class Posterior(nn.Module):
    """A head on [deter, embedding] whose first layer is split, so that the embedding's part is done for the whole sequence at once.

    Args:
        deter: Width of the deterministic state.
        embedding: Width of the embedding.
        hidden: Width of the layers.
        outputs: Width of the result.
        layers: Hidden layers.
        norm: Kind of the norms.
        eps: Of the norms.
    """

    def __init__(self, deter: int, embedding: int, hidden: int, outputs: int, *, layers: int, norm: NormKind, eps: float) -> None:
        super().__init__()
        self.deter = deter
        self.first = dense(deter + embedding, hidden, bias=norm == "rms")
        self.norm = norm_silu_layer(norm, hidden, eps=eps)
        self.more = nn.ModuleList(dense(hidden, hidden, bias=norm == "rms") for _ in range(layers - 1))
        self.more_norms = nn.ModuleList(norm_silu_layer(norm, hidden, eps=eps) for _ in range(layers - 1))
        self.logits = dense(hidden, outputs)

    def from_embedding(self, tokens: Tensor) -> Tensor:
        """The embedding's part of the first layer, for a whole sequence at once: `[...,E]` to `[...,hidden]`."""
        return nn.functional.linear(tokens, self.first.weight[:, self.deter :], self.first.bias)

    def begin(self) -> Projection:
        """For the steps of one sequence: deter `[R,D]` and `from_embedding`'s rows `[R,hidden]` to `[R,outputs]`."""
        first = deferred_linear(self.first.weight[:, : self.deter])
        more = [deferred_linear(x.weight, x.bias) for m in self.more for x in (cast(nn.Linear, m),)]
        last = deferred_linear(self.logits.weight, self.logits.bias)

        def step(deter: Tensor, embedding_part: Tensor) -> Tensor:
            x = self.norm(first(deter, embedding_part))
            for layer, norm in zip(more, self.more_norms, strict=True):
                x = norm(layer(x))
            return last(x)

        return step
