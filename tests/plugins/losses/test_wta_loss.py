"""Winner takes all against plain loops over futures, agents and modes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from twm_core import LatentSpec, LossSpecs, OutputKey, OutputSpec, PluginError
from twm_core.nn.distributions import Normal
from twm_core.nn.interfaces import Outputs
from twm_losses.motion.config import WTAConfig
from twm_losses.wta import WTA, build

LATENT = LatentSpec(layout="agents", width=2)
OUTPUT = OutputSpec(keys=(OutputKey(key="agents.state", distribution="motion-mixture", features=("heading", "vy", "vx", "y", "x")),))


class Courses(Normal):
    """A distribution of which the loss may read `modes` and `mode_logits` only (and the shape of the mean)."""

    def __init__(self, modes: Tensor, mode_logits: Tensor) -> None:
        super().__init__(torch.full_like(modes[..., 0, :], torch.nan), torch.ones(1))
        self.modes = modes
        self.mode_logits = mode_logits

    def map(self, function: Any) -> Any:
        return Courses(function(self.modes), function(self.mode_logits))


def with_modes(drive: Any, modes: int = 3) -> tuple[Tensor, Tensor, Outputs]:
    """Leaves: modes `[B,S,H,A,M,5]` and logits `[B,S,H,A,M]`, not a number for whoever does not count; and outputs of them."""
    g = torch.Generator().manual_seed(9)
    b, s, h, a = drive.futures.shape[:4]
    absent = ~drive.here[:, None].expand(b, s, h, a)[..., None]
    centres = (3 * torch.randn(b, s, h, a, modes, 5, generator=g)).masked_fill(absent[..., None], torch.nan).requires_grad_()
    logits = torch.randn(b, s, h, a, modes, generator=g).masked_fill(absent, torch.nan).requires_grad_()
    outputs = drive.outputs()
    return centres, logits, outputs._replace(rollout=outputs.rollout._replace(decoded={"agents.state": Courses(centres, logits)}))


def make(drive: Any, **options: Any) -> WTA:
    return build(WTAConfig(**{"samples": 3, **options}), LossSpecs(output=OUTPUT, latent=LATENT, obs_spec=drive.specs.obs_spec))


def huber(e: float, beta: float) -> float:
    return e * e / (2 * beta) if abs(e) < beta else abs(e) - beta / 2


def loop(drive: Any, centres: Tensor, logits: Tensor, *, epsilon: float, beta: float, steps: int, samples: int) -> Any:
    """For each agent and future: winner, regression, classification."""
    x, y = drive.names.index("x"), drive.names.index("y")
    m_ = centres.shape[4]
    for b in range(centres.shape[0]):
        for a in range(centres.shape[3]):
            here = [h for h in range(steps) if drive.here[b, h, a]]
            for s in range(samples if here else 0):
                apart = np.array(
                    [
                        [
                            math.sqrt(
                                (centres[b, s, h, a, m, x].item() - drive.true("x")[b, drive.start + h, a]) ** 2
                                + (centres[b, s, h, a, m, y].item() - drive.true("y")[b, drive.start + h, a]) ** 2
                                + 1e-6
                            )
                            for m in range(m_)
                        ]
                        for h in here
                    ]
                )
                winner = int(apart.mean(0).argmin())
                cost = np.array([np.mean([huber(e, beta) for e in apart[:, m]]) for m in range(m_)])
                share = [1 - epsilon if m == winner else epsilon / (m_ - 1) for m in range(m_)]
                z = logits[b, s, here, a].detach().double().numpy()
                yield (b, s, a), winner, float(cost @ share), float(np.mean(np.log(np.exp(z).sum(1)) - z[:, winner]))


@pytest.mark.parametrize("epsilon", [0.0, 0.2])
@pytest.mark.parametrize(("samples", "steps"), [(3, None), (1, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_it_equals_a_plain_loop(drives: Any, seed: int, epsilon: float, samples: int, steps: int | None) -> None:
    drive = drives(seed)
    centres, logits, outputs = with_modes(drive)
    loss = make(drive, epsilon=epsilon, beta=2.0, samples=samples, steps=steps, regression=0.5, classification=2.0)
    terms = loss(outputs, drive.batch)
    each = list(loop(drive, centres, logits, epsilon=epsilon, beta=2.0, steps=steps or 3, samples=samples))
    expected = [0.5 * np.mean([x[2] for x in each]), 2 * np.mean([x[3] for x in each])]
    np.testing.assert_allclose([terms["regression"].item(), terms["classification"].item()], expected, rtol=1e-5)


def test_only_the_winner_is_drawn_to_the_truth_unless_relaxed(drive: Any) -> None:
    centres, logits, outputs = with_modes(drive)
    make(drive)(outputs, drive.batch)["regression"].backward()
    assert centres.grad is not None
    assert centres.grad.isfinite().all()
    trained = (centres.grad != 0).any(dim=-1).any(dim=2)  # B S A M
    for (b, s, a), winner, _, _ in loop(drive, centres, logits, epsilon=0, beta=1.0, steps=3, samples=3):
        assert trained[b, s, a].tolist() == [m == winner for m in range(3)]
    assert not trained[~drive.here.any(dim=1)[:, None].expand(-1, 3, -1)].any()
    centres.grad = None
    make(drive, epsilon=0.1)(outputs, drive.batch)["regression"].backward()
    assert (centres.grad != 0).any(dim=-1).any(dim=2)[drive.here.any(dim=1)[:, None].expand(-1, 3, -1)].all()


def test_who_does_not_count_has_no_gradient(drive: Any) -> None:
    centres, logits, outputs = with_modes(drive)
    sum(make(drive, epsilon=0.1)(outputs, drive.batch).values()).backward()
    counted = drive.here[:, None].expand(-1, 3, -1, -1)
    for leaf in (centres, logits):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
        assert torch.equal((leaf.grad != 0).flatten(4).any(-1), counted)


def test_an_empty_scene_costs_nothing_and_trains_nothing(drives: Any) -> None:
    drive = drives(presence=0.0)
    centres, logits, outputs = with_modes(drive)
    terms = make(drive)(outputs, drive.batch)
    sum(terms.values()).backward()
    assert {v.item() for v in terms.values()} == {0}
    assert centres.grad is not None
    assert logits.grad is not None
    assert not centres.grad.any()
    assert not logits.grad.any()


def test_a_single_mode_wins_whatever_epsilon_is(drive: Any) -> None:
    _, _, outputs = with_modes(drive, modes=1)
    terms = make(drive, epsilon=0.3)(outputs, drive.batch)
    alone = make(drive, epsilon=0.0)(outputs, drive.batch)
    assert terms["regression"].item() == alone["regression"].item()
    assert terms["classification"].item() == 0


def test_it_needs_a_decoder_with_several_modes(drive: Any) -> None:
    given = drive.specs
    refused = WTAConfig().accepts(given.output, LATENT, given.obs_spec)
    assert refused is not None
    assert refused.message == "needs a decoder of 'agents.state' with several modes ('motion-mixture'), got 'normal'"
    assert refused.remedy == "set decoder.agents.distribution to 'mixture'"
    assert WTAConfig().accepts(OUTPUT, LATENT, given.obs_spec) is None
    assert WTAConfig().accepts(OUTPUT, LATENT, given.obs_spec.model_copy(update={"horizon": 0})) is not None
    with pytest.raises(PluginError, match="loss wta: the decoder declares 'motion-mixture' but gives Normal, which has no modes"):
        make(drive)(drive.outputs(), drive.batch)
