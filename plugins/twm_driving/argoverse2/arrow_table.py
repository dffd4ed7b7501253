"""Reads named columns of a parquet or Arrow (feather) file into NumPy arrays, with errors that name file, column and row.

Text columns come as object arrays, so that one long text does not widen all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from twm_core.errors import DataError
from twm_core.extras import need

MOST_ROWS = 2_000_000
"""Most rows of a table. A sensor log has about 15,000, a forecasting scenario 3,000."""

Kind = Literal["float", "int", "text", "bool"]


def read_columns(path: Path, columns: Mapping[str, Kind]) -> dict[str, NDArray[Any]]:
    """The columns `[R]`; other columns of the file are not read.

    Raises:
        DataError: The file is damaged, empty or too large, or a column is missing, of another type or has empty cells.
    """
    pa = need("pyarrow", "data")
    try:
        table = _read(path, list(columns))
        table.validate(full=True)  # offsets of damaged files must not be followed
        if not table.num_rows:
            raise DataError(f"{path.name}: holds no rows", "leave the file out")
        return {name: _column(table.column(name), kind, name, path.name, pa) for name, kind in columns.items()}
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        raise DataError(f"{path.name}: cannot be read as {_format(path)} ({_line(error)})", "download the file again") from error


def _format(path: Path) -> str:
    return "parquet" if path.suffix == ".parquet" else "Arrow (feather)"


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def _read(path: Path, names: list[str]) -> Any:
    """The table of these columns, checked for size before it is decoded."""
    data = path.read_bytes()
    pa = need("pyarrow", "data")
    if path.suffix == ".parquet":
        parquet = need("pyarrow.parquet", "data")
        source = parquet.ParquetFile(
            pa.BufferReader(data), thrift_string_size_limit=1 << 26, thrift_container_size_limit=1 << 22, pre_buffer=False
        )
        _check(path, source.metadata.num_rows, source.schema_arrow.names, names)
        return source.read(columns=names, use_threads=False)
    ipc = need("pyarrow.ipc", "data")
    source = ipc.open_file(pa.BufferReader(data))
    _check(path, 0, source.schema.names, names)
    rows = 0
    batches: list[Any] = []
    for i in range(source.num_record_batches):
        batch = source.get_batch(i)
        rows += batch.num_rows
        _check(path, rows, source.schema.names, names)
        batch.validate(full=True)
        batches.append(batch.select(names))
    return pa.Table.from_batches(batches, schema=pa.schema([source.schema.field(n) for n in names]))


def _check(path: Path, rows: int, there: list[str], names: list[str]) -> None:
    if rows > MOST_ROWS:
        raise DataError(f"{path.name}: has {rows} rows", f"at most {MOST_ROWS} are read")
    for name in names:
        if there.count(name) != 1:
            raise DataError(
                f"{path.name}: has {there.count(name)} columns named {name}, not one", f"its columns are {', '.join(there)[:200]}"
            )


def _column(column: Any, kind: Kind, name: str, file: str, pa: Any) -> NDArray[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0]) + 1
        raise DataError(f"{file}, row {row}: {name} is empty ({column.null_count} such rows)", "remove or repair these rows")
    types = pa.types
    fits = {
        "float": types.is_floating(column.type) or types.is_integer(column.type),
        "int": types.is_integer(column.type),
        "text": types.is_string(column.type) or types.is_large_string(column.type),
        "bool": types.is_boolean(column.type),
    }
    if not fits[kind]:
        raise DataError(f"{file}: column {name} holds {column.type}, not {kind}", "export the file again")
    if kind == "text":
        return np.array(column.to_pylist(), dtype=object)
    target = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_()}[kind]
    return np.asarray(column.cast(target).to_numpy())
