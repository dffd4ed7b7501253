"""Archives that want more than a store: whatever their members are, nothing is written outside of the new folder and nothing is left.

`tests/core/data/test_store_packing.py` has the refusals of single members and of changed bytes.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_disk import Counter, counted
from works import Work

from twm_core.data.store.packing import unpack_tar
from twm_core.data.store.validation import validate_store
from twm_core.errors import DataError

Member = tuple[tarfile.TarInfo, bytes]
Change = Callable[[list[Member]], list[Member]]


def members(file: Path) -> list[Member]:
    with tarfile.open(file) as tar:
        return [(m, reader.read() if (reader := tar.extractfile(m)) else b"") for m in tar]


def pack(file: Path, given: list[Member]) -> Path:
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
        for facts, data in given:
            tar.addfile(facts, io.BytesIO(data))
    return file


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "", **pax: str) -> Member:
    facts = tarfile.TarInfo(name)
    facts.size, facts.type, facts.linkname, facts.pax_headers = len(data), kind, link, pax
    return facts, data


def replaced(number: int, change: Callable[[bytes], bytes]) -> Change:
    """Another content in a member that is there."""

    def act(given: list[Member]) -> list[Member]:
        facts, data = given[number]
        new = change(data)
        return [*given[:number], member(facts.name, new), *given[number + 1 :]]

    return act


def edited(change: Callable[[dict[str, object]], object]) -> Change:
    """Another manifest."""

    def act(data: bytes) -> bytes:
        manifest = json.loads(data)
        change(manifest)
        return json.dumps(manifest).encode()

    return replaced(0, act)


def first_file(manifest: dict[str, object], **facts: object) -> None:
    shards = manifest["shards"]
    assert isinstance(shards, list)
    shards[0].update(facts)


SPARSE_MAP = {
    "GNU.sparse.major": "1",
    "GNU.sparse.minor": "0",
    "GNU.sparse.name": "shards/000009.safetensors",
    "GNU.sparse.realsize": "9999999999",
}
NEXT = "shards/000009.safetensors"

HOSTILE: dict[str, Change] = {
    "a parent folder": lambda given: [*given, member("../escaped")],
    "a parent folder inside": lambda given: [*given, member("shards/../../escaped")],
    "an absolute name": lambda given: [*given, member("/tmp/escaped")],
    "a dot": lambda given: [*given, member("./manifest.json")],
    "another separator": lambda given: [*given, member("shards\\..\\escaped")],
    "a line break": lambda given: [*given, member("index-1.safetensors\n")],
    "a control sequence": lambda given: [*given, member("\x1b[2Jindex")],
    "a digit of another script": lambda given: [*given, member("index-\u0661.safetensors.", b"")],
    "a hidden file": lambda given: [*given, member(".lock")],
    "a symbolic link": lambda given: [member("index-0.safetensors", kind=tarfile.SYMTYPE, link="/etc/passwd"), *given],
    "a symbolic link as a folder": lambda given: [member("shards", kind=tarfile.SYMTYPE, link="/tmp"), *given],
    "a hard link": lambda given: [*given, member(NEXT, kind=tarfile.LNKTYPE, link="../../etc/passwd")],
    "a folder": lambda given: [member("shards", kind=tarfile.DIRTYPE), *given],
    "a character device": lambda given: [*given, member(NEXT, kind=tarfile.CHRTYPE)],
    "a block device": lambda given: [*given, member(NEXT, kind=tarfile.BLKTYPE)],
    "a pipe": lambda given: [*given, member(NEXT, kind=tarfile.FIFOTYPE)],
    "the same name again": lambda given: [*given, given[-1]],
    "the manifest again": lambda given: [*given, given[0]],
    "an old sparse member": lambda given: [*given, member(NEXT, kind=tarfile.GNUTYPE_SPARSE)],
    "a sparse member": lambda given: [*given, member("x", b"1\n0\n0\n".ljust(512, b"\0"), **SPARSE_MAP)],
    "a name in a pax header": lambda given: [*given, member("index-1.safetensors", path="../escaped")],
    "a link in a pax header": lambda given: [*given, member(NEXT, kind=tarfile.SYMTYPE, linkpath="/etc/passwd")],
    "a size in a pax header": lambda given: [*given, member(NEXT, b"x", size="8589934592")],
    "an empty archive": lambda given: [],
    "no manifest": lambda given: given[1:],
    "no shard": lambda given: [m for m in given if not m[0].name.startswith("shards")],
    "a file that the manifest does not name": lambda given: [*given, member(NEXT, b"x")],
    "a manifest that is no JSON": replaced(0, lambda data: data[:-9]),
    "a manifest that is nested deeply": replaced(0, lambda data: b"[" * 100_000 + b"]" * 100_000),
    "a manifest with a huge number": replaced(0, lambda data: b'{"schema": ' + b"9" * 6000 + b"}"),
    "a flipped bit": replaced(1, lambda data: data[:-1] + bytes([data[-1] ^ 1])),
    "a file cut short": replaced(1, lambda data: data[: len(data) // 2]),
    "a wrong hash": edited(lambda manifest: first_file(manifest, sha256="0" * 64)),
    "a huge length": edited(lambda manifest: first_file(manifest, bytes=1 << 60)),
    "a shard of another place": edited(lambda manifest: first_file(manifest, file="../../../../etc/passwd")),
    "a shard at an absolute place": edited(lambda manifest: first_file(manifest, file="/dev/zero")),
    "huge counts": edited(lambda manifest: manifest.update(counts={"scenarios": 1 << 60})),
}


@pytest.fixture
def packed(works: dict[str, Work]) -> Path:
    return works["unpack"].before / "x.tar"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder in an empty folder: what leaves one is seen in the other."""
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    return tmp_path / "outer" / "inner"


