"""Real processes of `twm data import`, with and without `--append`, killed with SIGKILL at random moments.

Four kills here; `python benchmarks/kill_imports.py` makes eighty.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_imports.py"


@pytest.mark.slow
def test_a_killed_import_given_again_comes_to_the_same_bytes(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("kill_imports", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    said: list[str] = []
    assert script.kill_imports(tmp_path, kills=4, seed=1, copies=8, say=said.append) == [], said
    assert sum(line.startswith("kill ") for line in said) == 4
