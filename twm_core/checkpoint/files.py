"""Writing and reading checkpoints: safetensors and JSON only, no pickle, no code, atomic, every tensor checked when read.

See `twm_core.checkpoint.manifest` for the files. A checkpoint folder appears by a rename after everything in it is on disk, so a kill at
any moment leaves the last good one usable.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

import twm_core
from twm_core import atomic
from twm_core.checkpoint.component_rows import component_row
from twm_core.checkpoint.manifest import HEADER_KEY, MANIFEST, MODEL, SCHEMA, TRAINER, RunFolder
from twm_core.errors import CheckpointError
from twm_core.nn.world_model import WorldModel
from twm_core.recipe.assembly import Plan
from twm_core.recipe.chosen import Chosen
from twm_core.tensor_files import file_hash, layout_hash, read_header

SLOTS = {"encoder": "encoders", "dynamics": "dynamics", "decoder": "decoders", "loss": "losses"}
"""Where the modules of each kind stand in a world model."""


@dataclass(frozen=True)
class TrainerState:
    """Everything beside the weights that the next step depends on: tensors by name, and scalars that survive JSON exactly."""

    tensors: Mapping[str, Tensor]
    scalars: Mapping[str, Any]


def prefix_of(part: Chosen) -> str:
    """What the names of a component's tensors start with in the world model's state."""
    kind = part.registered.component.kind
    return f"{SLOTS[kind]}." if kind == "dynamics" else f"{SLOTS[kind]}.{part.name}."


def describe_components(plan: Plan, model: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """The manifest's row of every component of the plan."""
    rows = []
    for kind, parts in plan.parts.items():
        for part in parts:
            row = component_row(part)
            if kind in SLOTS:
                own = {k: v for k, v in model.items() if k.startswith(prefix_of(part))}
                row["tensors"] = len(own)
                row["layout_sha256"] = layout_hash({k: (str(v.dtype), tuple(v.shape)) for k, v in own.items()})
            rows.append(row)
    return rows


@contextmanager
def writing(run: RunFolder, what: str) -> Generator[None]:
    """Turn a disk that is full or refuses into one error that says what is left.

    Raises:
        CheckpointError: The block raised an `OSError`.
    """
    try:
        yield
    except OSError as error:
        last = run.newest()
        remedy = "free space, or choose another --run folder"
        raise CheckpointError(
            f"cannot write {what}: {error.strerror or error}",
            f"{remedy}; the last good checkpoint is {run.checkpoints / last}: go on with --resume"
            if last
            else f"{remedy}; there is no checkpoint yet",
        ) from error


