"""The list of commands, and commands that plugins bring."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import twm_core
from twm_cli.main import COMMANDS

Call = Callable[..., Any]


def test_the_version_is_printed(twm: Call) -> None:
    assert twm("--version").out == f"twm {twm_core.__version__}\n"


@pytest.mark.parametrize(("platform", "warns"), [("linux", False), ("darwin", False), ("win32", True), ("freebsd14", True)])
def test_a_system_that_is_not_supported_is_named_in_one_sentence(
    twm: Call, monkeypatch: pytest.MonkeyPatch, platform: str, warns: bool
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    outcome = twm("--version")
    assert outcome.status == 0
    assert outcome.err == (f"warning: twm supports Linux and macOS; on {platform} it is not tested\n" if warns else "")


def test_no_words_print_help_with_every_command(twm: Call) -> None:
    out = twm().out
    for name, summary in COMMANDS.items():
        assert f"{name} " in out
        assert summary in out


def test_an_unknown_command_gets_a_suggestion(twm: Call) -> None:
    outcome = twm("trian")
    assert outcome.status == 2
    assert outcome.err.startswith("error: No such command 'trian'")
    assert "'train'" in outcome.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_takes_plugin_files(twm: Call, command: str) -> None:
    outcome = twm(command, "--help")
    assert outcome.status == 0
    assert "-p, --plugin FILE.py" in outcome.out


@pytest.fixture
def with_toy(twm: Call, toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("TWM_DISABLE_PLUGINS", "*")
    return lambda *words: twm("-p", toy_folder / "toy_commands.py", *words)


def test_a_command_of_a_plugin_is_listed_and_runs(with_toy: Call) -> None:
    assert "greet" in with_toy("--help").out
    assert with_toy("greet", "Ada", "--loud").out == "hello Ada!\n"
    assert "Say hello." in with_toy("greet", "--help").out


def test_a_command_of_a_plugin_cannot_take_a_built_in_name(with_toy: Call) -> None:
    outcome = with_toy("--help")
    assert "warning: command 'train' of plugin toy_commands" in outcome.err
    assert "because twm has one of that name" in outcome.err
    assert "--training.steps" in with_toy("train", "--help").out


def test_a_command_that_cannot_be_loaded_names_its_plugin(with_toy: Call) -> None:
    outcome = with_toy("lost")
    assert outcome.status == 2
    assert "command 'lost' of file " in outcome.err
    assert "cannot be loaded from 'toy_commands:nothing'" in outcome.err
