"""An open store keeps what it had when it was opened: here, and in the process to which it is sent, whatever is added in the meantime."""

from __future__ import annotations

import io
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from store_examples import FEATURES, PairsReader, assert_same, contents, pull_in, road, straight, write_pairs

from twm_core.data.store import index as store_index
from twm_core.data.store import packing
from twm_core.data.store import reading as store_module
from twm_core.data.store.packing import pack_tar, unpack_tar
from twm_core.data.store.reading import Store, open_store
from twm_core.data.store.validation import validate_store
from twm_core.data.store.writing.write_store import write_store
from twm_core.data.windows.splits import make_splits
from twm_core.errors import DataError


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "in", files=4, lines=2)


def add(clips: Path, out: Path, number: int, *, append: bool = True) -> None:
    pull_in(clips, out, paths=[clips / f"clip{number}.pairs"], append=append, features=FEATURES, reader=PairsReader(number))


def sent(store: Store) -> Store:
    """The store as another process gets it."""
    again = pickle.loads(pickle.dumps(store))
    assert isinstance(again, Store)
    return again


def assert_as_it_was(store: Store, copy: Store) -> None:
    """The store holds what the copy of its folder holds, which was made when it was opened."""
    assert store.ids == copy.ids
    assert store.index.sites == copy.index.sites
    assert store.index.groups == copy.index.groups
    assert store.index.roads == copy.index.roads
    assert store.sources() == copy.sources()
    assert store.manifest == copy.manifest
    assert store.fingerprint() == copy.fingerprint()
    for name, column in copy.index.columns.items():
        if name not in ("ids", "sites", "groups"):
            assert np.array_equal(store.index[name], column), name
    for i in range(len(copy)):
        assert_same(store.scenario(i), copy.scenario(i))
    with pytest.raises(DataError, match="has no scenario clip3/0"):
        store.number("clip3/0")


@pytest.mark.parametrize("additions", [0, 1, 2])
def test_an_open_store_and_one_that_was_sent_elsewhere_stay_as_they_were(clips: Path, tmp_path: Path, additions: int) -> None:
    out = tmp_path / "a.twm"
    add(clips, out, 0, append=False)
    add(clips, out, 1)
    open_store(out).write_splits(make_splits(open_store(out).scenarios, "time").to_json())
    shutil.copytree(out, tmp_path / "copy.twm")
    copy = open_store(tmp_path / "copy.twm")
    held, early = open_store(out), pickle.dumps(open_store(out))
    for number in (2, 3)[:additions]:
        add(clips, out, number)
    open_store(out).write_splits({})
    for store in (held, sent(held), sent(sent(held)), pickle.loads(early)):
        assert_as_it_was(store, copy)
    assert len(open_store(out)) == 4 + 2 * additions


def test_a_store_that_was_replaced_by_another_is_refused_by_the_process_to_which_it_was_sent(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.twm"
    add(clips, out, 0, append=False)
    held = open_store(out)
    shutil.rmtree(out)
    add(clips, out, 1, append=False)
    add(clips, out, 2)
    with pytest.raises(DataError, match="is not the store that was opened: its scenarios are others") as caught:
        sent(held)
    assert "give the same command again" in str(caught.value.hint)
    with pytest.raises(DataError, match="is not the store that was opened: its sources are others"):
        held.sources()


def test_a_store_that_is_added_to_while_it_is_opened_is_opened_as_it_is_afterwards(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables that the manifest named are removed before they are opened."""
    out = tmp_path / "a.twm"
    add(clips, out, 0, append=False)
    held = pickle.dumps(open_store(out))
    left = [1, 2]

    class Slow(store_index.Index):
        def __init__(self, *given: object) -> None:
            if left:
                monkeypatch.setattr(store_module, "Index", store_index.Index)
                add(clips, out, left.pop(0))
                monkeypatch.setattr(store_module, "Index", Slow)
            super().__init__(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(store_module, "Index", Slow)
    assert len(open_store(out)) == 6
    assert not left
    left.append(3)
    assert len(pickle.loads(held)) == 2
    assert not left


def test_a_store_that_is_added_to_while_it_is_packed_is_packed_as_one_generation(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.twm"
    add(clips, out, 0, append=False)
    before = contents(out)
    really = packing._add
    left = [1]

    def slow(tar: tarfile.TarFile, name: str, size: int, content: io.BufferedReader) -> None:
        if left:
            add(clips, out, left.pop())
        really(tar, name, size, content)

    monkeypatch.setattr(packing, "_add", slow)
    pack_tar(out, tmp_path / "a.tar")
    assert contents(unpack_tar(tmp_path / "a.tar", tmp_path / "b.twm")) == before
    assert len(open_store(out)) == 4
    pack_tar(out, tmp_path / "a.tar")
    assert contents(unpack_tar(tmp_path / "a.tar", tmp_path / "c.twm")) == contents(out)


def test_a_store_that_is_added_to_while_it_is_validated_is_whole(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.twm"
    add(clips, out, 0, append=False)
    left = [1]

    def observe(name: str) -> None:
        if left:
            add(clips, out, left.pop())

    assert validate_store(out, observe) == []
    assert not left


def test_an_addition_leaves_no_table_of_the_former_generation(tmp_path: Path) -> None:
    out = write_store(tmp_path / "a.twm", [straight(0, road=road(0))])
    write_store(out, [straight(1, road=road(1))], append=True)
    assert {p.name for p in out.iterdir()} == {"manifest.json", "index-1.safetensors", "sources-1.jsonl", "shards", "maps"}
    assert validate_store(out) == []
