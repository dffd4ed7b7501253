"""The block core: one step from (deter, stoch, action, message) to the next deter, a GRU whose inner layers are block-diagonal.

Inputs go through Linear, norm and SiLU to `hidden` each. The first block layer (`mix`) sees, in every block, that block's slice of deter
and all inputs. Then, block by block,

    deter' = gated(BlockLinear(h), deter)        h = silu(norm(mix([deter, inputs])))        gates.py

(Hafner et al., "Mastering diverse domains through world models", 2023). Rows `R` are scenes, or scenes x agents.

The parameters have the shapes of the original. A step is done by `Step`, which is made once for a whole sequence: the inputs are the same
for every block, so their part of `mix` is one dense product and only deter's part is block-diagonal, the same numbers without repeating
the inputs for each block; and the gradients of all weights are computed once, after the loop (`twm_rssm.deferred`).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from twm_core.nn.linear import BlockLinear, dense, from_blocks, to_blocks
from twm_rssm.deferred import deferred_blocks, deferred_linear
from twm_rssm.gates import gated
from twm_rssm.norms import NormKind, SiLUNorm, norm_silu_layer, side_by_side


class Cell(nn.Module):
    """The parameters of the deterministic part.

    Args:
        deter: Width of the deterministic state.
        stoch: Width of the flattened stochastic state.
        action: Width of an action; 0 for no actions (there is no action input then).
        message: Whether there is a message of width `hidden` from other agents.
        hidden: Width of each input group.
        blocks: Blocks of the core; divides `deter`.
        layers: Block layers before the gates.
        norm: Kind of the norms; the gates have none.
        eps: Of the norms.
    """

    def __init__(
        self, *, deter: int, stoch: int, action: int, message: bool, hidden: int, blocks: int, layers: int, norm: NormKind, eps: float
    ) -> None:
        super().__init__()
        self.deter_in, self.deter_norm = dense(deter, hidden), norm_silu_layer(norm, hidden, eps=eps)
        self.stoch_in, self.stoch_norm = dense(stoch, hidden), norm_silu_layer(norm, hidden, eps=eps)
        self.action_in = dense(action, hidden) if action else None
        self.action_norm = norm_silu_layer(norm, hidden, eps=eps) if action else None
        # Rows of each block's kernel: its slice of deter, then the inputs from deter, stoch, action and message.
        self.rows = [deter // blocks, 2 * hidden, hidden * (action > 0), hidden * message]
        self.mix = BlockLinear(blocks * sum(self.rows), deter, blocks=blocks)
        self.norm = norm_silu_layer(norm, deter, eps=eps)
        self.more = nn.ModuleList(BlockLinear(deter, deter, blocks=blocks) for _ in range(layers - 1))
        self.more_norms = nn.ModuleList(norm_silu_layer(norm, deter, eps=eps) for _ in range(layers - 1))
        self.gates = BlockLinear(deter, 3 * deter, blocks=blocks)

    def begin(self) -> Step:
        """What makes the steps of one sequence."""
        return Step(self)


class Step:
    """The core over one sequence.

    Args:
        cell: Its parameters.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.blocks = len(cell.mix.kernel)
        own, state, action, message = cell.mix.kernel.split(cell.rows, dim=1)
        self.own = deferred_blocks(own)
        self.state = deferred_linear(_dense(state))
        self.from_action = _dense(action)
        self.from_message = deferred_linear(_dense(message)) if message.shape[1] else None
        self.deter_in = deferred_linear(cell.deter_in.weight, cell.deter_in.bias)
        self.stoch_in = deferred_linear(cell.stoch_in.weight, cell.stoch_in.bias)
        self.more = [deferred_blocks(x.kernel, x.bias) for m in cell.more for x in (cast(BlockLinear, m),)]
        self.gates = deferred_blocks(cell.gates.kernel, cell.gates.bias)
        self.state_norm = side_by_side(cell.deter_norm, cell.stoch_norm)

    def action_part(self, action: Tensor) -> Tensor:
        """What an action adds inside the first block layer, for a whole sequence at once: `[...,U]` to `[...,D]`."""
        assert self.cell.action_in is not None
        assert self.cell.action_norm is not None
        return nn.functional.linear(self.cell.action_norm(self.cell.action_in(action)), self.from_action, self.cell.mix.bias)

    def inputs(self, deter: Tensor, stoch_in: Tensor) -> Tensor:
        """Rows `[R,D]` and projected stoch `[R,hidden]` to the two input groups `[R,2,hidden]`."""
        return self.state_norm(torch.stack((self.deter_in(deter), stoch_in), dim=1))

    def message_input(self, deter: Tensor, inputs: Tensor) -> Tensor:
        """What an agent offers to the others, `[R,hidden]`: its own deter as the cell reads it."""
        return inputs[:, 0]

    def __call__(self, deter: Tensor, inputs: Tensor, action_part: Tensor | None, message: Tensor | None) -> Tensor:
        """The next deter.

        Args:
            deter: `[R,D]`, float32.
            inputs: From `inputs`, `[R,2,hidden]`.
            action_part: From `action_part`, `[R,D]`; None where there are no actions.
            message: `[R,hidden]`, None where there is none.

        Returns:
            `[R,D]`, float32.
        """
        base = self.cell.mix.bias if action_part is None else action_part
        if message is not None and self.from_message is not None:
            base = self.from_message(message, base)
        shared = self.state(inputs.flatten(1), base)
        own = to_blocks(deter, self.blocks)
        h = self.cell.norm.in_blocks(self.own(own, to_blocks(shared, self.blocks)))
        for layer, norm in zip(self.more, self.cell.more_norms, strict=True):
            h = cast(SiLUNorm, norm).in_blocks(layer(h))
        return from_blocks(gated(self.gates(h), own))


def _dense(kernel: Tensor) -> Tensor:
    """The part of a block kernel `[blocks,rows,size]` whose input all blocks share, as one weight `[blocks*size,rows]`."""
    return kernel.permute(0, 2, 1).flatten(0, 1)
