"""The recurrent core: one step from (deter, stoch, action, message) to the next deter, a GRU whose inner layers are block-diagonal.

Inputs go through Linear, RMS norm and SiLU to `hidden` each. The first block layer sees, in every block, that block's slice of deter
and all inputs. The inputs are the same for every block, so their part is one dense product (`shared_*`), and only deter's part is
block-diagonal (`own`): the same numbers without repeating the inputs for each block. Then, block by block,

    reset, candidate, update = split(BlockLinear(h))        h = silu(norm(own deter + shared inputs + bias))
    deter' = u * tanh(sigmoid(reset) * candidate) + (1 - u) * deter,   u = sigmoid(update - 1)

(Hafner et al., "Mastering diverse domains through world models", 2023). Rows `R` are scenes, or scenes x agents.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from twm_rssm.block_linear import BlockLinear, dense, from_blocks, init_weight, to_blocks
from twm_rssm.norm import NormSiLU


class _Gates(torch.autograd.Function):
    """The gate arithmetic with a hand-written backward pass: autograd would build full-size zeros for each of the three slices."""

    @staticmethod
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def forward(ctx: Any, gates: Tensor, deter: Tensor) -> Tensor:
        reset, candidate, update = gates.float().chunk(3, dim=-1)
        reset = reset.sigmoid()
        update = (update - 1).sigmoid_()
        # tanh(x) = 2 sigmoid(2x) - 1, because tanh takes six times as long as sigmoid on the CPU.
        value = (reset * candidate).mul_(2).sigmoid_().mul_(2).sub_(1)
        ctx.save_for_backward(reset, candidate, update, value, deter)
        ctx.dtype = gates.dtype
        return torch.lerp(deter, value, update)

    @staticmethod
    @once_differentiable
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        reset, candidate, update, value, deter = ctx.saved_tensors
        to_value = grad * update
        out = torch.empty((*reset.shape[:-1], 3 * reset.shape[-1]), dtype=torch.float32, device=grad.device)
        to_reset, to_candidate, to_update = out.chunk(3, dim=-1)
        # d sigmoid and d tanh are written through the saved outputs.
        torch.mul(value - deter, grad, out=to_update)
        to_update.copy_(torch.ops.aten.sigmoid_backward(to_update, update))
        inner = torch.ops.aten.tanh_backward(to_value, value)
        torch.mul(inner, reset, out=to_candidate)
        to_reset.copy_(torch.ops.aten.sigmoid_backward(inner.mul_(candidate), reset))
        return out.to(ctx.dtype), grad - to_value


class Cell(nn.Module):
    """One step of the deterministic part.

    Args:
        deter: Width of the deterministic state.
        stoch: Width of the flattened stochastic state.
        action: Width of an action; 0 for no actions (there is no action input then).
        message: Whether there is a message of width `hidden` from other agents.
        hidden: Width of each input group.
        blocks: Blocks of the core; divides `deter`.
        layers: Block layers before the gates.
        eps: Of the norms.
    """

    def __init__(self, *, deter: int, stoch: int, action: int, message: bool, hidden: int, blocks: int, layers: int, eps: float) -> None:
        super().__init__()
        self.blocks = blocks
        size = deter // blocks
        fan_in = blocks * (size + hidden * (2 + (action > 0) + message))
        self.deter_in = dense(deter, hidden)
        self.stoch_in = dense(stoch, hidden)
        self.state_norm = NormSiLU(2, hidden, eps=eps)
        self.own = nn.Parameter(torch.empty(blocks, size, size))
        init_weight(self.own.data, fan_in)
        self.shared_state = dense(2 * hidden, deter, fan_in=fan_in)  # carries the bias of the whole layer
        self.action_in = dense(action, hidden) if action else None
        self.action_norm = NormSiLU(hidden, eps=eps) if action else None
        self.shared_action = dense(hidden, deter, bias=False, fan_in=fan_in) if action else None
        self.shared_message = dense(hidden, deter, bias=False, fan_in=fan_in) if message else None
        self.norm = NormSiLU(deter, eps=eps)
        self.more = nn.ModuleList(BlockLinear(deter, deter, blocks=blocks) for _ in range(layers - 1))
        self.more_norms = nn.ModuleList(NormSiLU(deter, eps=eps) for _ in range(layers - 1))
        self.gates = BlockLinear(deter, 3 * deter, blocks=blocks)

    def action_part(self, action: Tensor) -> Tensor:
        """What an action adds inside the first block layer, for a whole sequence at once: `[...,U]` to `[...,D]`."""
        assert self.action_in is not None
        assert self.action_norm is not None
        assert self.shared_action is not None
        action = action.float()
        action = action / action.abs().clamp_min(1).detach()
        return self.shared_action(self.action_norm(self.action_in(action))) + self.shared_state.bias

    def inputs(self, deter: Tensor, stoch_in: Tensor) -> Tensor:
        """Rows `[R,D]` and projected stoch `[R,hidden]` to the two input groups `[R,2,hidden]`; group 0 is what agents offer."""
        return self.state_norm(torch.stack((self.deter_in(deter), stoch_in), dim=1))

    def forward(self, deter: Tensor, inputs: Tensor, action_part: Tensor | None, message: Tensor | None) -> Tensor:
        """The next deter.

        Args:
            deter: `[R,D]`, float32.
            inputs: From `inputs`, `[R,2,hidden]`.
            action_part: From `action_part`, `[R,D]`; None where there are no actions.
            message: `[R,hidden]`, None where there is none.

        Returns:
            `[R,D]`, float32.
        """
        base = self.shared_state.bias if action_part is None else action_part
        if message is not None and self.shared_message is not None:
            base = torch.addmm(base, message, self.shared_message.weight.t())
        shared = torch.addmm(base, inputs.flatten(1), self.shared_state.weight.t())
        own = to_blocks(deter, self.blocks)
        h = self.norm.in_blocks(torch.baddbmm(to_blocks(shared, self.blocks), own, self.own))
        for layer, norm in zip(self.more, self.more_norms, strict=True):
            h = cast(NormSiLU, norm).in_blocks(cast(BlockLinear, layer)(h))
        return from_blocks(_Gates.apply(self.gates(h), own))
