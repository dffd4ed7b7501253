"""What changes while training: weights, their moving average, the optimiser's moments, the generators, the step.

`Trainer` holds all of it and can save and restore it, so that a resumed run goes on as if it had never stopped, bit for bit. The order of
the steps themselves stands in `twm_core.training`.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from twm_core.assembly import Plan
from twm_core.checkpoint import TrainerState, load_model, load_trainer
from twm_core.data.dataset import Dataset, Windows, to_device
from twm_core.data.loader import TrainingBatches
from twm_core.errors import CheckpointError
from twm_core.manifest import verify_files
from twm_core.nn.build import build_world_model
from twm_core.nn.world_model import WorldModel
from twm_core.optimisation import MovingAverage, load_optimiser, make_optimiser, optimiser_tensors

_STATISTICS_BATCHES = 16


class Trainer:
    """Everything that changes while training, and how it is saved and restored.

    Args:
        plan: What to train.
        dataset: Augments the batches.
        windows: Its training windows.
        device: Where to compute.
    """

    def __init__(self, plan: Plan, dataset: Dataset, windows: Windows, device: torch.device) -> None:
        config = plan.training
        self.plan, self.config, self.device = plan, config, device
        self.model: WorldModel = build_world_model(plan, seed=config.seed).to(device)
        self.optimiser = make_optimiser(self.model, plan)
        self.average = MovingAverage(self.model, config.ema) if config.ema else None
        self.batches = TrainingBatches(windows, batch=config.batch, seed=config.seed, augment=dataset.augment)
        self.generator = torch.Generator(device=device).manual_seed(config.seed)
        self.step = 0
        self.best: float | None = None
        self.metrics: dict[str, float] = {}

    def collect_statistics(self) -> None:
        """Show the normalisers some training batches, before the first step."""
        for k in range(min(_STATISTICS_BATCHES, 1 + len(self.batches.windows) // self.config.batch)):
            self.model.collect_statistics(to_device(self.batches[k], self.device))

    def weights(self) -> dict[str, Tensor]:
        """The weights to use: the moving average where there is one."""
        return self.model.state_dict() | (self.average.values if self.average else {})

    def saved(self) -> TrainerState:
        """What a resumed run needs beside the weights."""
        tensors = optimiser_tensors(self.model, self.optimiser)
        tensors["generator.samples"] = self.generator.get_state()
        tensors["generator.torch"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["generator.cuda"] = torch.cuda.get_rng_state(self.device)
        if self.average is not None:
            tensors |= {f"raw.{n}": p for n, p in self.model.named_parameters()}
        return TrainerState(tensors, {"step": self.step, "best": self.best, "metrics": self.metrics})

    def restore(self, folder: Path) -> None:
        """Continue from a checkpoint.

        Raises:
            CheckpointError: It is damaged or belongs to another recipe.
        """
        manifest = verify_files(folder)
        state = load_trainer(folder, self.plan, manifest)
        load_model(folder, self.plan, self.model, manifest)
        tensors = dict(state.tensors)
        if self.average is not None:
            parameters = dict(self.model.named_parameters())
            self.average.values = {n: p.detach().clone() for n, p in parameters.items()}
            try:
                with torch.no_grad():
                    for n, p in parameters.items():
                        p.copy_(tensors[f"raw.{n}"])
            except KeyError as error:
                raise CheckpointError(
                    f"checkpoint {folder} was trained without a moving average", "resume with training.ema = 0"
                ) from error
        load_optimiser(self.model, self.optimiser, tensors)
        self.generator.set_state(tensors["generator.samples"].cpu())
        torch.set_rng_state(tensors["generator.torch"].cpu())
        if self.device.type == "cuda" and "generator.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["generator.cuda"].cpu(), self.device)
        self.step, self.best, self.metrics = int(state.scalars["step"]), state.scalars["best"], dict(state.scalars["metrics"])

    @contextmanager
    def evaluating(self) -> Generator[WorldModel]:
        """The model with the weights to use, in evaluation mode."""
        raw = {n: p.detach().clone() for n, p in self.model.named_parameters()} if self.average else {}
        self._put(self.average.values if self.average else {})
        self.model.eval()
        try:
            yield self.model
        finally:
            self._put(raw)
            self.model.train()

    @torch.no_grad()
    def _put(self, values: dict[str, Tensor]) -> None:
        parameters = dict(self.model.named_parameters())
        for name, value in values.items():
            parameters[name].copy_(value)
