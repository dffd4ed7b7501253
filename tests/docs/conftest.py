"""A working directory for each test, so that the plugin files of one page are kept from the next."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory whose modules are forgotten afterwards, with every installed plugin allowed."""
    monkeypatch.chdir(tmp_path)
    for variable in ("TWM_PLUGINS", "TWM_DISABLE_PLUGINS", "TWM_TRACEBACK"):
        monkeypatch.delenv(variable, raising=False)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]
