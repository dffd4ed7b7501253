"""Reads a JSON file of bounded size and looks values up in it, with errors that name file and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from twm_core.errors import DataError
from twm_driving.values import brief

LARGEST_FILE = 1 << 29
"""Bytes of the largest JSON file that is read. A file of a Waymo scenario has about 10 MB."""

T = TypeVar("T")


def read_json(path: Path) -> dict[str, Any]:
    """The object that a file holds.

    Raises:
        DataError: It cannot be read, is too large, is not JSON, or is not an object.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise DataError(f"{path.name}: has {size} bytes", f"files of more than {LARGEST_FILE} bytes are not read; split it")
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path.name}: cannot be read ({error.strerror})", "check the path and its permissions") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path.name}, line {error.lineno}, column {error.colno}: not JSON ({error.msg})", "export the file again"
        ) from error
    except (ValueError, RecursionError) as error:  # other encodings than UTF-8, numbers of thousands of digits, deep nesting
        raise DataError(f"{path.name}: not JSON ({str(error)[:120]})", "export the file again") from error
    if not isinstance(found, dict):
        raise DataError(f"{path.name}: is not a JSON object at its top", "export the file again")
    return found


def entry(holder: Any, key: str, kind: type[T], where: str) -> T:
    """The value of a key.

    Raises:
        DataError: It is not there or of another type.
    """
    value = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(value, kind):
        raise DataError(
            f"{where}: {key} is {'missing' if value is None else brief(value)}, not {_NAMES.get(kind, kind.__name__)}", "repair the file"
        )
    return value


_NAMES: dict[type, str] = {dict: "an object", list: "a list", str: "a text"}
