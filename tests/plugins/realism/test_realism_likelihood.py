"""Likelihoods under histograms, counted by hand and by loops."""

from __future__ import annotations

import math

import pytest
import torch

from twm_realism.config import BINS, FEATURES, Bins
from twm_realism.likelihood import bin_of, log_likelihood

BIN = Bins(0.0, 10.0, 5, 1.0)


def test_a_value_has_the_smoothed_share_of_its_bin() -> None:
    # Futures at 1, 3, 3 and 5 m/s over one step: bins 0, 1, 1, 2 of five. The log is at 3.5, bin 1: (2 + 0.1) / (4 + 5 * 0.1) = 2.1 / 4.5.
    simulated = torch.tensor([1.0, 3.0, 3.0, 5.0], dtype=torch.float64)[:, None, None]
    found = log_likelihood(
        torch.tensor([[3.5]]).double(), simulated, torch.ones(1, 1, dtype=torch.bool), torch.ones(4, 1).double(), BIN, pseudocount=0.1
    )
    assert float(found) == pytest.approx(math.log(2.1 / 4.5))


def test_steps_share_a_histogram_unless_each_has_its_own() -> None:
    # Two steps, two futures: step 0 at 1 and 1, step 1 at 9 and 9; the log is at 1, then at 1.
    # Shared: bin 0 holds 2 of 4 values, (2 + 0.1) / 4.5 at both steps. Own: 2.1 / 2.5 at step 0, and 0.1 / 2.5 at step 1.
    simulated = torch.tensor([[1.0, 9.0], [1.0, 9.0]], dtype=torch.float64)[..., None]
    log, known = torch.ones(2, 1).double(), torch.ones(2, 1, dtype=torch.bool)
    shared = log_likelihood(log, simulated, known, torch.ones(2, 1).double(), BIN, pseudocount=0.1)
    own = log_likelihood(log, simulated, known, torch.ones(2, 1).double(), BIN, pseudocount=0.1, per_step=True)
    assert shared[:, 0].exp().tolist() == pytest.approx([2.1 / 4.5, 2.1 / 4.5])
    assert own[:, 0].exp().tolist() == pytest.approx([2.1 / 2.5, 0.1 / 2.5])


def test_values_outside_belong_to_the_outermost_bins_and_the_upper_end_to_the_last() -> None:
    assert bin_of(torch.tensor([-3.0, 0.0, 1.99, 2.0, 10.0, 99.0]), BIN).tolist() == [0, 0, 0, 1, 4, 4]


def test_steps_that_do_not_count_are_in_no_histogram() -> None:
    simulated = torch.tensor([[1.0, 9.0]], dtype=torch.float64)[..., None]
    known = torch.tensor([[True], [False]])
    found = log_likelihood(torch.ones(2, 1).double(), simulated, known, torch.ones(1, 1).double(), BIN, pseudocount=0.1)
    assert float(found[0, 0].exp()) == pytest.approx(1.1 / 1.5)


def test_it_equals_a_loop_over_agents_and_values() -> None:
    generator = torch.Generator().manual_seed(0)
    simulated = torch.rand(6, 4, 3, generator=generator, dtype=torch.float64) * 12 - 1
    log = torch.rand(4, 3, generator=generator, dtype=torch.float64) * 12 - 1
    known = torch.rand(4, 3, generator=generator) > 0.3
    weight = torch.rand(6, 3, generator=generator, dtype=torch.float64)
    found = log_likelihood(log, simulated, known, weight, BIN, pseudocount=0.5)
    for m in range(3):
        count = [0.5] * 5
        for s in range(6):
            for h in range(4):
                if known[h, m]:
                    count[min(max(int(simulated[s, h, m] // 2), 0), 4)] += float(weight[s, m])
        for h in range(4):
            share = count[min(max(int(log[h, m] // 2), 0), 4)] / sum(count)
            assert float(found[h, m]) == pytest.approx(math.log(share))


def test_weights_of_the_challenge_add_up_as_published() -> None:
    assert sum(b.weight for b in BINS["2024"].values()) == pytest.approx(1.0)
    assert sum(b.weight for b in BINS["2023"].values()) == pytest.approx(0.99)
    assert all(tuple(bins) == FEATURES for bins in BINS.values())
