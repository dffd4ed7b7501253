"""Completion, called as the shells call it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def complete(toy_folder: Path, shell: str, line: str) -> list[str]:
    """What the shell is offered for `line`, in which `PARTS` stands for the toy components and their recipe."""
    line = line.replace("PARTS", f"-p {toy_folder / 'toy_parts.py'} -c {toy_folder / 'toy.toml'}")
    asked = {"_TWM_COMPLETE": f"complete_{shell}", "TWM_DISABLE_PLUGINS": "*"}
    if shell == "bash":
        asked |= {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    else:
        asked |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = subprocess.run([sys.executable, "-m", "twm_cli"], env={**os.environ, **asked}, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("twm che", ["check", "check-plugin"]),
        ("twm train PARTS --dynamics ", ["leaky", "ring"]),
        ("twm train PARTS --dynamics r", ["ring"]),
        ("twm train PARTS --dynamics = r", ["ring"]),
        ("twm train PARTS --dynamics.h", ["--dynamics.hidden"]),
        ("twm train PARTS --dynamics ring --dynamics.", ["--dynamics.slots"]),
        ("twm train PARTS --dynamics = ring --dynamics.", ["--dynamics.slots"]),
        ("twm train PARTS --encoder ear --encoder.", ["--encoder.ear.volume"]),
        ("twm check PARTS --dynamics.mode ", ["slow", "fast"]),
        ("twm train PARTS --dynamics nonsense --dynamics.", []),
        ("twm describe -p PLUGIN le", ["leaky"]),
    ],
)
def test_bash_completes_commands_components_and_their_options(toy_folder: Path, line: str, offered: list[str]) -> None:
    line = line.replace("PLUGIN", str(toy_folder / "toy_parts.py"))
    assert complete(toy_folder, "bash", line) == offered


def test_fish_shows_the_description_of_an_option(toy_folder: Path) -> None:
    assert complete(toy_folder, "fish", "twm train PARTS --dynamics.h") == ["--dynamics.hidden\tWidth of the carried state."]


def test_zsh_completes_components(toy_folder: Path) -> None:
    text = "\n".join(complete(toy_folder, "zsh", "twm train PARTS --dynamics "))
    assert '"leaky":"A toy dynamics."' in text
