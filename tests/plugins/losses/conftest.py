"""A scene with agents that leave, decoded by simple distributions; built without any model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from twm_core.nn.distributions import Bernoulli, Distribution, Normal
from twm_core.nn.interfaces import Belief, Features, Outputs, Rollout

NOBODY = Belief(state=None, features=Features(None, None), distribution=None)


class Scene:
    """A batch and outputs to go with it. Decoded features stand in the order y, x; those of the batch in the order x, z, y.

    Attributes:
        batch: `agents.state` `[B,T,A,3]` (NaN where nobody is) and `agents.exists`.
        present: A decoded state of every step, a leaf `[B,T,A,2]`.
        logit: An existence logit of every step, a leaf `[B,T,A]`.
        futures: Decoded states `[B,S,H,A,2]`, a leaf.
        future_logit: Existence logits `[B,S,H,A]`, a leaf.
        start: First predicted step.
    """

    decoded = ("y", "x")
    truth = (2, 0)  # where y and x stand in the batch

    def __init__(self, seed: int = 0, *, presence: float = 0.7, start: int = 3) -> None:
        b, t, a, s = 2, 7, 4, 3
        g = torch.Generator().manual_seed(seed)
        exists = torch.rand(b, t, a, generator=g) < presence
        state = torch.randn(b, t, a, 3, generator=g) * 2
        self.batch = {"agents.state": state.masked_fill(~exists[..., None], torch.nan), "agents.exists": exists}
        self.start = start
        self.present, self.logit = self._leaf(g, b, t, a, 2), self._leaf(g, b, t, a)
        self.futures, self.future_logit = self._leaf(g, b, s, t - start, a, 2), self._leaf(g, b, s, t - start, a)

    @staticmethod
    def _leaf(g: torch.Generator, *shape: int) -> Tensor:
        return (torch.randn(*shape, generator=g) * 2).requires_grad_()

    @property
    def exists(self) -> Tensor:
        return self.batch["agents.exists"]

    def true(self, b: int, t: int, a: int) -> list[float]:
        """True y and x."""
        return [float(self.batch["agents.state"][b, t, a, i]) for i in self.truth]

    def outputs(self, **beliefs: Any) -> Outputs:
        here = self._decoded(self.present, self.logit)
        ahead = self._decoded(self.present * 0.5 + 1, -self.logit)
        rollout = Rollout(self.start, self._decoded(self.futures, self.future_logit))
        return Outputs(**{"posterior": NOBODY, "prior": NOBODY, "reconstruction": here, "prediction": ahead, "rollout": rollout, **beliefs})

    @staticmethod
    def _decoded(state: Tensor, logit: Tensor) -> dict[str, Distribution]:
        return {"agents.state": Normal(state, torch.ones(2)), "agents.exists": Bernoulli(logit)}


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def empty_scene() -> Scene:
    return Scene(presence=0.0)


@pytest.fixture
def scenes() -> type[Scene]:
    """To make scenes of other seeds inside property tests."""
    return Scene
