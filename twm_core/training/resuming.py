"""What is compared when a run is resumed: what the checkpoint recorded with what is there now. Torch-free.

Compared are the training options, `fusion`, the chosen components with every option, the distribution and version that provides each of
them, the contents of one-file plugins, and the identity of the data, splits included. A difference is an error that names both values;
`--accept-changes` continues, and later checkpoints record the change. These may differ without it:

* options that say how the work is done and not what comes out (`EXECUTION`): not recorded;
* `training.lr`, `training.threads`, and `training.steps` where it grows (`ADJUSTABLE`): recorded.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel

from twm_core.checkpoint.component_rows import component_rows
from twm_core.checkpoint.manifest import RunFolder
from twm_core.errors import CheckpointError
from twm_core.kinds import KINDS
from twm_core.plugin.discovery import FILE
from twm_core.recipe.assembly import Plan
from twm_core.recipe.layers import FUSION, TRAINING

EXECUTION = frozenset(f"{TRAINING}.{name}" for name in ("device", "workers", "prefetch", "checkpoint_every", "log_every", "keep"))
"""Options that may change when a run is resumed; results do not depend on them."""

STEPS = f"{TRAINING}.steps"

ADJUSTABLE = frozenset({f"{TRAINING}.lr", f"{TRAINING}.threads", STEPS})
"""Values that may change when a run is resumed, and are recorded when they do."""

DATA = "data"
"""The path of the data's identity among compared values."""


@dataclass(frozen=True)
class Change:
    """A value that is not what the checkpoint recorded.

    Attributes:
        path: Dotted path of the value, or what it is in words.
        before: The value in the checkpoint; None where there was none.
        after: The value now; None where there is none.
    """

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.before)} in the checkpoint, {_shown(self.after)} now"


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)


def differences(manifest: Mapping[str, Any], plan: Plan, *, fingerprint: str | None = None) -> list[Change]:
    """Everything that is otherwise than when a checkpoint was written, but for `EXECUTION`.

    Args:
        manifest: The manifest of the checkpoint.
        plan: What would be trained now.
        fingerprint: Identity of the data now; None leaves the data out.
    """
    before = _recorded(manifest["components"])
    after = _recorded(json.loads(json.dumps(component_rows(plan))))
    defaults = _component_defaults(plan)
    for table, config in ((TRAINING, plan.training), (FUSION, plan.fusion)):
        if manifest.get(table):  # a manifest of an early version has no such entry
            before |= _flat(manifest[table], f"{table}.")
            after |= _flat(json.loads(config.model_dump_json()), f"{table}.")
            defaults |= _defaults(config, f"{table}.")
    if fingerprint is not None and manifest.get("dataset_sha256"):
        before[DATA], after[DATA] = manifest["dataset_sha256"], fingerprint
    unchanged = {p for p in after.keys() - before.keys() if (p in defaults and after[p] == defaults[p]) or p.startswith("contents of ")}
    paths = [*after, *(p for p in before if p not in after)]
    return [
        Change(p, before.get(p), after.get(p)) for p in paths if p not in EXECUTION and p not in unchanged and before.get(p) != after.get(p)
    ]


def check_changes(changes: Sequence[Change], *, reached: int, steps: int, accept: bool) -> None:
    """Check that a run may go on with these changes.

    Args:
        changes: From `differences`.
        reached: Steps that the checkpoint has done.
        steps: `training.steps` now.
        accept: Whether the user accepts changes of any value.

    Raises:
        CheckpointError: A value differs that may not, or the run has done more steps than it is to have, or it has ended and the
            changes would be without effect.
    """
    if steps < reached:
        raise CheckpointError(
            f"the run has done {reached} steps, and {STEPS} = {steps} is less",
            f"give --{STEPS} {reached} or more, or an earlier checkpoint with --from",
        )
    refused = [c for c in changes if c.path not in ADJUSTABLE]
    if refused and not accept:
        lines = "\n  ".join(map(str, refused))
        raise CheckpointError(
            f"a resumed run goes on with what its checkpoint recorded, but these differ:\n  {lines}",
            "undo the changes, or go on with --accept-changes, which records them in later checkpoints",
        )
    if steps == reached and changes:
        paths = ", ".join(c.path for c in changes)
        raise CheckpointError(
            f"the run has ended: it has done all {reached} steps of {STEPS}, so a change of {paths} is without effect",
            f"give more steps as well, such as --{STEPS} {2 * reached}",
        )


def record(manifest: Mapping[str, Any], changes: Sequence[Change]) -> list[dict[str, Any]]:
    """The changes that later manifests hold: those of the checkpoint, and the new ones with the step after which they apply."""
    return [*manifest.get("changes", []), *({"step": manifest["step"], **asdict(c)} for c in changes)]


def elsewhere(error: CheckpointError, folder: RunFolder, bad: str) -> CheckpointError:
    """The error of a checkpoint that cannot be used; where another one is the remedy, with the command that goes on from it.

    Args:
        error: What was raised for the checkpoint.
        folder: The run that is to be resumed.
        bad: The checkpoint.
    """
    if "another checkpoint" not in (error.hint or ""):
        return error
    others = [name for name in folder.names() if name != bad]
    if not others:
        hint = "there is no other checkpoint in this run: train it from the start in another --run folder"
    else:
        hint = f"use another checkpoint: twm train --run {shlex.quote(str(folder.path))} --resume --from {others[-1]}"
    return CheckpointError(error.message, hint)


def _recorded(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row in rows:
        kind, name = row["kind"], row["chosen_as"]
        several = kind in KINDS and KINDS[kind].several
        if several:
            found.setdefault(f"{kind}.components", []).append(name)
        else:
            found[f"{kind}.component"] = name
        found |= _flat(row["config"], _prefix(kind, name))
        if row["distribution"] == FILE:
            found[f"version of {kind} {name}"] = f"{FILE} {row['version']}"
            if row.get("sha256"):
                found[f"contents of the one-file plugin of {kind} {name} (sha256)"] = row["sha256"]
        else:
            found[f"version of {kind} {name}"] = f"{row['distribution']} {row['version']}"
    return found


def _prefix(kind: str, name: str) -> str:
    return f"{kind}.{name}." if kind in KINDS and KINDS[kind].several else f"{kind}."


def _component_defaults(plan: Plan) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind, parts in plan.parts.items():
        for part in parts:
            found |= _defaults(part.config, _prefix(kind, part.name))
    return found


def _defaults(config: BaseModel, prefix: str) -> dict[str, Any]:
    """The values of fields that have their defaults: a checkpoint of an earlier version may lack such a field."""
    fields = type(config).model_fields
    given = json.loads(config.model_dump_json())
    same = {n for n, f in fields.items() if not f.is_required() and getattr(config, n) == f.get_default(call_default_factory=True)}
    return _flat({n: given[n] for n in same if n in given}, prefix)


def _flat(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return dict(_walk(values, prefix))


def _walk(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _walk(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
