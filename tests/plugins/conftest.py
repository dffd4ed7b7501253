"""What tests of several plugins need: the place of the real recordings, and what a reader makes of some paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from twm_core.data.importing.reader import Reader, Skipped
from twm_core.data.recording import Recording

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def recordings() -> Callable[[str], Path]:
    """A function that gives the folder of a real recording, or skips the test."""

    def find(name: str) -> Path:
        place = ROOT.parent / "shared" / "data" / name
        if not place.is_dir():
            pytest.skip(f"the recordings {name} are not on this machine")
        return place

    return find


@pytest.fixture(scope="session")
def read_all() -> Callable[..., tuple[list[Recording], Counter[str]]]:
    """A function that gives all recordings of some paths, and everything that was skipped."""

    def read(reader: Reader, *paths: Path) -> tuple[list[Recording], Counter[str]]:
        found: list[Recording] = []
        skipped: Counter[str] = Counter()
        for source in reader.sources(paths):
            for item in reader.read(source):
                if isinstance(item, Skipped):
                    skipped.update(item.counts)
                else:
                    found.append(item)
                    skipped.update(item.skipped)
        return found, skipped

    return read
