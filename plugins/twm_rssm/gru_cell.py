"""The dense recurrent core of early DreamerV3: one step from (deter, stoch, action, message) to the next deter.

    x = silu(norm(W [stoch, action, message]))             further layers x = silu(norm(W x)) where asked for
    deter' = gated(norm(V [deter, x]), deter)               gates.py

(Hafner et al., "Mastering diverse domains through world models", 2023, first release.) The norm stands on the gates' pre-activations.
The first layer is a sum of one part for each input, so that the action's is made for the whole sequence at once; an early model without
message has the numbers of the original. Rows `R` are scenes, or scenes x agents.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from twm_core.nn.linear import dense
from twm_rssm.deferred import deferred_linear
from twm_rssm.gates import gated
from twm_rssm.norms import NormKind, norm_layer, norm_silu_layer


class GRUCell(nn.Module):
    """The parameters of the deterministic part; the same doors as `cell.Cell`.

    Args:
        deter: Width of the deterministic state.
        stoch: Width of the flattened stochastic state.
        action: Width of an action; 0 for no actions (there is no action input then).
        message: Whether there is a message of width `hidden` from other agents.
        hidden: Width of the layers before the gates.
        layers: Layers before the gates.
        norm: Kind of the norms.
        eps: Of the norms.
    """

    def __init__(self, *, deter: int, stoch: int, action: int, message: bool, hidden: int, layers: int, norm: NormKind, eps: float) -> None:
        super().__init__()
        bias = norm == "rms"
        fan_in = stoch + action + hidden * message
        self.stoch_in = dense(stoch, hidden, bias=bias, fan_in=fan_in)
        self.action_in = dense(action, hidden, bias=False, fan_in=fan_in) if action else None
        self.message_in = dense(hidden, hidden, bias=False, fan_in=fan_in) if message else None
        self.norm = norm_silu_layer(norm, hidden, eps=eps)
        self.more = nn.ModuleList(dense(hidden, hidden, bias=bias) for _ in range(layers - 1))
        self.more_norms = nn.ModuleList(norm_silu_layer(norm, hidden, eps=eps) for _ in range(layers - 1))
        self.gates = dense(deter + hidden, 3 * deter, bias=bias)
        self.gates_norm = norm_layer(norm, 3 * deter, eps=eps)
        self.deter_in = dense(deter, hidden, bias=bias) if message else None
        self.deter_norm = norm_silu_layer(norm, hidden, eps=eps) if message else None

    def begin(self) -> GRUStep:
        """What makes the steps of one sequence."""
        return GRUStep(self)


class GRUStep:
    """The core over one sequence; the same doors as `cell.Step`.

    Args:
        cell: Its parameters.
    """

    def __init__(self, cell: GRUCell) -> None:
        self.cell = cell
        self.stoch_in = deferred_linear(cell.stoch_in.weight, cell.stoch_in.bias)
        self.more = [deferred_linear(x.weight, x.bias) for m in cell.more for x in (cast(nn.Linear, m),)]
        self.gates = deferred_linear(cell.gates.weight, cell.gates.bias)
        self.message_in = None if cell.message_in is None else deferred_linear(cell.message_in.weight)
        self.deter_in = None if cell.deter_in is None else deferred_linear(cell.deter_in.weight, cell.deter_in.bias)

    def action_part(self, action: Tensor) -> Tensor:
        """What an action adds inside the first layer, for a whole sequence at once: `[...,U]` to `[...,hidden]`."""
        assert self.cell.action_in is not None
        return self.cell.action_in(action)

    def inputs(self, deter: Tensor, stoch_in: Tensor) -> Tensor:
        """What the step reads beside deter: the projected stoch `[R,hidden]` itself."""
        return stoch_in

    def message_input(self, deter: Tensor, inputs: Tensor) -> Tensor:
        """What an agent offers to the others, `[R,hidden]`."""
        assert self.deter_in is not None
        assert self.cell.deter_norm is not None
        return self.cell.deter_norm(self.deter_in(deter))

    def __call__(self, deter: Tensor, inputs: Tensor, action_part: Tensor | None, message: Tensor | None) -> Tensor:
        """The next deter.

        Args:
            deter: `[R,D]`, float32.
            inputs: From `inputs`, `[R,hidden]`.
            action_part: From `action_part`, `[R,hidden]`; None where there are no actions.
            message: `[R,hidden]`, None where there is none.

        Returns:
            `[R,D]`, float32.
        """
        x = inputs if action_part is None else inputs + action_part
        if message is not None and self.message_in is not None:
            x = self.message_in(message, x)
        x = self.cell.norm(x)
        for layer, norm in zip(self.more, self.cell.more_norms, strict=True):
            x = norm(layer(x))
        return gated(self.cell.gates_norm(self.gates(torch.cat((deter, x), dim=-1)).float()), deter)
