"""Directions of imports: the contracts of `pyproject.toml` on core and command line, and the same for every folder in `plugins`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(p.name for p in (ROOT / "plugins").iterdir() if (p / "plugin.py").is_file())


def lint(*words: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """`lint-imports` in a folder."""
    return subprocess.run([Path(sys.executable).parent / "lint-imports", "--no-cache", *words], cwd=cwd, capture_output=True, text=True)


def test_core_and_command_line_keep_their_contracts() -> None:
    done = lint()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kept, 0 broken" in done.stdout


def plugin_contracts(folders: list[str]) -> str:
    """A configuration of import-linter: core and command line import no plugin, and no plugin another one."""
    forbidden = {"type": "forbidden", "forbidden_modules": folders}
    contracts = [
        {"name": "core imports no plugin", "source_modules": ["twm_core"], **forbidden},
        {"name": "the command line imports no plugin", "source_modules": ["twm_cli"], **forbidden},
        {"name": "plugins import no command line", "type": "forbidden", "source_modules": folders, "forbidden_modules": ["twm_cli"]},
        {"name": "plugins are independent of one another", "type": "independence", "modules": folders},
    ]
    return tomli_w.dumps({"tool": {"importlinter": {"root_packages": ["twm_core", "twm_cli", *folders], "contracts": contracts}}})


def test_every_plugin_keeps_its_contracts(tmp_path: Path) -> None:
    file = tmp_path / "plugins.toml"
    file.write_text(plugin_contracts(FOLDERS), encoding="utf-8")
    done = lint("--config", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("line", "broken"),
    [
        ("import twm_other.plugin", "plugins are independent of one another BROKEN"),
        ("import twm_cli.main", "plugins import no command line BROKEN"),
    ],
)
def test_a_plugin_that_breaks_a_contract_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, broken: str) -> None:
    for name, text in (("twm_one", line), ("twm_other", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("", encoding="utf-8")
        (tmp_path / name / "plugin.py").write_text(text + "\n", encoding="utf-8")
    file = tmp_path / "plugins.toml"
    file.write_text(plugin_contracts(["twm_one", "twm_other"]), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = lint("--config", file)
    assert done.returncode == 1
    assert broken in done.stdout
