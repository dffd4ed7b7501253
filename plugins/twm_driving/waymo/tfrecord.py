"""Reads TFRecord files record by record, without TensorFlow.

    uint64 length | uint32 masked CRC-32C of the length | bytes | uint32 masked CRC-32C of the bytes        (little endian)
    masked = rotate right by 15 (crc) + 0xa282ead8  (mod 2^32)

A length is checked against the bytes that the file has before anything is allocated, and against its checksum always. Checksums of the
contents are checked where the package google-crc32c is installed (extra `data`); without it damage inside a record is found only where
the proto no longer makes sense. Format: TensorFlow, "TFRecords format details".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from twm_core.errors import DataError
from twm_core.extras import need

LARGEST_RECORD = 1 << 25
"""Bytes of the largest record that is read; scenarios have about one million. Two bytes can declare a message that takes 80 in memory."""

_HEADER, _FOOTER = struct.Struct("<QI"), struct.Struct("<I")


def crc32c_slow(data: bytes) -> int:
    """CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), bit by bit: for the eight bytes of a length."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """The checksum as it is stored."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def content_checksum() -> Callable[[bytes], int] | None:
    """A fast CRC-32C, or None where its package is not installed."""
    if find_spec("google_crc32c") is None:
        return None
    value: Callable[[bytes], int] = need("google_crc32c", "data").value
    return value


def read_records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Offset of the contents and contents of every record, in order.

    Raises:
        DataError: A record is cut off or its checksum is wrong; the message names file, record and offset.
    """
    checksum = content_checksum()
    number = offset = 0
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            while header := stream.read(_HEADER.size):
                where = f"{path.name}, record {number}, byte {offset}"
                if len(header) < _HEADER.size:
                    raise DataError(f"{where}: the file ends within the record's header", "download the file again")
                length, stored = _HEADER.unpack(header)
                if masked(crc32c_slow(header[:8])) != stored:
                    raise DataError(
                        f"{where}: the checksum of the length is wrong: not a TFRecord file, or damaged", "download the file again"
                    )
                begin = offset + _HEADER.size
                if length > size - begin - _FOOTER.size:
                    raise DataError(
                        f"{where}: {length} bytes are announced, but the file ends after {max(0, size - begin - _FOOTER.size)}",
                        "download the file again",
                    )
                if length > LARGEST_RECORD:
                    raise DataError(f"{where}: has {length} bytes", f"records of more than {LARGEST_RECORD} bytes are not read")
                data, footer = stream.read(length), stream.read(_FOOTER.size)
                if len(data) + len(footer) < length + _FOOTER.size:
                    raise DataError(f"{where}: the file became shorter while it was read", "read it again")
                if checksum is not None and masked(checksum(data)) != _FOOTER.unpack(footer)[0]:
                    raise DataError(f"{where}: the checksum of the contents is wrong: the record is damaged", "download the file again")
                yield begin, data
                number, offset = number + 1, begin + length + _FOOTER.size
    except OSError as error:
        raise DataError(f"{path.name}: cannot be read ({error.strerror})", "check the path and its permissions") from error


def record(data: bytes) -> bytes:
    """One record as it stands in a file."""
    header = struct.pack("<Q", len(data))
    checksum = content_checksum() or crc32c_slow
    return header + _FOOTER.pack(masked(crc32c_slow(header))) + data + _FOOTER.pack(masked(checksum(data)))
