"""What changes while training: weights, their moving average, the optimizer's moments, the generators, the step.

`Trainer` holds all of it and can save and restore it, so that a resumed run goes on as if it had never stopped, bit for bit. The order of
the steps themselves stands in `twm_core.training.run`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor

from twm_core.checkpoint.files import TrainerState, load_model, load_trainer
from twm_core.checkpoint.manifest import verify_files
from twm_core.data.dataset import Dataset, Windows, to_device
from twm_core.data.windows.loader import TrainingBatches
from twm_core.errors import CheckpointError
from twm_core.nn.build import build_world_model
from twm_core.nn.world_model import WorldModel
from twm_core.recipe.assembly import Plan
from twm_core.training.optimizer import MovingAverage, make_optimizer
from twm_core.training.optimizer_state import Kept, group_values, has_modes, optimizer_state, restore_optimizer, set_mode

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
        self.optimizer = make_optimizer(self.model, plan)
        self._built = deepcopy(group_values(self.optimizer))
        self._unrecorded = False
        set_mode(self.optimizer, training=True)
        self.average = MovingAverage(self.model, config.ema) if config.ema else None
        self.batches = TrainingBatches(windows, batch=config.batch, seed=config.seed, augment=dataset.augment)
        self.generator = torch.Generator(device=device).manual_seed(config.seed)
        self.step = 0
        self.best: float | None = None
        self.metrics: dict[str, float] = {}

    def collect_statistics(self) -> None:
        """Show the normalizers some training batches, before the first step."""
        for k in range(min(_STATISTICS_BATCHES, 1 + len(self.batches.windows) // self.config.batch)):
            self.model.collect_statistics(to_device(self.batches[k], self.device))

    def weights(self) -> dict[str, Tensor]:
        """The weights to use: the moving average where there is one, otherwise those for evaluation where the optimizer has such."""
        if not self._keeps_raw:
            return self.model.state_dict()
        with self.evaluating() as model:
            return {k: v.detach().clone() for k, v in model.state_dict().items()}

    def saved(self) -> TrainerState:
        """What a resumed run needs in addition to the weights.

        Raises:
            CheckpointError: The optimizer keeps something that a checkpoint cannot hold.
        """
        tensors, kept = self.optimizer_state()
        tensors["generator.samples"] = self.generator.get_state()
        tensors["generator.torch"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["generator.cuda"] = torch.cuda.get_rng_state(self.device)
        if self._keeps_raw:
            tensors |= {f"raw.{n}": p for n, p in self.model.named_parameters()}
        return TrainerState(tensors, {"step": self.step, "best": self.best, "metrics": self.metrics, "optimizer": kept})

    def optimizer_state(self) -> tuple[dict[str, Tensor], Kept]:
        """What the optimizer keeps.

        Raises:
            CheckpointError: A checkpoint cannot hold it.
        """
        return optimizer_state(self.model, self.optimizer, whose=self.plan.one("optimizer").whose, built=self._built)

    def restore(self, folder: Path, *, same_optimizer: bool = True) -> None:
        """Continue from a checkpoint.

        Args:
            folder: The checkpoint.
            same_optimizer: Whether its optimizer is that of the plan; another one starts afresh.

        Raises:
            CheckpointError: It is damaged or belongs to another recipe.
        """
        manifest = verify_files(folder)
        state = load_trainer(folder, self.plan, manifest)
        load_model(folder, self.plan, self.model, manifest)
        tensors = dict(state.tensors)
        parameters = dict(self.model.named_parameters())
        if self.average is not None:
            self.average.values = {n: p.detach().clone() for n, p in parameters.items()}
        raw = {n: tensors[f"raw.{n}"] for n in parameters if f"raw.{n}" in tensors}
        self._put(raw)
        bad = [n for n, p in parameters.items() if not bool(torch.isfinite(p).all())]
        if bad:
            raise CheckpointError(f"checkpoint {folder} holds parameters that are not finite, such as {bad[0]}", "use another checkpoint")
        if same_optimizer:
            restore_optimizer(self.model, self.optimizer, tensors, state.scalars.get("optimizer"))
            self._unrecorded = "optimizer" not in state.scalars
        self.generator.set_state(tensors["generator.samples"].cpu())
        torch.set_rng_state(tensors["generator.torch"].cpu())
        if self.device.type == "cuda" and "generator.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["generator.cuda"].cpu(), self.device)
        self.step, self.best, self.metrics = int(state.scalars["step"]), state.scalars["best"], dict(state.scalars["metrics"])

    def check_optimizer(self) -> None:
        """After the first step of a process: refuse an optimizer that cannot be saved, before there is anything to lose.

        Raises:
            CheckpointError: A checkpoint cannot hold what it keeps, or the one that was resumed from is of an earlier version of twm,
                which did not save it.
        """
        _, kept = self.optimizer_state()
        if self._unrecorded and (kept["state"] or kept["own"] or any(kept["groups"])):
            raise CheckpointError(
                f"the checkpoint was written by a version of twm that did not save all that {self.plan.one('optimizer').whose} keeps",
                "train from the start in another --run folder",
            )

    @contextmanager
    def evaluating(self) -> Generator[WorldModel]:
        """The model with the weights to use, in evaluation mode; the weights that are trained are put back exactly."""
        raw = {n: p.detach().clone() for n, p in self.model.named_parameters()} if self._keeps_raw else {}
        set_mode(self.optimizer, training=False)
        self._put(self.average.values if self.average else {})
        self.model.eval()
        try:
            yield self.model
        finally:
            set_mode(self.optimizer, training=True)
            self._put(raw)
            self.model.train()

    @property
    def _keeps_raw(self) -> bool:
        """Whether the weights to use are others than those that are trained."""
        return self.average is not None or has_modes(self.optimizer)

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        parameters = dict(self.model.named_parameters())
        for name, value in values.items():
            parameters[name].copy_(value)
