"""The group `twm data`: its list of commands, commands of plugins, completion, and what it imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twm_cli.data.group import COMMANDS

Call = Callable[..., Any]


def test_without_words_every_command_is_listed(twm: Call) -> None:
    outcome = twm("data")
    assert outcome.status == 0
    for name, summary in COMMANDS.items():
        assert f"  {name} " in outcome.out
        assert summary in outcome.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_takes_plugin_files(twm: Call, command: str) -> None:
    outcome = twm("data", command, "--help")
    assert outcome.status == 0, outcome.err
    assert "-p, --plugin FILE.py" in outcome.out


def test_an_unknown_command_gets_a_suggestion(twm: Call) -> None:
    outcome = twm("data", "imprt")
    assert outcome.status == 2
    assert outcome.err == "error: No such command 'imprt'. Did you mean 'import'?\nhint: see twm data --help\n"


def test_a_missing_argument_names_the_help_of_its_command(twm: Call) -> None:
    outcome = twm("data", "info")
    assert outcome.status == 2
    assert "hint: see twm data info --help" in outcome.err


@pytest.fixture
def with_plugin(twm: Call, lines_plugin: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("TWM_DISABLE_PLUGINS", "*")
    return lambda *words: twm("data", "-p", lines_plugin, *words)


def test_a_command_of_a_plugin_is_listed_and_runs(with_plugin: Call) -> None:
    assert "replay" in with_plugin("--help").out
    assert with_plugin("replay", "monday").out == "replay monday \n"
    assert "Play it again." in with_plugin("replay", "--help").out


def test_words_after_a_command_of_a_plugin_are_its_own(with_plugin: Call) -> None:
    assert with_plugin("replay", "monday", "--plugin", "nowhere.py").out == "replay monday nowhere.py\n"


def test_it_is_no_command_of_twm_itself(twm: Call, lines_plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWM_DISABLE_PLUGINS", "*")
    assert "replay" not in twm("-p", lines_plugin, "--help").out


def test_a_plugin_cannot_take_the_name_of_a_command(with_plugin: Call) -> None:
    outcome = with_plugin("--help")
    assert "warning: command 'data import' of a plugin is not available, because twm has one of that name" in outcome.err


def test_a_command_that_cannot_be_loaded_names_its_plugin(with_plugin: Call) -> None:
    outcome = with_plugin("lost")
    assert outcome.status == 2
    assert "command 'data lost' of file" in outcome.err


def test_simulation_without_its_plugin_names_the_extra(twm: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWM_DISABLE_PLUGINS", "*")
    outcome = twm("data", "simulate", "--preset", "motorway")
    assert outcome.status == 2
    assert "no loaded plugin brings twm data simulate" in outcome.err
    assert 'pip install "twm[sumo]"' in outcome.err


def complete(line: str, plugin: Path) -> list[str]:
    line = line.replace("PLUGIN", f"-p {plugin}")
    asked = {"_TWM_COMPLETE": "complete_bash", "TWM_DISABLE_PLUGINS": "*"}
    asked |= {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    done = subprocess.run([sys.executable, "-m", "twm_cli"], env={**os.environ, **asked}, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [word for word in done.stdout.splitlines() if word]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("twm data imp", ["import"]),
        ("twm data import PLUGIN li", ["lines"]),
        ("twm data import PLUGIN lines --reader.me", ["--reader.metres"]),
        ("twm data import PLUGIN lines --reader.kind ", ["car", "pedestrian"]),
        ("twm data import PLUGIN nonsense --reader.", []),
        ("twm data doctor PLUGIN folder --reader ", ["columns", "lines"]),
        ("twm data doctor PLUGIN folder --reader lines --reader.st", ["--reader.step_seconds", "--reader.strict"]),
        ("twm data example PLUGIN col", ["columns"]),
    ],
)
def test_readers_and_their_options_are_completed(line: str, offered: list[str], lines_plugin: Path) -> None:
    assert sorted(complete(line, lines_plugin)) == offered


PROGRAM = """
import contextlib, io, json, sys
from twm_cli.main import main
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        status = main(words)
    print(status, *sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'numpy', 'pyarrow', 'matplotlib'}))
"""


def imported(*calls: list[str], **environ: str) -> list[str]:
    """After each call, in one process: its exit status, and the heavy packages that have been imported so far."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(calls)], env={**os.environ, **environ}, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_help_and_lists_import_neither_torch_nor_numpy() -> None:
    calls = [["--help"], ["import", "--help"], ["import", "drone-csv", "--help"], ["doctor", "--help"], ["readers"], ["show", "--help"]]
    assert imported(*(["data", *words] for words in calls)) == ["0"] * len(calls)


def test_no_command_needs_torch(tmp_path: Path, lines_plugin: Path) -> None:
    store, packed, example = (str(tmp_path / name) for name in ("x.twm", "x.tar", "example"))
    calls = [
        ["example", "lines", example],
        ["doctor", example, "--reader", "lines"],
        ["import", "lines", example, "--out", store],
        ["info", store],
        ["validate", store],
        ["split", store, "--by", "time"],
        ["pack", store, packed],
        ["unpack", packed, "--out", str(tmp_path / "y.twm")],
    ]
    words = [["data", w[0], "-p", str(lines_plugin), *w[1:]] for w in calls]
    assert imported(*words, TWM_DISABLE_PLUGINS="*") == ["0 numpy"] * len(calls)
    pytest.importorskip("matplotlib", reason="needs the extra viz")
    assert imported(["data", "show", store]) == ["0 matplotlib numpy"]
