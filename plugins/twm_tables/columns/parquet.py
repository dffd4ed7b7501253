"""Columns of a parquet file, in the chunks that `twm_core.data.importing.tables` makes of text. Rows count from 1, as there is no
header."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.tables import MISSING, Chunk, ColumnType
from twm_core.errors import DataError
from twm_core.extras import need


def parquet_names(path: Path) -> list[str]:
    """Names of the columns.

    Raises:
        DataError: It is no parquet file.
    """
    return list(_open(path).schema_arrow.names)


def read_parquet(path: Path, columns: Mapping[str, ColumnType], *, chunk_rows: int = 200_000) -> Iterator[Chunk]:
    """Chunks of the columns, all of which the file has; times become seconds since 1970.

    Raises:
        DataError: The file is damaged, or a column does not hold what it should; the message names it.
    """
    arrow, compute = need("pyarrow", "data"), need("pyarrow.compute", "data")
    file = _open(path)
    row = 1
    batches = file.iter_batches(batch_size=chunk_rows, columns=list(columns))
    while True:
        try:
            batch = next(batches, None)
        except (OSError, arrow.ArrowException) as error:
            raise DataError(f"{path}, rows from {row}: {error}", "the file is damaged; get it again") from error
        if batch is None:
            return
        arrays: dict[str, NDArray[Any]] = {}
        for name, kind in columns.items():
            try:
                arrays[name] = _array(arrow, compute, batch.column(name), kind)
            except (arrow.ArrowException, ValueError, TypeError) as error:
                raise DataError(
                    f"{path}, rows {row} to {row + batch.num_rows - 1}, column {name!r}: no {kind} values ({error})", "correct the mapping"
                ) from error
        yield Chunk(arrays, np.arange(row, row + batch.num_rows, dtype=np.int64))
        row += batch.num_rows


def _open(path: Path) -> Any:
    arrow, parquet = need("pyarrow", "data"), need("pyarrow.parquet", "data")
    try:
        return parquet.ParquetFile(path)
    except (OSError, arrow.ArrowException) as error:
        raise DataError(f"{path}: {error}", "give a parquet file") from error


def _array(arrow: Any, compute: Any, column: Any, kind: ColumnType) -> NDArray[Any]:
    if arrow.types.is_timestamp(column.type):
        column = compute.divide(compute.cast(compute.cast(column, arrow.timestamp("us")), arrow.int64()).cast(arrow.float64()), 1e6)
    if kind == "str":
        return np.asarray(compute.cast(column, arrow.string()).fill_null("").to_pylist(), dtype=np.str_)
    values = np.array(compute.cast(column, arrow.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False))
    if np.isinf(values).any():
        raise ValueError(f"row {int(np.argmax(np.isinf(values))) + 1} of them is infinite")
    if kind == "float":
        return values
    known = np.where(np.isnan(values), 0.0, values)
    if (known != np.rint(known)).any() or (np.abs(known) >= 2.0**53).any():
        raise ValueError("not all are integers")
    return np.where(np.isnan(values), MISSING, known.astype(np.int64))
