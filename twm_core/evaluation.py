"""Evaluation: a checkpoint's futures on a split of its dataset, beside baselines that need no learning.

Everything is deterministic: windows in order, futures from a generator seeded by the caller. The model sees the observed steps only
(`WorldModel.forecast` cuts the batch), and the same agents and steps are scored for the model and for every baseline. Whatever else is
decoded beside agents (images, vectors, rewards, ends) is scored by `twm_core.forecast_errors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from twm_core.assembly import Plan, assemble
from twm_core.baselines import baselines_for
from twm_core.checkpoint import load_model
from twm_core.data.dataset import Dataset, Windows, to_device
from twm_core.data.loader import evenly_spaced
from twm_core.devices import choose_device
from twm_core.errors import DataError, UsageError
from twm_core.forecast_errors import forecast_errors, scored_keys
from twm_core.manifest import check_installed, resolve_checkpoint, verify_files
from twm_core.metrics import Counts, Displacements, bootstrap_skill
from twm_core.nn.batches import same_episode
from twm_core.nn.build import build_dataset, build_world_model
from twm_core.nn.world_model import WorldModel
from twm_core.recipe import FUSION, TRAINING, Layer, option_layer, resolve, to_layer
from twm_core.registry import Registry
from twm_core.reporting import Reporter
from twm_core.specs import OutputSpec

_BATCH = 32
_POSITION = ("x", "y")
_INCLUDED = ("windows", "agents", "scenarios", "episodes", "steps")
"""What a report counts that other lines say already."""


def load_run(
    path: Path, *, registry: Registry, checkpoint: str = "best", overrides: Mapping[str, Any] | None = None
) -> tuple[Plan, WorldModel, dict[str, Any]]:
    """A world model from a run folder or checkpoint, without the training code.

    Args:
        path: Run folder, checkpoint folder or a file in one.
        registry: Installed components.
        checkpoint: `best`, `latest` or `step-N`, where `path` is a run folder.
        overrides: Options by dotted path, for example `dataset.path`.

    Returns:
        The plan, the model with its weights on the CPU, and the manifest.

    Raises:
        CheckpointError: The checkpoint is missing or damaged, or needs a plugin that is not installed.
    """
    folder = resolve_checkpoint(path, checkpoint)
    manifest = verify_files(folder)
    check_installed(manifest, registry)
    slots: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for row in manifest["components"]:
        slots.setdefault(row["kind"], []).append((row["chosen_as"], row["config"]))
    layers = [Layer(str(folder), to_layer(slots, {t: manifest.get(t, {}) for t in (TRAINING, FUSION)}))]
    layers += [option_layer(k, v, f"option --set {k}") for k, v in (overrides or {}).items()]
    plan = assemble(resolve(layers), registry)
    model = build_world_model(plan, seed=0)
    load_model(folder, plan, model, manifest)
    return plan, model.eval(), manifest


def evaluate(
    run: Path,
    *,
    registry: Registry,
    split: str = "test",
    samples: int = 6,
    windows: int | None = None,
    seed: int = 0,
    checkpoint: str = "best",
    overrides: Mapping[str, Any] | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Score a checkpoint.

    Args:
        run: Run folder, checkpoint folder or a file in one.
        registry: Installed components.
        split: `train`, `val` or `test`.
        samples: `S`, futures for each window. A decoder with a decoded spread has them drawn, if there are several; else, and for one
            future, the mean of what is decoded is the future.
        windows: Most windows to score, evenly spaced; all by default.
        seed: Seed of the futures.
        checkpoint: Which checkpoint of a run folder.
        overrides: Options by dotted path, such as `dataset.path`.
        reporter: Hears about progress.

    Returns:
        One JSON-able object: `split`, `samples`, `windows`, protocol and what else was evaluated. Where agents are decoded: `model` and
        `baselines` (by name), each with `ade`, `fde`, `minade`, `minfde` (metres), `by_horizon` and `existence_f1`; `existence_f1` of the
        model, `skill` (1 - ADE / ADE of constant velocity) with its 95 % interval, and counts. Where anything else is decoded: `keys`,
        see `twm_core.forecast_errors`.

    Raises:
        UsageError: Nothing that is decoded can be scored, or there are no predicted steps.
    """
    if samples < 1:
        raise UsageError(f"samples = {samples}: at least one future is needed", "use --samples 1 or more")
    reporter = reporter or Reporter()
    plan, model, manifest = load_run(run, registry=registry, checkpoint=checkpoint, overrides=overrides)
    traffic, keys = scores_agents(plan.output), scored_keys(plan.output)
    if not traffic and not keys:
        raise UsageError(
            f"the model decodes {plan.output}, which is nothing that can be scored",
            "train with --decoder agents (or image, vector, reward, continue)",
        )
    if not plan.seen.horizon:
        raise UsageError("the dataset's windows have no predicted steps", "set dataset.predicted_seconds (or dataset.horizon) above 0")
    dataset = build_dataset(plan)
    if "dataset_sha256" in manifest and dataset.fingerprint() != manifest["dataset_sha256"]:
        reporter.note("the data differs from what the model was trained with (other files, options or windows)")
    device = choose_device(plan.training.device)
    chosen = dataset.windows(split)
    indices = evenly_spaced(chosen, windows)
    result: dict[str, Any] = {"windows": len(indices)}
    if traffic:
        result |= score(model.to(device), chosen, indices, samples=samples, seed=seed, device=device, reporter=reporter)
    if keys:
        result["keys"] = forecast_errors(
            model.to(device),
            chosen,
            indices,
            keys=keys,
            training=dataset.windows("train"),
            samples=samples,
            seed=seed,
            device=device,
            reporter=reporter,
        )
    report = {f"data: {k}": v for k, v in chosen.report().items() if k not in _INCLUDED and v}
    return {
        **result,
        "split": split,
        "samples": samples,
        "seed": seed,
        "protocol": plan.seen.protocol,
        "dataset": plan.one("dataset").name,
        "checkpoint": str(resolve_checkpoint(run, checkpoint)),
        "step": manifest["step"],
        "report": report,
    }


