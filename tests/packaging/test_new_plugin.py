"""`twm new-plugin` for every kind: what it writes is installed by pip, passes its own tests, and does what its README says.

An author has a package index; here pip builds without one, from what is installed, into a folder of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import tomli_w

import twm_core
from twm_cli.main import main
from twm_core.errors import UsageError
from twm_core.kinds import KINDS, RECIPE_KINDS
from twm_core.plugin.scaffold import new_plugin, templates

ROOT = Path(__file__).parents[2]
LEAST = {"dynamics": 38, "encoder": 24, "decoder": 30}
"""How many tests pass at least, where that is worth saying; any other kind has 9."""

TINY = tomllib.loads((ROOT / "tests" / "tiny.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Installed:
    """A rendered plugin, installed: where it lies, and the environment in which it is found."""

    folder: Path
    place: Path
    use: tuple[str, ...]
    environ: dict[str, str]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, cwd=self.place, env=self.environ, capture_output=True, text=True, timeout=600, check=False)


def install(kind: str, place: Path) -> Installed:
    """Render `acme-KIND` and install it."""
    made = new_plugin(f"acme-{kind}", kind=kind, parent=place)
    site = place / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps", "--target", str(site)]
    done = subprocess.run([*command, str(made.folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TWM_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), clean.get("PATH", "")])
    return Installed(made.folder, place, made.use, {**clean, "PYTHONPATH": str(site), "PATH": path, "OMP_NUM_THREADS": "1"})


SMALL_SITES = {
    "train_sites": ["straight-3"],
    "test_sites": ["waves-3"],
    "runs": 1,
    "evaluation_runs": 1,
    "run_seconds": 20.0,
    "warm_up_seconds": 5.0,
}


def smaller(line: str, place: Path) -> str:
    """A line with options with which it takes seconds: what a training does not choose itself comes from the tiny recipe, and an evaluation
    of simulated traffic or of a run has few windows.

    The guide's test trains with a new plugin at full size.
    """
    if line.startswith("twm train "):
        # The default recipe chooses losses that fit the latent; the tiny one names them.
        chosen = {"loss"} | {kind for kind in TINY if f"--{kind} " in line}
        file = place / "tiny.toml"
        file.write_text(tomli_w.dumps({k: v for k, v in TINY.items() if k not in chosen}), encoding="utf-8")
        return f"{line} -c {file}"
    if line.startswith("twm eval --dataset highway "):
        return " ".join([line, *(f"--set 'dataset.{k}={json.dumps(v)}'" for k, v in SMALL_SITES.items())])
    if line.startswith("twm eval runs/"):
        return f"{line} --windows 10"
    return line


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_it_writes_installs_passes_its_tests_and_runs(kind: str, tmp_path: Path) -> None:
    plugin = install(kind, tmp_path)
    listed = json.loads(plugin.run(sys.executable, "-m", "twm_cli", "list-plugins", "--json").stdout)
    (row,) = [p for p in listed["plugins"] if p["distribution"] == f"acme-{kind}"]
    assert (row["status"], row["reason"], row["heavy"]) == ("loaded", "", False)

    tested = plugin.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(plugin.folder))
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert int(re.findall(r"(\d+) passed", tested.stdout)[0]) >= LEAST.get(kind, 9)

    assert plugin.use
    for line in plugin.use:
        assert line.startswith("twm ")
        done = plugin.run("bash", "-ec", smaller(line, tmp_path))
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    trains = any(line.startswith("twm train ") and "--steps 2" in line for line in plugin.use)
    assert trains or kind not in RECIPE_KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_of_a_template_is_rendered_whole_and_explains_itself(kind: str, tmp_path: Path) -> None:
    made = new_plugin("acme-part", kind=kind, component="my-part", parent=tmp_path)
    for name in made.files:
        text = (made.folder / name).read_text(encoding="utf-8")
        if name != ".github/workflows/ci.yml":
            assert "$" not in text, name
        assert max(map(len, text.splitlines()), default=0) <= 160, name
        if name.endswith(".py"):
            assert text.startswith('"""'), name
            compile(text, name, "exec")
    project = tomllib.loads((made.folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["twm"] == {"my-part": "acme_part.plugin"}
    major, minor = twm_core.__version__.split(".")[:2]
    assert f"twm>={major}.{minor},<{major}.{int(minor) + 1}" in project["dependencies"]
    readme = (made.folder / "README.md").read_text(encoding="utf-8")
    assert all(line in readme for line in made.use)
    assert {p.name.removesuffix(".template") for p in templates(kind).iterdir()} == {"about.toml", "config.py", "model.py", "test_model.py"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_writes_is_formatted_and_clean(kind: str, tmp_path: Path) -> None:
    made = new_plugin("acme-part", kind=kind, parent=tmp_path)
    ruff = Path(sys.executable).parent / "ruff"
    settings = ["--no-cache", "--config", str(ROOT / "pyproject.toml"), str(made.folder)]
    checked = subprocess.run([ruff, "check", "--ignore", "D1,E501,I001", *settings], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    formatted = subprocess.run([ruff, "format", "--check", "--line-length", "140", *settings], capture_output=True, text=True)
    assert formatted.returncode == 0, formatted.stdout


@pytest.mark.parametrize(
    ("name", "kind", "component", "message", "hint"),
    [
        ("acme", "encodr", None, "there is no kind 'encodr'; did you mean 'encoder'?", "kinds are dataset"),
        ("Acme Worlds", "loss", None, "'Acme Worlds' cannot be the name of a distribution", "try 'acme-worlds'"),
        ("acme", "loss", "my_loss", "'my_loss' cannot be the name of a component", "try 'my-loss'"),
        ("9", "loss", None, "'9' cannot be the name of a distribution", "choose another name"),
        ("torch", "loss", None, "the package 'torch' would hide a module that is installed already", "try 'my-torch'"),
        ("class", "loss", None, "'class' is a word of Python and cannot be a package", "try 'my-class'"),
    ],
)
def test_names_that_cannot_be_are_refused(name: str, kind: str, component: str | None, message: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        new_plugin(name, kind=kind, component=component, parent=tmp_path)
    assert caught.value.message.startswith(message)
    assert str(caught.value.hint).startswith(hint)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme/mine.txt").write_text("mine", encoding="utf-8")
    assert main(["new-plugin", "acme", "--kind", "loss", "--out", str(tmp_path)]) == 2
    assert "acme exists already" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "acme").iterdir()] == ["mine.txt"]
    assert main(["new-plugin", "acme", "--kind", "loss", "--out", str(tmp_path / "nowhere")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_the_command_says_what_it_wrote_and_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new-plugin", "acme-loss", "--kind", "loss", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out.splitlines()
    folder = tmp_path / "acme-loss"
    written = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert {line.strip() for line in shown[1 : shown.index("")]} == written
    assert shown[-3:] == [f"  pip install -e {folder}", f"  pytest {folder}", shown[-1]]
    assert shown[-1].startswith("  twm train --loss ")


def test_a_name_that_others_have_is_warned_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new-plugin", "acme-gru", "--kind", "dynamics", "--component", "gru", "--out", str(tmp_path), "--json"]) == 0
    captured = capsys.readouterr()
    assert "say acme-gru:gru or twm:gru" in captured.err
    assert json.loads(captured.out)["folder"] == str(tmp_path / "acme-gru")
