"""Losses, gradients and weights that are no longer finite numbers end a training with one error that names what is not, and of whom."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from twm_core.checkpoint.files import SLOTS, prefix_of
from twm_core.checkpoint.manifest import RunFolder
from twm_core.errors import DataError
from twm_core.recipe.assembly import Plan

Remedy = Callable[[], str]


def diverged_remedy(folder: RunFolder, lr: float) -> str:
    """What to do about a run that diverged: go on from its last checkpoint, or start again where there is none."""
    lower = f"--training.lr {lr / 10:g}"
    last, run = folder.newest(), shlex.quote(str(folder.path))
    if last is None:
        return f"lower training.lr (add {lower}), or check the data; there is no checkpoint yet, so the run starts again"
    return f"lower training.lr, or check the data; {last} is from before: twm train --run {run} --resume {lower}"


def check_loss(total: Tensor, terms: Mapping[str, Tensor], step: int, remedy: Remedy) -> None:
    """Check the loss of a step before its update.

    Raises:
        DataError: A term or the total is not finite.
    """
    bad = [k for k, v in terms.items() if not bool(torch.isfinite(v))]
    if bad or not bool(torch.isfinite(total)):
        raise DataError(f"step {step + 1}: loss term {', '.join(bad) or 'total'} is not a finite number", remedy())


def check_gradient(norm: Tensor, plan: Plan, model: nn.Module, step: int, remedy: Remedy) -> None:
    """Check the gradient of a step before its update.

    Raises:
        DataError: Its norm is not finite; the message names a parameter and its component.
    """
    if bool(torch.isfinite(norm)):
        return
    bad = [n for n, p in model.named_parameters() if p.grad is not None and not bool(torch.isfinite(p.grad).all())]
    # The norm of a finite gradient can exceed what a float32 holds.
    where = f"that of {_named(bad[0], plan)}" + (f" and {len(bad) - 1} more" if len(bad) > 1 else "") if bad else "its norm"
    raise DataError(f"step {step + 1}: the gradient is not finite, though the loss is: {where}", remedy())


def check_weights(plan: Plan, model: nn.Module, step: int, remedy: Remedy) -> None:
    """Check the weights before they are saved.

    Raises:
        DataError: A parameter is not finite.
    """
    bad = [n for n, value in model.named_parameters() if not bool(torch.isfinite(value).all())]
    if bad:
        raise DataError(f"step {step}: {len(bad)} parameters are not finite, such as {_named(bad[0], plan)}; nothing was saved", remedy())


def _named(parameter: str, plan: Plan) -> str:
    for kind, parts in plan.parts.items():
        for part in parts:
            if kind in SLOTS and parameter.startswith(prefix_of(part)):
                return f"{parameter} of {part.whose}"
    return parameter
