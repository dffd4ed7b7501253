"""The page about writing a reader: its commands in order, its reader under the conformance kit, and a row computed by hand."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

import pytest
from pages import MANUAL, blocks, save_files

from twm_cli.main import main

PAGE = MANUAL / "plugins/reader.md"


@pytest.fixture(autouse=True)
def _needs() -> None:
    for package in ("pyarrow", "matplotlib", "PIL"):
        pytest.importorskip(package, reason="needs the extras data and viz")


def test_the_commands_of_the_page_do_what_it_says(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert save_files(PAGE, workplace) == ["my_reader.py"]
    found = list(blocks(PAGE))
    run = 0
    for block, following in zip(found, [*found[1:], None], strict=True):
        refused = following is not None and following.language == "text"
        for line in block.commands:
            status = main(shlex.split(line)[1:])
            shown = capsys.readouterr()
            assert (status != 0) == refused, (line, shown.err)
            if refused:
                assert shown.err.endswith(following.text)
            run += 1
    assert run >= 6


def test_what_the_example_command_says_comes_next_works(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_files(PAGE, workplace)
    assert main(shlex.split("data example -p my_reader.py my-format gate")) == 0
    (line,) = [t for t in capsys.readouterr().out.splitlines() if t.startswith("next")]
    assert main(shlex.split(line)[2:]) == 0
    assert (workplace / "gate.twm/manifest.json").is_file()


def test_the_reader_of_the_page_passes_conformance(workplace: Path) -> None:
    from twm_core.plugin.registry import discover
    from twm_core.testing import run_checks

    save_files(PAGE, workplace)
    readers = [r for r in discover(files=["my_reader.py"]).components("reader") if r.component.name == "my-format"]
    results = run_checks(readers)
    assert {r.status for r in results} <= {"passed", "skipped"}
    assert len([r for r in results if r.status == "passed"]) >= 14


def test_its_units_axes_and_reference_point_are_right(workplace: Path) -> None:
    from twm_core.plugin.registry import discover

    save_files(PAGE, workplace)
    registered = discover(files=["my_reader.py"]).find("reader", "my-format")
    reader = registered.load_build()(registered.load_config()())
    # 10 m and 3 m right of the origin, heading 90 degrees clockwise, so to the south; 4 m long, so the centre is 2 m north of the bumper.
    (workplace / "one.csv").write_text("ms,id,class,x,y,angle,length\n1000,7,car,1000,300,90,400\n1100,7,car,1000,420,90,400\n", "utf-8")
    (source,) = reader.sources([workplace / "one.csv"])
    (recording,) = reader.read(source)
    assert recording.start == 1.0
    assert (recording.first.tolist(), recording.length.tolist()) == ([0], [2])
    assert recording.columns["x"].tolist() == pytest.approx([10.0, 10.0])
    assert recording.columns["y"].tolist() == pytest.approx([-3.0 + 2.0, -4.2 + 2.0])
    assert recording.columns["heading"].tolist() == pytest.approx([-math.pi / 2] * 2)
    assert recording.columns["length"].tolist() == [4.0, 4.0]
