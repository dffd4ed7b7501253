"""A training run killed with SIGKILL at random moments always has a whole checkpoint and ends like an undisturbed one.

Three kills here; `benchmarks/kill_and_resume.py` makes twenty.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_and_resume.py"


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bits(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("kill_and_resume", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    said: list[str] = []
    assert script.kill_and_resume(tmp_path, kills=3, seed=1, steps=12, say=said.append) == [], said
    assert sum(line.startswith("kill ") for line in said) == 3
