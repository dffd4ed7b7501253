"""The commands that write stores, on a recording so small that every one of their operations on files can be tried."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from faulty_disk import contents

from twm_core.data.importing.importer import import_sources
from twm_core.data.store.packing import pack_tar, unpack_tar
from twm_core.data.store.reading import open_store
from twm_core.data.store.validation import validate_store
from twm_core.data.store.writing.draft import JOURNAL, partial_folder
from twm_core.data.windows.splits import make_splits
from twm_core.plugin.registry import Registry

NAMES = ("import", "append", "split", "pack", "unpack")


@dataclass(frozen=True)
class Work:
    """One command.

    Attributes:
        before: Folder with what it finds; copied for each attempt.
        do: The command, in such a copy.
        result: What it writes, as seen from there.
    """

    before: Path
    do: Callable[[Path], object]
    result: str


def make_works(folder: Path, registry: Registry) -> dict[str, Work]:
    """The works of `NAMES`, prepared below a folder."""
    registered = registry.find("reader", "trajnet")
    reader = registered.load_build()(registered.load_config()())
    recordings = folder / "recordings"
    recordings.mkdir(parents=True)
    paths = reader.example(recordings)

    def pull(out: Path, files: list[Path], *, append: bool = False) -> None:
        import_sources(reader, files, out, reader_name="trajnet", options={}, append=append)

    files = sorted(f for s in reader.sources(paths) for f in s.files)
    for name in ("nothing", "first", "packed"):
        (folder / name).mkdir()
    pull(folder / "first" / "x.twm", files[:1])
    pull(folder / "whole.twm", files)
    pack_tar(folder / "whole.twm", folder / "packed" / "x.tar")
    shutil.copytree(folder / "whole.twm", folder / "stored" / "x.twm")

    def split(place: Path) -> None:
        store = open_store(place / "x.twm")
        store.write_splits(make_splits(store.scenarios, "time", shares=(0.6, 0.2, 0.2)).to_json())

    return {
        "import": Work(folder / "nothing", lambda place: pull(place / "x.twm", files), "x.twm"),
        "append": Work(folder / "first", lambda place: pull(place / "x.twm", files, append=True), "x.twm"),
        "split": Work(folder / "stored", split, "x.twm"),
        "pack": Work(folder / "stored", lambda place: pack_tar(place / "x.twm", place / "x.tar"), "x.tar"),
        "unpack": Work(folder / "packed", lambda place: unpack_tar(place / "x.tar", place / "x.twm"), "x.twm"),
    }


def fresh(work: Work, place: Path) -> Path:
    """`place` as the command finds it, whatever was there before."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(work.before, place)
    return place


def result(work: Work, place: Path) -> dict[str, bytes] | bytes | None:
    """What the command has written, None where it is not there."""
    path = place / work.result
    return None if not path.exists() else contents(path) if path.is_dir() else path.read_bytes()


def unfinished(place: Path) -> bool:
    """Whether there is an import to continue. (Stopped just before its empty folder goes, an import has nothing left to do.)"""
    return (partial_folder(place / "x.twm") / JOURNAL).exists()


def former_state_opens(work: Work, place: Path) -> None:
    """The store of before is whole, or has what the command adds; one that was not there before is whole or not there."""
    was, store = work.before / "x.twm", place / "x.twm"
    if was.exists():
        before, now = open_store(was), open_store(store)
        assert now.ids[: len(before)] == before.ids
    # Files of an unfinished addition may lie in the store. They mean nothing until the manifest names them.
    problems = validate_store(store) if store.exists() else []
    assert [p for p in problems if not p.endswith("is not named in the manifest")] == []


def nothing_is_left(work: Work, place: Path) -> None:
    """Of what a command that was stopped left behind, nothing may be there once it has been given again."""
    assert {p.name for p in place.iterdir()} == {work.result} | {p.name for p in work.before.iterdir()}
    if (place / "x.twm").exists():
        assert validate_store(place / "x.twm") == []
