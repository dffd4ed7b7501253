"""Stores as one file and as Parquet tables: the way there and back changes nothing, and nothing foreign is unpacked."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_examples import FEATURES, assert_same, contents, pull_in, scenarios, write_pairs

from twm_core.data.store.packing import pack_tar, unpack_tar
from twm_core.data.store.parquet import write_parquet
from twm_core.data.store.reading import open_store
from twm_core.data.store.validation import validate_store
from twm_core.data.store.writing.parquet_reading import read_parquet
from twm_core.data.store.writing.write_store import write_store
from twm_core.errors import DataError


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    pull_in(write_pairs(tmp_path / "in"), tmp_path / "a.twm")
    return tmp_path / "a.twm"


def test_unpacking_gives_the_store_back(stored: Path, tmp_path: Path) -> None:
    file = pack_tar(stored, tmp_path / "a.twm.tar")
    assert contents(unpack_tar(file, tmp_path / "b.twm")) == contents(stored)


def test_equal_stores_are_packed_to_equal_bytes(stored: Path, tmp_path: Path) -> None:
    first = pack_tar(open_store(stored), tmp_path / "a.twm.tar")
    again = unpack_tar(first, tmp_path / "elsewhere" / "b.twm")
    assert pack_tar(again, tmp_path / "b.tar").read_bytes() == first.read_bytes()
    with tarfile.open(first) as tar:
        assert tar.getnames()[0] == "manifest.json"
        assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in tar} == {(0, 0, 0, "", 0o644)}


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    facts = tarfile.TarInfo(name)
    facts.size, facts.type, facts.linkname = len(data), kind, link
    return facts, data


@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [
        ("../escaped", tarfile.REGTYPE, ""),
        ("/tmp/escaped", tarfile.REGTYPE, ""),
        ("shards/../../escaped", tarfile.REGTYPE, ""),
        ("notes.txt", tarfile.REGTYPE, ""),
        ("index-1.safetensors", tarfile.SYMTYPE, "/etc/passwd"),
        ("shards/000000.safetensors", tarfile.LNKTYPE, "manifest.json"),
        ("shards", tarfile.DIRTYPE, ""),
        ("maps/000000.safetensors", tarfile.CHRTYPE, ""),
    ],
)
def test_foreign_members_are_refused(tmp_path: Path, name: str, kind: bytes, link: str) -> None:
    file = tmp_path / "x.tar"
    with tarfile.open(file, "w") as tar:
        for facts, data in (member("manifest.json", b"{}"), member(name, b"", kind, link)):
            tar.addfile(facts, io.BytesIO(data))
    with pytest.raises(DataError, match="is not a packed store: it holds"):
        unpack_tar(file, tmp_path / "deep" / "b.twm")
    assert list((tmp_path / "deep").iterdir()) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "x.tar"]


@given(st.data())
def test_a_changed_or_cut_file_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("tar")
    pull_in(write_pairs(folder / "in", files=1, lines=1), folder / "a.twm", features=FEATURES)
    file = pack_tar(folder / "a.twm", folder / "a.tar")
    whole = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(bytes(whole[: data.draw(st.sampled_from([len(whole), place + 1]))]))
    try:
        out = unpack_tar(file, folder / "b.twm")
    except DataError:
        assert not (folder / "b.twm").exists()
    else:  # a byte between the members, or one of their times
        assert contents(out) == contents(folder / "a.twm")


def test_nothing_is_overwritten(stored: Path, tmp_path: Path) -> None:
    file = pack_tar(stored, tmp_path / "a.twm.tar")
    with pytest.raises(DataError, match="is there already"):
        unpack_tar(file, stored)
    with pytest.raises(DataError, match="is there already"):
        write_parquet(stored, stored)
    with pytest.raises(DataError, match="is there already"):
        read_parquet(write_parquet(stored, tmp_path / "tables"), stored)


@settings(max_examples=10)
@given(st.data())
def test_a_store_comes_back_from_parquet(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    pytest.importorskip("pyarrow")
    folder = tmp_path_factory.mktemp("parquet")
    given_ = [data.draw(scenarios(number=i)) for i in range(3)]
    # A lane without a name, and one of two equal names, cannot be told by name.
    given_ = [s for s in given_ if len(set(s.lane_names)) == len(s.lane_names)]
    if not given_:
        return
    write_store(folder / "a.twm", given_)
    write_parquet(folder / "a.twm", folder / "tables")
    again = open_store(read_parquet(folder / "tables", folder / "b.twm"))
    for i, scenario in enumerate(given_):
        assert_same(again.scenario(i), scenario)
    assert validate_store(again.path) == []


def test_an_import_comes_back_from_parquet_with_readers_and_maps(stored: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    before, again = open_store(stored), open_store(read_parquet(write_parquet(stored, tmp_path / "tables"), tmp_path / "b.twm"))
    assert again.manifest.readers == before.manifest.readers
    assert again.index.roads == 1
    for i in range(len(before)):
        assert_same(again.scenario(i), before.scenario(i))
    # In one shard each they would be the same bytes; the tables know nothing of shards.
    assert np.array_equal(again.index["codes"], before.index["codes"])


def test_tables_are_named_columns_that_anything_reads(stored: Path, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    folder = write_parquet(stored, tmp_path / "tables")
    rows = pq.read_table(folder / "rows.parquet").to_pylist()
    store = open_store(stored)
    assert len(rows) == store.manifest.counts["rows"]
    row, scenario = rows[7], store.scenario(0)
    assert (row["scenario"], row["track"], row["step"], row["type"], row["code"], row["eligible"]) == (
        "clip0/0",
        "1",
        1,
        "car",
        "observed",
        False,
    )
    assert row["x"] == scenario.state[7, scenario.features.index("x")]
    assert pq.read_table(folder / "scenarios.parquet").column("site").to_pylist() == ["road"] * 12


def test_tables_that_contradict_one_another_are_refused(stored: Path, tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    folder = write_parquet(stored, tmp_path / "tables")
    rows = pq.read_table(folder / "rows.parquet")
    pq.write_table(pa.concat_tables([rows.slice(0, 1), rows.slice(2)]), folder / "rows.parquet")
    with pytest.raises(DataError, match="leaves out or repeats a step"):
        read_parquet(folder, tmp_path / "b.twm")
    pq.write_table(rows.slice(0, 18), folder / "rows.parquet")
    with pytest.raises(DataError, match=r"where scenarios\.parquet has clip0/1"):
        read_parquet(folder, tmp_path / "b.twm")
    (folder / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not a store as Parquet tables"):
        read_parquet(folder, tmp_path / "b.twm")
    (folder / "rows.parquet").unlink()
    with pytest.raises(DataError, match=r"has no rows\.parquet"):
        read_parquet(folder, tmp_path / "b.twm")
    assert not list(tmp_path.glob("b.twm*"))
