"""`twm reproduce`: what is asked of it, and what is refused before any work is begun."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]


def test_a_table_that_does_not_exist_is_refused_with_those_that_do(twm: Call, tmp_path: Path) -> None:
    done = twm("reproduce", "ethucie", "--data", tmp_path, "--out", tmp_path / "out")
    assert done.status == 2
    assert "there is no table 'ethucie'; did you mean 'ethucy'" in done.err
    assert not (tmp_path / "out").exists()


def test_a_folder_of_recordings_that_does_not_exist_is_refused(twm: Call, tmp_path: Path) -> None:
    done = twm("reproduce", "ethucy", "--data", tmp_path / "none", "--out", tmp_path / "out")
    assert (done.status, "there is no folder" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [("protocol = ", "correct the TOML file"), ("protocol = 'ethucy-sgan'", "about: Field required"), (None, "there is no file")],
)
def test_a_file_that_is_no_table_is_refused(twm: Call, tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "mine.toml"
    if text is not None:
        file.write_text(text)
    done = twm("reproduce", file, "--data", tmp_path, "--out", tmp_path / "out")
    assert done.status == 2
    assert message in done.err
