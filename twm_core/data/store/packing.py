"""A store as one file: an uncompressed tar with the files that the manifest names, in one order, without times, owners or modes.

Equal stores give equal bytes. Unpacking accepts nothing but such files: no links, no other paths, no other names; their hashes are checked
before the folder gets its name.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import tarfile
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import IO

from twm_core.atomic import new_file, new_folder
from twm_core.data.store.locking import only_writer
from twm_core.data.store.manifest import MANIFEST, StoreManifest, read_store_manifest
from twm_core.data.store.reading import Store, open_store
from twm_core.data.store.validation import validate_store
from twm_core.errors import DataError

_MEMBER = re.compile(r"manifest\.json|index-\d+\.safetensors|sources-\d+\.jsonl|(?:shards|maps)/\d{6,}\.safetensors")


def pack_tar(store: Store | Path, file: Path) -> Path:
    """Write a store into one file.

    Args:
        store: The store or its folder. What is written is one generation of it: the one that is there when the writing begins.
        file: Where to, usually `X.twm.tar`; replaced if it exists.

    Returns:
        The file.

    Raises:
        BusyError: Another process writes the file.
        DataError: The store is damaged, or the file cannot be written.
    """
    folder = store.path if isinstance(store, Store) else store
    open_store(folder)  # says what is wrong with it
    with only_writer(file, "file", new=True):
        try:
            with ExitStack() as opened, new_file(file) as stream, tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
                text, tables, manifest = _generation(folder, opened)
                _add(tar, MANIFEST, len(text), io.BytesIO(text))
                for facts in sorted(manifest.files, key=lambda f: f.file):
                    # Only the tables of a generation vanish when scenarios are added; shards and maps stay as they are.
                    content = tables.get(facts.file)
                    with nullcontext(content) if content else open(folder / facts.file, "rb") as content:
                        _add(tar, facts.file, facts.bytes, content)
        except OSError as error:
            raise DataError(f"cannot write {file}: {error.strerror or error}", "make room or choose another place") from error
    return file


def _generation(folder: Path, opened: ExitStack) -> tuple[bytes, dict[str, IO[bytes]], StoreManifest]:
    """The text of the manifest, its tables as open files, and what it says."""
    while True:
        text = (folder / MANIFEST).read_bytes()
        manifest = read_store_manifest(folder)
        tables: dict[str, IO[bytes]] = {}
        try:
            for facts in (manifest.index, manifest.sources):
                tables[facts.file] = opened.enter_context((folder / facts.file).open("rb"))
        except FileNotFoundError:
            if (folder / MANIFEST).read_bytes() == text:
                raise
            continue
        if (folder / MANIFEST).read_bytes() == text:
            return text, tables, manifest


def _add(tar: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    facts = tarfile.TarInfo(name)
    facts.size = size
    facts.mode = 0o644
    tar.addfile(facts, content)


def unpack_tar(file: Path, out: Path) -> Path:
    """Make a store of such a file.

    Args:
        file: What `pack_tar` wrote.
        out: Folder of the store; must not exist.

    Returns:
        The folder.

    Raises:
        BusyError: Another process writes the store.
        DataError: The file is not a packed store, is damaged, or the folder is there or cannot be written. Nothing is left behind.
    """
    with only_writer(out, new=True):
        if out.exists():
            raise DataError(f"{out} is there already", "give another name or remove it")
        try:
            with new_folder(out) as folder:
                _extract(file, folder)
                problems = validate_store(folder)
                if problems:
                    first = problems[0].replace(str(folder), out.name)
                    more = f" ({len(problems) - 1} more problems)" if len(problems) > 1 else ""
                    raise DataError(f"{file} holds a damaged store: {first}{more}", "pack the store again")
        except OSError as error:
            raise DataError(f"cannot unpack {file} to {out}: {error.strerror or error}", "check the paths and free space") from error
    return out


def _extract(file: Path, folder: Path) -> None:
    seen = set()
    try:
        with tarfile.open(file, mode="r:") as tar:
            for member in tar:
                # A sparse member counts as a file, and writes more than the archive holds.
                if not member.isreg() or member.issparse() or not _MEMBER.fullmatch(member.name) or member.name in seen:
                    raise DataError(f"{file} is not a packed store: it holds {member.name!r}", "give a file that twm data pack wrote")
                seen.add(member.name)
                target = folder / member.name
                target.parent.mkdir(exist_ok=True)
                with open(target, "wb") as stream:
                    shutil.copyfileobj(tar.extractfile(member) or io.BytesIO(), stream)
                    stream.flush()
                    os.fsync(stream.fileno())
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise DataError(f"{file} is not a packed store: {error}", "give a file that twm data pack wrote") from error
    for name in ("shards", "maps"):
        (folder / name).mkdir(exist_ok=True)
