"""Commands that only declare, list and check import neither torch nor numpy, and start fast."""

from __future__ import annotations

import subprocess
import sys

import pytest
from cpu import Yardstick, interpreter, needed_imports

PROGRAM = """
import contextlib, io, sys
from twm_cli.main import main
with contextlib.redirect_stdout(io.StringIO()):
    status = main(sys.argv[1:])
heavy = sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'numpy'})
print(status, *heavy)
"""

CALLS = [
    ["--version"],
    ["--help"],
    ["list-plugins"],
    ["list-plugins", "--json"],
    ["train", "--help"],
    ["train", "--dynamics", "rssm-cat", "--help"],
    ["train", "--dry-run"],
    ["check"],
    ["config"],
    ["describe", "rssm-cat"],
    ["inspect", "--help"],
    ["eval", "--help"],
]

UNITS = 8
"""What a light command may cost; the first measurements were 3 to 4.5, and an import of torch costs 20."""


@pytest.fixture(scope="module")
def unit() -> Yardstick:
    return needed_imports()


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_a_light_command_imports_no_torch_and_costs_little_more_than_the_imports_it_needs(words: list[str], unit: Yardstick) -> None:
    found: list[str] = []

    def call() -> None:
        done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True)
        found[:] = done.stdout.split()

    assert unit.ratio(call, enough=UNITS) <= UNITS
    assert found == ["0"]


def test_an_import_of_torch_would_be_noticed(unit: Yardstick) -> None:
    assert unit.least_ratio(interpreter("-c", "import torch")) > UNITS
