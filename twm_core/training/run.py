"""Training of a run: what is checked and prepared before the first step. The steps themselves are in `twm_core.training.loop`.

Notable:
* a run folder belongs to one training at a time (`twm_core.training.run_claim`), and files of the user in it are never changed;
* the order of windows and the learning rate are pure functions of the step, all randomness comes from generators that are saved, so a
  resumed run ends with the weights of an uninterrupted one, bit for bit;
* a resumed run is compared with its checkpoint (`twm_core.training.resuming`);
* normalizers see training batches before the first step, and are part of the model;
* observers are called through hooks and cannot change anything.

A run has one process and one device.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from twm_core import atomic
from twm_core.checkpoint.files import writing
from twm_core.checkpoint.manifest import RunFolder, active_plugins, changed_plugins, read_manifest
from twm_core.data.windows.loader import evenly_spaced
from twm_core.devices import choose_device
from twm_core.errors import CheckpointError
from twm_core.nn.build import build_dataset
from twm_core.plugin.registry import Registry
from twm_core.recipe.assembly import Plan
from twm_core.reporting import Reporter
from twm_core.threads import use_threads
from twm_core.training.attribution import naming, owners
from twm_core.training.curves import Curves
from twm_core.training.finite import diverged_remedy
from twm_core.training.going_back import go_back
from twm_core.training.launchers import refuse_several_processes
from twm_core.training.loop import Loop, last_checkpoint
from twm_core.training.resuming import Change, check_changes, differences, elsewhere, record
from twm_core.training.run_claim import claimed, recipe_text
from twm_core.training.schedule_notes import schedule_notes
from twm_core.training.trainer import Trainer
from twm_core.training.validation import Validation


@dataclass(frozen=True)
class Former:
    """The checkpoint that a run goes on from.

    Attributes:
        path: Its folder.
        manifest: What it recorded.
        changes: What is otherwise now.
    """

    path: Path
    manifest: Mapping[str, Any]
    changes: list[Change] = field(default_factory=list)


def train(
    plan: Plan,
    registry: Registry,
    run: Path,
    *,
    resume: bool = False,
    start: str = "latest",
    accept_changes: bool = False,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Train a world model into a run folder.

    Args:
        plan: The assembled recipe.
        registry: Its hooks observe the run.
        run: The run folder; created if need be.
        resume: Continue from a checkpoint in it.
        start: Which one: `latest`, `best` or `step-N`. Later checkpoints are moved to a folder `aside-N` of the run.
        accept_changes: Continue though a value that decides results differs from what the checkpoint recorded.
        reporter: Hears about progress.

    Returns:
        JSON-able summary: run, step, reason (`completed` or `interrupted`), checkpoint, seconds, waiting (the share of the
        loop's time that was spent waiting for data), metrics. A run that has done all its steps is left as it is.

    Raises:
        BusyError: Another process trains in the folder.
        CheckpointError: There is a checkpoint and `resume` is false, or none and it is true; a value differs from what the checkpoint
            recorded; the run folder holds files of the user or cannot be written.
        DataError: The dataset cannot be read, or the loss, the gradient, the weights or the validation are no longer finite numbers.
        PluginError: A component called `sys.exit`.
        UsageError: A launcher started several processes.
    """
    reporter = reporter or Reporter()
    refuse_several_processes(os.environ)
    with claimed(run, resume=resume) as folder, naming({}, partial(last_checkpoint, folder)):
        former = _former(folder, plan, start, accept=accept_changes) if resume else None
        if former is not None and former.manifest["step"] == plan.training.steps:
            return _nothing_left(folder, former, plan, reporter)
        return _train(plan, registry, folder, former, reporter, accept=accept_changes)


def _former(folder: RunFolder, plan: Plan, start: str, *, accept: bool) -> Former:
    path = folder.find(start)
    try:
        manifest = read_manifest(path)
    except CheckpointError as error:
        raise elsewhere(error, folder, path.name) from error
    changes = differences(manifest, plan)
    check_changes(changes, reached=manifest["step"], steps=plan.training.steps, accept=accept)
    return Former(path, manifest, changes)


def _nothing_left(folder: RunFolder, former: Former, plan: Plan, reporter: Reporter) -> dict[str, Any]:
    """The summary of a run that has ended. Nothing is written."""
    step = former.manifest["step"]
    reporter.note(
        f"the run has already done all {step} steps of training.steps; give more to extend it, such as --training.steps {2 * step}"
    )
    return {
        "run": str(folder.path),
        "step": step,
        "reason": "completed",
        "checkpoint": str(former.path),
        "seconds": 0.0,
        "waiting": 0.0,
        "metrics": dict(former.manifest.get("metrics", {})),
    }


