"""For tests of the SUMO plugin: readers, hand-written files, small simulations, and SUMO's own answers from a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from twm_core.data.recording import Recording
from twm_core.errors import DataError
from twm_sumo.config import SumoReaderConfig
from twm_sumo.reader import build

Read = Callable[..., list[Recording]]


@pytest.fixture
def read() -> Read:
    """Reads files with the options given; the recordings."""

    def reading(*paths: Path, **options: Any) -> list[Recording]:
        reader = build(SumoReaderConfig(**options))
        return [r for s in reader.sources(paths) for r in reader.read(s) if isinstance(r, Recording)]

    return reading


@pytest.fixture
def refusal(read: Read) -> Callable[..., str]:
    """The message with which files are refused."""

    def refused(*paths: Path, **options: Any) -> str:
        with pytest.raises(DataError) as caught:
            read(*paths, **options)
        assert caught.value.hint
        return caught.value.message

    return refused


@pytest.fixture(scope="session")
def sumo() -> None:
    """Skips where SUMO is not installed."""
    for package in ("sumo", "libsumo"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed (extra sumo)")


@pytest.fixture
def ask_sumo(sumo: None, tmp_path: Path) -> Callable[..., Any]:
    """Runs lines of Python beside an imported `libsumo as s` with `given`; what they put into `answer`.

    In a process of its own: libsumo is one simulation per process and must not meet another Arrow library.
    """

    def ask(lines: str, **given: Any) -> Any:
        out = tmp_path / "answer.json"
        body = f"import json, libsumo as s\ngiven = json.loads({json.dumps(json.dumps(given))})\nanswer = []\n{lines}\n"
        body += f"json.dump(answer, open({str(out)!r}, 'w'))\n"
        done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(out.read_text())

    return ask
