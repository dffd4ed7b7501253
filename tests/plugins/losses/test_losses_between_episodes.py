"""Where an episode begins in mid-window, losses compare nothing across its beginning: they cost what they would without those steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from twm_core import LossSpecs, OutputKey, OutputSpec
from twm_core.nn.distributions import HasModes, Normal
from twm_core.nn.interfaces import Belief, Features
from twm_losses import huber, wta
from twm_losses.config import ExistenceConfig, HuberConfig, RolloutConfig
from twm_losses.existence import Existence
from twm_losses.motion import angle, boundary, kinematic, velocity_direction
from twm_losses.motion.config import AngleConfig, BoundaryConfig, KinematicConfig, VelocityDirectionConfig, WTAConfig
from twm_losses.overshooting import overshooting
from twm_losses.rollout import RolloutLoss

BEGIN = 4
"""The step at which another episode begins in the first scene, within the rollout, which starts at step 3."""


class TwoModes(Normal):
    """A Gaussian that shows two modes: its mean, and one beside it."""

    @property
    def modes(self) -> torch.Tensor:
        return torch.stack([self.mean, self.mean + 1], dim=-2)

    @property
    def mode_logits(self) -> torch.Tensor:
        return torch.zeros(self.modes.shape[:-1])


def losses(drive: Any) -> dict[str, Any]:
    specs: LossSpecs = drive.specs
    modes = OutputSpec(keys=(OutputKey(key="agents.state", distribution="motion-mixture", features=drive.names),))
    return {
        "huber": huber.build(HuberConfig(), specs),
        "angle": angle.build(AngleConfig(reconstruction=1, prediction=1), specs),
        "velocity-direction": velocity_direction.build(VelocityDirectionConfig(reconstruction=1, prediction=1), specs),
        "kinematic": kinematic.build(KinematicConfig(prediction=1, futures=1, acceleration=1, yaw_rate=1), specs),
        "boundary": boundary.build(BoundaryConfig(mode="range", box=(-1, 1, -1, 1), prediction=1, futures=1), specs),
        "rollout": RolloutLoss(config=RolloutConfig(samples=3), truth=[1, 4], decoded=[4, 3], existence=False, agents=True),
        "wta": wta.build(WTAConfig(), specs.model_copy(update={"output": modes})),
    }


@pytest.mark.parametrize("name", ["huber", "angle", "velocity-direction", "kinematic", "boundary", "rollout", "wta"])
def test_no_gradient_comes_from_across_the_beginning_of_an_episode(drives: Any, name: str) -> None:
    drive = drives(presence=1.0)
    drive.batch["is_first"] = drive.batch["is_first"].clone()
    drive.batch["is_first"][0, BEGIN] = True
    outputs = drive.outputs()
    if name == "wta":
        state = TwoModes(drive.futures, torch.ones(5))
        assert isinstance(state, HasModes)
        outputs = drive.outputs(rollout=outputs.rollout._replace(decoded={"agents.state": state}))
    torch.stack(list(losses(drive)[name](outputs, drive.batch).values())).sum().backward()
    if name not in ("rollout", "wta"):
        assert drive.decoded.grad is not None
        expected = torch.ones(2, 6, dtype=torch.bool)
        expected[:, 0] = False
        expected[0, BEGIN] = False
        assert torch.equal(drive.decoded.grad.flatten(2).ne(0).any(-1), expected)
    if name in ("rollout", "wta", "kinematic", "boundary"):
        # The best future alone may be trained, so samples are not told apart.
        assert drive.futures.grad.flatten(3).ne(0).any(-1).any(dim=1).tolist() == [[True, False, False], [True, True, True]]


@torch.no_grad()
def test_existence_starts_anew_with_an_episode(scene: Any) -> None:
    scene.exists.fill_(False)
    scene.exists[:, 0, 0] = True
    scene.exists[0, 5, 0] = True
    first = scene.batch["is_first"].clone()
    first[0, BEGIN] = True
    scene.batch["is_first"] = first
    found = Existence(config=ExistenceConfig(reconstruction=1, prediction=0))(scene.outputs(), scene.batch)["reconstruction"]
    # Nobody has been seen at the first step of the second episode; at its third, the agent that came at its second has.
    costs = [torch.nn.functional.softplus(scene.logit[0, t, 0]) for t in (1, 2, 3, 6)]
    costs += [torch.nn.functional.softplus(scene.logit[1, t, 0]) for t in range(1, 7)]
    torch.testing.assert_close(found, torch.stack(costs).mean())


@torch.no_grad()
def test_existence_along_a_future_counts_to_the_end_of_its_episode(scene: Any) -> None:
    scene.exists.fill_(True)
    scene.batch["is_first"] = scene.batch["is_first"].clone()
    scene.batch["is_first"][0, BEGIN] = True
    loss = RolloutLoss(config=RolloutConfig(samples=3, existence=1.0), truth=list(scene.truth), decoded=[0, 1], existence=True, agents=True)
    costs = torch.nn.functional.softplus(-scene.future_logit)
    kept = torch.cat([costs[0, :, : BEGIN - scene.start].flatten(), costs[1].flatten()])
    scene.batch["agents.state"] = torch.zeros_like(scene.batch["agents.state"])
    torch.testing.assert_close(loss(scene.outputs(), scene.batch)["existence"], kept.mean())


@pytest.mark.parametrize("stochastic", [True, False])
@pytest.mark.parametrize("agents", [True, False])
def test_overshooting_counts_to_the_end_of_the_episode(drives: Any, agents: bool, stochastic: bool) -> None:
    drive = drives(presence=1.0)
    drive.batch["is_first"] = drive.batch["is_first"].clone()
    drive.batch["is_first"][0, BEGIN] = True
    rest = (4, 3) if agents else (3,)
    generator = torch.Generator().manual_seed(0)
    q, p = (torch.randn(*lead, *rest, generator=generator) for lead in ((2, 6), (2, 3, 3)))
    p.requires_grad_()

    def belief(x: torch.Tensor) -> Belief:
        return Belief(None, Features(None, x) if agents else Features(x, None), Normal(x, torch.ones_like(x)) if stochastic else None)

    made = drive.outputs(posterior=belief(q))
    made = made._replace(rollout=made.rollout._replace(belief=belief(p)))
    found = overshooting(made, made.rollout, drive.batch, agents=agents, samples=3, steps=None, free_nats=0.0)
    found.backward()
    gaps = (q[:, None, 3:] - p.detach()).square()
    each = 0.5 * gaps.sum(-1) if stochastic else gaps.mean(-1)
    torch.testing.assert_close(found.detach(), torch.cat([each[0, :, :1].flatten(), each[1].flatten()]).mean())
    assert p.grad is not None
    assert p.grad.flatten(3).ne(0).any(-1).any(1).tolist() == [[True, False, False], [True, True, True]]
