"""One import of hostile recordings: a store that is whole, or one error that names a file and leaves nothing behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from twm_core.data.importing.importer import import_sources
from twm_core.data.importing.reader import Reader
from twm_core.data.store.validation import validate_store
from twm_core.errors import DataError

_SECONDS = 60
"""No measure of speed: what is guarded takes well under a second, or never ends."""


class HangError(BaseException):
    """The work did not end."""


@contextmanager
def no_hang() -> Iterator[None]:
    """Around work that must end."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attempt(reader: Reader, name: str, paths: Sequence[Path], place: Path, *, file: str = "") -> DataError | None:
    """Import recordings that lie in the folder `place/in`, which holds nothing else.

    Args:
        reader: The reader, and its `name`.
        name: Its name.
        paths: What to import.
        place: Where the store is made.
        file: Part of the name of the file that an error must name; where it is empty, any file that is there will do.

    Returns:
        The error, None where the store is whole.
    """
    out = place / "x.twm"
    files = [p for p in (place / "in").rglob("*") if p.is_file()]
    names = [file] if file else [n for p in files for n in (p.stem, p.parent.name) if n != "in"]  # some recordings are named by folders
    refused = None
    with no_hang():
        try:
            import_sources(reader, paths, out, reader_name=name, options={})
        except DataError as error:
            refused = error
    if refused is None:
        assert validate_store(out) == []
        return None
    left = sorted(p.name for p in place.iterdir() if not p.name.startswith("."))
    assert left == ["in"], f"{left} after {refused}"
    assert any(n in refused.message for n in names), refused
    assert len(refused.message) < 20_000  # an id of many digits, but no file
    return refused
