"""Rows of what exists."""

from __future__ import annotations

import torch

from twm_core.nn.masking import packs_rows, unpack_rows


def test_rows_return_to_their_places() -> None:
    mask = torch.tensor([[True, False, True], [False, False, True]])
    rows = torch.arange(6.0).view(3, 2)
    assert packs_rows(mask)
    found = unpack_rows(rows, mask)
    assert found.shape == (2, 3, 2)
    assert torch.equal(found[mask], rows)
    assert bool((found[~mask] == 0).all())


def test_elsewhere_all_rows_are_kept_and_absent_ones_become_zero() -> None:
    mask = torch.ones(2, 3, dtype=torch.bool, device="meta")
    assert not packs_rows(mask)
    assert unpack_rows(torch.empty(6, 4, device="meta"), mask).shape == (2, 3, 4)
