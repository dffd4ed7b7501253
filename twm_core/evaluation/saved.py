"""Results on disk: `X.json` for people and scripts, `X-HASH.safetensors` with the sums of every unit, for later paired comparisons."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from twm_core import atomic
from twm_core.checkpoint.manifest import MANIFEST
from twm_core.errors import DataError
from twm_core.evaluation.engine import Scored
from twm_core.evaluation.left_out import LeftOut

SCHEMA = "twm-evaluation-1"
_UNITS = ("vehicle", "window", "scenario")


@dataclass(frozen=True)
class Saved:
    """A result and the sums that it comes from.

    Attributes:
        name: Where it is from, for messages.
        result: The JSON-able result of `evaluate`.
        scored: Sums of units.
    """

    name: str
    result: Mapping[str, Any]
    scored: Scored


def write(file: Path, result: Mapping[str, Any], scored: Scored | None) -> None:
    """Write a result and, where agents were scored, its sums.

    Raises:
        DataError: The folder cannot be written.
    """
    whole: dict[str, Any] = {"schema": SCHEMA, **result}
    former, made = _sums_of(file), None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if scored is not None:
            tensors = {f"sums/{e}/{m}": np.ascontiguousarray(part) for e, each in scored.sums.items() for m, part in each.items()}
            content = save({**tensors, **{n: getattr(scored, n) for n in _UNITS}})
            digest = hashlib.sha256(content).hexdigest()
            # The name follows from the content, so that the sums of a former result stay until the new result is in its place.
            made = file.with_name(f"{file.stem}-{digest[:16]}.safetensors")
            whole["sums"] = {"file": made.name, "sha256": digest}
            with atomic.new_file(made) as stream:
                stream.write(content)
        atomic.write_text(file, _text(whole))
        if former is not None and former != made:
            former.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {file}: {error.strerror}", "make room, or choose another file with --out") from error


def _sums_of(file: Path) -> Path | None:
    """The file with the sums of a result that is there already."""
    try:
        return file.with_name(Path(json.loads(file.read_bytes())["sums"]["file"]).name)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None  # there is none, or it is no result of ours


def _text(whole: Mapping[str, Any]) -> str:
    return json.dumps(finite(whole), indent=2, allow_nan=False) + "\n"


def is_result(path: Path) -> bool:
    """Whether a path looks like a result, rather than a run or a checkpoint."""
    return path.suffix == ".json" and path.name != MANIFEST


def read(file: Path) -> Saved:
    """A result that `write` wrote.

    Raises:
        DataError: A file is missing, damaged, or not such a result.
    """
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}", "check the path") from error
    except ValueError as error:
        raise DataError(f"{file} is not JSON ({error})", "give a result that twm eval --out wrote") from error
    if not isinstance(result, dict) or result.get("schema") != SCHEMA:
        raise DataError(f"{file} is not a result of twm eval", "give one that twm eval --out wrote")
    if "sums" not in result:
        raise DataError(f"{file} has no sums of agents, so nothing can be compared with it in pairs", "evaluate a model of agents")
    beside = file.with_name(Path(result["sums"]["file"]).name)
    try:
        content = beside.read_bytes()
        if hashlib.sha256(content).hexdigest() != result["sums"]["sha256"]:
            raise DataError(f"{beside} is not the file that {file.name} was written with", "evaluate again with --out")
        tensors = load(content)
    except OSError as error:
        raise DataError(f"cannot read {beside}: {error.strerror}", f"it belongs beside {file.name}") from error
    except SafetensorError as error:
        raise DataError(f"{beside} is damaged ({error})", "evaluate again with --out") from error
    sums: dict[str, dict[str, Any]] = {}
    for key, value in tensors.items():
        if key.startswith("sums/"):
            _, candidate, metric = key.split("/", 2)
            sums.setdefault(candidate, {})[metric] = value
    units = {n: tensors[n] for n in _UNITS}
    return Saved(str(file), result, Scored(sums=sums, digest=result["comparable"]["data"], left_out=LeftOut(), **units))


def finite(value: Any) -> Any:
    """The same value with None for NaN and infinities, which JSON does not have."""
    if isinstance(value, Mapping):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
