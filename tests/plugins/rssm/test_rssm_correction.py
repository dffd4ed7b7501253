"""What is seen corrects the deterministic state, and the first imagined latents come from strata."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from twm_core.nn.interfaces import Embedding
from twm_core.nn.state import at_time
from twm_core.specs import DynamicsSpecs, EmbeddingSpec
from twm_rssm.config import RSSMCatConfig, RSSMGaussConfig
from twm_rssm.latents import CategoricalLatents, GaussianLatents
from twm_rssm.model import RSSM

SMALL: dict[str, Any] = {"deter": 16, "hidden": 8, "blocks": 4, "heads": 0}


def rssm(kind: str = "cat", **options: Any) -> RSSM:
    torch.manual_seed(0)
    config = RSSMCatConfig(groups=2, classes=8, **SMALL, **options) if kind == "cat" else RSSMGaussConfig(stoch=4, **SMALL, **options)
    embedding = EmbeddingSpec(agents=6)
    return RSSM(config=config, specs=DynamicsSpecs(embedding=embedding, action=None, latent=config.latent(embedding, None))).eval()


def tokens(steps: int = 5) -> tuple[Embedding, torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(1)
    first = torch.zeros(2, steps, dtype=torch.bool)
    first[:, 0] = True
    return Embedding(None, torch.randn(2, steps, 3, 6, generator=source)), first, torch.ones(2, steps, 3, dtype=torch.bool)


def test_the_posterior_holds_the_corrected_state_and_the_prior_the_one_before() -> None:
    model = rssm(correction=True)
    embedding, first, exists = tokens()
    trace = model.observe(embedding, None, first, exists, generator=torch.Generator().manual_seed(0))
    assert model.correction is not None
    assert embedding.agents is not None
    correct = model.correction.begin()
    rows = trace.prior.deter.flatten(0, 2)
    wanted = correct(rows, model.correction.from_embedding(embedding.agents.flatten(0, 2)))
    torch.testing.assert_close(trace.posterior.deter.flatten(0, 2), wanted)
    assert not torch.allclose(trace.posterior.deter, trace.prior.deter)


def test_the_recurrence_goes_on_from_the_corrected_state() -> None:
    """One step imagined from a posterior is the prior of the next step, as without the correction."""
    model = rssm(correction=True)
    embedding, first, exists = tokens()
    trace = model.observe(embedding, None, first, exists, generator=torch.Generator().manual_seed(0))
    for t in range(4):
        ahead = model.imagine(at_time(trace.posterior, t), 1, generator=torch.Generator().manual_seed(3))
        torch.testing.assert_close(ahead.deter[:, 0, 0], trace.prior.deter[:, t + 1])
        torch.testing.assert_close(ahead.stats[:, 0, 0], trace.prior.stats[:, t + 1])


def test_who_is_not_seen_is_not_corrected() -> None:
    model = rssm(correction=True)
    embedding, first, exists = tokens()
    exists[:, 3, 1] = False
    trace = model.observe(embedding, None, first, exists, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(trace.posterior.deter[:, 3, 1], trace.prior.deter[:, 3, 1])
    assert not torch.allclose(trace.posterior.deter[:, 3, 0], trace.prior.deter[:, 3, 0])


def test_withheld_observations_do_not_correct() -> None:
    model = rssm(correction=True)
    embedding, first, exists = tokens()
    withheld = torch.zeros(2, 5, dtype=torch.bool)
    withheld[:, 2] = True
    trace = model.observe(embedding, None, first, exists, withheld=withheld, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(trace.posterior.deter[:, 2], trace.prior.deter[:, 2])


def test_a_sequence_in_two_chunks_is_the_whole_sequence() -> None:
    model = rssm("gauss", correction=True)
    embedding, first, exists = tokens(6)
    assert embedding.agents is not None
    noise = torch.zeros(2, 6, 3, 4)
    whole = model.observe(embedding, None, first, exists, forced=noise)
    head = model.observe(Embedding(None, embedding.agents[:, :2]), None, first[:, :2], exists[:, :2], forced=noise[:, :2])
    state = at_time(head.posterior, 1)
    tail = model.observe(Embedding(None, embedding.agents[:, 2:]), None, first[:, 2:], exists[:, 2:], state=state, forced=noise[:, 2:])
    torch.testing.assert_close(tail.posterior.deter, whole.posterior.deter[:, 2:])


@pytest.mark.parametrize("family", ["categorical", "gaussian"])
def test_strata_hold_one_draw_each_and_every_draw_is_distributed_as_before(family: str) -> None:
    source = torch.Generator().manual_seed(0)
    samples = 8
    if family == "categorical":
        latents: CategoricalLatents | GaussianLatents = CategoricalLatents(2, 4, unimix=0.0, stored=False)
        noise = latents.noise((4000, samples, 3), generator=source, device=torch.device("cpu"))
        uniform = latents.stratified(noise, generator=source)
    else:
        latents = GaussianLatents(2, std="sigmoid2", min_std=0.1)
        noise = latents.noise((4000, samples, 3), generator=source, device=torch.device("cpu"))
        uniform = torch.special.ndtr(latents.stratified(noise, generator=source))
    cells = (uniform * samples).floor().long().clamp(0, samples - 1)
    assert torch.equal(cells.sort(dim=1).values, torch.arange(samples)[:, None, None].expand_as(cells))
    # The first draw by itself: uniform in [0, 1), mean 1/2 and variance 1/12 within 4 standard errors of 12,000 draws per variable.
    first = uniform[:, 0].double()
    assert abs(float(first.mean()) - 0.5) < 4 * (1 / 12 / first.numel()) ** 0.5
    assert abs(float(first.var()) - 1 / 12) < 4 * (1 / 180 / first.numel()) ** 0.5


def test_stratified_futures_cover_every_class_of_a_uniform_prior() -> None:
    model = rssm(draws="stratified")
    torch.nn.init.zeros_(model.prior.logits.weight)
    torch.nn.init.zeros_(model.prior.logits.bias)
    state = model.initial((2, 3))
    future = model.imagine(state, 2, samples=8, generator=torch.Generator().manual_seed(0))
    counts = future.stoch[:, :, 0].sum(dim=1)  # B A G C
    assert torch.equal(counts, torch.ones_like(counts))
