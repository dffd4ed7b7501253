"""The manifest of a checkpoint, and how a run folder is laid out. Torch-free: `twm inspect` and assembly checks read it.

    RUN/recipe.toml                               resolved recipe
    RUN/metrics.jsonl, RUN/tensorboard/           curves
    RUN/checkpoints/step-N/model.safetensors      the weights to use (the moving average where there is one)
    RUN/checkpoints/step-N/trainer.safetensors    optimizer, generators and, beside a moving average, the raw weights
    RUN/checkpoints/step-N/manifest.json          this manifest; without the hashes it is also in the header of model.safetensors
    RUN/checkpoints/latest, RUN/checkpoints/best  names of checkpoints

The manifest names every component with distribution, version, entry point, config, parameter-layout version and the sha256 of the names,
shapes and dtypes of its tensors; the specs; step, seed, data hash; and the sha256 of both files.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from twm_core.errors import CheckpointError, UnknownComponentError
from twm_core.plugin.registry import Registry
from twm_core.specs import ActionSpec, EmbeddingSpec, LatentSpec, ObservationSpec, OutputSpec
from twm_core.tensor_files import file_hash, read_header

SCHEMA = 2
MODEL, TRAINER, MANIFEST = "model.safetensors", "trainer.safetensors", "manifest.json"
HEADER_KEY = "twm"
_NAME = re.compile(r"step-\d+")


class _Row(BaseModel):
    kind: str
    name: str
    chosen_as: str
    distribution: str
    version: str
    entry_point: str
    layout_version: int
    config: dict[str, Any]


class _Specs(BaseModel):
    obs_spec: ObservationSpec
    action: ActionSpec | None
    embedding: EmbeddingSpec
    latent: LatentSpec
    output: OutputSpec


class _File(BaseModel):
    sha256: str


class _Change(BaseModel):
    step: int
    path: str
    before: Any
    after: Any


class _Manifest(BaseModel):
    """What every reader may rely on in a manifest; there is more in it."""

    step: int
    components: list[_Row]
    specs: _Specs
    training: dict[str, Any] = {}
    changes: list[_Change] = []
    files: dict[str, _File] = {}


class RunFolder:
    """Paths inside a run folder, and its checkpoints.

    Args:
        path: The folder; it need not exist.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.recipe = self.path / "recipe.toml"
        self.metrics = self.path / "metrics.jsonl"
        self.tensorboard = self.path / "tensorboard"
        self.checkpoints = self.path / "checkpoints"

    def names(self) -> list[str]:
        """Names of all complete checkpoints, oldest first."""
        if not self.checkpoints.is_dir():
            return []
        found = [p.name for p in self.checkpoints.iterdir() if _NAME.fullmatch(p.name) and (p / MANIFEST).is_file()]
        return sorted(found, key=lambda n: int(n.removeprefix("step-")))

    def pointed(self, pointer: str) -> str | None:
        """The checkpoint that `latest` or `best` names; None where the pointer or its target is missing."""
        try:
            name = (self.checkpoints / pointer).read_text(encoding="utf-8").strip()
        except OSError:
            return None
        return name if name in self.names() else None

    def newest(self) -> str | None:
        """The checkpoint that a resumed run goes on from: `latest`, or the last one where nothing is named; None where there is none."""
        return self.pointed("latest") or next(reversed(self.names()), None)

    def find(self, which: str) -> Path:
        """The folder of a checkpoint: `latest`, `best` (or the latest where none is best yet), or `step-N`.

        Raises:
            CheckpointError: There is no such checkpoint.
        """
        names = self.names()
        if not self.path.is_dir():
            raise CheckpointError(f"there is no run folder {self.path}", "give the folder that twm train --run wrote")
        if not names:
            raise CheckpointError(f"run folder {self.path} has no complete checkpoint", "train first, or give another folder")
        if which in names:
            return self.checkpoints / which
        if which in ("latest", "best"):
            return self.checkpoints / (self.pointed(which) or self.pointed("latest") or names[-1])
        raise CheckpointError(f"run folder {self.path} has no checkpoint {which!r}", f"it has {', '.join(names)}, latest and best")


def resolve_checkpoint(path: Path | str, which: str = "best") -> Path:
    """The checkpoint folder behind `path`, which is a run folder, a checkpoint folder, or a file inside one.

    Raises:
        CheckpointError: There is none.
    """
    path = Path(path)
    if path.is_file():
        path = path.parent
    if (path / MANIFEST).is_file() or (path / MODEL).is_file():
        return path
    return RunFolder(path).find(which)


