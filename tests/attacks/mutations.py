"""Changes to recordings that know what recordings are: rows, columns, numbers, encodings, tables. Each has a name and draws its place.

`twm_core.testing.fuzz.damage` makes small random changes of bytes and tokens; these reach whole rows, whole columns and the inside of
Parquet and Feather files.
"""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twm_core.testing.fuzz import damage

Mutation = Callable[[bytes, random.Random], bytes]
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def _flips(data: bytes, draw: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(30 if found else 0):
        found[draw.randrange(len(found))] = draw.randrange(256)
    return bytes(found)


def _repeated(data: bytes, draw: random.Random) -> bytes:
    at, size = draw.randint(0, len(data)), draw.choice((64, 4096))
    return data[:at] + data[at : at + size] * 20 + data[at:]


def _inserted(piece: bytes) -> Mutation:
    def act(data: bytes, draw: random.Random) -> bytes:
        at = draw.randint(0, len(data))
        return data[:at] + piece + data[at:]

    return act


def _rows(change: Callable[[list[bytes], random.Random], list[bytes]]) -> Mutation:
    return lambda data, draw: b"\n".join(change(data.split(b"\n"), draw))


def _columns(change: Callable[[list[bytes], int, int], list[bytes]]) -> Mutation:
    """Every row changed in the same columns."""

    def act(data: bytes, draw: random.Random) -> bytes:
        lines = data.split(b"\n")
        mark = next((m for m in (b",", b"\t", b" ", b";") if m in lines[0]), b",")
        width = lines[0].count(mark) + 1
        i, j = draw.randrange(width), draw.randrange(width)
        return b"\n".join(mark.join(change(cells, i, j)) if len(cells := line.split(mark)) == width else line for line in lines)

    return act


def _swap(cells: list[bytes], i: int, j: int) -> list[bytes]:
    cells[i], cells[j] = cells[j], cells[i]
    return cells


def _number(new: bytes, share: float = 0.0) -> Mutation:
    """One number replaced, or a share of them."""

    def act(data: bytes, draw: random.Random) -> bytes:
        found = list(_NUMBER.finditer(data))
        chosen = [m for m in found if draw.random() < share] if share else [draw.choice(found)] if found else []
        parts, at = [], 0
        for match in chosen:
            parts += [data[at : match.start()], new]
            at = match.end()
        return b"".join([*parts, data[at:]])

    return act


def _reencoded(encoding: str) -> Mutation:
    return lambda data, _: data.decode("utf-8", errors="replace").encode(encoding, errors="replace")


BYTES: dict[str, Mutation] = {
    "damage": damage,
    "many bytes": _flips,
    "end cut": lambda data, draw: data[: draw.randint(0, len(data))],
    "beginning cut": lambda data, draw: data[draw.randint(1, max(1, len(data))) :],
    "a piece again and again": _repeated,
    "empty": lambda data, draw: b"",
    "blanks": lambda data, draw: b" \n" * 20,
    "zeros": lambda data, draw: bytes(len(data)),
    "not UTF-8": _inserted(b"\xff\xfe\x80"),
    "a NUL": _inserted(b"\0"),
    "a byte order mark": lambda data, draw: b"\xef\xbb\xbf" + data,
    "UTF-16": _reencoded("utf-16"),
    "rows doubled": _rows(lambda rows, _: [r for row in rows for r in (row, row)]),
    "rows shuffled": _rows(lambda rows, draw: [rows[0], *draw.sample(rows[1:], len(rows) - 1)]),
    "rows lost": _rows(lambda rows, draw: [r for r in rows if draw.random() < 0.7]),
    "columns swapped": _columns(_swap),
    "a column lost": _columns(lambda cells, i, _: cells[:i] + cells[i + 1 :]),
    "a column doubled": _columns(lambda cells, i, _: [*cells, cells[i]]),
    "a number that is huge": _number(b"1e308"),
    "a number beyond 64 bits": _number(b"99999999999999999999"),
    "a number of many digits": _number(b"9" * 5000),
    "a number that is none": _number(b"NaN"),
    "a number that is infinite": _number(b"-inf"),
    "numbers that are none": _number(b"nan", 0.2),
    "numbers that are huge": _number(b"9223372036854775808", 0.2),
    "numbers that are negative": _number(b"-1", 0.2),
    "numbers that are 0": _number(b"0", 0.9),
    "a number that is a text": _number(b"=cmd|' /C calc'!A0"),
}


def _table(change: Callable[[Any, int, Any], Any]) -> Mutation:
    """The table of a Parquet or Feather file changed in one column."""

    def act(data: bytes, draw: random.Random) -> bytes:
        import pyarrow as pa
        from pyarrow import feather, parquet

        parquets, stream = data[:4] == b"PAR1", io.BytesIO()
        table = parquet.read_table(io.BytesIO(data)) if parquets else feather.read_table(io.BytesIO(data))
        changed = change(table, draw.randrange(table.num_columns), pa)
        if parquets:
            parquet.write_table(changed, stream)
        else:
            feather.write_feather(changed, stream)
        return stream.getvalue()

    return act


def _all(value: Any) -> Callable[[Any, int, Any], Any]:
    """Every cell of a column the same value."""
    return lambda table, i, pa: table.set_column(i, table.column_names[i], pa.array([value] * table.num_rows))


TABLES: dict[str, Mutation] = {
    "cells of nothing": _table(_all(None)),
    "cells of NaN": _table(_all(float("nan"))),
    "cells of infinity": _table(_all(float("inf"))),
    "cells of 1e308": _table(_all(1e308)),
    "cells of the largest integer": _table(_all(2**63 - 1)),
    "cells of the smallest integer": _table(_all(-(2**63))),
    "cells of texts": _table(_all("x")),
    "cells of lists": _table(_all([1.0])),
    "cells of structs": _table(_all({"a": 1})),
    "no rows": _table(lambda table, i, pa: table.slice(0, 0)),
    "a column dropped": _table(lambda table, i, pa: table.remove_column(i)),
    "a column twice": _table(lambda table, i, pa: table.append_column(table.column_names[i], table.column(i))),
    "a column renamed": _table(lambda table, i, pa: table.rename_columns([n + "x" * (k == i) for k, n in enumerate(table.column_names)])),
    "all rows twice": _table(lambda table, i, pa: pa.concat_tables([table, table])),
    "rows backwards": _table(lambda table, i, pa: table.take(list(range(table.num_rows))[::-1])),
}


def mutations_of(file: Path) -> dict[str, Mutation]:
    """Those that make sense for a file."""
    return {**BYTES, **TABLES} if file.suffix in (".parquet", ".feather") else BYTES
