"""The lines of a table of text: decompressed, checked to be UTF-8, in blocks of whole lines, each with the number of its first row.

Gzip is known by its first bytes. Line ends are LF, CRLF or, where a file has no others, CR. A file without line ends is no table.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from twm_core.errors import DataError

WHITESPACE = "whitespace"
"""As `delimiter`: any run of blanks and tabs, also before the first and after the last value."""

BLOCK = 8 << 20
"""Bytes that are read at a time."""

LONGEST_LINE = 1 << 20
"""Bytes of the longest line; what has none shorter is no table."""


def open_table(path: Path) -> BinaryIO:
    """The file, decompressed where its first bytes are those of gzip."""
    if not path.is_file():
        raise DataError(f"{path} is not a file", "check the path")
    with path.open("rb") as file:
        magic = file.read(4)
    if magic[:2] == b"\x1f\x8b":
        return gzip.open(path, "rb")  # type: ignore[return-value]  # GzipFile has what is used of BinaryIO.
    if magic == b"PK\x03\x04":
        raise DataError(f"{path} is a zip archive (or a spreadsheet), not a text table", "unpack it, or export it as CSV in UTF-8")
    return path.open("rb")


class Lines:
    """The lines of a file, in blocks that end at the end of a line."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file

    def blocks(self, delimiter: str) -> Iterator[tuple[int, bytes]]:
        """The row number of its first line, and each block: UTF-8 without byte order mark, lines ended by LF, blanks of whitespace tables
        squeezed to one."""
        row, rest, only_cr = 1, b"", None
        while True:
            data = self._read(row, len(rest))
            if row == 1 and not rest:
                data = data.removeprefix(b"\xef\xbb\xbf")
            if only_cr is None and data:
                only_cr = b"\r" in data and b"\n" not in data
            data = rest + (data.replace(b"\r", b"\n") if only_cr else data)
            end = len(data) if len(data) == len(rest) else data.rfind(b"\n") + 1
            block, last = data[:end], len(data) == len(rest)
            rest = b"" if last else data[end:]
            if len(rest) > LONGEST_LINE:
                raise DataError(
                    f"{self.path}, row {row + block.count(10)}: the line is longer than {LONGEST_LINE} bytes", "this is no table of rows"
                )
            if block:
                self._check_text(row, block)
                yield row, _squeezed(block) if delimiter == WHITESPACE else block
                row += block.count(b"\n")
            if last:
                return

    def _read(self, row: int, pending: int) -> bytes:
        try:
            return self.file.read(BLOCK if row > 1 or pending else BLOCK // 8)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(
                f"{self.path}: the gzip data are damaged or cut off after row {row - 1} ({error})", "get the file again, or unpack it"
            ) from error

    def _check_text(self, row: int, block: bytes) -> None:
        if block.isascii() and b"\0" not in block:
            return
        try:
            block.decode("utf-8")
            at = block.find(b"\0")
            if at < 0:
                return
        except UnicodeDecodeError as error:
            at = error.start
        begin, end = block.rfind(b"\n", 0, at) + 1, block.find(b"\n", at)
        text = block[begin : None if end < 0 else end][:60]
        raise DataError(
            f"{self.path}, row {row + block.count(10, 0, at)}: not UTF-8 text (byte 0x{block[at]:02x} in {text!r})",
            "save the table as UTF-8 text",
        )


def _squeezed(block: bytes) -> bytes:
    """The block with one blank wherever there are several blanks or tabs, and none at the ends of lines."""
    block = block.replace(b"\r\n", b"\n").replace(b"\t", b" ")
    while b"  " in block:
        block = block.replace(b"  ", b" ")
    return block.replace(b"\n ", b"\n").replace(b" \n", b"\n").removeprefix(b" ").removesuffix(b" ")
