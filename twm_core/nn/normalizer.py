"""A normalizer: mean and standard deviation of features over the training data, kept as buffers of the model.

The moments are merged batch by batch in float64 (Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for computing
sample variances", 1979), so the order of magnitude of a feature does not matter. Before any data was seen it is the identity.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Normalizer(nn.Module):
    """Shifts and scales the last axis `F` to zero mean and unit deviation.

    Args:
        width: `F`.
        floor: Least standard deviation, in the unit of the features; a feature that never varies is only shifted.
    """

    count: Tensor
    mean: Tensor
    square: Tensor

    def __init__(self, width: int, *, floor: float = 1e-3) -> None:
        super().__init__()
        self.floor = floor
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("square", torch.zeros(width, dtype=torch.float64))

    def update(self, values: Tensor) -> None:
        """Merge rows `[N,F]` into the moments. No rows change nothing."""
        rows = values.detach().to(torch.float64)
        if not len(rows):
            return
        mean = rows.mean(dim=0)
        square = (rows - mean).square().sum(dim=0)
        total = self.count + len(rows)
        delta = mean - self.mean
        self.square += square + delta.square() * self.count * len(rows) / total
        self.mean += delta * len(rows) / total
        self.count.fill_(float(total))

    @property
    def std(self) -> Tensor:
        """Standard deviation `[F]`, 1 before any data and for features that do not vary."""
        std = (self.square / self.count.clamp_min(1)).sqrt()
        return torch.where(std < self.floor, torch.ones_like(std), std).to(torch.float32)

    @property
    def centre(self) -> Tensor:
        """Mean `[F]` in float32."""
        return self.mean.to(torch.float32)

    def forward(self, values: Tensor) -> Tensor:
        """Normalized values, same shape."""
        return (values - self.centre) / self.std
