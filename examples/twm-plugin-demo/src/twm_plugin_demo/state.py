"""The state of the dynamics `selective-ssm`, one for a scene or for each agent, and how rows of the network become states.

A state is cut between two inputs: its memory is what the network holds before it consumes `z`, so that correcting a state with an
observation replaces `z` and nothing else. It does not say what z means or who is corrected.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class SSMState(NamedTuple):
    """One state with leading axes `[...]` (layout `scene`) or `[...,A]` (layout `agents`).

    Attributes:
        z: What decoders read, `[...,D]`; not consumed yet.
        hidden: The memories of each layer, `[...,layers,N,E]`, float32.
        recent: Last inputs of each layer's convolution, newest first, `[...,layers,conv-1,E]`, float32.
        begun: 1 where something was seen since the start, `[...]`. Where it is 0 the state is the initial one, whatever the memory holds:
            posteriors and priors then share one memory, instead of a copy with zeros in it.
        present: 1 where it was there at this step, so that its next action counts, `[...]`.
    """

    z: Tensor
    hidden: Tensor
    recent: Tensor
    begun: Tensor
    present: Tensor


def batch_major(x: Tensor, lead: tuple[int, ...]) -> Tensor:
    """`[T,R,...]` as `[B,T,...]` or `[B,T,A,...]`, a view; `lead` is `(B,)` or `(B,A)`."""
    return x.unflatten(1, lead).transpose(0, 1)
