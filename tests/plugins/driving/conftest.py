"""Builds the readers of `twm_driving` as the registry would."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from twm_core.data.importing.reader import Reader
from twm_core.data.recording import Recording
from twm_driving.plugin import twm_components


def _resolve(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


@pytest.fixture
def make_reader() -> Callable[..., Reader]:
    """From the name of a reader and options to the reader."""
    declared = {component.name: component for component in twm_components()}

    def make(name: str, **options: Any) -> Reader:
        reader: Reader = _resolve(declared[name].build)(_resolve(declared[name].config)(**options))
        return reader

    return make


@pytest.fixture
def read_all() -> Callable[..., list[Recording]]:
    """From a reader and paths to all recordings of all sources."""

    def read(reader: Reader, *paths: Path) -> list[Recording]:
        found = [piece for source in reader.sources(list(paths)) for piece in reader.read(source)]
        assert all(isinstance(piece, Recording) for piece in found)
        return [piece for piece in found if isinstance(piece, Recording)]

    return read
