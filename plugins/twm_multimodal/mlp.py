"""The MLP trunk of DreamerV3: (Linear, norm, SiLU) x layers, `[...,D] -> [...,units]`.

With `rms` the linear layers have a bias although a norm follows, and the norm has a scale and no shift, as in the official
implementation (Hafner et al., "Mastering diverse domains through world models", 2023). With `layer`, as in its early release, the norm
has a shift and the linear layers have no bias. It has no output layer: what reads it brings its own.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from twm_core.nn.linear import dense
from twm_core.nn.norm import NormSiLU

NormKind = Literal["rms", "layer"]


def norm_act(kind: NormKind, width: int, *, eps: float) -> nn.Module:
    """A norm over the last axis of `width` entries, then SiLU: RMS norm (scale only) or layer norm (scale and shift)."""
    if kind == "rms":
        return NormSiLU(width, eps=eps)
    return nn.Sequential(nn.LayerNorm(width, eps=eps), nn.SiLU())


class MLP(nn.Module):
    """Hidden layers of one width.

    Args:
        inputs: Width of the input.
        units: Width of every layer and of the output.
        layers: Number of layers; 0 returns the input as it is.
        eps: Added to the mean square in the norms.
        norm: Kind of the norms.
    """

    def __init__(self, inputs: int, units: int, layers: int, *, eps: float = 1e-4, norm: NormKind = "rms") -> None:
        super().__init__()
        self.linears = nn.ModuleList([dense(units if i else inputs, units, bias=norm == "rms") for i in range(layers)])
        self.norms = nn.ModuleList([norm_act(norm, units, eps=eps) for _ in range(layers)])
        self.width = units if layers else inputs

    def forward(self, x: Tensor) -> Tensor:
        """`[...,inputs]` to `[...,width]`."""
        for linear, norm in zip(self.linears, self.norms, strict=True):
            x = norm(linear(x))
        return x
