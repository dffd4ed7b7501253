"""Stretches of rows out of many tables, against slices."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twm_core.data.windows.gather import TrackRows


def expect(tables: list[np.ndarray], steps: int, table: np.ndarray, row: np.ndarray, found: np.ndarray) -> None:
    assert found.shape == (len(table), steps, *tables[0].shape[1:])
    for i, (t, r) in enumerate(zip(table.tolist(), row.tolist(), strict=True)):
        for k in range(steps):
            if 0 <= r + k < len(tables[t]):
                np.testing.assert_array_equal(found[i, k], tables[t][r + k])


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=6),
    st.sampled_from([(np.float32, (3,)), (np.uint8, ()), (np.int64, ()), (np.float32, (1,))]),
    st.integers(1, 6),
    st.integers(0, 99),
    st.booleans(),
)
def test_stretches_are_slices_wherever_tables_lie(lengths: list[int], kind: tuple, steps: int, seed: int, shared: bool) -> None:
    dtype, shape = kind
    rng = np.random.default_rng(seed)
    if shared:
        # Views into one array, as of a memory map, some numbers in.
        width = int(np.prod(shape, dtype=int))
        flat = rng.integers(0, 200, 5 + sum(lengths) * width).astype(dtype)
        begins = 5 + np.cumsum([0, *lengths]) * width
        tables = [flat[b : b + n * width].reshape(n, *shape) for b, n in zip(begins, lengths, strict=False)]
    else:
        tables = [rng.integers(0, 200, (n, *shape)).astype(dtype) for n in lengths]
    reader = TrackRows(tables, steps)
    table, row = rng.integers(0, len(tables), 20), rng.integers(-8, 14, 20)
    expect(tables, steps, table, row, reader.read(table, row))


def test_views_of_memory_maps_and_unaligned_ones_are_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tables = []
    for i, skip in enumerate((8, 12, 9)):
        values = rng.normal(size=(40, 2)).astype(np.float32)
        (tmp_path / str(i)).write_bytes(b"\0" * skip + values.tobytes())
        memory = np.memmap(tmp_path / str(i), dtype=np.uint8, mode="r")
        tables.append(memory[skip:].view(np.float32).reshape(40, 2) if skip % 4 == 0 else np.ndarray((40, 2), np.float32, memory, skip))
    reader = TrackRows(tables, 5)
    table, row = rng.integers(0, 3, 60), rng.integers(-3, 40, 60)
    expect(tables, 5, table, row, reader.read(table, row))


def test_it_can_be_sent_to_another_process() -> None:
    tables = [np.arange(40, dtype=np.float32).reshape(20, 2)]
    reader = pickle.loads(pickle.dumps(TrackRows(tables, 3)))
    expect(tables, 3, np.array([0]), np.array([7]), reader.read(np.array([0]), np.array([7])))


def test_tables_of_different_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in dtype or in the shape of a row"):
        TrackRows([np.zeros((3, 2)), np.zeros((3, 3))], 2)


GUARDED = """
import ctypes, mmap, sys
import numpy as np
from twm_core.data.windows.gather import TrackRows

page, steps = mmap.PAGESIZE, int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
tables = []
places = [(True, 30, 0), (False, 30, 0), (True, 0, 0), (False, 4, 0)]
places += [(True, page // 8, 0), (True, 30, 3), (False, 30, 3)]
for at_end, rows, shift in places:
    memory = mmap.mmap(-1, 3 * page)
    offset = page + (page - rows * 8 - shift if at_end else shift)
    values = np.arange(rows * 2, dtype=np.float32)
    memory[offset : offset + rows * 8] = values.tobytes()
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for other in (address, address + 2 * page):
        assert libc.mprotect(ctypes.c_void_p(other), ctypes.c_size_t(page), 0) == 0
    whole = np.frombuffer(memory, np.uint8, page, page)
    tables.append(np.ndarray((rows, 2), np.float32, whole, offset - page))
for some in (tables, tables[:5], tables[:1], tables[2:3], tables[3:4]):
    reader = TrackRows(some, steps)
    for t, table in enumerate(some):
        row = np.arange(-page, len(table) + page)
        found = reader.read(np.full(len(row), t), row)
        for i, r in enumerate(row.tolist()):
            a, b = max(r, 0), min(r + steps, len(table))
            if a < b:
                assert (found[i, a - r : b - r] == table[a:b]).all(), (t, r)
print("every row was right")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory protection is asked for as on Linux")
@pytest.mark.parametrize("steps", [1, 7, 40, 600])
def test_nothing_outside_the_memory_of_a_table_is_touched(steps: int) -> None:
    # Each table lies in a page of its own, at its beginning or end, between pages that end the process when they are read.
    done = subprocess.run([sys.executable, "-c", GUARDED, str(steps)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "every row was right\n"), done.stderr


def test_tables_without_rows_or_columns_give_stretches_of_nothing() -> None:
    assert TrackRows([np.zeros((0, 3))], 4).read(np.array([0, 0]), np.array([-2, 5])).shape == (2, 4, 3)
    assert TrackRows([np.zeros((9, 0))], 4).read(np.array([0]), np.array([2])).shape == (1, 4, 0)
    assert TrackRows([np.zeros((9, 3))], 4).read(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)).shape == (0, 4, 3)
