"""Training, top to bottom: one step is read batch, forward, backward, clip, update.

Notable:
* the order of windows and the learning rate are pure functions of the step, all randomness comes from generators that are saved, so a
  resumed run ends with the weights of an uninterrupted one, bit for bit;
* normalisers see training batches before the first step, and are part of the model;
* Ctrl-C (or SIGTERM) finishes the step, saves and returns; a kill leaves the last complete checkpoint;
* observers are told through hooks and cannot change anything.

Built on lightning-fabric for devices and precision. What changes while training, and how it is saved and restored, stands in
`twm_core.trainer`. What it does not do: more than one process (yet).
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from twm_core import atomic
from twm_core.assembly import Plan
from twm_core.blame import naming, owners
from twm_core.checkpoint import remove_old, save_checkpoint, writing
from twm_core.curves import Curves
from twm_core.data.dataset import to_device
from twm_core.data.loader import evenly_spaced, read_ahead
from twm_core.devices import choose_device
from twm_core.errors import CheckpointError, DataError
from twm_core.manifest import RunFolder, active_plugins, changed_plugins, read_manifest
from twm_core.nn.build import build_dataset
from twm_core.nn.world_model import WorldModel
from twm_core.optimisation import learning_rate
from twm_core.recipe import to_toml
from twm_core.registry import Registry
from twm_core.reporting import Reporter
from twm_core.scheduled_sampling import share_at, withhold
from twm_core.threads import use_threads
from twm_core.trainer import Trainer
from twm_core.validation import Validation

_DIVERGED = "lower training.lr, or check the data; the last checkpoint is from before"


def train(plan: Plan, registry: Registry, run: Path, *, resume: bool = False, reporter: Reporter | None = None) -> dict[str, Any]:
    """Train a world model into a run folder.

    Args:
        plan: The assembled recipe.
        registry: Its hooks observe the run.
        run: The run folder; created if need be.
        resume: Continue from the latest checkpoint in it.
        reporter: Hears about progress.

    Returns:
        JSON-able summary: run, step, reason (`completed` or `interrupted`), checkpoint, seconds, waiting (the share of the
        loop's time that was spent waiting for data), metrics.

    Raises:
        CheckpointError: There is a checkpoint and `resume` is false, or none and it is true, or the run folder cannot be written.
        DataError: The dataset cannot be read, or the loss, the gradient, the weights or the validation are no longer finite numbers.
    """
    reporter = reporter or Reporter()
    folder, config = RunFolder(run), plan.training
    if folder.names() and not resume:
        raise CheckpointError(f"run folder {run} already has checkpoints", "continue it with --resume, or choose another --run folder")
    if resume and not folder.names():
        raise CheckpointError(f"run folder {run} has no complete checkpoint", "leave --resume out to train it from the start")
    started = time.monotonic()
    use_threads(config.threads, 0)
    torch.use_deterministic_algorithms(True, warn_only=True)
    device = choose_device(config.device)
    fabric = Fabric(accelerator=device.type, devices=[device.index or 0] if device.type == "cuda" else 1, precision=config.precision)
    fabric.launch()

    dataset = build_dataset(plan)
    windows, validation = dataset.windows("train"), dataset.windows("val")
    shown = evenly_spaced(validation, config.validate_windows)
    validate = Validation(registry, plan.seen, validation, shown, batch=config.batch, device=device, samples=config.validate_samples)
    trainer = Trainer(plan, dataset, windows, device)
    parameters = sum(p.numel() for p in trainer.model.parameters())
    threads = use_threads(config.threads, parameters)
    for split, cut in (("train", windows), ("val", validation)):
        reporter.note(f"{split}: " + ", ".join(f"{v:,} {k}" for k, v in cut.report().items() if v))
    torch.manual_seed(config.seed)
    former = folder.find("latest") if resume else None
    if former is not None:
        trainer.restore(former)
        reporter.note(f"resumed at step {trainer.step}")
        changes = changed_plugins(read_manifest(former), registry)
        if changes:
            reporter.note(f"plugins have changed since: {'; '.join(changes)}")
    else:
        trainer.collect_statistics()
    with writing(folder, f"run folder {run}"):
        folder.checkpoints.mkdir(parents=True, exist_ok=True)
        atomic.remove_unfinished(folder.path)
        atomic.remove_unfinished(folder.checkpoints)
        if former is not None and trainer.best is not None and folder.pointed("best") is None:
            # A kill came between the first checkpoint and this pointer.
            atomic.write_text(folder.checkpoints / "best", former.name + "\n")
        atomic.write_text(folder.recipe, to_toml(plan.resolved()))
        curves = Curves(folder, step=trainer.step)
    on = f"{device}, {threads} thread{'s' if threads > 1 else ''}" if device.type == "cpu" else str(device)
    reporter.note(f"world model with {parameters:,} parameters on {on}")
    facts = {
        "parameters": parameters,
        "threads": threads,
        "seed": config.seed,
        "training": config.model_dump(mode="json"),
        "fusion": plan.fusion.model_dump(mode="json"),
        "dataset_sha256": dataset.fingerprint(),
        "plugins": active_plugins(registry),
    }

    model, optimiser = fabric.setup(trainer.model, trainer.optimiser)
    model.train()
    registry.notify("twm_run_started", run=str(run), recipe=plan.resolved())
    saved_at, reason = trainer.step if resume else -1, "completed"

    def save(best: bool) -> None:
        _check_weights(trainer.model, trainer.step)
        with writing(folder, f"curves in {run}"):
            curves.flush()
        path = save_checkpoint(
            folder,
            plan=plan,
            model=trainer.weights(),
            trainer=trainer.saved(),
            step=trainer.step,
            facts=facts | {"metrics": trainer.metrics},
            best=best,
        )
        with writing(folder, f"checkpoints in {run}"):
            remove_old(folder, config.keep)
        registry.notify("twm_checkpoint_saved", run=str(run), step=trainer.step, path=str(path))

    def log(values: dict[str, float]) -> None:
        trainer.metrics.update(values)
        with writing(folder, f"curves in {run}"):
            curves.add(trainer.step, values)
        registry.notify("twm_step_finished", run=str(run), step=trainer.step, metrics=values)

    begun = time.perf_counter()
    ahead = read_ahead(trainer.batches, trainer.step, config.steps, workers=config.workers, prefetch=config.prefetch)
    owned = owners(plan, trainer.model, {"dataset": dataset, "optimizer": trainer.optimiser})
    with _signals() as stop, ahead as stream, naming(owned, partial(_left, folder)):
        try:
            while trainer.step < config.steps:
                lr = learning_rate(config, trainer.step)
                for group in optimiser.param_groups:
                    group["lr"] = lr
                batch = to_device(next(stream), device)
                share = share_at(config, trainer.step)
                withheld = withhold(batch, share, agents=plan.latent.layout != "scene", generator=trainer.generator)
                total, terms = model(batch, trainer.generator, trainer.step, withheld)
                optimiser.zero_grad(set_to_none=True)
                fabric.backward(total)
                norm = fabric.clip_gradients(model, optimiser, max_norm=config.clip, error_if_nonfinite=False) if config.clip else None
                _check_finite(total, norm, trainer.step, terms)
                optimiser.step()
                trainer.step += 1
                if trainer.average is not None:
                    trainer.average.update(trainer.model, trainer.step)

                last = trainer.step == config.steps
                stopping = stop.is_set()
                if trainer.step % config.log_every == 0 or last:
                    values = {
                        "train.loss": float(total.detach()),
                        **{f"train.{k}": float(v.detach()) for k, v in terms.items()},
                        "train.lr": lr,
                    }
                    if norm is not None:
                        values["train.gradient_norm"] = float(norm)
                    if config.scheduled_sampling:
                        values["train.withheld"] = share
                    log(values)
                better = False
                if trainer.step % config.validate_every == 0 or last:
                    with trainer.evaluating() as evaluated:
                        found = validate(evaluated)
                    # A world model is asked for futures: whether one of them is right says more than their mean, and for
                    # deterministic dynamics it is the same.
                    value = found.get("val.minade", found["val.loss"])
                    log(found)
                    better = trainer.best is None or value < trainer.best
                    trainer.best = value if better else trainer.best
                if trainer.step % config.checkpoint_every == 0 or last or stopping or better:
                    save(better)
                    saved_at = trainer.step
                reporter.progress(trainer.step, config.steps, _headline(trainer.metrics))
                if stopping and not last:
                    reason = "interrupted"
                    break
        finally:
            reporter.finish()
            with writing(folder, f"curves in {run}"):
                curves.close()
    if saved_at != trainer.step:
        save(False)
    registry.notify("twm_run_finished", run=str(run), step=trainer.step, reason=reason)
    return {
        "run": str(run),
        "step": trainer.step,
        "reason": reason,
        "checkpoint": str(folder.find("latest")),
        "seconds": round(time.monotonic() - started, 1),
        "waiting": round(stream.waited / max(time.perf_counter() - begun, 1e-9), 4),
        "metrics": dict(trainer.metrics),
    }


def _left(folder: RunFolder) -> str:
    last = folder.pointed("latest")
    return f"the last good checkpoint is {folder.checkpoints / last}: go on with --resume" if last else "there is no checkpoint yet"


def _headline(metrics: dict[str, float]) -> dict[str, float]:
    names = ("train.loss", "val.ade", "val.minade", "val.skill")
    return {n.removeprefix("train."): metrics[n] for n in names if n in metrics}


def _check_finite(total: Tensor, norm: Any, step: int, terms: dict[str, Tensor]) -> None:
    bad = [k for k, v in terms.items() if not bool(torch.isfinite(v))]
    if bad or not bool(torch.isfinite(total)):
        raise DataError(f"step {step + 1}: loss term {', '.join(bad) or 'total'} is not a finite number", _DIVERGED)
    if norm is not None and not bool(torch.isfinite(norm)):
        raise DataError(
            f"step {step + 1}: the gradient is not finite, though the loss is", "lower training.lr, or check the losses' plugins"
        )


def _check_weights(model: WorldModel, step: int) -> None:
    bad = [n for n, value in model.named_parameters() if not bool(torch.isfinite(value).all())]
    if bad:
        raise DataError(f"step {step}: {len(bad)} parameters are not finite, such as {bad[0]}; nothing was saved", _DIVERGED)


@contextmanager
def _signals() -> Generator[threading.Event]:
    """Set an event on the first SIGINT or SIGTERM; a second SIGINT interrupts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
