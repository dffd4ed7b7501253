"""A world model from a run folder or a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twm_core.checkpoint.files import load_model
from twm_core.checkpoint.manifest import check_installed, distributions, resolve_checkpoint, verify_files
from twm_core.errors import UsageError
from twm_core.kinds import TRAINING_KINDS
from twm_core.nn.build import build_world_model
from twm_core.nn.world_model import WorldModel
from twm_core.plugin.registry import Registry
from twm_core.recipe.assembly import Plan, assemble
from twm_core.recipe.layers import FUSION, TRAINING, Layer, option_layer, resolve, to_layer


def load_run(
    path: Path, *, registry: Registry, checkpoint: str = "best", overrides: Mapping[str, Any] | None = None
) -> tuple[Plan, WorldModel, dict[str, Any]]:
    """A world model from a run folder or checkpoint, without what only training needs: losses and optimizer are not built.

    Args:
        path: Run folder, checkpoint folder or a file in one.
        registry: Installed components.
        checkpoint: `best`, `latest` or `step-N`, where `path` is a run folder.
        overrides: Options by dotted path, for example `dataset.path`.

    Returns:
        The plan, the model with its weights on the CPU, and the manifest.

    Raises:
        CheckpointError: The checkpoint is missing or damaged, or needs a plugin that is not installed.
        UsageError: An option is one of a loss or an optimizer.
    """
    for name in overrides or {}:
        if name.partition(".")[0] in TRAINING_KINDS:
            raise UsageError(f"--set {name}: an evaluation builds no {name.partition('.')[0]}", "leave it out; it can be set in training")
    folder = resolve_checkpoint(path, checkpoint)
    manifest = verify_files(folder)
    check_installed(manifest, registry, without=TRAINING_KINDS)
    slots: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for row in (r for r in manifest["components"] if r["kind"] not in TRAINING_KINDS):
        slots.setdefault(row["kind"], []).append((row["chosen_as"], row["config"]))
    layers = [Layer(str(folder), to_layer(slots, {t: manifest.get(t, {}) for t in (TRAINING, FUSION)}), distributions(manifest))]
    layers += [option_layer(k, v, f"option --set {k}") for k, v in (overrides or {}).items()]
    plan = assemble(resolve(layers, without=TRAINING_KINDS), registry)
    model = build_world_model(plan, seed=0)
    load_model(folder, plan, model, manifest)
    return plan, model.eval(), manifest
