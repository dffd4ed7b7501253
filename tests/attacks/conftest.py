"""What the attacks are tried on: prepared once, and copied for each attempt."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from works import Work, make_works

from twm_core.plugin.registry import Registry, discover


@pytest.fixture(scope="session")
def registry() -> Registry:
    return discover(environ={})


@pytest.fixture(scope="session")
def works(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Work]:
    return make_works(tmp_path_factory.mktemp("works"), registry)


@pytest.fixture(autouse=True)
def _no_flushing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of stores are written: none of them waits for the disk. That a flush is refused is tried all the same."""
    nothing: Callable[[int], None] = lambda handle: None  # noqa: E731
    monkeypatch.setattr(os, "fsync", nothing)
