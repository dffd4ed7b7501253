"""Reads stretches of consecutive rows out of many tables at once, at about the speed of a memory copy.

A scenario's `state` is a table `[R, F]` in which the rows of one track follow one another, so what a window shows of one agent is one
contiguous stretch of `steps * F` numbers. All stretches of a batch, of whichever tables, are fetched by one indexing operation: a view
`[addresses, steps * F]` with strides of one number each holds, at index i, the stretch that begins i numbers after the lowest address of
any table. NumPy copies one stretch after another out of it, with nothing in Python per agent or per row.

The view spans the memory between the tables too, which need not belong to this process. It never leaves this file, and only stretches
that lie inside the memory of one table's array are read through it; those that stick out are read row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class TrackRows:
    """Stretches of `steps` rows out of tables of one dtype and row shape.

    Args:
        tables: C-contiguous arrays `[R_i, ...]`; they may be views into memory maps. They must stay alive and unchanged.
        steps: Rows of a stretch.
    """

    def __init__(self, tables: Sequence[NDArray[Any]], steps: int) -> None:
        # An array that is not laid out as needed is copied; those of stores and readers are.
        self.tables = [np.ascontiguousarray(t) for t in tables]
        self.steps = steps
        self.row_shape = self.tables[0].shape[1:]
        self.dtype = self.tables[0].dtype
        self.width = int(np.prod(self.row_shape, dtype=np.int64))
        if any(t.shape[1:] != self.row_shape or t.dtype != self.dtype for t in self.tables):
            raise ValueError("the tables differ in dtype or in the shape of a row")
        self._prepare()

    def _prepare(self) -> None:
        size = self.dtype.itemsize
        first, low, high = (np.zeros(len(self.tables), dtype=np.int64) for _ in range(3))
        self._view: NDArray[Any] | None = None
        if not self.width:
            return
        for i, table in enumerate(self.tables):
            first[i] = address = table.__array_interface__["data"][0]
            memory = _memory(table)
            start = memory.__array_interface__["data"][0]
            # The first and the last number of the memory that have the alignment of this table.
            low[i] = start + (address - start) % size
            high[i] = start + memory.nbytes
        fits = np.flatnonzero(high - low >= max(1, self.steps * self.width * size))
        if not len(fits):
            return
        lowest = int(fits[np.argmin(low[fits])])
        base = int(low[lowest])
        # Where numbers do not all lie at multiples of their size from one another, bytes are the common unit.
        unit = self.dtype if not ((low[fits] - base) % size).any() else np.dtype(np.uint8)
        self._row = self.width * size // unit.itemsize
        chunk = self.steps * self._row
        self._first, self._low = (first - base) // unit.itemsize, (low - base) // unit.itemsize
        self._last = (high - base) // unit.itemsize - chunk
        # Nothing is read through the view out of a table's memory that is smaller than a stretch: there is no index that is not outside.
        small = np.ones(len(self.tables), dtype=bool)
        small[fits] = False
        self._low[small], self._last[small] = np.iinfo(np.int64).max, -1
        memory = _memory(self.tables[lowest])
        # A stretch is one item: NumPy then copies it as a whole.
        item = np.dtype((np.void, chunk * unit.itemsize))
        start = np.ndarray((1,), item, buffer=memory, offset=base - memory.__array_interface__["data"][0])
        self._view = np.lib.stride_tricks.as_strided(start, shape=(int(self._last.max()) + 1,), strides=(unit.itemsize,), writeable=False)
        self._limits = np.stack([self._first, self._low, self._last], axis=1)
        self._heads = np.lib.stride_tricks.as_strided(start.view(np.uint8), self._view.shape, strides=self._view.strides, writeable=False)
        # An index that is certainly inside, for stretches that are read otherwise.
        self._safe = int(self._low[lowest])

    def read(self, table: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[Any]:
        """The rows `row .. row + steps - 1` of the tables, `[N, steps, ...]`; those beyond a table's ends hold anything.

        Args:
            table: Number of the table of each stretch, `[N]`.
            row: Its first row, `[N]`; may lie before the table or reach beyond its end.
        """
        shape = (len(table), self.steps, *self.row_shape)
        if self._view is None:
            found = np.zeros(shape, dtype=self.dtype)
            out = np.arange(len(table))
        else:
            first, low, last = self._limits[table].T
            start = first + row * self._row
            outside = (start < low) | (start > last)
            out = np.flatnonzero(outside)
            if len(out):
                start[out] = self._safe
            # Looks at one byte of each first: the processor waits for many of them at once, for whole stretches one after another.
            self._heads[start]
            found = self._view[start].view(self.dtype).reshape(shape)
        for i in out.tolist():
            source, begin = self.tables[int(table[i])], int(row[i])
            a, b = max(begin, 0), min(begin + self.steps, len(source))
            if a < b:
                found[i, a - begin : b - begin] = source[a:b]
        return found

    def __getstate__(self) -> dict[str, Any]:
        # Addresses mean nothing in another process.
        return {"tables": self.tables, "steps": self.steps, "row_shape": self.row_shape, "dtype": self.dtype, "width": self.width}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()


def _memory(table: NDArray[Any]) -> NDArray[Any]:
    """The contiguous array that a table is a view of, all of whose memory may be read; the table itself where that is not simple."""
    memory = table
    while isinstance(memory.base, np.ndarray) and memory.base.flags.c_contiguous:
        memory = memory.base
    begin, start = table.__array_interface__["data"][0], memory.__array_interface__["data"][0]
    inside = start <= begin and begin + table.nbytes <= start + memory.nbytes
    return memory if inside else table
