"""The steps of a training, top to bottom: read batch, forward, backward, clip, update; then log, validate and save where it is due.

Ctrl-C and the other signals of `twm_core.training.stopping` finish the step, save and return; a kill leaves the last complete checkpoint.
What changes while training, and how it is saved and restored, is in `twm_core.training.trainer`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from twm_core.checkpoint.files import remove_old, save_checkpoint, writing
from twm_core.checkpoint.manifest import RunFolder
from twm_core.data.dataset import Batch, to_device
from twm_core.data.windows.loader import read_ahead
from twm_core.plugin.registry import Registry
from twm_core.recipe.assembly import Plan
from twm_core.reporting import Reporter
from twm_core.training.attribution import Owners, naming
from twm_core.training.curves import Curves
from twm_core.training.finite import check_gradient, check_loss, check_weights, diverged_remedy
from twm_core.training.optimizer import learning_rate
from twm_core.training.precision import clip_gradient, losses
from twm_core.training.scheduled_sampling import share_at, withhold
from twm_core.training.stopping import stop_on_signals
from twm_core.training.trainer import Trainer
from twm_core.training.validation import Validation


class Loop:
    """Does the steps of a run that has been prepared.

    Args:
        plan: What is trained.
        registry: Its hooks observe the run.
        folder: The run folder.
        trainer: What changes while training.
        validate: Validates the weights to use.
        curves: Where numbers are logged.
        reporter: Hears about progress.
        facts: Entries of every manifest.
        saved_at: The step of the newest checkpoint, -1 where there is none.

    Attributes:
        owned: The components behind objects, for errors.
        waiting: The share of the loop's time that was spent waiting for data.
    """

    def __init__(
        self,
        plan: Plan,
        registry: Registry,
        folder: RunFolder,
        trainer: Trainer,
        validate: Validation,
        curves: Curves,
        reporter: Reporter,
        facts: Mapping[str, Any],
        *,
        saved_at: int,
    ) -> None:
        self.plan, self.config, self.registry, self.folder, self.trainer = plan, plan.training, registry, folder, trainer
        self.validate, self.curves, self.reporter, self.facts = validate, curves, reporter, facts
        self.saved_at = saved_at
        self.owned: Owners = {}
        self.waiting = 0.0
        self.remedy = partial(diverged_remedy, folder, plan.training.lr)

    def run(self) -> str:
        """Do all steps that are left; returns `completed` or `interrupted`.

        Raises:
            CheckpointError: A checkpoint cannot be written, or cannot hold what the optimizer keeps.
            DataError: A batch cannot be read, or a number is no longer finite.
            PluginError: A component called `sys.exit`.
        """
        config, trainer, begun, reason = self.config, self.trainer, time.perf_counter(), "completed"
        ahead = read_ahead(trainer.batches, trainer.step, config.steps, workers=config.workers, prefetch=config.prefetch)
        trainer.model.train()
        with stop_on_signals() as stop, naming(self.owned, partial(last_checkpoint, self.folder)):
            try:
                with ahead as stream:
                    first = True
                    while trainer.step < config.steps:
                        values = self._update(next(stream))
                        if first:
                            trainer.check_optimizer()
                            first = False
                        stopping = stop.is_set()
                        self._after(values, stopping=stopping)
                        self.reporter.progress(trainer.step, config.steps, _headline(trainer.metrics))
                        if stopping and trainer.step < config.steps:
                            reason = "interrupted"
                            break
                    self.waiting = round(stream.waited / max(time.perf_counter() - begun, 1e-9), 4)
            except KeyboardInterrupt:
                self.reporter.note(f"interrupted at once; {last_checkpoint(self.folder)}")
                raise
            finally:
                self.reporter.finish()
                with writing(self.folder, f"curves in {self.folder.path}"):
                    self.curves.close()
            if self.saved_at != trainer.step:
                self._save(best=False)
        self.registry.notify("twm_run_finished", run=str(self.folder.path), step=trainer.step, reason=reason)
        return reason

    def _update(self, read: Batch) -> dict[str, float] | None:
        """One step; returns the numbers to log where they are due."""
        config, trainer = self.config, self.trainer
        lr = learning_rate(config, trainer.step)
        for group in trainer.optimizer.param_groups:
            group["lr"] = lr
        batch = to_device(read, trainer.device)
        share = share_at(config, trainer.step)
        withheld = withhold(batch, share, agents=self.plan.latent.layout != "scene", generator=trainer.generator)
        total, terms = losses(trainer.model, config, trainer.device, batch, trainer.generator, trainer.step, withheld)
        trainer.optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = clip_gradient(trainer.optimizer, config.clip) if config.clip else None
        check_loss(total, terms, trainer.step, self.remedy)
        if norm is not None:
            check_gradient(norm, self.plan, trainer.model, trainer.step, self.remedy)
        trainer.optimizer.step()
        trainer.step += 1
        if trainer.average is not None:
            trainer.average.update(trainer.model, trainer.step)
        if trainer.step % config.log_every and trainer.step != config.steps:
            return None
        values = {"train.loss": float(total.detach()), **{f"train.{k}": float(v.detach()) for k, v in terms.items()}, "train.lr": lr}
        if norm is not None:
            values["train.gradient_norm"] = float(norm)
        if config.scheduled_sampling:
            values["train.withheld"] = share
        return values

    def _after(self, values: Mapping[str, float] | None, *, stopping: bool) -> None:
        """Log, validate and save after a step, where it is due."""
        config, trainer = self.config, self.trainer
        last = trainer.step == config.steps
        if values is not None:
            self._log(values)
        better = False
        if trainer.step % config.validate_every == 0 or last:
            with trainer.evaluating() as evaluated:
                found = self.validate(evaluated)
            # A world model is used for futures: whether one of them is right says more than their mean, and for
            # deterministic dynamics it is the same.
            value = found.get("val.minade", found["val.loss"])
            self._log(found)
            better = trainer.best is None or value < trainer.best
            trainer.best = value if better else trainer.best
        if trainer.step % config.checkpoint_every == 0 or last or stopping or better:
            self._save(best=better)

    def _log(self, values: Mapping[str, float]) -> None:
        self.trainer.metrics.update(values)
        with writing(self.folder, f"curves in {self.folder.path}"):
            self.curves.add(self.trainer.step, values)
        self.registry.notify("twm_step_finished", run=str(self.folder.path), step=self.trainer.step, metrics=values)

    def _save(self, *, best: bool) -> None:
        trainer, run = self.trainer, self.folder.path
        check_weights(self.plan, trainer.model, trainer.step, self.remedy)
        with writing(self.folder, f"curves in {run}"):
            self.curves.flush()
        path = save_checkpoint(
            self.folder,
            plan=self.plan,
            model=trainer.weights(),
            trainer=trainer.saved(),
            step=trainer.step,
            facts={**self.facts, "metrics": trainer.metrics},
            best=best,
        )
        with writing(self.folder, f"checkpoints in {run}"):
            remove_old(self.folder, self.config.keep)
        self.saved_at = trainer.step
        self.registry.notify("twm_checkpoint_saved", run=str(run), step=trainer.step, path=str(path))


def last_checkpoint(folder: RunFolder) -> str:
    """What is left to a user after an error: the last checkpoint, and the command that goes on from it."""
    last = folder.newest()
    if last is None:
        return "there is no checkpoint yet"
    return f"the last good checkpoint is {folder.checkpoints / last}: go on with --resume"


def _headline(metrics: Mapping[str, float]) -> dict[str, float]:
    names = ("train.loss", "val.ade", "val.minade", "val.skill")
    return {n.removeprefix("train."): metrics[n] for n in names if n in metrics}
