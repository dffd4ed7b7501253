"""From a block of lines to columns: pyarrow converts the block whole; where it refuses, rows are looked at one by one to name the bad one.

Numbers are decimal or scientific; infinite ones are refused. Integers may be written `7.0` and must be exact in float64. The slower way
by text is taken where a block has blanks around missing values, lines of blanks, or commas between thousands.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.table_lines import WHITESPACE
from twm_core.errors import DataError
from twm_core.extras import need

ColumnType = Literal["float", "int", "str"]
"""What a column holds: float64; int64 (`7.0` is an integer too); text."""

MISSING = int(np.iinfo(np.int64).min)
"""The value of an `int` column where the file has none."""

NULLS = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NAN", "-nan", "null", "NULL", "Null", "None", "none")
"""What files write where they have no value."""

LONGEST_TEXT = 256
"""Characters of the longest text value."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_EXACT = 2.0**53


@dataclass(frozen=True)
class Chunk:
    """Some consecutive rows of a table.

    Attributes:
        columns: float64, int64 or str arrays `[R]` by the names that were asked for; optional columns that the file lacks are not there.
        line: int64 `[R]`, number of each row in its file.
    """

    columns: dict[str, NDArray[Any]]
    line: NDArray[np.int64]

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __len__(self) -> int:
        return len(self.line)


@dataclass(frozen=True)
class Layout:
    """Where the wanted columns stand in the rows of a file."""

    path: Path
    names: list[str]
    places: dict[str, int]
    types: dict[str, ColumnType]
    complete: frozenset[str]
    delimiter: str
    decimal: str
    thousands: bool

    @property
    def separator(self) -> str:
        return " " if self.delimiter == WHITESPACE else self.delimiter


def block_rows(layout: Layout, block: bytes, first: int) -> Chunk:
    """The rows of one block; `first` is the number of its first line."""
    if not block.strip():
        return Chunk({}, np.zeros(0, dtype=np.int64))
    arrow = need("pyarrow", "data")
    try:
        try:
            table = _arrow(layout, block, as_text=False)
        except arrow.ArrowInvalid:
            # Commas between thousands, blanks around values and lines of blanks are what keeps a good block from the fast way.
            block = b"\n".join(b"" if not line.strip() else line for line in block.split(b"\n"))
            table = _arrow(layout, block, as_text=True)
        lines = _numbers(block, first, table.num_rows)
        return _checked(layout, table, lines)
    except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError, arrow.ArrowKeyError, _Bad) as error:
        _explain(layout, block, first)
        last = first + block.rstrip(b"\n").count(b"\n")
        raise DataError(f"{layout.path}, rows {first} to {last}: cannot be read ({error})", "repair these rows") from error


class _Bad(Exception):
    """A value is not what its column holds; `_explain` says which."""


def _arrow(layout: Layout, block: bytes, *, as_text: bool) -> Any:
    """The wanted columns of a block as a table of float64 and dictionaries of text; by way of text where numbers need cleaning."""
    arrow, pacsv, compute = (need(module, "data") for module in ("pyarrow", "pyarrow.csv", "pyarrow.compute"))
    text = arrow.dictionary(arrow.int32(), arrow.string())
    number = text if as_text else arrow.float64()
    table = pacsv.read_csv(
        arrow.BufferReader(block),
        pacsv.ReadOptions(column_names=[str(i) for i in range(len(layout.names))], use_threads=False, block_size=len(block) + 1),
        pacsv.ParseOptions(delimiter=layout.separator),
        pacsv.ConvertOptions(
            include_columns=[str(i) for i in layout.places.values()],
            column_types={str(i): text if layout.types[n] == "str" else number for n, i in layout.places.items()},
            null_values=list(NULLS),
            strings_can_be_null=True,
            decimal_point=layout.decimal,
        ),
    )
    arrays = {}
    for name, place in layout.places.items():
        column = table.column(str(place)).combine_chunks()
        if layout.types[name] != "str" and as_text:
            values = compute.utf8_trim_whitespace(column.dictionary)
            if layout.thousands:
                values = compute.replace_substring(values, ",", "")
            if layout.decimal != ".":
                values = compute.replace_substring(values, layout.decimal, ".")
            nulls = compute.is_in(values, value_set=arrow.array(NULLS))
            values = compute.cast(compute.if_else(nulls, arrow.scalar(None, arrow.string()), values), arrow.float64())
            column = values.take(column.indices)
        arrays[name] = column
    return arrow.table(arrays)


