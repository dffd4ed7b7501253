"""Tables of text, read as a stream of NumPy chunks, with errors that name file, row and column.

One row is one line: `.csv`, `.tsv`, `.txt` and the same under gzip (known by its first bytes), in UTF-8 with or without a byte order
mark, with LF, CRLF or CR at the ends of lines. A file is read in blocks of whole lines; pyarrow converts each block, and only where it
refuses one are the block's lines looked at one by one, to name the row. So memory does not grow with the file, and the same file
gives the same chunks. A quoted value may hold delimiters but no line break. Rows count as in an editor: the first line of the file is
row 1, so the first row of data under a header is row 2.

Missing values (nothing at all, `NaN`, `NA`, `null`, `None` and their like) become NaN, `MISSING` or the empty string. Lines that are
empty, or in which every column that was asked for is missing, hold nothing and are passed over.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.table_lines import WHITESPACE, Lines, open_table
from twm_core.data.importing.table_values import MISSING, NULLS, NUMBER, Chunk, ColumnType, Layout, block_rows
from twm_core.errors import DataError
from twm_core.extras import need
from twm_core.suggest import closest

__all__ = ["MISSING", "NULLS", "WHITESPACE", "Chunk", "ColumnType", "distinct", "normal", "read_table", "table_header"]


def normal(name: str) -> str:
    """How names of columns are compared: without case, quotes and blanks around them; blanks and hyphens inside count as `_`."""
    return re.sub(r"[\s-]+", "_", name.strip().strip("\"'").strip()).casefold()


def distinct(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """`np.unique(values, return_inverse=True)` of values `[R]`; quick where equal ones stand together, as in columns of tables."""
    if not len(values):
        return values, np.zeros(0, dtype=np.int64)
    begins = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    unique, which = np.unique(values[begins], return_inverse=True)
    return unique, np.repeat(which, np.diff(np.append(begins, len(values)))).astype(np.int64)


def table_header(path: Path, *, delimiter: str = ",", skip: int = 0) -> list[str]:
    """The names in the header of a table, as the file writes them; for telling formats apart.

    Raises:
        DataError: The file is not there, is empty, is no text, or is truncated.
    """
    with open_table(path) as file:
        lines = Lines(path, file)
        for _, block in lines.blocks(delimiter):
            return _header(path, block, delimiter, skip)[0]
    raise DataError(f"{path} is empty", "give a table with a header and rows")


def read_table(
    path: Path,
    columns: Mapping[str, ColumnType],
    *,
    optional: Collection[str] = (),
    complete: Collection[str] = (),
    aliases: Mapping[str, Sequence[str]] | None = None,
    delimiter: str = ",",
    header: bool | Sequence[str] = True,
    skip: int = 0,
    decimal: str = ".",
    thousands: bool = False,
    chunk_rows: int = 200_000,
) -> Iterator[Chunk]:
    """Read columns of a table, chunk by chunk. Nothing is yielded for a table without rows.

    Args:
        path: The file.
        columns: Names and types of the columns that are wanted; others are ignored. Names are compared as `normal` says.
        optional: Names of those that the file may lack.
        complete: Names of those in which a missing value is an error.
        aliases: Other names under which a column may stand.
        delimiter: One character, or `WHITESPACE`.
        header: Whether the first line names the columns. False names them "1", "2", ...; a list names those of a file without header.
        skip: Lines before the header (or before the first row) to leave out.
        decimal: The character before decimals.
        thousands: Whether numbers may have commas between thousands (`"1,163,368,300"`).
        chunk_rows: Most rows of a chunk.

    Raises:
        DataError: The file is not there or is no UTF-8 text, gzip data is damaged, a column is missing or stands there twice, a row has
            too many or too few values, a value is not of its column's type, is infinite, or is missing in a column of `complete`. The
            message names the file, and row, column and value where there are such.
        UsageError: pyarrow is not installed.
    """
    need("pyarrow.csv", "data")
    with open_table(path) as file:
        layout: Layout | None = None
        for first, whole in Lines(path, file).blocks(delimiter):
            block, start = whole, first
            if layout is None:
                names, block, start = _header(path, whole, delimiter, skip)
                if header is not True:
                    block, start = whole.split(b"\n", skip)[-1] if skip else whole, 1 + skip
                    names = [str(i + 1) for i in range(len(names))] if header is False else list(header)
                places = _places(path, names, columns, optional, aliases or {}, header is True)
                layout = Layout(path, names, places, dict(columns), frozenset(complete), delimiter, decimal, thousands)
            yield from _slices(block_rows(layout, block, start), chunk_rows)
        if layout is None:
            raise DataError(f"{path} is empty", "give a table with a header and rows")


def _header(path: Path, block: bytes, delimiter: str, skip: int) -> tuple[list[str], bytes, int]:
    """Names in the first line that is not empty (after `skip`), what follows it, and the row number of that."""
    row = 0
    while block:
        line, _, block = block.partition(b"\n")
        row += 1
        if row > skip and line.strip():
            text = line.decode("utf-8").rstrip("\r")
            try:
                names = next(csv.reader([text], delimiter=" " if delimiter == WHITESPACE else delimiter))
            except csv.Error as error:
                raise DataError(f"{path}, row {row}: {error} in {text[:60]!r}", "repair the line") from error
            return names, block, row + 1
    raise DataError(f"{path} has no rows" + (f" after the {skip} to leave out" if skip else ""), "give a table with a header and rows")


def _places(
    path: Path,
    names: list[str],
    columns: Mapping[str, ColumnType],
    optional: Collection[str],
    aliases: Mapping[str, Sequence[str]],
    header: bool,
) -> dict[str, int]:
    """Index of every wanted column that the file has."""
    found: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        found.setdefault(normal(name), []).append(i)
    places: dict[str, int] = {}
    lacking: list[str] = []
    for name in columns:
        at = [i for known in (name, *aliases.get(name, ())) for i in found.get(normal(known), [])]
        if len(at) > 1:
            raise DataError(
                f"{path}, row 1: column {name!r} stands there {len(at)} times ({', '.join(repr(names[i]) for i in at)})", "keep one"
            )
        if at:
            places[name] = at[0]
        elif name not in optional:
            lacking.append(name)
    if lacking:
        close = {n: closest(normal(n), list(found)) for n in lacking}
        means = [f"{names[found[c][0]].strip()!r} for {n!r}" for n, c in close.items() if c]
        hint = f"did you mean {', '.join(means)}?" if means else "name the columns in the first line" if header else "check the delimiter"
        shown = ", ".join(n.strip() for n in names[:40]) + (", ..." if len(names) > 40 else "")
        raise DataError(
            f"{path} has no column {', '.join(map(repr, lacking))}; its {len(names)} columns are {shown}"[:600],
            hint + (" (the first line seems to hold values, not names)" if header and _looks_like_values(names) else ""),
        )
    return places


def _looks_like_values(names: list[str]) -> bool:
    return sum(bool(NUMBER.fullmatch(n.strip())) for n in names) > len(names) / 2


def _slices(chunk: Chunk, rows: int) -> Iterator[Chunk]:
    for begin in range(0, len(chunk), rows):
        part = slice(begin, begin + rows)
        yield chunk if len(chunk) <= rows else Chunk({n: v[part] for n, v in chunk.columns.items()}, chunk.line[part])
