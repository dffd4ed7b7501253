"""The pages about data: commands run in the order of the page and print what stands there, options are those of `--help`."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pages import MANUAL, ROOT, blocks

from twm_cli.data.group import COMMANDS
from twm_cli.main import main
from twm_core.data.doctor.findings import CATALOGUE

PAGE = MANUAL / "use/data.md"
REFERENCE = MANUAL / "reference/data-commands.md"
NOT_RUN = ("twm data simulate", "twm train")
"""Commands that take long; the first needs an extra, and both have tests of their own."""


def test_the_commands_of_the_page_print_what_it_shows(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("pyarrow", "matplotlib", "PIL"):
        pytest.importorskip(package, reason="needs the extras data and viz")
    monkeypatch.setenv("COLUMNS", "100")
    found = list(blocks(PAGE))
    run = 0
    for block, following in zip(found, [*found[1:], None], strict=True):
        lines = [line for line in block.commands if not line.startswith(NOT_RUN)]
        for line in lines:
            assert main(shlex.split(line)[1:]) == 0, (line, capsys.readouterr().err)
            run += 1
        shown = capsys.readouterr().out
        if lines and following is not None and following.language == "text":
            assert _without_sizes(shown) == _without_sizes(following.text), block.id
    assert run >= 10
    assert main([*shlex.split(next(c for b in found for c in b.commands if c.startswith("twm train")))[1:], "--dry-run"]) == 0
    capsys.readouterr()


def test_the_readmes_commands_about_data_work_in_the_order_of_the_page(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for package in ("pyarrow", "matplotlib", "PIL"):
        pytest.importorskip(package, reason="needs the extras data and viz")
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Your own recordings")[2]
    lines = [line for b in blocks(ROOT / "README.md") if b.text in section for line in b.commands]
    data = [line for line in lines if line.startswith("twm data ") and not line.startswith(NOT_RUN)]
    (train,) = [line for line in lines if "--dataset store" in line]
    for line in data:
        assert main(shlex.split(line)[1:]) == 0, (line, capsys.readouterr().err)
    assert len(data) >= 7
    # The store that they leave behind has windows in all splits, as the command that trains on it cuts them.
    from twm_core.data.dataset import SPLITS
    from twm_core.specs import DatasetSpecs
    from twm_datasets.config import StoreConfig
    from twm_datasets.store import build

    options = dict(zip(*[iter(w.removeprefix("--dataset.") for w in shlex.split(train)[4:])] * 2, strict=True))
    config = StoreConfig(**options)
    seen, action = config.observations()
    dataset = build(config, DatasetSpecs(obs_spec=seen, action=action))
    assert all(len(dataset.windows(split)) > 0 for split in SPLITS)


def _without_sizes(text: str) -> str:
    """The text without sizes of files, which differ between versions of the libraries that write them."""
    return re.sub(r"[\d.]+ [kM]?B\b", "SIZE", text).rstrip()


def test_every_command_has_a_section_of_the_reference() -> None:
    headings = re.findall(r"^## twm data (\w+)$", REFERENCE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(headings) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_in_the_reference(command: str) -> None:
    done = subprocess.run([sys.executable, "-m", "twm_cli", "data", command, "--help"], capture_output=True, text=True, check=True)
    real = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)(?![\w.-])", done.stdout, flags=re.MULTILINE)) - {"--help"}
    parts = re.split(r"^## twm data (\w+)$", REFERENCE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = dict(zip(parts[1::2], parts[2::2], strict=True))[command]
    cells = re.findall(r"^\| (`-.*?`) \| ", text, flags=re.MULTILINE)
    assert {re.findall(r"--[\w-]+", c)[0] for c in cells} == real


def test_every_option_of_simulate_is_on_its_page() -> None:
    done = subprocess.run([sys.executable, "-m", "twm_cli", "data", "simulate", "--help"], capture_output=True, text=True, check=True)
    real = set(re.findall(r"^  (--[\w-]+)", done.stdout, flags=re.MULTILINE)) - {"--help"}
    assert set(re.findall(r"^\| `(--[\w-]+)` \|", (MANUAL / "use/simulate.md").read_text(encoding="utf-8"), flags=re.MULTILINE)) == real


def test_every_finding_is_explained_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for about in CATALOGUE.values():
        assert f"| {about.title} | {about.threshold} | {about.imported} |" in text