def scores_agents(output: OutputSpec) -> bool:
    """Whether positions of agents are decoded, which `score` needs."""
    return output.has("agents.state") and set(_POSITION) <= set(output.get("agents.state").features)


def score(
    model: WorldModel,
    windows: Windows,
    indices: Sequence[int],
    *,
    samples: int,
    seed: int,
    device: torch.device | str = "cpu",
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Score a world model that decodes positions of agents, and the baselines, on some windows; see `evaluate` for the result.

    Raises:
        DataError: The model forecasts something that is not a finite number; leaving it out would flatter the model.
    """
    seen = model.seen
    now, steps = seen.context - 1, seen.horizon
    state = seen.get("agents.state")
    xy = [state.index(n) for n in _POSITION]
    decoded_xy = [model.output.get("agents.state").features.index(n) for n in _POSITION]
    generator = torch.Generator(device=device).manual_seed(seed)
    baselines = baselines_for(seen)
    ours, theirs = Displacements(), {n: Displacements() for n in baselines}
    existence, always = Counts(), Counts()
    clusters: list[np.ndarray[Any, np.dtype[np.int64]]] = []
    for at in range(0, len(indices), _BATCH):
        batch = to_device(windows.batch(indices[at : at + _BATCH]), device)
        truth = batch["agents.state"][:, now + 1 :, :, xy]
        here = batch["agents.exists"][:, now + 1 :] & same_episode(batch["is_first"], now + 1)[..., None]
        scored = batch["agents.scored"]
        actions = batch["action"][:, now:-1] if "action" in batch else None
        decoded = model.forecast(batch, samples=samples, actions=actions, generator=generator)
        future = decoded["agents.state"]
        expected = future.mean[..., decoded_xy]
        # Where the decoder says how far off it may be, several futures differ by that too, not only by the latent's samples.
        guess = future.sample(generator)[..., decoded_xy] if samples > 1 and future.stochastic else expected
        _check_finite(guess, scored)
        ours.add(guess, truth, here, scored, expected=expected)
        for name, baseline in baselines.items():
            theirs[name].add(baseline(batch, seen, now, steps), truth, here, scored)
        counted = scored[:, None].expand_as(here)
        always.add(torch.ones_like(here), here, counted)
        if "agents.exists" in decoded:
            existence.add(decoded["agents.exists"].mean.mean(dim=1) > 0.5, here, counted)
        vehicle = batch["scenario"][:, None] * 1_000_000 + batch["agents.track"]
        clusters.append(vehicle[scored].cpu().numpy())
        if reporter is not None:
            reporter.progress(min(at + _BATCH, len(indices)), len(indices), {})
    if reporter is not None:
        reporter.finish()
    cluster = np.concatenate(clusters)
    cv = theirs["constant_velocity"]
    mine, base = ours.per_agent("ade"), cv.per_agent("ade")
    # Baselines have one future: their minADE is their ADE. They say that whoever is there stays.
    f1 = existence.f1 if existence != Counts() else always.f1
    return {
        "model": {**ours.summary(seen.dt), "existence_f1": f1},
        "baselines": {n: {**d.summary(seen.dt), "existence_f1": always.f1} for n, d in theirs.items()},
        "existence_f1": f1,
        "skill": _skill(mine, base),
        "skill_minade": _skill(ours.per_agent("minade"), cv.per_agent("minade")),
        "intervals": {
            "level": 0.95,
            "unit": "vehicle",
            "resampled": len(np.unique(cluster)),
            "skill": bootstrap_skill(mine, base, cluster, seed=seed),
            "skill_minade": bootstrap_skill(ours.per_agent("minade"), cv.per_agent("minade"), cluster, seed=seed),
        },
        "windows": len(indices),
        "agents": len(mine),
    }


def _skill(model: np.ndarray[Any, np.dtype[np.float64]], baseline: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    known = ~np.isnan(baseline)  # agents that are never seen again have no error, the model's neither
    theirs = baseline[known].sum()
    return float(1 - model[known].sum() / theirs) if theirs > 0 else float("nan")


def _check_finite(guess: Tensor, scored: Tensor) -> None:
    bad = ~guess.isfinite().all(dim=-1).all(dim=2).all(dim=1) & scored
    if bool(bad.any()):
        raise DataError(
            f"the model's forecast of {int(bad.sum())} agents is not a finite number",
            "it has diverged: use an earlier checkpoint, or train with a lower training.lr",
        )


def dataset_report(dataset: Dataset, split: str) -> str:
    """One line on a split's windows, for people."""
    return f"{split}: " + ", ".join(f"{v} {k}" for k, v in dataset.windows(split).report().items() if v)
