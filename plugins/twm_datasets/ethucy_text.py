"""The text files of ETH/UCY: lines `frame  pedestrian  x  y`, separated by tabs or blanks, world metres."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twm_core.data.motion import Floats
from twm_core.errors import DataError

ETH_TRUE_DT = 10 / 15
"""Seconds per step of the eth recording, whose video has 15 frames per second."""

RECORDINGS = ("biwi_eth", "biwi_hotel", "crowds_zara01", "crowds_zara02", "crowds_zara03", "students001", "students003", "uni_examples")
"""The files of the standard set, without ending."""


def read_rows(path: Path) -> Floats:
    """The rows `frame, pedestrian, x, y` `[R, 4]` of a file, in its order.

    Raises:
        DataError: The file is missing or empty, or a row is malformed or repeats (frame, pedestrian); file and row are named.
    """
    return read_lines(path)[0]


def read_lines(path: Path) -> tuple[Floats, NDArray[np.int64]]:
    """The rows of a file as `read_rows` gives them, and the line `[R]` of each."""
    if not path.is_file():
        raise DataError(f"dataset ethucy: {path.parent.name}/{path.name} is not there", "folds.json (or the standard fold) names it")
    rows: list[list[float]] = []
    lines: list[int] = []
    seen: dict[tuple[float, float], int] = {}
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name}: cannot be read as text ({error})", "check the file and its permissions") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        words, whose = line.split(), f"{path.name}, row {number}"
        if len(words) != 4:
            raise DataError(f"{whose}: has {len(words)} columns, not the 4 of frame, pedestrian, x, y", "repair the row")
        try:
            row = [float(w) for w in words]
        except ValueError:
            raise DataError(f"{whose}: {line.strip()!r} is not four numbers", "repair the row") from None
        if not all(map(math.isfinite, row)):
            raise DataError(f"{whose}: {line.strip()!r} holds a value that is not finite", "remove or repair the row")
        if (earlier := seen.setdefault((row[0], row[1]), number)) != number:
            raise DataError(f"{whose}: frame {words[0]}, pedestrian {words[1]} stands in row {earlier} already", "remove one of the two")
        rows.append(row)
        lines.append(number)
    if not rows:
        raise DataError(f"{path.name}: is empty", "leave it out of folds.json, or put the recording there")
    return np.asarray(rows, dtype=np.float64), np.asarray(lines, dtype=np.int64)
