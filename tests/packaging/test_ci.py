"""`.ci/run`: its stages in order, each able to stop it, and pytest's own closing line as the last output. Tools are stand-ins here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci/run"
STAGES = ("install", "format", "lint", "directions of imports", "types", "documentation", "a distribution of somebody else", "tests")
TOOLS = ("pip", "ruff", "lint-imports", "pyrefly", "mkdocs", "pytest")
# Stands for `python3`: instead of making an environment it puts stand-ins for the tools into it, which say what they were called with.
PYTHON = """#!/bin/sh
[ "$1 $2" = "-m venv" ] || exit 9
mkdir -p "$3/bin"
for tool in TOOLS; do
    printf '#!/bin/sh\\necho "called %s $*"\\n[ "%s" = "$FAILING" ] && exit 3\\nexit 0\\n' "$tool" "$tool" > "$3/bin/$tool"
    chmod +x "$3/bin/$tool"
done
"""


def run(tmp_path: Path, *, failing: str = "") -> subprocess.CompletedProcess[str]:
    (tmp_path / ".ci").mkdir()
    shutil.copy(SCRIPT, tmp_path / ".ci/run")
    python = tmp_path / "python"
    python.write_text(PYTHON.replace("TOOLS", " ".join(TOOLS)), encoding="utf-8")
    python.chmod(0o755)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    env = {**os.environ, "PYTHON": str(python), "FAILING": failing, "TMPDIR": str(temporary)}
    done = subprocess.run([tmp_path / ".ci/run"], cwd="/", env=env, capture_output=True, text=True)
    assert not list(temporary.iterdir()), "the environment was left behind"
    return done


def test_stages_come_in_order_and_tests_close_the_output(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert tuple(re.findall(r"^== (.*)$", done.stdout, flags=re.MULTILINE)) == STAGES
    assert done.stdout.splitlines()[-1] == "called pytest "
    assert "called pip install --quiet -c constraints.txt -e .[dev,sumo]" in done.stdout


@pytest.mark.parametrize("tool", TOOLS)
def test_a_failing_stage_stops_everything_with_its_status(tmp_path: Path, tool: str) -> None:
    done = run(tmp_path, failing=tool)
    assert done.returncode == 3
    assert done.stdout.splitlines()[-1].startswith(f"called {tool} ")