def _numbers(block: bytes, first: int, rows: int) -> NDArray[np.int64]:
    """Row numbers of the lines of a block that are not empty."""
    if block.count(b"\n") + (not block.endswith(b"\n")) == rows:
        return np.arange(first, first + rows, dtype=np.int64)
    full = [i for i, line in enumerate(block.split(b"\n")) if line.rstrip(b"\r")]
    if len(full) != rows:
        raise _Bad(f"{len(full)} lines hold {rows} rows")  # A quoted value runs over the end of its line.
    return first + np.asarray(full, dtype=np.int64)


def _checked(layout: Layout, table: Any, lines: NDArray[np.int64]) -> Chunk:
    """The table as NumPy arrays, without rows of nothing."""
    arrays: dict[str, NDArray[Any]] = {}
    empty = np.ones(len(lines), dtype=bool)
    missing: dict[str, NDArray[np.bool_]] = {}
    for name in layout.places:
        column = table.column(name).combine_chunks()
        missing[name] = column.is_null().to_numpy(zero_copy_only=False)
        empty &= missing[name]
        arrays[name] = _texts(column, missing[name]) if layout.types[name] == "str" else _floats(column, missing[name])
        if layout.types[name] == "int":
            arrays[name] = _integers(arrays[name], missing[name])
    if any((missing[n] & ~empty).any() for n in layout.complete & layout.places.keys()):
        raise _Bad("a value is missing")
    if empty.any():
        arrays, lines = {n: v[~empty] for n, v in arrays.items()}, lines[~empty]
    return Chunk(arrays, lines)


def _floats(column: Any, missing: NDArray[np.bool_]) -> NDArray[np.float64]:
    values = np.array(column.fill_null(np.nan).to_numpy(zero_copy_only=False), dtype=np.float64)
    if not np.isfinite(values[~missing]).all():
        raise _Bad("a number is infinite")
    return values


def _integers(values: NDArray[Any], missing: NDArray[np.bool_]) -> NDArray[np.int64]:
    known = np.where(missing, 0.0, values)
    if not (known == np.rint(known)).all() or (np.abs(known) >= _EXACT).any():
        raise _Bad("a number is not an integer")
    return np.where(missing, MISSING, known.astype(np.int64))


def _texts(column: Any, missing: NDArray[np.bool_]) -> NDArray[Any]:
    known = [value.strip() for value in column.dictionary.to_pylist()]
    if max(map(len, known), default=0) > LONGEST_TEXT:
        raise _Bad("a text is too long")
    known = ["" if value in NULLS else value for value in known]
    indices = column.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
    values: NDArray[Any] = np.asarray([*known, ""], dtype=np.str_)[indices]
    missing |= values == ""  # Blanks alone are no value either.
    return values


def _explain(layout: Layout, block: bytes, first: int) -> None:
    """Look at the rows of a block one by one and raise the error of the first bad one."""
    for number, raw in enumerate(block.decode("utf-8").split("\n"), first):
        line = raw.rstrip("\r")
        if not line.strip():
            continue
        where = f"{layout.path}, row {number}"
        if "\r" in line:
            raise DataError(f"{where}: a carriage return inside the row: {line[:80]!r}", "end all lines alike, and no values with it")
        try:
            values = next(csv.reader([line], delimiter=layout.separator, strict=True))
        except (csv.Error, StopIteration) as error:
            raise DataError(f"{where}: {error}: {line[:80]!r}", "repair the quotes: a quoted value ends on its line") from error
        if len(values) != len(layout.names):
            raise DataError(
                f"{where}: {len(values)} values where the table has {len(layout.names)} columns: {line[:80]!r}",
                "repair or remove the row (files cut off in a row look like this)",
            )
        given = {name: values[place].strip() for name, place in layout.places.items()}
        if all(value in NULLS for value in given.values()):
            continue
        for name, value in given.items():
            wrong = _wrong(layout, name, value)
            if wrong:
                shown = layout.names[layout.places[name]].strip()
                raise DataError(f"{where}, column {shown!r}: {value[:60]!r} {wrong}", "repair or remove the row")


def _wrong(layout: Layout, name: str, value: str) -> str | None:
    """What is wrong with a value, None where nothing is."""
    if value in NULLS:
        return "is no value, and this column needs one" if name in layout.complete else None
    kind = layout.types[name]
    if kind == "str":
        return f"is longer than {LONGEST_TEXT} characters" if len(value) > LONGEST_TEXT else None
    plain = (value.replace(",", "") if layout.thousands else value).replace(layout.decimal, ".")
    if plain.lstrip("+-").casefold() in ("inf", "infinity"):
        return "is infinite"
    if not NUMBER.fullmatch(plain):
        return "is not a number"
    number = float(plain)
    if not np.isfinite(number):
        return "is infinite"
    if kind == "int" and (number != round(number) or abs(number) >= _EXACT):
        return "is not an integer" if number != round(number) else "is too large an integer"
    return None