def refused(file: Path, place: Path) -> DataError:
    """Unpacking the file is refused with one line that names it, and leaves nothing anywhere; little is written."""
    with counted(Counter()) as disk, pytest.raises(DataError) as caught:
        unpack_tar(file, place / "x.twm")
    assert list(place.parent.rglob("*")) == [place]
    assert not Path("/tmp/escaped").exists()
    assert file.name in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert disk.names.count("write") < 100
    return caught.value


def test_the_archive_as_it_is_can_be_unpacked(packed: Path, place: Path, tmp_path: Path) -> None:
    assert validate_store(unpack_tar(pack(tmp_path / "evil.tar", members(packed)), place / "x.twm")) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_nothing_is_left(name: str, packed: Path, place: Path, tmp_path: Path) -> None:
    refused(pack(tmp_path / "evil.tar", HOSTILE[name](members(packed))), place)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_an_archive_that_ends_early_is_refused(share: float, packed: Path, place: Path, tmp_path: Path) -> None:
    with tarfile.open(packed) as tar:
        last = tar.getmembers()[-1]
    end = last.offset_data + last.size  # what follows is filling
    (tmp_path / "evil.tar").write_bytes(packed.read_bytes()[: int(share * end)])
    refused(tmp_path / "evil.tar", place)


def test_a_compressed_archive_is_not_expanded(packed: Path, place: Path, tmp_path: Path) -> None:
    (tmp_path / "evil.tar").write_bytes(gzip.compress(packed.read_bytes()))
    refused(tmp_path / "evil.tar", place)


@pytest.mark.parametrize("size", [b"\x80" + b"\0" * 2 + b"\xff" * 9, b"\xff" * 12, b"77777777777\0", b"-1\0".ljust(12, b"\0"), b"x" * 12])
def test_a_header_that_lies_about_its_size_is_refused(size: bytes, packed: Path, place: Path, tmp_path: Path) -> None:
    whole = bytearray(packed.read_bytes())
    whole[124:136] = size
    whole[148:156] = b"%06o\0 " % (sum(whole[:148]) + 8 * 32 + sum(whole[156:512]))
    (tmp_path / "evil.tar").write_bytes(whole)
    refused(tmp_path / "evil.tar", place)
