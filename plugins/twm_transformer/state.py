"""The state of the Transformer dynamics, and views of a cache as the state of every step.

The cache of a state holds keys and values of the last `window - 1` inputs that were consumed. Those of a whole sequence are one tensor
of `window - 1 + T` entries, and the state of each step is a window onto it: a `Trace` stores every key once, not once for each step
that can see it. Copying such a state (folding time into the batch, for example) is what costs `window` times as much; so would a gradient
through the windows, which is why the cache carries none.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class TransformerState(NamedTuple):
    """One state with leading axes `[...]` (layout `scene`) or `[...,A]` (layout `agents`).

    Attributes:
        z: What decoders read, `[...,D]`; not yet consumed.
        cache: Keys and values of the inputs consumed before, oldest first, `[...,layers,2,window-1,W]`, float32, without gradient.
        steps: How many inputs were consumed since the start, int64 `[...]`: the position of `z`. Only so many of the cache's newest
            entries count.
        present: 1 where it was there at this step, so that its next action counts, `[...]`.
    """

    z: Tensor
    cache: Tensor
    steps: Tensor
    present: Tensor


def windows(whole: Tensor, size: int, lead: tuple[int, ...]) -> Tensor:
    """The cache after each of `T` inputs, `[B,T,...,layers,2,size,W]`, as views of one tensor.

    Args:
        whole: Everything cached, oldest first: `size` entries before the first input, then the inputs', `[R,layers,2,size+T,W]`.
        size: Entries in a state's cache.
        lead: Leading axes of the rows, `(B,)` or `(B,A)`.
    """
    return whole.unflatten(0, lead).unfold(-2, size, 1)[..., 1:, :, :].movedim(-3, 1).transpose(-1, -2)
