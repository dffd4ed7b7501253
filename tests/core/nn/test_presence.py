"""Masks of a sequence equal what following each agent step by step gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from twm_core import UsageError
from twm_core.nn.presence import Presence, presence

B, T, A = 2, 6, 3


def followed(first: Tensor, exists: Tensor, withheld: Tensor, started_before: Tensor, present_before: Tensor) -> Presence:
    """The same, one agent and step at a time; all masks `[B,T,A]`."""
    out = Presence(*(torch.zeros(B, T, A, dtype=torch.bool) for _ in Presence._fields))
    for b in range(B):
        for a in range(A):
            seen, there = bool(started_before[b, a]), bool(present_before[b, a])
            for t in range(T):
                if first[b, t, a]:
                    seen, there = False, False
                out.keep[b, t, a], out.before[b, t, a] = seen, there
                there = bool(exists[b, t, a])
                corrected = there and not bool(withheld[b, t, a])
                seen = seen or corrected
                out.present[b, t, a], out.corrected[b, t, a], out.has_started[b, t, a] = there, corrected, seen
    return out


@given(st.integers(0, 10_000), st.booleans(), st.booleans())
def test_masks_are_those_of_following_each_agent(seed: int, everywhere: bool, open_eyes: bool) -> None:
    source = torch.Generator().manual_seed(seed)

    def draw(*shape: int, share: float = 0.5) -> Tensor:
        return torch.rand(shape, generator=source) < share

    first = draw(B, T, 1, share=0.2).expand(B, T, A)
    exists = torch.ones(B, T, A, dtype=torch.bool) if everywhere else draw(B, T, A)
    withheld = torch.zeros(B, T, A, dtype=torch.bool) if open_eyes else draw(B, T, A, share=0.3)
    seen, there = draw(B, A), draw(B, A)
    if everywhere and open_eyes:
        seen = torch.ones_like(seen)  # without masks a state that is carried in counts, whatever it has seen
    got = presence(first, None if everywhere else exists, seen, there, None if open_eyes else withheld)
    for name, a, b in zip(Presence._fields, got, followed(first, exists, withheld, seen, there), strict=True):
        assert torch.equal(a.expand_as(b), b), name


def test_whole_steps_are_withheld_from_every_agent() -> None:
    first, step = torch.zeros(B, T, A, dtype=torch.bool), torch.zeros(B, T, dtype=torch.bool)
    step[0, 2] = True
    none = torch.zeros(B, A, dtype=torch.bool)
    one = presence(first, None, none, none, step)
    two = presence(first, None, none, none, step.unsqueeze(-1).expand(B, T, A))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not bool(one.corrected[0, 2].any())


def test_single_agents_cannot_be_withheld_from_a_scene() -> None:
    first, none = torch.zeros(B, T, dtype=torch.bool), torch.zeros(B, dtype=torch.bool)
    with pytest.raises(UsageError, match="there is one state for the scene"):
        presence(first, None, none, none, torch.zeros(B, T, A, dtype=torch.bool))
