"""States: what is done to one tensor is done to all of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from twm_core.nn.state import at_time, map_state, repeat_samples, stack_time, unfold_samples, where_state


class Toy(NamedTuple):
    wide: Tensor
    flat: Tensor


def toy(*lead: int) -> Toy:
    n = int(torch.tensor(lead).prod())
    return Toy(torch.arange(n * 3.0).view(*lead, 3), torch.arange(float(n)).view(*lead) + 100)


def test_mapping_keeps_the_type() -> None:
    doubled = map_state(lambda x: x * 2, toy(2))
    assert isinstance(doubled, Toy)
    assert doubled.flat.tolist() == [200, 202]


@given(st.integers(1, 3), st.integers(1, 4))
def test_stacking_the_steps_of_a_state_gives_it_back(batch: int, steps: int) -> None:
    state = toy(batch, steps)
    again = stack_time([at_time(state, t) for t in range(steps)])
    assert torch.equal(again.wide, state.wide)
    assert torch.equal(again.flat, state.flat)


@given(st.integers(1, 3), st.integers(1, 4))
def test_every_sample_is_a_copy_of_its_own_row(batch: int, samples: int) -> None:
    state = toy(batch)
    folded = repeat_samples(state, samples)
    assert folded.wide.shape == (batch * samples, 3)
    unfolded = unfold_samples(folded, samples)
    for b in range(batch):
        for s in range(samples):
            assert torch.equal(unfolded.wide[b, s], state.wide[b])
            assert unfolded.flat[b, s] == state.flat[b]


def test_a_mask_picks_row_by_row_whatever_the_width() -> None:
    yes, no = toy(2, 3), map_state(lambda x: -x, toy(2, 3))
    for mask in (torch.tensor([True, False]), torch.tensor([[True, False, True], [False, True, False]])):
        picked = where_state(mask, yes, no)
        for b in range(2):
            for a in range(3):
                source = yes if (mask[b] if mask.dim() == 1 else mask[b, a]) else no
                assert torch.equal(picked.wide[b, a], source.wide[b, a])
                assert picked.flat[b, a] == source.flat[b, a]
