"""Tables of text: values and row numbers against rows written by hand, and one clear error for each way in which a file can be broken."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import twm_core.data.importing.table_lines as table_lines
from twm_core.data.importing.tables import MISSING, WHITESPACE, ColumnType, distinct, read_table, table_header
from twm_core.errors import DataError

ABC: Mapping[str, ColumnType] = {"a": "int", "b": "float", "c": "str"}
Write = Callable[[bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(data: bytes) -> Path:
        path = tmp_path / "table.csv"
        path.write_bytes(data)
        return path

    return to_file


def whole(path: Path, columns: Mapping[str, ColumnType] = ABC, **options: Any) -> tuple[dict[str, list[Any]], list[int]]:
    """All rows and their numbers, NaN as None."""
    chunks = list(read_table(path, columns, **options))
    values = {n: [None if v != v else v for c in chunks for v in c[n].tolist()] for n in columns if chunks and n in chunks[0]}
    return values, [line for c in chunks for line in c.line.tolist()]


def message(path: Path, columns: Mapping[str, ColumnType] = ABC, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        list(read_table(path, columns, **options))
    return caught.value.message.removeprefix(str(path))


def test_spreadsheets_with_marks_blanks_quotes_and_empty_lines_are_read_with_the_rows_of_an_editor(write: Write) -> None:
    path = write(b'\xef\xbb\xbfA, "b" ,C\r\n1,2.5,x\r\n\r\n2.0,,"y,z"\r\n 3 , 1e-3 , t \r\n,,\r\n   \r\n\r\n')
    assert whole(path) == ({"a": [1, 2, 3], "b": [2.5, None, 0.001], "c": ["x", "y,z", "t"]}, [2, 4, 5])


@pytest.mark.parametrize("missing", [b"", b"NaN", b"nan", b"NA", b"null", b"None", b" "])
def test_missing_values_are_nan_the_sentinel_and_nothing(write: Write, missing: bytes) -> None:
    path = write(b"a,b,c,d\n" + b",".join([missing] * 3) + b",1\n")
    values, _ = whole(path, {**ABC, "d": "int"})
    assert values == {"a": [MISSING], "b": [None], "c": [""], "d": [1]}


def test_columns_are_found_by_alias_and_optional_ones_may_lack(write: Write) -> None:
    path = write(b"Vehicle ID,v-length\n7,3\n")
    chunk = next(read_table(path, {"vehicle_id": "int", "size": "float", "lane": "int"}, optional=["lane"], aliases={"size": ["v_length"]}))
    assert chunk["vehicle_id"].tolist() == [7]
    assert chunk["size"].tolist() == [3.0]
    assert "lane" not in chunk


def test_text_without_header_is_split_at_runs_of_blanks(write: Write) -> None:
    path = write(b"  1\t2   3 \n\t4 5 \t 6")
    assert whole(path, {"1": "int", "3": "float"}, delimiter=WHITESPACE, header=False) == ({"1": [1, 4], "3": [3.0, 6.0]}, [1, 2])
    assert whole(path, {"t": "int"}, delimiter=WHITESPACE, header=["t", "x", "y"])[0] == {"t": [1, 4]}


def test_other_decimals_thousands_and_lines_before_the_header(write: Write) -> None:
    assert whole(write(b"made by\n\na;b;c\n1;2,5;x\n"), delimiter=";", decimal=",", skip=2) == ({"a": [1], "b": [2.5], "c": ["x"]}, [4])
    assert whole(write(b'a,b,c\n"1,163,368","-1,234.5",x\n'), thousands=True)[0] == {"a": [1163368], "b": [-1234.5], "c": ["x"]}
    assert whole(write(b"a,b,c\r1,2,x\r3,4,y\r")) == ({"a": [1, 3], "b": [2.0, 4.0], "c": ["x", "y"]}, [2, 3])


def test_compressed_tables_are_known_by_their_first_bytes(write: Write) -> None:
    assert whole(write(gzip.compress(b"a,b,c\n1,2,x\n")))[0]["a"] == [1]
    assert table_header(write(gzip.compress(b"a, b,c\n1,2,x\n"))) == ["a", " b", "c"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"a,b,c\n1,2,x\n1,y,x\n", ", row 3, column 'b': 'y' is not a number"),
        (b"a,b,c\n1,1_0,x\n", ", row 2, column 'b': '1_0' is not a number"),
        (b"a,b,c\n0x10,1,x\n", ", row 2, column 'a': '0x10' is not a number"),
        (b"a,b,c\n1.5,2,x\n", ", row 2, column 'a': '1.5' is not an integer"),
        (b"a,b,c\n99999999999999999999,2,x\n", ", row 2, column 'a': '99999999999999999999' is too large an integer"),
        (b"a,b,c\n1,-inf,x\n", ", row 2, column 'b': '-inf' is infinite"),
        (b"a,b,c\n1,1e999,x\n", ", row 2, column 'b': '1e999' is infinite"),
        (b"a,b,c\n1,2,x\n\n1,2\n", ", row 4: 2 values where the table has 3 columns: '1,2'"),
        (b"a,b,c\n1,2,x,\n", ", row 2: 4 values where the table has 3 columns: '1,2,x,'"),
        (b'a,b,c\n1,2,"x\ny"\n', ", row 2: unexpected end of data: '1,2,\"x'"),
        (b"a,b,c\n1,2\r,x\n", ", row 2: a carriage return inside the row: '1,2\\r,x'"),
        (b"a,b,c\n1,2,x\n1,2,\xff\n", ", row 3: not UTF-8 text (byte 0xff in b'1,2,\\xff')"),
        (b"a,b,c\n1,2,\0\n", ", row 2: not UTF-8 text (byte 0x00 in b'1,2,\\x00')"),
        ("a,b,c\n".encode("utf-16"), ", row 1: not UTF-8 text (byte 0xff in "),
        (b"a,b,c\n1,2," + b"x" * 300 + b"\n", f", row 2, column 'c': '{'x' * 60}' is longer than 256 characters"),
        (b"a,b\n1,2\n", " has no column 'c'; its 2 columns are a, b"),
        (b"a,b,c,B\n1,2,x,3\n", ", row 1: column 'b' stands there 2 times ('b', 'B')"),
        (b"", " is empty"),
        (b"\n \n", " has no rows"),
        (b"PK\x03\x04abc", " is a zip archive (or a spreadsheet), not a text table"),
    ],
)
def test_broken_files_give_one_error_that_names_row_column_and_value(write: Write, data: bytes, says: str) -> None:
    assert message(write(data)).startswith(says)


def test_compressed_tables_that_were_cut_off_or_damaged_are_refused(write: Write) -> None:
    data = gzip.compress(b"a,b,c\n" + b"1,2,x\n" * 999)
    damaged = bytearray(data)
    damaged[-6] ^= 1
    for broken in (data[:40], data[:-4], bytes(damaged)):
        assert message(write(broken)).startswith(": the gzip data are damaged or cut off after row ")


def test_a_missing_value_in_a_complete_column_is_an_error(write: Write) -> None:
    path = write(b"a,b,c\n1,2,x\n,2,x\n")
    assert whole(path)[0]["a"] == [1, MISSING]
    assert message(path, complete=["a"]) == ", row 3, column 'a': '' is no value, and this column needs one"


def test_a_misspelt_column_gets_a_suggestion_and_values_in_the_first_line_a_hint(write: Write) -> None:
    with pytest.raises(DataError, match="did you mean 'v_Vell' for 'v_vel'"):
        list(read_table(write(b"id,v_Vell\n1,2\n"), {"v_vel": "float"}))
    with pytest.raises(DataError, match="the first line seems to hold values"):
        list(read_table(write(b"1,2.5,3\n4,5,6\n"), ABC))


def test_lines_that_never_end_are_no_table(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_lines, "LONGEST_LINE", 100)
    monkeypatch.setattr(table_lines, "BLOCK", 800)
    assert message(write(b"a,b,c\n" + b"1" * 1000)) == ", row 2: the line is longer than 100 bytes"


def test_small_blocks_and_chunks_give_the_same_rows_as_one_large_one(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(b"a,b,c\r\n" + b"".join(b"%d,%d.5,lane %d\r\n" % (i, i, i % 3) + b"\r\n" * (i % 4 == 0) for i in range(200)))
    large = whole(path)
    monkeypatch.setattr(table_lines, "BLOCK", 160)
    chunks = list(read_table(path, ABC, chunk_rows=3))
    assert len(chunks) > 60
    assert max(map(len, chunks)) <= 3
    assert whole(path) == large
    assert large[0]["a"] == list(range(200))
    assert message(write(path.read_bytes() + b"1,x,y\r\n")) == f", row {large[1][-1] + 1}, column 'b': 'x' is not a number"


cells = st.tuples(st.integers(-(10**15), 10**15), st.floats(allow_nan=False, allow_infinity=False), st.text("abc ,\"'é;", max_size=8))


@given(rows=st.lists(cells, min_size=1, max_size=30))
def test_what_the_csv_module_writes_comes_back(rows: list[tuple[int, float, str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([("a", "b", "c"), *rows])
    path = tmp_path_factory.mktemp("table") / "table.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    (values, lines) = whole(path)
    assert values["a"] == [a for a, _, _ in rows]
    assert values["b"] == [b for _, b, _ in rows]
    assert values["c"] == [c.strip() for _, _, c in rows]
    assert lines == list(range(2, len(rows) + 2))


@given(values=st.lists(st.sampled_from(["", "a", "b", "cc"]), max_size=20))
def test_distinct_is_numpys_unique(values: list[str]) -> None:
    array = np.asarray(values, dtype="U2")
    unique, which = distinct(array)
    assert unique.tolist() == sorted(set(values))
    assert unique[which].tolist() == values
