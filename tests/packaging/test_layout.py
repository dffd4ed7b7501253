"""One distribution, mapped from folders: what a wheel holds, how large folders are, and that every plugin folder is declared."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = sorted(p.name for p in (ROOT / "plugins").iterdir() if (p / "plugin.py").is_file())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZipFile]:
    """The wheel, built by the back end alone, so that nothing is downloaded."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = folder.glob("*.whl")
    with ZipFile(file) as opened:
        yield opened


@pytest.mark.xdist_group("wheel")
def test_the_wheel_holds_core_command_line_and_every_plugin(wheel: ZipFile) -> None:
    top = {n.partition("/")[0] for n in wheel.namelist()}
    assert top == {"twm_core", "twm_cli", *FOLDERS, f"twm-{_version()}.dist-info"}


@pytest.mark.xdist_group("wheel")
def test_the_wheel_holds_everything_that_the_folders_hold(wheel: ZipFile) -> None:
    held = set(wheel.namelist())
    for folder in (ROOT / "twm_core", ROOT / "cli/twm_cli", *(ROOT / "plugins" / name for name in FOLDERS)):
        expected = {str(p.relative_to(folder.parent)) for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
        assert expected <= held
    assert {"twm_core/recipe/preset_files/default.toml", "twm_core/py.typed"} <= held


@pytest.mark.xdist_group("wheel")
def test_the_wheel_declares_command_plugins_and_licence(wheel: ZipFile) -> None:
    info = f"twm-{_version()}.dist-info"
    points = wheel.read(f"{info}/entry_points.txt").decode()
    assert "twm = twm_cli.main:main" in points
    for folder in FOLDERS:
        assert f"{folder}.plugin" in points
    metadata = wheel.read(f"{info}/METADATA").decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Apache License" in wheel.read(f"{info}/licenses/LICENSE").decode()


@pytest.mark.xdist_group("wheel")
def test_the_wheel_works_by_itself(wheel: ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    script = "import sys; sys.path.insert(0, sys.argv.pop(1)); from twm_cli.main import main; raise SystemExit(main())"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), "list-plugins", "--broken"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == "every plugin loaded, and none is heavy", done.stdout + done.stderr


def _version() -> str:
    import twm_core

    return twm_core.__version__


def test_there_are_plugins() -> None:
    assert len(FOLDERS) >= 7


def test_the_entry_points_name_every_plugin() -> None:
    points = PROJECT["project"]["entry-points"]["twm"]
    assert points == {folder.removeprefix("twm_"): f"{folder}.plugin" for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS)
def test_pyproject_names_a_plugin_folder_in_one_place(folder: str) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert len(re.findall(rf"\b{folder}\b", text)) == 1


SOURCE = sorted({f.parent for room in ("twm_core", "cli", "plugins") for f in (ROOT / room).rglob("*.py")})


def modules(folder: Path) -> list[str]:
    """Modules of a folder of source, its `__init__` left out."""
    return [f.name for f in folder.glob("*.py") if f.name != "__init__.py"]


@pytest.mark.parametrize("folder", SOURCE, ids=lambda f: str(f.relative_to(ROOT)))
def test_a_folder_of_source_has_three_to_twenty_modules_and_a_line_in_the_tree(folder: Path) -> None:
    assert 3 <= len(modules(folder)) <= 20
    assert f"| `{folder.relative_to(ROOT)}` | " in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_half_of_the_folders_have_at_most_eight_modules() -> None:
    assert statistics.median(len(modules(folder)) for folder in SOURCE) <= 8


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_plugin_has_a_readme_that_names_its_files_and_limits(folder: str) -> None:
    place = ROOT / "plugins" / folder
    text = (place / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {folder}: ")
    for file in place.rglob("*.py"):
        assert file.name == "__init__.py" or f"`{file.relative_to(place)}`" in text, file.name
    table = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    for name in re.findall(r"`([\w/]+\.py)`", table):
        assert (place / name).is_file(), name


def test_torch_and_the_type_checker_are_constrained_to_one_version_and_numpy_is_named() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [x.partition("==")[0] for x in lines if x and not x.startswith("#")] == ["torch", "pyrefly"]
    needs = PROJECT["project"]["dependencies"]
    assert "torch>=2.9" in needs
    assert any(n.startswith("numpy") for n in needs)
    assert PROJECT["project"]["requires-python"] == ">=3.11"


def test_the_licence_stands_in_one_place() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    words = ("SPDX-" + "License-Identifier", "Licensed " + "under the")
    for room in ("twm_core", "cli", "plugins", "tests", "benchmarks", "docs", ".ci"):
        for folder, _, files in os.walk(ROOT / room):
            for name in files:
                if not name.endswith(".pyc"):
                    text = Path(folder, name).read_text(encoding="utf-8", errors="ignore")
                    assert not any(w in text for w in words), f"{folder}/{name}"
