"""Reads the children of an XML file's root one after the other, in the memory of one child, with errors that name file and line.

A document type is refused before anything of it is used: none of the formats has one, and only a document type can declare entities
(which may name other files, or expand to more than memory holds).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from twm_core.errors import DataError

_PROLOG, _PIECE = 1 << 20, 256
"""Bytes of a file in which its root element must begin, and how many of them the parser sees at once: too few to declare much."""


def read_children(path: Path, root: str, *, what: str) -> Iterator[ET.Element]:
    """The root as it begins (its name and attributes only), then each of its children, complete. A child is emptied after its turn.

    Args:
        path: The file.
        root: What the root must be named.
        what: What the file should be, for messages.

    Raises:
        DataError: The file cannot be read, is not well-formed, declares a document type, or has another root.
    """
    depth = 0
    top: ET.Element | None = None
    try:
        with path.open("rb") as stream:
            _refuse_document_type(stream, path.name)
            stream.seek(0)
            events = ET.iterparse(stream, events=("start", "end"))
            while (step := next(events, None)) is not None:
                event, element = step
                depth += 1 if event == "start" else -1
                if top is None:
                    top = element
                    if top.tag != root:
                        raise DataError(f"{path.name}: the root element is <{top.tag}>, not <{root}>", f"give {what}")
                    yield ET.Element(top.tag, dict(top.attrib))
                elif event == "end" and depth == 1:
                    yield element
                    del top[:]
    except ET.ParseError as error:
        line, column = error.position
        raise DataError(
            f"{path.name}, line {line}, column {column}: not well-formed XML ({error})", "download or export the file again"
        ) from error
    except OSError as error:
        raise DataError(f"{path.name}: cannot be read ({error.strerror})", "check the path and its permissions") from error
    except (ValueError, LookupError) as error:
        raise DataError(f"{path.name}, line 1: its encoding cannot be read ({error})", "save the file in UTF-8") from error


def _refuse_document_type(stream: BinaryIO, name: str) -> None:
    """Parse up to the root element, and raise where a document type is declared; what is not well-formed is left to the reader."""
    parser = expat.ParserCreate()
    seen: list[int] = []
    parser.StartDoctypeDeclHandler = lambda *_: seen.append(parser.CurrentLineNumber)
    parser.StartElementHandler = lambda *_: seen.append(0)
    for _ in range(_PROLOG // _PIECE):
        piece = stream.read(_PIECE)
        try:
            parser.Parse(piece, not piece)
        except expat.ExpatError:
            if not seen:
                return
        if seen and seen[0]:
            raise DataError(f"{name}, line {seen[0]}: a document type is declared", "remove <!DOCTYPE ...>: this format has none")
        if seen or not piece:
            return
    raise DataError(f"{name}, line 1: no element begins in its first megabyte", "download or export the file again")