def _train(plan: Plan, registry: Registry, folder: RunFolder, former: Former | None, reporter: Reporter, *, accept: bool) -> dict[str, Any]:
    config, run = plan.training, folder.path
    started = time.monotonic()
    use_threads(config.threads, 0)
    torch.use_deterministic_algorithms(True, warn_only=True)
    device = choose_device(config.device)
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)

    dataset = build_dataset(plan)
    fingerprint = dataset.fingerprint()
    changes: list[Change] = []
    if former is not None:
        changes = differences(former.manifest, plan, fingerprint=fingerprint)
        check_changes(changes, reached=former.manifest["step"], steps=config.steps, accept=accept)
    windows, validation = dataset.windows("train"), dataset.windows("val")
    validate = Validation(
        registry,
        plan.obs_spec,
        validation,
        evenly_spaced(validation, config.validate_windows),
        batch=config.batch,
        device=device,
        samples=config.validate_samples,
        remedy=partial(diverged_remedy, folder, config.lr),
    )
    trainer = Trainer(plan, dataset, windows, device)
    parameters = sum(p.numel() for p in trainer.model.parameters())
    threads = use_threads(config.threads, parameters)
    for split, cut in (("train", windows), ("val", validation)):
        reporter.note(f"{split}: " + ", ".join(f"{v:,} {k}" for k, v in cut.report().items() if v))
    torch.manual_seed(config.seed)
    if former is None:
        trainer.collect_statistics()
    else:
        _restore(trainer, folder, former, changes)
        _explain(former, changes, plan, registry, reporter)
    with writing(folder, f"run folder {run}"):
        atomic.remove_unfinished(folder.path)
        atomic.remove_unfinished(folder.checkpoints)
        if former is not None:
            aside = go_back(folder, former.path.name)
            if aside is not None:
                reporter.note(f"later checkpoints, and copies of the curves and of the recipe, were moved to {aside}")
            _mend_best(trainer, folder, former, went_back=aside is not None)
        # First of all: its first line tells that what follows was written by training.
        atomic.write_text(folder.recipe, recipe_text(plan.resolved()))
        folder.checkpoints.mkdir(parents=True, exist_ok=True)
        curves = Curves(folder, step=trainer.step)
    on = f"{device}, {threads} thread{'s' if threads > 1 else ''}" if device.type == "cpu" else str(device)
    reporter.note(f"world model with {parameters:,} parameters on {on}")
    facts = {
        "parameters": parameters,
        "threads": threads,
        "seed": config.seed,
        "training": config.model_dump(mode="json"),
        "fusion": plan.fusion.model_dump(mode="json"),
        "dataset_sha256": fingerprint,
        "plugins": active_plugins(registry),
    }
    facts |= {"changes": found} if former is not None and (found := record(former.manifest, changes)) else {}
    registry.notify("twm_run_started", run=str(run), recipe=plan.resolved())
    loop = Loop(plan, registry, folder, trainer, validate, curves, reporter, facts, saved_at=trainer.step if former else -1)
    loop.owned = owners(plan, trainer.model, {"dataset": dataset, "optimizer": trainer.optimizer})
    reason = loop.run()
    return {
        "run": str(run),
        "step": trainer.step,
        "reason": reason,
        "checkpoint": str(folder.find("latest")),
        "seconds": round(time.monotonic() - started, 1),
        "waiting": loop.waiting,
        "metrics": dict(trainer.metrics),
    }


def _restore(trainer: Trainer, folder: RunFolder, former: Former, changes: list[Change]) -> None:
    try:
        trainer.restore(former.path, same_optimizer=not any(c.path == "optimizer.component" for c in changes))
    except CheckpointError as error:
        raise elsewhere(error, folder, former.path.name) from error


def _explain(former: Former, changes: list[Change], plan: Plan, registry: Registry, reporter: Reporter) -> None:
    manifest = former.manifest
    reporter.note(f"resumed at step {manifest['step']}")
    for change in changes:
        reporter.note(f"changed: {change}")
    for note in schedule_notes(manifest.get("training", {}), plan.training, manifest["step"]):
        reporter.note(note)
    others = changed_plugins(manifest, registry)
    if others:
        reporter.note(f"plugins have changed since: {'; '.join(others)}")
    if manifest.get("torch") not in (None, torch.__version__):
        reporter.note(f"torch was {manifest['torch']} and is {torch.__version__}: results may differ in the last bits")


def _mend_best(trainer: Trainer, folder: RunFolder, former: Former, *, went_back: bool) -> None:
    """Make `best` name a checkpoint again where it names none."""
    if trainer.best is None or folder.pointed("best") is not None:
        return
    if went_back:
        trainer.best = None  # the best one until then is not there any more: the next validation is the best one
    else:
        # A kill came between the first checkpoint and this pointer.
        atomic.write_text(folder.checkpoints / "best", former.path.name + "\n")
