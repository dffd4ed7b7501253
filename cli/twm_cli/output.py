"""Tables and JSON on standard output. Plain text, so that a pipe and a terminal show the same."""

from __future__ import annotations

import json
import math
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import typer

WIDTH = 100
"""Columns of a line where the terminal does not say."""


def show_json(value: Any) -> None:
    """Print one JSON value."""
    typer.echo(json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False))


def _finite(value: Any) -> Any:
    """The same value with null for NaN and infinities, which JSON does not have."""
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def heading(text: str) -> str:
    """A heading; bold on a terminal, because Typer strips styles elsewhere."""
    return typer.style(text, bold=True)


def width() -> int:
    """Columns to fill."""
    return min(shutil.get_terminal_size((WIDTH, 24)).columns, 140)


def labelled(label: str, text: str) -> str:
    """A line `label  text`, wrapped with the text aligned."""
    indent = " " * 12
    filled = textwrap.fill(text, width(), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)
    return label.ljust(12) + filled[12:]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), columns: int | None = None) -> str:
    """Rows aligned under a heading; the last column is wrapped to the width of the line.

    Args:
        head: Column names.
        rows: Cells, as many as there are names.
        right: Positions of columns that are aligned to the right.
        columns: Width of the line.
    """
    columns = width() if columns is None else columns
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    left = sum(w + 2 for w in widths[:-1])
    room = max(columns - left, 20)
    lines: list[str] = []
    for at, row in enumerate([head, *rows]):
        fixed = [cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row[:-1], widths[:-1], strict=True))]
        last = row[-1].rjust(widths[-1]) if len(row) - 1 in right else row[-1]
        wrapped = textwrap.wrap(last, room, drop_whitespace=len(row) - 1 not in right) or [""]
        first = ("  ".join([*fixed, wrapped[0]])).rstrip()
        lines.append(heading(first) if at == 0 else first)
        lines += [" " * left + more for more in wrapped[1:]]
    return "\n".join(lines)
