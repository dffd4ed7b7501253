"""Looks values up in a scenario that came from a pickle: dicts, arrays of the right length, texts, with errors that name the holder."""

from __future__ import annotations

from typing import Any

import numpy as np

from twm_core.errors import DataError
from twm_driving.scenarionet.plain_pickle import Array
from twm_driving.values import Floats, brief


def mapping(value: Any, where: str, what: str) -> dict[Any, Any]:
    """The value, which must be a dict.

    Raises:
        DataError: It is not.
    """
    if not isinstance(value, dict):
        raise DataError(f"{where}: {what} is {_kind(value)}, not a dict", "convert the scenario again")
    return value


def key(value: Any, where: str, what: str) -> str:
    """The value, which must be a text or a whole number, as a text.

    Raises:
        DataError: It is not.
    """
    if isinstance(value, str) or (type(value) is int and abs(value) < 1 << 63):
        return brief(value)
    raise DataError(f"{where}: {what} is {_kind(value)}, not a text or number", "convert the scenario again")


def texts(value: Any, where: str, what: str) -> list[str]:
    """Ids out of a dict's keys, a list, or an array.

    Raises:
        DataError: It is something else, or holds something else than texts and whole numbers.
    """
    if isinstance(value, Array):
        value = value.numpy().reshape(-1).tolist()
    if not isinstance(value, (dict, list, tuple, set)):
        raise DataError(f"{where}: {what} is {_kind(value)}, not a list of ids", "convert the scenario again")
    return [key(v, where, what) for v in value]


def points(value: Any, where: str, what: str) -> Floats:
    """Points `[P, 2]` out of an array or a list of sequences; further columns (height, angle) are left out.

    Raises:
        DataError: It is something else.
    """
    found = _floats(value, where, what)
    if found.size == 0:
        return np.zeros((0, 2))
    if found.ndim != 2 or found.shape[1] < 2:
        raise DataError(f"{where}: {what} has the shape {found.shape}, not [points, 2]", "convert the scenario again")
    return found[:, :2].astype(np.float64)


def array(value: Any, where: str, what: str, rows: int, widths: tuple[int, ...], *, optional: bool = False) -> Floats:
    """Values `[rows, w]` with w one of `widths`; NaN everywhere where an optional value is not there.

    Raises:
        DataError: It is something else.
    """
    if value is None and optional:
        return np.full((rows, widths[0]), np.nan)
    found = _floats(value, where, what)
    if found.ndim == 1:
        found = found[:, None]
    if found.ndim != 2 or found.shape[0] != rows or found.shape[1] not in widths:
        wanted = " or ".join(f"[{rows}, {w}]" for w in widths)
        raise DataError(f"{where}: {what} has the shape {found.shape}, not {wanted}", "convert the scenario again")
    return found.astype(np.float64)


def _floats(value: Any, where: str, what: str) -> Floats:
    if isinstance(value, Array):
        value = value.numpy()
    try:
        found = np.asarray(value if isinstance(value, np.ndarray) else [_row(v) for v in value])
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{where}: {what} is {_kind(value)} of unequal or strange parts, not an array", "convert it again") from error
    if found.size and found.dtype.kind not in "biuf":
        raise DataError(f"{where}: {what} holds {found.dtype}, not numbers", "convert the scenario again")
    return found


def _row(value: Any) -> Any:
    """One entry of a list of numbers or of points; deeper lists are not arrays here."""
    if isinstance(value, Array):
        return value.numpy()
    if isinstance(value, (list, tuple)):
        if not all(isinstance(v, int | float) for v in value):
            raise ValueError("not numbers")
        return [float(v) for v in value]
    if not isinstance(value, int | float):
        raise ValueError("not a number")
    return float(value)


def _kind(value: Any) -> str:
    return "missing" if value is None else f"a {type(value).__name__.lower()}"
