"""Reads the children of an XML file's root one after the other, in the memory of one child, with errors that name file and line."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from twm_core.errors import DataError


def read_children(path: Path, root: str, *, what: str) -> Iterator[ET.Element]:
    """The root as it begins (its name and attributes only), then each of its children, complete. A child is emptied after its turn.

    Args:
        path: The file.
        root: What the root must be named.
        what: What the file should be, for messages.

    Raises:
        DataError: The file cannot be read, is not well-formed, or has another root.
    """
    depth = 0
    top: ET.Element | None = None
    try:
        with path.open("rb") as stream:
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
