"""LaProp with adaptive gradient clipping: DreamerV3's optimizer.

For every tensor p with gradient g at update t (Ziyin, Wang & Ueda, "LaProp", 2020; clipping after Brock et al., "NFNets", 2021, with one
norm for the whole tensor):

    g  <- g * min(1, agc * max(floor, |p|) / |g|)             floor = 1e-3
    v  <- b2 v + (1 - b2) g^2
    m  <- b1 m + (1 - b1) g / (sqrt(v / (1 - b2^t)) + eps)
    p  <- p - lr * (m / (1 - b1^t) + weight_decay * p)

Adam normalizes the momentum; LaProp takes the momentum of normalized gradients, so that eps can be tiny.

On the CPU every tensor is worked through in pieces that stay in the cache, all operations on one piece before the next; elsewhere in
a few operations over all tensors, without asking the device for a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor

from twm_core.specs import OptimizerSpecs
from twm_core.training.optimizer import decay_groups
from twm_optimizers.config import LaPropConfig

FLOOR = 1e-3
"""Least norm of a parameter that clipping reckons with, so that tensors that begin at zero can move."""

_PIECE = 1 << 16


class LaProp(torch.optim.Optimizer):
    """See the module.

    Args:
        params: Parameters or groups.
        lr: Learning rate.
        betas: Decay of the momentum, decay of the squares.
        eps: Added to the root of the mean square.
        weight_decay: Decoupled decay.
        agc: Largest ratio of the norm of a gradient to that of its tensor; 0 switches clipping off.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-20,
        weight_decay: float = 0.0,
        agc: float = 0.3,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "agc": agc})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for p in params:
                if not self.state[p]:
                    # The counter is a tensor beside the moments, so that all of them are saved alike.
                    self.state[p].update(step=torch.zeros(()), square=torch.zeros_like(p), momentum=torch.zeros_like(p))
                self.state[p]["step"] += 1
            grads = [p.grad for p in params]
            scales = clip_scales(params, grads, group["agc"]) if group["agc"] else None
            update = _in_pieces if params[0].device.type == "cpu" else _together
            update(params, grads, scales, [self.state[p] for p in params], group)
        return loss


def clip_scales(params: list[Tensor], grads: list[Tensor], agc: float) -> Tensor:
    """The factor by which each gradient is to be multiplied, one for each tensor, at most 1."""
    sizes = torch.stack(torch._foreach_norm(params)).clamp_min(FLOOR)
    norms = torch.stack(torch._foreach_norm(grads))
    return (agc * sizes / norms.clamp_min(1e-30)).clamp_max(1.0)


def clip_adaptively(params: Iterable[Tensor], agc: float) -> None:
    """Scale the gradients in place, each tensor by its own factor, for optimizers that do not clip themselves."""
    having = [p for p in params if p.grad is not None]
    if having:
        grads = [p.grad for p in having if p.grad is not None]
        torch._foreach_mul_(grads, list(clip_scales(having, grads, agc).unbind()))


def build(config: LaPropConfig, specs: OptimizerSpecs) -> LaProp:
    """LaProp over the parameters of the world model."""
    return LaProp(decay_groups(specs.parameters, config.weight_decay), lr=specs.lr, agc=config.agc)


def _in_pieces(params: list[Tensor], grads: list[Any], scales: Tensor | None, states: list[dict[str, Tensor]], group: Any) -> None:
    (b1, b2), lr, eps, decay = group["betas"], group["lr"], group["eps"], group["weight_decay"]
    factors = [1.0] * len(params) if scales is None else scales.tolist()
    space = params[0].new_empty(_PIECE)
    for p, g, state, s in zip(params, grads, states, factors, strict=True):
        t = float(state["step"])
        first, second = 1 - b1**t, 1 - b2**t
        if not p.is_contiguous():  # a convolution kernel in channels-last order
            _together([p], [g], None if scales is None else scales.new_tensor([s]), [state], group)
            continue
        tensors = (p, g.contiguous(), state["square"], state["momentum"])
        for p_, g_, v, m in zip(*(_pieces(x) for x in tensors), strict=True):
            v.mul_(b2).addcmul_(g_, g_, value=(1 - b2) * s * s)
            root = torch.mul(v, 1 / second, out=space[: v.numel()]).sqrt_().add_(eps)
            m.mul_(b1).addcdiv_(g_, root, value=(1 - b1) * s)
            if decay:
                p_.mul_(1 - lr * decay)
            p_.add_(m, alpha=-lr / first)


def _pieces(x: Tensor) -> tuple[Tensor, ...]:
    """Views of a tensor; their memory order is of no matter, as long as all tensors of one parameter have the same."""
    return x.view(-1).split(_PIECE)


def _together(params: list[Tensor], grads: list[Any], scales: Tensor | None, states: list[dict[str, Tensor]], group: Any) -> None:
    (b1, b2), lr, eps, decay = group["betas"], group["lr"], group["eps"], group["weight_decay"]
    if scales is not None:
        grads = list(torch._foreach_mul(grads, list(scales.unbind())))
    squares, momenta = [s["square"] for s in states], [s["momentum"] for s in states]
    steps = [float(s["step"]) for s in states]
    torch._foreach_mul_(squares, b2)
    torch._foreach_addcmul_(squares, grads, grads, 1 - b2)
    roots = torch._foreach_div(squares, [1 - b2**t for t in steps])
    torch._foreach_sqrt_(roots)
    torch._foreach_add_(roots, eps)
    torch._foreach_mul_(momenta, b1)
    torch._foreach_addcdiv_(momenta, grads, roots, 1 - b1)
    if decay:
        torch._foreach_mul_(params, 1 - lr * decay)
    torch._foreach_add_(params, torch._foreach_mul(momenta, [-lr / (1 - b1**t) for t in steps]))
