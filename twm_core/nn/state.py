"""States of dynamics: NamedTuples of tensors that share their leading axes (`B`, `B T`, `B S`, `B T A`, ...).

A state type is a `typing.NamedTuple` whose fields are tensors. These functions apply to any such type, so that training, rollouts
and tests never need to know which dynamics they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

State = Any
"""A NamedTuple of tensors; the type belongs to the dynamics."""

S = TypeVar("S", bound=tuple[Any, ...])


def map_state(function: Callable[[Tensor], Tensor], state: S) -> S:
    """Apply `function` to every tensor."""
    return type(state)(*(function(x) for x in state))


def at_time(state: S, t: int) -> S:
    """The state `[B,T,...]` at step `t`, as `[B,...]`."""
    return map_state(lambda x: x[:, t], state)


def stack_time(states: Sequence[S]) -> S:
    """States `[B,...]` of consecutive steps as one `[B,T,...]`."""
    first = states[0]
    return type(first)(*(torch.stack(xs, dim=1) for xs in zip(*states, strict=True)))


def repeat_samples(state: S, samples: int) -> S:
    """A state `[B,...]` repeated for `S` samples, samples folded into the batch: `[B*S,...]`."""
    return map_state(lambda x: x.repeat_interleave(samples, dim=0), state)


def unfold_samples(state: S, samples: int) -> S:
    """A state `[B*S,...]` as `[B,S,...]`."""
    return map_state(lambda x: x.unflatten(0, (-1, samples)), state)


def time_major(x: Tensor) -> Tensor:
    """`[B,T,D]` or `[B,T,A,D]` as contiguous `[T,R,D]` with rows `R = B` or `B*A`, which is what a loop over time reads."""
    return x.transpose(0, 1).reshape(x.shape[1], -1, x.shape[-1])


def where_state(mask: Tensor, yes: S, no: S) -> S:
    """`yes` where the mask `[B]` or `[B,A]` is true, else `no`."""

    def pick(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(mask.reshape(*mask.shape, *(1,) * (a.dim() - mask.dim())), a, b)

    return type(yes)(*(pick(a, b) for a, b in zip(yes, no, strict=True)))
