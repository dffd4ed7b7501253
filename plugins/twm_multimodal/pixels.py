"""Distributions over images whose pixels are numbers in 0..1. Values are float, or uint8 (0..255), which is divided by 255.

`ImageMSE` is DreamerV3's: log_prob = -sum of (x - mean)^2 over channels, height and width, without a factor 1/2 and without the constant
of a density. `ImageNormal` is a Gaussian of fixed standard deviation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from twm_core.nn.distributions import Distribution


def to_unit(value: Tensor) -> Tensor:
    """uint8 as float32 in 0..1; anything else as it is."""
    return value.float() / 255 if value.dtype == torch.uint8 else value


class ImageMSE(Distribution):
    """A prediction judged by its squared error. It has no spread: a sample is the mean.

    Args:
        loc: Predicted images `[...,C,H,W]` in 0..1. The event axes are the last three.
    """

    def __init__(self, loc: Tensor) -> None:
        self.loc = loc

    @property
    def mean(self) -> Tensor:
        """The predicted image."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The predicted image."""
        return self.loc

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return self.loc

    def log_prob(self, value: Tensor) -> Tensor:
        return -self.error(value).square().sum(dim=(-3, -2, -1))

    def error(self, value: Tensor) -> Tensor:
        """Difference `value - mean`, in units of the full range."""
        return to_unit(value) - self.loc

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(function(self.loc))


class ImageNormal(ImageMSE):
    """Independent Gaussian pixels.

    Args:
        loc: Means `[...,C,H,W]` in 0..1.
        std: Standard deviation of every pixel.
    """

    def __init__(self, loc: Tensor, std: float) -> None:
        super().__init__(loc)
        self.std = std

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        noise = torch.randn(self.loc.shape, generator=generator, device=self.loc.device, dtype=self.loc.dtype)
        return self.loc + self.std * noise

    def log_prob(self, value: Tensor) -> Tensor:
        constant = self.loc.shape[-3:].numel() * (math.log(self.std) + 0.5 * math.log(2 * math.pi))
        return super().log_prob(value) / (2 * self.std**2) - constant

    def error(self, value: Tensor) -> Tensor:
        """Difference `value - mean`, in units of the full range (not of the standard deviation, which is the same for all pixels)."""
        return super().error(value)

    def entropy(self) -> Tensor:
        each = math.log(self.std) + 0.5 * (1 + math.log(2 * math.pi))
        return torch.full(self.loc.shape[:-3], self.loc.shape[-3:].numel() * each, device=self.loc.device)

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(function(self.loc), self.std)