def save_checkpoint(
    run: RunFolder, *, plan: Plan, model: Mapping[str, Tensor], trainer: TrainerState, step: int, facts: Mapping[str, Any], best: bool
) -> Path:
    """Write checkpoint `step-N` and point `latest` (and `best`) at it.

    Args:
        run: The run folder.
        plan: What the model was built from.
        model: The weights to use later.
        trainer: What a resumed run needs.
        step: Optimizer steps done.
        facts: More JSON values for the manifest (seed, data hash, metrics).
        best: Whether this is the best one so far.

    Raises:
        CheckpointError: The disk is full or cannot be written; earlier checkpoints are untouched.
    """
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "twm": twm_core.__version__,
        "torch": torch.__version__,
        "step": step,
        "parameters": facts.get("parameters"),
        "components": describe_components(plan, model),
        "specs": {
            "obs_spec": plan.obs_spec.model_dump(mode="json"),
            "action": None if plan.action is None else plan.action.model_dump(mode="json"),
            "embedding": plan.embedding.model_dump(mode="json"),
            "latent": plan.latent.model_dump(mode="json"),
            "output": plan.output.model_dump(mode="json"),
        },
        **{k: v for k, v in facts.items() if k != "parameters"},
    }
    name = f"step-{step}"
    folder = run.checkpoints / name
    with writing(run, f"checkpoint {folder}"):
        with atomic.new_folder(folder) as beside:
            _save(model, beside / MODEL, {HEADER_KEY: json.dumps(manifest)})
            _save(trainer.tensors, beside / TRAINER, {HEADER_KEY: json.dumps(trainer.scalars)})
            manifest["files"] = {f: {"sha256": file_hash(beside / f), "bytes": (beside / f).stat().st_size} for f in (MODEL, TRAINER)}
            (beside / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        if best:
            atomic.write_text(run.checkpoints / "best", name + "\n")
        # Last: a run resumes from what `latest` names, so whatever a kill left undone before this line is done again.
        atomic.write_text(run.checkpoints / "latest", name + "\n")
    return folder


def _save(tensors: Mapping[str, Tensor], file: Path, metadata: dict[str, str]) -> None:
    plain = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    # Written by us: `save_file` makes files that only their owner may read.
    file.write_bytes(safetensors.torch.save(plain, metadata=metadata))


def remove_old(run: RunFolder, keep: int) -> None:
    """Remove all checkpoints but the newest `keep` and those that `best` and `latest` name."""
    spared = {run.pointed("best"), run.pointed("latest")}
    for name in run.names()[:-keep]:
        if name not in spared:
            # The manifest goes first: a folder without one does not count as a checkpoint, should the removal be cut short.
            (run.checkpoints / name / MANIFEST).unlink()
            shutil.rmtree(run.checkpoints / name)


def load_model(folder: Path, plan: Plan, model: WorldModel, manifest: Mapping[str, Any]) -> None:
    """Load the weights of a checkpoint into a world model, strictly.

    Tensors of a component whose layout version is older than the installed one pass through its `upgrade` first. Those of a component
    of a kind of which the plan has none (the losses, in an evaluation) are checked and left out.

    Raises:
        CheckpointError: A tensor is missing, superfluous, or of another shape or dtype; the component is named.
    """
    tensors = _load(folder / MODEL)
    for row in (r for r in manifest["components"] if r["kind"] in SLOTS and not plan.parts[r["kind"]]):
        prefix = f"{SLOTS[row['kind']]}.{row['chosen_as']}."
        _check_layout(tensors, prefix, f"{row['kind']} {row['name']} ({row['distribution']} {row['version']})", row, folder)
        tensors = {k: v for k, v in tensors.items() if not k.startswith(prefix)}
    for part in (p for kind, parts in plan.parts.items() if kind in SLOTS for p in parts):
        rows = [r for r in manifest["components"] if (r["kind"], r["chosen_as"]) == (part.registered.component.kind, part.name)]
        if rows:
            _check_layout(tensors, prefix_of(part), part.whose, rows[0], folder)
            tensors = _upgraded(tensors, part, int(rows[0]["layout_version"]))
    _check_same(tensors, model.state_dict(), plan, folder)
    model.load_state_dict(tensors, strict=True)


def _check_layout(tensors: Mapping[str, Tensor], prefix: str, whose: str, row: Mapping[str, Any], folder: Path) -> None:
    own = {k: (str(v.dtype), tuple(v.shape)) for k, v in tensors.items() if k.startswith(prefix)}
    if layout_hash(own) != row.get("layout_sha256"):
        raise CheckpointError(
            f"checkpoint {folder}: the names, shapes and types of the tensors of {whose} are not those that its manifest recorded",
            "use another checkpoint of the run",
        )


def _upgraded(tensors: dict[str, Tensor], part: Chosen, saved: int) -> dict[str, Tensor]:
    component, prefix = part.registered.component, prefix_of(part)
    if saved == component.layout_version:
        return tensors
    if saved > component.layout_version:
        raise CheckpointError(
            f"the checkpoint holds layout {saved} of {part.whose}, the installed one is {component.layout_version}",
            f"install a newer {part.registered.plugin.distribution}",
        )
    upgrade = part.registered.load_upgrade()
    if upgrade is None:
        raise CheckpointError(
            f"the checkpoint holds layout {saved} of {part.whose}, the installed one is {component.layout_version} and has no upgrade",
            f"install the version of {part.registered.plugin.distribution} that wrote the checkpoint",
        )
    own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    rest = {k: v for k, v in tensors.items() if not k.startswith(prefix)}
    return rest | {prefix + k: v for k, v in upgrade(own, saved).items()}


def _check_same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], plan: Plan, folder: Path) -> None:
    problems = [f"{k} is missing" for k in expected if k not in found]
    problems += [f"{k} is not known" for k in found if k not in expected]
    for k in expected.keys() & found.keys():
        a, b = found[k], expected[k]
        if a.shape != b.shape or a.dtype != b.dtype:
            problems.append(f"{k} is {a.dtype} {list(a.shape)}, expected {b.dtype} {list(b.shape)}")
    if problems:
        parts = [p for kind, ps in plan.parts.items() if kind in SLOTS for p in ps]
        concerned = [p for p in parts if any(x.startswith(prefix_of(p)) for x in problems)]
        owners = sorted({p.whose for p in concerned})
        shown = "; ".join(sorted(problems)[:4]) + (f"; and {len(problems) - 4} more" if len(problems) > 4 else "")
        raise CheckpointError(
            f"checkpoint {folder} does not fit {', '.join(owners) or 'the world model'}: {shown}",
            "use the versions and options that wrote it (twm inspect shows them)"
            + "".join(
                f"; or {p.registered.plugin.distribution} changed its parameters without a new layout_version" for p in concerned[:1]
            ),
        )


def load_trainer(folder: Path, plan: Plan, manifest: Mapping[str, Any]) -> TrainerState:
    """What a resumed run needs.

    Raises:
        CheckpointError: The file is damaged, or belongs to a layout of parameters that a component no longer has: an upgrade carries
            weights over, but not the moments of the optimizer.
    """
    versions = {(r["kind"], r["chosen_as"]): r["layout_version"] for r in manifest["components"]}
    for part in (p for parts in plan.parts.values() for p in parts):
        component = part.registered.component
        saved = versions.get((component.kind, part.name), component.layout_version)
        if saved != component.layout_version:
            raise CheckpointError(
                f"cannot resume from {folder}: it holds layout {saved} of {part.whose}, the installed one is {component.layout_version}",
                f"evaluate it, or resume with the version of {part.registered.plugin.distribution} that wrote it",
            )
    header, _ = read_header(folder / TRAINER)
    # twm 0.1 spelled the keys with an s, and refers to some of the tensors by name in the JSON.
    tensors = {f"optimizer{k.removeprefix('optimiser')}" if k.startswith("optimiser") else k: v for k, v in _load(folder / TRAINER).items()}
    return TrainerState(tensors, json.loads(header["__metadata__"][HEADER_KEY].replace('"optimiser', '"optimizer')))


def _load(file: Path) -> dict[str, Tensor]:
    read_header(file)
    try:
        return safetensors.torch.load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read {file}: {error}", "use another checkpoint of the run") from error
