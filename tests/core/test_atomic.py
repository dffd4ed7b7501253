"""Files and folders appear whole or not at all, whatever stops their writer."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from twm_core import atomic


class Stopped(Exception):
    pass


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def test_a_text_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "latest", "step-1\n")
    atomic.write_text(tmp_path / "latest", "step-2\n")
    assert (tmp_path / "latest").read_text() == "step-2\n"
    assert names(tmp_path) == {"latest"}


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_text_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    atomic.write_text(tmp_path / "latest", "step-1\n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        atomic.write_text(tmp_path / "latest", "step-2\n")
    assert (tmp_path / "latest").read_text() == "step-1\n"
    assert names(tmp_path) == {"latest"}


def test_a_new_folder_is_not_there_before_its_block_has_ended(tmp_path: Path) -> None:
    with atomic.new_folder(tmp_path / "a" / "step-1") as beside:
        (beside / "one").write_text("1")
        assert not (tmp_path / "a" / "step-1").exists()
    assert (tmp_path / "a" / "step-1" / "one").read_text() == "1"
    assert names(tmp_path / "a") == {"step-1"}


@pytest.mark.parametrize("error", [Stopped, OSError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_former_folder(tmp_path: Path, error: type[BaseException]) -> None:
    with atomic.new_folder(tmp_path / "step-1") as beside:
        (beside / "one").write_text("1")
    with pytest.raises(error), atomic.new_folder(tmp_path / "step-1") as beside:  # noqa: PT012 - the block is what fails
        (beside / "one").write_text("2")
        raise error
    assert (tmp_path / "step-1" / "one").read_text() == "1"
    assert names(tmp_path) == {"step-1"}


def test_a_folder_replaces_all_of_the_former_one(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with atomic.new_folder(tmp_path / "step-1") as beside:
            (beside / name).write_text(name)
    assert names(tmp_path / "step-1") == {"two"}
    assert names(tmp_path) == {"step-1"}


@pytest.mark.parametrize("call", range(1, 9))
def test_a_kill_at_any_call_while_a_folder_is_replaced_never_leaves_half_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """Every call that changes the disk is in turn the one that never happens; nothing that runs afterwards may tidy up."""
    with atomic.new_folder(tmp_path / "step-1") as beside:
        (beside / "one").write_text("old")
        (beside / "two").write_text("old")
    count = [0]

    def counted(honest: object) -> object:
        def act(*given: object, **named: object) -> object:
            count[0] += 1
            if count[0] >= call:
                raise Stopped
            return honest(*given, **named)  # type: ignore[operator]

        return act

    for module, name in ((os, "replace"), (os, "fsync"), (shutil, "rmtree")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    try:
        with atomic.new_folder(tmp_path / "step-1") as beside:
            (beside / "one").write_text("new")
            (beside / "two").write_text("new")
    except Stopped:
        pass
    monkeypatch.undo()
    folder = tmp_path / "step-1"
    texts = {p.read_text() for p in folder.iterdir()} if folder.exists() else set()
    assert not folder.exists() or (names(folder) == {"one", "two"} and texts in ({"old"}, {"new"}))
    atomic.remove_unfinished(tmp_path)
    assert names(tmp_path) <= {"step-1"}
    with atomic.new_folder(folder) as beside:
        (beside / "one").write_text("again")
    assert names(tmp_path) == {"step-1"}


def test_what_an_interrupted_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    number = "0123456789abcdef" * 2
    (tmp_path / f".unfinished-{number}-step-3").mkdir()
    (tmp_path / f".unfinished-{number}-step-3" / "model.safetensors").write_bytes(b"half")
    (tmp_path / f".unfinished-{number}-latest").write_text("st")
    (tmp_path / "step-2").mkdir()
    (tmp_path / "latest").write_text("step-2\n")
    (tmp_path / ".unfinished-notes").write_text("a file of the user")
    atomic.remove_unfinished(tmp_path)
    assert names(tmp_path) == {"step-2", "latest", ".unfinished-notes"}


def test_a_folder_that_was_moved_away_when_its_writer_was_killed_gets_its_name_back(tmp_path: Path) -> None:
    former = tmp_path / f".unfinished-{'ab' * 16}-former-step-3"
    former.mkdir()
    (former / "one").write_text("1")
    atomic.remove_unfinished(tmp_path)
    assert names(tmp_path) == {"step-3"}
    assert (tmp_path / "step-3" / "one").read_text() == "1"


def test_temporary_names_differ_each_time_and_links_are_neither_followed_nor_kept(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("of the user")
    (tmp_path / "latest").symlink_to(tmp_path / "elsewhere")
    seen = set()
    for _ in range(2):
        with atomic.new_file(tmp_path / "latest") as stream:
            seen |= names(tmp_path) - {"elsewhere", "latest"}
            stream.write(b"step-1")
    assert len(seen) == 2
    assert (tmp_path / "elsewhere").read_text() == "of the user"
    assert not (tmp_path / "latest").is_symlink()


def test_a_link_at_the_temporary_name_is_an_error_and_is_not_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").write_text("of the user")
    monkeypatch.setattr("secrets.token_hex", lambda size: "0" * 2 * size)
    (tmp_path / f".unfinished-{'0' * 32}-latest").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        atomic.write_text(tmp_path / "latest", "step-1")
    assert (tmp_path / "elsewhere").read_text() == "of the user"
