"""Every block in the README, in CONTRIBUTING and in the manual does what it says: Python runs, commands are understood."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pages import PAGES, ROOT, Block, blocks, save_files

from twm_cli.main import COMMANDS, main

BLOCKS = list(blocks())
PYTHON = [b for b in BLOCKS if b.language == "python"]
TOML = [b for b in BLOCKS if b.language == "toml"]
SHELL = [(b, line) for b in BLOCKS for line in b.commands]
TWM = [(b, line) for b, line in SHELL if re.search(r"(^|&& |\s)twm(\s|$)", line) and not b.guide]
OTHERS = ("pip install ", "pytest", ".ci/run", "python docs/generate.py")
NEEDS_A_RUN = ("eval", "inspect", "reproduce")
"""Commands that need a trained run or recordings: the documentation cannot make one in a second; options are compared with --help."""


def called(line: str) -> list[str]:
    """The words after `twm` in a line of the shell; what stands before it (variables, `pip install ... &&`) is left out."""
    words = shlex.split(line)
    return words[words.index("twm") + 1 :]


def command_of(words: list[str]) -> str:
    while words and words[0] in ("-p", "--plugin"):
        words = words[2:]
    return words[0] if words else ""


def test_there_is_something_to_test() -> None:
    assert len(PYTHON) >= 8
    assert len(TWM) >= 30


@pytest.mark.parametrize("block", PYTHON, ids=lambda b: b.id)
def test_python_blocks_run(block: Block, workplace: Path) -> None:
    if block.file is not None and "/" in block.file:
        compile(block.text, block.id, "exec")  # part of a package, which test_package runs as a whole
        return
    if "conformance(" in block.text and 'conformance("twm"' not in block.text:
        compile(block.text, block.id, "exec")  # of a package or file of the manual, on which other tests run the kit
        return
    if re.search(r"\b(open|edit)_store\(", block.text):  # of a store that commands before it on the page make
        pytest.importorskip("pyarrow", reason="needs the extra data")
        before = [line for b in blocks(block.page) if b.number < block.number for line in b.commands if line.startswith("twm data ")]
        assert before
        assert [main(called(line)) for line in before] == [0] * len(before)
    exec(compile(block.text, block.id, "exec"), {"__name__": "block"})


@pytest.mark.parametrize("block", TOML, ids=lambda b: b.id)
def test_toml_blocks_can_be_read(block: Block) -> None:
    assert tomllib.loads(block.text)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: b.id)
def test_blocks_have_a_known_language(block: Block) -> None:
    assert block.language in ("python", "toml", "bash", "text")


@pytest.mark.parametrize(("block", "line"), SHELL, ids=lambda x: x if isinstance(x, str) else x.id)
def test_lines_of_the_shell_are_of_a_kind_that_is_tested(block: Block, line: str) -> None:
    # The author's guide is walked by tests/packaging/test_guide.py, in an environment of its own.
    assert (block, line) in TWM or line.startswith(OTHERS) or block.guide


@pytest.mark.parametrize(("block", "line"), TWM, ids=lambda x: x if isinstance(x, str) else x.id)
def test_commands_are_understood(
    block: Block, line: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_files(block.page, workplace)
    for name, value in re.findall(r"(?:^|\s)(TWM_\w+)=(\S+)", line.partition("twm ")[0]):
        monkeypatch.setenv(name, value)
    words = called(line)
    command = command_of(words)
    if command == "data" or block.page.name == "data.md":  # they build on one another; test_data_pages runs them in order
        assert main([*words, "--help"]) == 0
        return
    if command in NEEDS_A_RUN or "--resume" in words or "--install-completion" in words:
        assert main([command, "--help"] if command else ["--help"]) == 0
        shown = capsys.readouterr().out
        assert all(re.search(rf"{re.escape(w)}\b", shown) for w in words if w.startswith("--"))
        return
    if command == "train" and "--help" not in words:
        words = [*words, "--dry-run"]
    status = main(words)
    captured = capsys.readouterr()
    assert status == 0, captured.err
    assert captured.out


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_one_file_plugins_load_and_are_light(page: Path, workplace: Path) -> None:
    from twm_core.plugin.registry import discover

    files = [f for f in save_files(page, workplace) if f.endswith(".py") and "/" not in f]
    for file in files:
        (row,) = [p for p in discover(files=[file]).plugins if p.distribution == "file"]
        assert (row.status, row.reason) == ("loaded", "")
    if files:  # whether a declaration is heavy only shows in a process without torch
        words = [w for f in files for w in ("-p", f)]
        done = subprocess.run(
            [sys.executable, "-m", "twm_cli", "list-plugins", "--json", *words], capture_output=True, text=True, check=True
        )
        assert '"heavy": true' not in done.stdout


@pytest.mark.parametrize(("kind", "file", "least"), [("baseline", "braking.py", 17), ("protocol", "motorway_exam.py", 8)])
def test_the_small_example_of_a_contract_passes_conformance(kind: str, file: str, least: int, workplace: Path) -> None:
    from twm_core.plugin.registry import discover
    from twm_core.testing import run_checks

    save_files(ROOT / f"docs/contracts/{kind}.md", workplace)
    found = [r for r in discover(files=[file]).components(kind) if r.plugin.distribution == "file"]
    results = run_checks(found)
    assert len([r for r in results if r.status == "passed"]) >= least
    assert {r.status for r in results} <= {"passed", "skipped"}


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs/plugins/one-file.md"], ids=lambda p: p.name)
def test_the_one_file_plugin_passes_conformance(page: Path, workplace: Path) -> None:
    from twm_core.plugin.registry import discover
    from twm_core.testing import run_checks

    save_files(page, workplace)
    found = [r for r in discover(files=["brier.py"]).components("loss") if r.component.name == "brier"]
    results = run_checks(found)
    assert len([r for r in results if r.status == "passed"]) >= 12
    assert {r.status for r in results} <= {"passed", "skipped"}


def test_the_package_of_the_manual_passes_conformance(workplace: Path) -> None:
    save_files(ROOT / "docs/plugins/package.md", workplace)
    project = tomllib.loads((workplace / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (workplace / "tests/test_conformance.py").is_file()
    # What pip would write; an installation would need the network.
    metadata = workplace / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    needs = "".join(f"Requires-Dist: {d}\n" for d in project["dependencies"])
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n{needs}", "utf-8")
    points = "".join(f"{k} = {v}\n" for k, v in project["entry-points"]["twm"].items())
    (metadata / "entry_points.txt").write_text(f"[twm]\n{points}", "utf-8")
    env = {**os.environ, "PYTHONPATH": str(workplace), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=workplace, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) >= 15
    listed = subprocess.run([sys.executable, "-m", "twm_cli", "list-plugins", "--broken"], env=env, capture_output=True, text=True)
    assert "none is heavy" in listed.stdout


def test_the_readme_marks_both_commands_of_a_newcomer() -> None:
    marked = {b.newcomer: b.text.strip() for b in blocks(ROOT / "README.md") if b.newcomer}
    assert marked["test"] == "pytest"
    install, _, train = marked["run"].partition(" && ")
    assert install == 'pip install -c constraints.txt -e ".[dev]"'
    assert train.startswith("twm train --encoder multiagent --dynamics rssm-cat")


def test_ci_runs_the_readmes_test_command_last() -> None:
    (command,) = [b.text.strip() for b in blocks(ROOT / "README.md") if b.newcomer == "test"]
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert script.splitlines()[-2:] == ['stage "tests"', command]
    assert "set -euo pipefail" in script
    assert os.access(ROOT / ".ci/run", os.X_OK)
    readme = next(b.text for b in blocks(ROOT / "README.md") if b.newcomer == "run")
    before, extras, after = _installation(readme)
    told, more, end = _installation(script)
    assert (told, end) == (before, after)
    assert more == extras | {"sumo"}  # what tests of the simulator need; a newcomer does without


def _installation(text: str) -> tuple[str, set[str], str]:
    """The first installation from a clone: what stands before its extras, these, and what closes them."""
    found = re.search(r'pip install (?:--quiet )?(-c constraints\.txt -e "\.\[)([\w,]+)(\]")', text)
    assert found is not None
    return found[1], set(found[2].split(",")), found[3]


def test_every_command_appears_in_some_example() -> None:
    assert set(COMMANDS) <= {command_of(called(line)) for _, line in TWM}
