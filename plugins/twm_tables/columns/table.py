"""A table that a mapping file explains: its columns, chunk by chunk, by the keys of the mapping.

The words that stand for missing values are gone from them: NaN, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.tables import NULLS, Chunk, ColumnType, distinct, normal, read_table, table_header
from twm_core.errors import DataError
from twm_tables.columns.mapping import Mapping
from twm_tables.columns.parquet import parquet_names, read_parquet
from twm_tables.limits import Floats, Ints

TEXT = ("track.column", "type.column", "lane.column", "leader.column", "follower.column", "group.column", "site.column")
"""Keys whose columns are names."""


class MappedTable:
    """A table, its mapping, and the columns that it names, by key."""

    def __init__(self, path: Path, where: Path, mapping: Mapping) -> None:
        self.path, self.where, self.mapping = path, where, mapping
        self.keys = mapping.columns()
        self.parquet = path.name.lower().endswith(".parquet")
        part = mapping.table
        if self.parquet:
            names = parquet_names(path)
        else:
            names = table_header(path, delimiter=part.delimiter, skip=part.skip_lines)
            if not part.header:
                names = list(part.names) or [str(i + 1) for i in range(len(names))]
        known = {name if self.parquet else normal(name): name for name in names}
        for key, column in self.keys.items():
            if (str(column) if self.parquet else normal(str(column))) not in known:
                raise DataError(
                    f"{where}: {self.says(key)}, but {path.name} has {len(names)} columns: {', '.join(names)[:300]}",
                    "correct the name" if part.header else "without header, columns are numbers from 1, or those of table.names",
                )

    def says(self, key: str) -> str:
        """What the mapping says about a key."""
        return f"{key} = {self.keys[key]!r}"

    def chunks(self) -> Iterator[Chunk]:
        """Chunks of the columns by key."""
        part = self.mapping.table
        text = {*TEXT, "time.column"} if self.mapping.time.unit == "datetime" and not self.parquet else set(TEXT)
        types: dict[str, ColumnType] = {}
        for key, column in self.keys.items():
            kind: ColumnType = "str" if key in text else "float"
            if types.setdefault(str(column), kind) != kind:
                types[str(column)] = "str"  # As a name here and as a number there: the number is made of the name.
        complete = [str(self.keys[key]) for key in ("track.column", "time.column")]
        rows = (
            read_parquet(self.path, types)
            if self.parquet
            else read_table(
                self.path,
                types,
                complete=() if part.missing else complete,
                delimiter=part.delimiter,
                header=True if part.header else (list(part.names) or False),
                skip=part.skip_lines,
                decimal=part.decimal,
                thousands=part.thousands,
            )
        )
        for chunk in rows:
            arrays = {}
            for key, column in self.keys.items():
                values = _without_missing(chunk[str(column)], part.missing)
                if key not in text and values.dtype.kind == "U":
                    values = self._floats(key, values, chunk.line)
                arrays[key] = values
            yield Chunk(arrays, chunk.line)

    def _floats(self, key: str, values: NDArray[Any], line: Ints) -> Floats:
        try:
            return np.where(values == "", "nan", values).astype(np.float64)
        except ValueError as error:
            raise DataError(f"{self.path}, rows {line[0]} to {line[-1]}: {self.says(key)}: {error}", "correct the mapping") from error


def _without_missing(values: NDArray[Any], words: Sequence[str | int | float]) -> NDArray[Any]:
    """Values with nothing in place of the words that stand for it."""
    if not words:
        return values
    if values.dtype.kind == "U":
        return emptied(values, [str(word) for word in words])
    numbers = [float(word) for word in words if _is_number(word)]
    return np.where(np.isin(values, numbers), np.nan, values)


def _is_number(word: str | int | float) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False


def emptied(values: NDArray[Any], words: Sequence[str]) -> NDArray[Any]:
    """Names, with nothing in place of these words."""
    return np.where(np.isin(values, list(words)), "", values)


def plain_words(words: Sequence[str | int | float]) -> list[str]:
    """Words of a mapping as `plain_names` writes them."""
    return [str(word).removesuffix(".0") for word in words]


def plain_names(values: NDArray[Any]) -> NDArray[Any]:
    """Names, with `7` for `7.0`: numbers become such where another row of their column was empty."""
    unique, which = distinct(values)
    plain = ["" if n in NULLS else n[:-2] if n.endswith(".0") and n[:-2].lstrip("-").isdecimal() else n for n in map(str, unique)]
    return np.asarray(plain, dtype=np.str_)[which]