def read_manifest(path: Path | str, which: str = "best") -> dict[str, Any]:
    """The manifest of a checkpoint, from manifest.json, or from the header of model.safetensors if it is alone.

    Raises:
        CheckpointError: There is none, or it is damaged.
    """
    folder = resolve_checkpoint(path, which)
    file = folder / MANIFEST
    if not file.is_file():
        header, _ = read_header(folder / MODEL)
        text, file = header.get("__metadata__", {}).get(HEADER_KEY), folder / MODEL
        if text is None:
            raise CheckpointError(f"{file} was not written by twm: its header has no manifest", "give a checkpoint of twm")
    else:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise CheckpointError(f"cannot read {file}: {error.strerror}", "check its permissions") from error
    try:
        manifest = json.loads(text)
    except json.JSONDecodeError as error:
        raise CheckpointError(f"the manifest in {file} is damaged: {error}", "use another checkpoint of the run") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        given = manifest.get("schema") if isinstance(manifest, dict) else manifest
        raise CheckpointError(f"the manifest in {file} has schema {given!r}; this twm reads {SCHEMA}", "use a matching version of twm")
    specs = manifest.get("specs")
    if isinstance(specs, dict) and "seen" in specs:  # the name of twm 0.1
        manifest["specs"] = {"obs_spec": specs["seen"], **{k: v for k, v in specs.items() if k != "seen"}}
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"the manifest in {file} is damaged: {where}: {first['msg']}", "use another checkpoint of the run") from error
    return manifest


def verify_files(folder: Path) -> dict[str, Any]:
    """Check that the files of a checkpoint are those that were written, and return the manifest.

    Raises:
        CheckpointError: A file is missing, truncated or has been changed.
    """
    manifest = read_manifest(folder)
    for name, facts in manifest.get("files", {}).items():
        read_header(folder / name)
        if file_hash(folder / name) != facts["sha256"]:
            raise CheckpointError(
                f"{folder / name} is not the file that was saved: its sha256 differs from the manifest's",
                "use another checkpoint of the run",
            )
    return manifest


def check_installed(manifest: Mapping[str, Any], registry: Registry, *, without: Collection[str] = ()) -> None:
    """Check that every component of a checkpoint is installed.

    Args:
        manifest: The checkpoint's.
        registry: Installed components.
        without: Kinds that are not needed.

    Raises:
        CheckpointError: One is not; the hint is the line that installs it.
    """
    for row in manifest["components"]:
        if row["kind"] in without:
            continue
        try:
            registry.find(row["kind"], f"{row['distribution']}:{row['name']}")
        except UnknownComponentError as error:
            needed = f"the checkpoint needs {row['kind']} {row['name']}"
            shut = [p for p in registry.plugins if p.distribution == row["distribution"] and p.status != "loaded"]
            if shut:
                whose = f"plugin {shut[0].name} of {shut[0].whose} is {shut[0].status}: {shut[0].reason}"
                raise CheckpointError(f"{needed} of {row['distribution']}, and {whose}", "twm list-plugins shows what is loaded") from error
            if row["distribution"] == "file":
                path = row["entry_point"].split(" = ")[-1]
                raise CheckpointError(f"{needed} of the one-file plugin {path}, which was not given", f"give it with -p {path}") from error
            raise CheckpointError(
                f"{needed} of {row['distribution']} {row['version']}, which is not installed",
                # Quoted: whoever made the checkpoint also chose these words, and somebody may paste the line.
                f"pip install {shlex.quote(row['distribution'] + '==' + row['version'])}",
            ) from error


def active_plugins(registry: Registry) -> list[str]:
    """Every plugin that is loaded, `distribution:name version`: also one without a part in the recipe may observe a run."""
    return [f"{p.distribution}:{p.name} {p.version}" for p in registry.plugins if p.status == "loaded"]


def changed_plugins(manifest: Mapping[str, Any], registry: Registry) -> list[str]:
    """What is otherwise about the loaded plugins than when a checkpoint was written, in words."""
    before, now = (
        {name: version for name, _, version in (str(p).rpartition(" ") for p in rows)}
        for rows in (manifest.get("plugins", []), active_plugins(registry))
    )
    changes = [f"{name} {version} is not there now" for name, version in before.items() if name not in now]
    changes += [f"{name} {version} was not there" for name, version in now.items() if name not in before]
    return changes + [f"{name} was {version}, is {now[name]}" for name, version in before.items() if now.get(name, version) != version]


def distributions(manifest: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """The distribution of every component of a checkpoint, by kind and the name by which the recipe chose it."""
    return {(row["kind"], row["chosen_as"]): row["distribution"] for row in manifest["components"]}
