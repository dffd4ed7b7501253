"""One class out of `C`, as an integer: discrete observations. (For one-hot latents see `Categorical`.)"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from twm_core.nn.distributions.base import Distribution
from twm_core.nn.distributions.drawing import draw_class, likeliest, require_finite


class Classes(Distribution):
    """A categorical distribution over the integers 0 .. C-1, mixed with the uniform: p = (1 - u) softmax(logits) + u / C.

    Values are int64 `[...]`; there are no event axes. A `DataError` is raised where one is taken from logits that are no finite numbers.

    Args:
        logits: Raw logits `[...,C]`.
        unimix: Share `u` of the uniform.
    """

    def __init__(self, logits: Tensor, unimix: float = 0.0) -> None:
        self.logits = logits
        self.unimix = unimix

    @property
    def log_probs(self) -> Tensor:
        """Log-probability of every class, `[...,C]`, float32."""
        raw = F.log_softmax(self.logits.float(), dim=-1)
        return ((1 - self.unimix) * raw.exp() + self.unimix / self.logits.shape[-1]).log() if self.unimix else raw

    @property
    def mean(self) -> Tensor:
        """The most probable class, since numbers that only name classes have no average."""
        return self.mode

    @property
    def mode(self) -> Tensor:
        """The most probable class."""
        return self._checked(*likeliest(self.logits))

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """A class, by the inverse CDF; without gradient."""
        return self._checked(*draw_class(self.log_probs.exp(), generator))

    def _checked(self, index: Tensor, certain: Tensor) -> Tensor:
        require_finite(certain, f"{self.logits.shape[-1]} classes")
        return index

    def log_prob(self, value: Tensor) -> Tensor:
        """Minus the cross-entropy, `[...]`."""
        return self.log_probs.gather(-1, value.long().unsqueeze(-1)).squeeze(-1)

    def error(self, value: Tensor) -> Tensor:
        """The probability that `value` lacks, 1 - p(value): 0 where it is certain."""
        return 1 - self.log_prob(value).exp()

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(function(self.logits), self.unimix)
