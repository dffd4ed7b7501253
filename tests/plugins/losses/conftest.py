"""Scenes with agents that leave, decoded by simple distributions; built without any model."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from twm_core import LatentSpec, LossSpecs, OutputKey, OutputSpec
from twm_core.data.schema import traffic_observations
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
        self.batch = {
            "agents.state": state.masked_fill(~exists[..., None], torch.nan),
            "agents.exists": exists,
            "is_first": torch.arange(t).expand(b, t) == 0,
        }
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
        rollout = Rollout(self.start, self._decoded(self.futures, self.future_logit), NOBODY)
        return Outputs(**{"posterior": NOBODY, "prior": NOBODY, "reconstruction": here, "prediction": ahead, "rollout": rollout, **beliefs})

    @staticmethod
    def _decoded(state: Tensor, logit: Tensor) -> dict[str, Distribution]:
        return {"agents.state": Normal(state, torch.ones(2)), "agents.exists": Bernoulli(logit)}


class Drive:
    """Motion with headings and velocities. Whatever is not to be counted is not a number, in the batch and in what is decoded.

    Attributes:
        batch: `agents.state` `[B,T,A,5]` in the order `seen`, `agents.exists`, `dt`.
        decoded: A decoded state of every step, a leaf `[B,T,A,5]` in the order `names`.
        futures: Decoded states `[B,S,H,A,5]`, a leaf.
        moved: Who is counted at each step: there now and one step before.
        here: Who is counted in futures, `[B,H,A]`: there now and at the last observed step.
    """

    names = ("heading", "vy", "vx", "y", "x")
    seen_names = ("vy", "x", "heading", "vx", "y")
    start = 3

    def __init__(self, seed: int = 0, *, presence: float = 0.7) -> None:
        b, t, a, s = 2, 6, 4, 3
        g = torch.Generator().manual_seed(seed)
        self.exists = torch.rand(b, t, a, generator=g) < presence
        state = torch.randn(b, t, a, 5, generator=g) * 3
        state[..., 2] = math.pi * (2 * torch.rand(b, t, a, generator=g) - 1)
        self.batch = {
            "agents.state": state.masked_fill(~self.exists[..., None], torch.nan),
            "agents.exists": self.exists,
            "is_first": torch.arange(t).expand(b, t) == 0,
            "dt": torch.tensor([0.1, 0.4]),
        }
        self.moved = torch.cat([torch.zeros(b, 1, a, dtype=torch.bool), self.exists[:, 1:] & self.exists[:, :-1]], dim=1)
        self.here = self.exists[:, self.start :] & self.exists[:, self.start - 1, None]
        decoded, futures = (3 * torch.randn(*shape, a, 5, generator=g) for shape in ((b, t), (b, s, t - self.start)))
        self.decoded = decoded.masked_fill(~self.moved[..., None], torch.nan).requires_grad_()
        self.futures = futures.masked_fill(~self.here[:, None, ..., None], torch.nan).requires_grad_()

    @property
    def specs(self) -> LossSpecs:
        """What `build` receives."""
        output = OutputSpec(keys=(OutputKey(key="agents.state", distribution="normal", features=self.names),))
        seen = traffic_observations(features=self.seen_names, dt=0.1, context=self.start, horizon=3, protocol="p")
        return LossSpecs(output=output, latent=LatentSpec(layout="agents", width=2), obs_spec=seen)

    def outputs(self, **changed: Any) -> Outputs:
        """Every branch decodes the same leaf."""
        ones = torch.ones(5)
        here = {"agents.state": Normal(self.decoded, ones)}
        rollout = Rollout(self.start, {"agents.state": Normal(self.futures, ones)}, NOBODY)
        branches = {"reconstruction": here, "prediction": here, "rollout": rollout}
        return Outputs(**{"posterior": NOBODY, "prior": NOBODY, **branches, **changed})

    def true(self, name: str) -> Any:
        """A true feature as a float64 array `[B,T,A]`."""
        return self.batch["agents.state"][..., self.seen_names.index(name)].double().numpy()

    def guess(self, name: str) -> Any:
        """A decoded feature as a float64 array `[B,T,A]`."""
        return self.decoded.detach()[..., self.names.index(name)].double().numpy()

    def future(self, name: str) -> Any:
        """A feature of the futures as a float64 array `[B,S,H,A]`."""
        return self.futures.detach()[..., self.names.index(name)].double().numpy()


@pytest.fixture
def drive() -> Drive:
    return Drive()


@pytest.fixture
def drives() -> type[Drive]:
    """To make drives of other seeds."""
    return Drive


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
