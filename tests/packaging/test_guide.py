"""The author's guide, walked to the letter: the commands of `docs/plugins/package.md`, one after the other, in an environment of their own.

An author has a package index. Here the environment sees what is installed already, and pip builds with that instead of downloading it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs/plugins/package.md"
MOST = 15
"""Commands from nothing to a plugin that is tested and trains."""

PIP = '#!/bin/sh\nexec {python} -m pip --python {own} "$@" --quiet --no-build-isolation --no-deps\n'
TOOL = '#!/bin/sh\nexec {own} -m {module} "$@"\n'


def commands() -> list[str]:
    (block,) = re.findall(r"<!-- guide: begin -->\n```bash\n(.*?)```\n<!-- guide: end -->", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    return block.splitlines()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A virtual environment of its own, which sees the packages of this one, with `twm`, `pytest` and `pip` of its own on the path."""
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    own = place / "bin/python"
    (site,) = place.glob("lib/python*/site-packages")
    (site / "outer.pth").write_text(f"import site; site.addsitedir({sysconfig.get_paths()['purelib']!r})\n", encoding="utf-8")
    tools = {
        "pip": PIP.format(python=sys.executable, own=own),
        "twm": TOOL.format(own=own, module="twm_cli"),
        "pytest": TOOL.format(own=own, module="pytest -p no:cacheprovider"),
    }
    for name, text in tools.items():
        (place / "bin" / name).write_text(text, encoding="utf-8")
        (place / "bin" / name).chmod(0o755)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TWM_", "PYTHONPATH"))}
    return {**clean, "PATH": f"{place / 'bin'}:{clean['PATH']}", "OMP_NUM_THREADS": "1", "VIRTUAL_ENV": str(place), "COLUMNS": "140"}


@pytest.mark.slow
def test_the_guide_leads_from_nothing_to_a_plugin_that_is_tested_and_trains(environ: dict[str, str], tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    lines = commands()
    assert 5 <= len(lines) <= MOST
    shown: dict[str, str] = {}
    for line in lines:
        done = subprocess.run(["bash", "-ec", line], cwd=work, env=environ, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        shown[line.split()[0] if not line.startswith("twm") else line.split()[1]] = done.stdout
    assert int(re.findall(r"(\d+) passed", shown["pytest"])[0]) >= 38
    assert "completed at step 2" in shown["train"]
    assert re.search(r"41 checks of 1 component: \d+ passed, \d skipped", shown["check-plugin"])
    assert "distribution    acme-worlds 0.1.0" in shown["describe"]
