"""What the numbers of the head mean: the three parametrisations, and the statistics of the training data that each is measured in.

| parametrisation | emitted (times a deviation of the training data)             | zeros                                     |
|-----------------|--------------------------------------------------------------|-------------------------------------------|
| kinematic       | residual (dp, dh, dv) to coasting, in the agent's frame      | constant velocity                         |
| displacement    | change (dp, dh, dv), in the agent's frame                    | standing still, with the velocity kept    |
| absolute        | state minus its mean over the training data, world frame     | the mean state, whatever came before      |

Kinematic and displacement integrate from an anchor; absolute needs none and says the same wherever its agent stands now.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from twm_core.angles import wrap_tensor
from twm_core.nn.normalizer import Normalizer
from twm_decoders.config import AgentsConfig
from twm_decoders.kinematics import integrate, residual_between
from twm_decoders.noise import Memory, Shared, Walk


class Trajectory(NamedTuple):
    """States over consecutive steps.

    Attributes:
        states: `[*B,H,A,5]`; more features follow where absolute states have them.
        heading: Headings of the frames in which errors are measured, `[*B,H,A]`.
    """

    states: Tensor
    heading: Tensor


class Parametrisation(Normalizer):
    """Statistics of the training data and the meaning of what is emitted."""

    anchored: bool
    """Whether the state before is needed."""

    @property
    @abstractmethod
    def unit(self) -> Tensor:
        """Deviation of the emitted numbers over the training data, `[5]` (or more): metres, radians, metres per second."""

    @abstractmethod
    def learn(self, motion: Tensor, exists: Tensor, dt: Tensor) -> None:
        """Update the statistics with states `[B,T,A,5]` (or more), existence `[B,T,A]` and seconds of a step `[B]`."""

    @abstractmethod
    def trajectory(self, motion: Tensor, emitted: Tensor, dt: Tensor) -> Trajectory:
        """The states that follow.

        Args:
            motion: At the anchor, `[*B,A,5]`.
            emitted: Numbers of each step in metres, radians and metres per second, `[*B,H,A,5]`.
            dt: Seconds of a step, `[*B]`.
        """

    @abstractmethod
    def spread(self, noise: Tensor, heading: Tensor, dt: Tensor) -> Tensor:
        """Standard deviations of the states that follow, in the frames of a course, where the emitted numbers have deviations `noise`."""

    @abstractmethod
    def memory(self, noise: Tensor, dt: Tensor) -> Memory:
        """How errors hang together over the steps; `noise` as above, `[*B,H,A,5]` or, where there are modes, `[*B,H,A,M,5]`."""


class Change(Parametrisation):
    """Kinematic (coasting) and displacement: changes in the agent's frame, integrated.

    Args:
        coasting: Whether the velocity carries the position, so that only a residual is emitted.
    """

    anchored = True

    def __init__(self, *, coasting: bool) -> None:
        super().__init__(5, floor=1e-4)
        self.coasting = coasting

    @property
    def unit(self) -> Tensor:
        """Deviation of the changes between consecutive steps."""
        return self.std

    def learn(self, motion: Tensor, exists: Tensor, dt: Tensor) -> None:
        both = exists[:, 1:] & exists[:, :-1]
        each = dt[:, None].expand(-1, motion.shape[1] - 1)
        self.update(residual_between(motion[:, :-1], motion[:, 1:], each, coasting=self.coasting)[both])

    def trajectory(self, motion: Tensor, emitted: Tensor, dt: Tensor) -> Trajectory:
        states = integrate(motion, emitted, dt, coasting=self.coasting)
        heading = torch.cat([motion[..., None, :, 2], states[..., :-1, :, 2]], dim=-2)
        return Trajectory(states, heading)

    def spread(self, noise: Tensor, heading: Tensor, dt: Tensor) -> Tensor:
        return Walk(noise, dt, coasting=self.coasting).spread(heading)

    def memory(self, noise: Tensor, dt: Tensor) -> Memory:
        return Walk(noise, dt, coasting=self.coasting)


class Absolute(Parametrisation):
    """States in the world frame, normalized: the form of the first Traffic World Models.

    The statistics of an angle are those of its cosine and sine; mean direction and circular deviation follow from them (Mardia & Jupp,
    "Directional statistics", 2000, section 2.3).

    Args:
        angles: For each feature of a state, the five of the motion first, whether it is an angle.
    """

    anchored = False

    def __init__(self, *, angles: Sequence[bool]) -> None:
        super().__init__(len(angles) + sum(angles))
        self.angles = tuple(angles)

    @property
    def unit(self) -> Tensor:
        """Deviation of the states; an angle's is circular."""
        return torch.stack(self._features(self.std, self._circular))

    @property
    def origin(self) -> Tensor:
        """Mean state; of an angle it is the mean direction."""
        return torch.stack(self._features(self.mean, lambda at: torch.atan2(self.mean[at + 1], self.mean[at]))).to(torch.float32)

    def _features(self, moments: Tensor, of_angle: Callable[[int], Tensor]) -> list[Tensor]:
        """Of every feature its entry of `moments`, or, for an angle whose cosine and sine begin at `at`, `of_angle(at)`."""
        found: list[Tensor] = []
        at = 0
        for angle in self.angles:
            found.append(of_angle(at) if angle else moments[at])
            at += 2 if angle else 1
        return found

    def _circular(self, at: int) -> Tensor:
        length = self.mean[at : at + 2].square().sum().clamp(1e-12, 1)
        # Radians: directions that are all alike, or not known yet, leave nothing to scale.
        turned = (-length.log()).sqrt()
        turned = torch.where(turned < self.floor, 1, turned.clamp_max(torch.pi))
        return torch.where(self.count > 0, turned, 1).to(torch.float32)

    def learn(self, motion: Tensor, exists: Tensor, dt: Tensor) -> None:
        columns = zip(motion[exists].unbind(-1), self.angles, strict=True)
        self.update(torch.stack([part for x, angle in columns for part in ((x.cos(), x.sin()) if angle else (x,))], dim=-1))

    def trajectory(self, motion: Tensor, emitted: Tensor, dt: Tensor) -> Trajectory:
        columns = zip((self.origin + emitted).unbind(-1), self.angles, strict=True)
        # Errors are measured along the axes of the world.
        return Trajectory(torch.stack([wrap_tensor(x) if angle else x for x, angle in columns], dim=-1), torch.zeros_like(emitted[..., 0]))

    def spread(self, noise: Tensor, heading: Tensor, dt: Tensor) -> Tensor:
        return noise

    def memory(self, noise: Tensor, dt: Tensor) -> Memory:
        return Shared()


def parametrisation(config: AgentsConfig, *, angles: Sequence[bool]) -> Parametrisation:
    """The parametrisation that a config names; `angles` says of each decoded feature whether it is an angle."""
    return Absolute(angles=angles) if config.parametrisation == "absolute" else Change(coasting=config.parametrisation == "kinematic")
