"""`twm inspect`: what a checkpoint holds, from its manifest and the header of its weights, without torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from twm_cli.options.fields import inline
from twm_cli.options.session import Session
from twm_cli.output import heading, labelled, show_json, table
from twm_core.checkpoint.manifest import MODEL, resolve_checkpoint, verify_files
from twm_core.specs import EmbeddingSpec, LatentSpec, ObservationSpec, OutputSpec
from twm_core.tensor_files import read_header


def command(session: Session) -> Callable[..., None]:
    """The command function."""
    del session  # a checkpoint can be read whatever is installed

    def inspect(
        path: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="Run folder, checkpoint folder or .safetensors file.")],
        checkpoint: Annotated[str, typer.Option(metavar="best|latest|step-N", help="Which checkpoint of a run folder.")] = "best",
        tensors: Annotated[bool, typer.Option("--tensors", help="List names, shapes and types of the weights.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print the manifest (and tensors) as one JSON object.")] = False,
        plugin: Annotated[list[Path] | None, typer.Option("--plugin", "-p", metavar="FILE.py", help="Load a one-file plugin.")] = None,
    ) -> None:
        """Show what a checkpoint holds: components, options, specs, weights. Imports neither torch nor the components."""
        folder = resolve_checkpoint(path, checkpoint)
        manifest = verify_files(folder)
        header, _ = read_header(folder / MODEL)
        weights = {name: t for name, t in header.items() if name != "__metadata__"}
        if as_json:
            listed = {"tensors": {n: {"dtype": t["dtype"], "shape": t["shape"]} for n, t in weights.items()}} if tensors else {}
            show_json({"checkpoint": str(folder), **manifest, **listed})
            return
        typer.echo(_text(folder, manifest, weights))
        if tensors:
            rows = [(n, t["dtype"], " ".join(map(str, t["shape"])) or "scalar") for n, t in weights.items()]
            typer.echo("\n" + table(("TENSOR", "TYPE", "SHAPE"), rows))

    return inspect


def _plugins(manifest: dict[str, Any]) -> str:
    """How many plugins were active, and those that are not twm's own."""
    active = manifest.get("plugins")
    if active is None:
        return "not recorded"
    others = [p for p in active if not p.startswith("twm:")]
    return f"{len(active)} active" + (f", of others {', '.join(others)}" if others else ", all of them twm's")


def _text(folder: Path, manifest: dict[str, Any], weights: dict[str, Any]) -> str:
    specs = manifest["specs"]
    numbers = sum(math.prod(t["shape"]) for t in weights.values())
    weights_hash = manifest.get("files", {}).get(MODEL, {}).get("sha256", "not recorded")
    parameters = manifest.get("parameters")
    facts = [
        ("checkpoint", str(folder)),
        ("step", str(manifest["step"])),
        ("written by", f"twm {manifest.get('twm')} with torch {manifest.get('torch')}"),
        ("seed", str(manifest.get("seed", "not recorded"))),
        ("parameters", f"{parameters:,}" if isinstance(parameters, int) else "not recorded"),
        ("weights", f"{len(weights)} tensors with {numbers:,} numbers (buffers included)"),
        ("sha256", weights_hash),
        ("data sha256", str(manifest.get("dataset_sha256", "not recorded"))),
        ("input", ObservationSpec.model_validate(specs["obs_spec"]).describe()),
        ("embedding", str(EmbeddingSpec.model_validate(specs["embedding"]))),
        ("latent", str(LatentSpec.model_validate(specs["latent"]))),
        ("output", str(OutputSpec.model_validate(specs["output"]))),
    ]
    facts.append(("plugins", _plugins(manifest)))
    changes = [f"{c['path']} {inline(c['before'])} -> {inline(c['after'])} at step {c['step']}" for c in manifest.get("changes", [])]
    if changes:
        facts.append(("changed", "; ".join(changes)))
    metrics = manifest.get("metrics", {})
    if metrics:
        facts.append(("metrics", "  ".join(f"{k} {v:.4g}" for k, v in metrics.items() if isinstance(v, int | float))))
    rows = [
        (
            row["kind"],
            row["name"],
            row["distribution"],
            row["version"],
            str(row["layout_version"]),
            str(row.get("tensors", "")),
            ", ".join(f"{k} {inline(v)}" for k, v in row["config"].items() if v is not None),
        )
        for row in manifest["components"]
    ]
    head = ("KIND", "NAME", "DISTRIBUTION", "VERSION", "LAYOUT", "TENSORS", "CONFIG")
    lines = [labelled(name, text) for name, text in facts]
    return "\n".join([heading("checkpoint"), *lines, "", table(head, rows, right=(4, 5))])
