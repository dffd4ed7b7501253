"""A healthy optimizer (momentum), and what may be wrong with one."""

from __future__ import annotations

from typing import Any

import torch
from zoo_configs import ZooOptimizer

from twm_core.specs import OptimizerSpecs
from twm_core.training.optimizer import decay_groups


class Momentum(torch.optim.Optimizer):
    def __init__(self, config: ZooOptimizer, specs: OptimizerSpecs) -> None:
        super().__init__(decay_groups(specs.parameters, 0.0), {"lr": specs.lr})
        self.fault, self.own = config.fault, {}
        self.first = specs.lr

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        groups = self.param_groups[:1] if self.fault == "moves matrices only" else self.param_groups
        for group in groups:
            for p in group["params"]:
                if p.grad is None:
                    if self.fault == "decays what has no gradient":
                        p.mul_(0.99)
                    continue
                state = self.own.setdefault(p, {}) if self.fault == "keeps its moments to itself" else self.state[p]
                momentum = state.setdefault("momentum", torch.zeros_like(p))
                momentum.mul_(0.8).add_(p.grad)
                lr = self.first if self.fault == "has a rate of its own" else group["lr"]
                if self.fault == "draws noise":
                    momentum.add_(torch.randn(p.shape))
                p.add_(momentum, alpha=lr if self.fault == "climbs" else -lr)


def build(config: ZooOptimizer, specs: OptimizerSpecs) -> Momentum:
    return Momentum(config, specs)
