"""Reads SUMO's XML files as a stream of opening tags, in memory that does not grow with the file.

All of SUMO's formats that are read here (FCD, network, routes, signal states) can be understood from the order of their opening tags: a
`lane` belongs to the `edge` before it, a `vehicle` to the `timestep` before it. So `tags` gives (name, attributes, line) and nothing else.
Document types and entities are refused: SUMO writes none.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from twm_core.errors import DataError

Tag = tuple[str, dict[str, str], int]
"""Name of the element, its attributes, and its line in the file."""

LARGEST = 1e8
"""No quantity of a SUMO file (metres, seconds, degrees) is larger; what is, is damage."""

_CHUNK = 1 << 18


def tags(path: Path) -> Iterator[Tag]:
    """Every opening tag of a file, in order; `.gz` is decompressed.

    Raises:
        DataError: The file cannot be read, or is not well-formed (the line is named).
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    found: list[Tag] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        found.append((name, attributes, parser.CurrentLineNumber))

    def refuse(*_: object) -> NoReturn:
        raise DataError(f"{path.name}, line {parser.CurrentLineNumber}: a document type is declared", "SUMO writes none: remove it")

    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = refuse
    hint = "write the file again"
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                parser.Parse(chunk, False)
                yield from found
                found.clear()
            parser.Parse(b"", True)
    except expat.ExpatError as error:
        yield from found  # so that an earlier mistake is reported first
        raise DataError(f"{path.name}, line {error.lineno}: not well-formed XML ({expat.ErrorString(error.code)})", hint) from error
    except (LookupError, ValueError) as error:  # an encoding that is unknown, or of several bytes a character
        raise DataError(f"{path.name}, line {parser.CurrentLineNumber}: {error}", "save it as UTF-8") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path.name}, line {parser.CurrentLineNumber}: cannot be read further: {error}", hint) from error
    yield from found


def text(attributes: Mapping[str, str], name: str, where: str) -> str:
    """An attribute that must be there."""
    try:
        return attributes[name]
    except KeyError:
        raise DataError(f"{where}: attribute {name} is missing", "write the file with this attribute") from None


def number(value: str, what: str, where: str) -> float:
    """A finite number no larger than `LARGEST`."""
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not abs(found) <= LARGEST:
        raise DataError(f"{where}: {what} is {value[:40]!r}, which is not a possible number", "repair the line")
    return found


def seconds(value: str, where: str) -> float:
    """A time: seconds, or hours:minutes:seconds with or without days before them."""
    parts = value.split(":")
    if not 1 <= len(parts) <= 4:
        raise DataError(f"{where}: time is {value[:40]!r}", "times are seconds, h:m:s or d:h:m:s")
    factors = (86400.0, 3600.0, 60.0, 1.0)[-len(parts) :]
    return math.fsum(f * number(p, "time", where) for f, p in zip(factors, parts, strict=True))
