"""A healthy loss on predicted states, and what may be wrong with one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor
from zoo_configs import ZooLoss

from twm_core.nn.interfaces import Loss, Outputs
from twm_core.specs import LossSpecs


class ZooLossModel(Loss):
    def __init__(self, config: ZooLoss, specs: LossSpecs) -> None:
        super().__init__()
        self.fault = config.fault
        state = specs.obs_spec.get("agents.state")
        self.columns = [state.index(n) for n in specs.output.get("agents.state").features]

        self.elsewhere = False

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.elsewhere = True  # moved to a device, be it to the same one
        return super()._apply(fn, recurse)

    def forward(self, outputs: Outputs, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        exists = batch["agents.exists"]
        mask = exists.unsqueeze(-1)
        truth = torch.where(mask, batch["agents.state"][..., self.columns], 0)
        if self.fault == "writes into the batch":
            batch["agents.state"].mul_(2)
        branch = outputs.reconstruction if self.fault == "reads another branch" else outputs.prediction
        error = branch["agents.state"].error(truth)
        if self.fault == "trains nothing":
            error = error.detach()
        if self.fault == "takes the root of zero":
            error = error * mask
        elif self.fault != "counts absent agents":
            error = torch.where(mask, error, 0)
        square = error.square()
        if self.fault == "weighs rows by their number":
            square = square * torch.arange(1, len(square) + 1).reshape(-1, 1, 1, 1)
        if self.fault == "weighs slots by their number":
            square = square * torch.arange(1, square.shape[2] + 1)[:, None]
        if self.fault == "draws from the global generator":
            square = square * torch.rand(())
        count = torch.ones_like(exists).sum() if self.fault == "averages over slots" else exists.sum()
        if self.fault != "divides by nobody":
            count = count.clamp_min(1)
        total = square.sum() / count
        if self.fault == "takes the root of zero":
            total = square.sum(dim=-1).sqrt().sum() / count
        if self.fault == "computes otherwise elsewhere" and self.elsewhere:
            total = 1.1 * total
        if self.fault == "has the wrong sign":
            total = -total
        if self.fault == "forgets to average":
            return {"state": square.mean(dim=(1, 2, 3))}
        return {} if self.fault == "returns nothing" else {"state": total}


def build(config: ZooLoss, specs: LossSpecs) -> ZooLossModel:
    return ZooLossModel(config, specs)
