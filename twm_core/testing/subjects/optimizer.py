"""Optimizers: built over the parameters of a small network, and given gradients that are the same for the same step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from twm_core.specs import OptimizerSpecs
from twm_core.testing.subjects.base import Situation, Subject
from twm_core.training.optimizer_state import set_mode

LR = 0.05
SHAPES = {"kernel": (4, 3, 2), "matrix": (5, 4), "scale": (4,), "bias": (5,)}
"""Matrices and vectors: some optimizers treat them differently. The bias begins at zero, as biases do."""


class Built(NamedTuple):
    """An optimizer and what it moves."""

    optimizer: torch.optim.Optimizer
    parameters: dict[str, nn.Parameter]


class OptimizerSubject(Subject):
    """An optimizer over fresh parameters."""

    @staticmethod
    def situations() -> Iterator[Situation]:
        yield Situation("a small network", lambda config: type(config).__name__)

    def build(self, seed: int = 0) -> torch.optim.Optimizer:
        return self.made(seed).optimizer

    def made(self, seed: int = 0) -> Built:
        """A fresh optimizer over fresh parameters, the same for the same seed."""
        source = torch.Generator().manual_seed(seed)
        drawn = {n: torch.zeros(s) if n == "bias" else torch.randn(s, generator=source) for n, s in SHAPES.items()}
        parameters = {n: nn.Parameter(x) for n, x in drawn.items()}
        built = Built(self.registered.load_build()(self.config, OptimizerSpecs(parameters=parameters, lr=LR)), parameters)
        set_mode(built.optimizer, training=True)
        return built

    def gradients(self, step: int) -> dict[str, Tensor]:
        """A gradient for each parameter at a step."""
        source = torch.Generator().manual_seed(1000 + step)
        return {n: torch.randn(s, generator=source) for n, s in SHAPES.items()}

    def run(self, built: Built, steps: range, *, lr: float = LR, without: str = "") -> None:
        """Update at each of these steps, as the training loop does; `without` names a parameter that gets no gradient."""
        for step in steps:
            for group in built.optimizer.param_groups:
                group["lr"] = lr
            for name, gradient in self.gradients(step).items():
                built.parameters[name].grad = None if name == without else gradient
            built.optimizer.step()

    def use(self) -> None:
        self.run(self.made(), range(1))


def values(built: Built) -> dict[str, Tensor]:
    """Copies of the parameters."""
    return {n: p.detach().clone() for n, p in built.parameters.items()}
