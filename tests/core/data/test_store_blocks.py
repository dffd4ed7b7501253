"""Blocks of a store have hashes: a sample is compared at opening, one block of each file at its first use, all of them by `validate`."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from store_examples import straight

from twm_core.data.store import blocks as store_blocks
from twm_core.data.store import tensors as store_tensors
from twm_core.data.store.manifest import StoredFile, manifest_text
from twm_core.data.store.reading import Store, open_store
from twm_core.data.store.tensors import FileHash, block_hash
from twm_core.data.store.validation import validate_store
from twm_core.data.store.writing.write_store import write_store
from twm_core.data.windows.splits import make_splits
from twm_core.errors import DataError
from twm_core.tensor_files import read_header

BLOCK = 4096
SHARD = "shards/000000.safetensors"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks so short that a small store has many."""
    for module in (store_blocks, store_tensors):
        monkeypatch.setattr(module, "BLOCK", BLOCK)


def made(path: Path, count: int = 400, shard_bytes: int = 10**9) -> Path:
    return write_store(path, (straight(i) for i in range(count)), shard_bytes=shard_bytes)


def change(file: Path, begin: int, end: int) -> None:
    data = bytearray(file.read_bytes())
    for at in range(begin, end):
        data[at] ^= 1
    file.write_bytes(bytes(data))


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
@pytest.mark.parametrize("piece", [1000, BLOCK, 2 * BLOCK + 5])
def test_a_file_has_a_hash_for_each_block_however_its_bytes_arrive(tmp_path: Path, size: int, piece: int) -> None:
    data = np.random.default_rng(0).bytes(size)
    found = FileHash()
    for begin in range(0, size, piece):
        found.update(data[begin : begin + piece])
    (tmp_path / "file").write_bytes(data)
    assert found.facts() == store_blocks.file_facts(tmp_path / "file")
    assert found.facts()["blocks"] == "".join(block_hash(data[a : a + BLOCK]) for a in range(0, size, BLOCK))


@pytest.mark.parametrize("shards", [3, 100])
def test_the_sample_takes_blocks_of_both_tables_and_one_of_each_file_before_a_second_of_any(tmp_path: Path, shards: int) -> None:
    manifest = open_store(made(tmp_path / "a.twm", 3)).manifest
    files = [StoredFile(file=str(i), bytes=0, sha256="", blocks="0" * 16 * 50) for i in range(shards)]
    drawn = store_blocks.sample(manifest.model_copy(update={"shards": files}))
    assert len({(f.file, n) for f, n in drawn}) == len(drawn) == store_blocks.SAMPLE
    first = [f.file for f, _ in drawn[: 2 + min(shards, store_blocks.SAMPLE - 2)]]
    assert first[:2] == [manifest.index.file, manifest.sources.file]
    assert len(set(first)) == len(first)


def test_a_change_of_every_block_of_a_shard_is_noticed_when_the_store_is_opened(tmp_path: Path) -> None:
    out = made(tmp_path / "a.twm")
    size = (out / SHARD).stat().st_size
    assert size > 20 * BLOCK
    change(out / SHARD, 0, size)
    with pytest.raises(DataError, match=rf"{SHARD} was changed: bytes .* are not those that were written") as caught:
        open_store(out)
    assert "twm data validate" in str(caught.value.hint)


def test_values_of_a_small_store_that_were_multiplied_by_3_are_noticed_when_it_is_opened(tmp_path: Path) -> None:
    out = made(tmp_path / "a.twm", 3)
    header, begin = read_header(out / SHARD)
    first, last = (begin + at for at in header["state"]["data_offsets"])
    data = bytearray((out / SHARD).read_bytes())
    data[first:last] = (np.frombuffer(bytes(data[first:last]), dtype="<f4") * 3).tobytes()
    (out / SHARD).write_bytes(bytes(data))
    with pytest.raises(DataError, match=f"{SHARD} was changed"):
        open_store(out)
    assert "its sha256 is not the manifest's" in validate_store(out)[0]


def test_of_many_shards_one_of_which_every_block_was_changed_is_noticed_before_its_values_are_used(tmp_path: Path) -> None:
    out = made(tmp_path / "a.twm", 60, shard_bytes=1000)
    opened = open_store(out)
    assert len(opened.manifest.shards) > 2 * store_blocks.SAMPLE
    checked = {facts.file for facts, _ in store_blocks.sample(opened.manifest)}
    missed = next(i for i in range(60) if opened.manifest.shards[opened.index["shard"][i]].file not in checked)
    file = out / opened.manifest.shards[opened.index["shard"][missed]].file
    change(file, 0, file.stat().st_size)
    with pytest.raises(DataError, match="are not those that were written"):
        open_store(out).scenario(missed)


def test_validate_finds_a_single_byte_and_names_its_block(tmp_path: Path) -> None:
    out = made(tmp_path / "a.twm")
    change(out / SHARD, 5 * BLOCK + 7, 5 * BLOCK + 8)
    assert validate_store(out) == [
        f"{out / SHARD} was changed: its sha256 is not the manifest's (bytes {5 * BLOCK} to {6 * BLOCK})",
    ]


def test_opening_reads_no_more_blocks_than_the_sample_and_a_pickled_store_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = made(tmp_path / "a.twm")
    read: list[str] = []
    real = store_blocks.check_block
    monkeypatch.setattr(store_blocks, "check_block", lambda folder, facts, number: (read.append(facts.file), real(folder, facts, number)))
    store = open_store(out)
    assert len(read) == store_blocks.SAMPLE
    store.scenario(0)
    store.scenario(1)
    assert len(read) == store_blocks.SAMPLE + 1
    read.clear()
    again: Store = pickle.loads(pickle.dumps(store))
    again.scenario(0)
    assert not read


def first_version(out: Path) -> None:
    """Rewrite the manifest as twm wrote it before there were blocks and generations."""
    facts = json.loads((out / "manifest.json").read_text())
    facts["schema"]["version"] = 1
    del facts["generation"]
    for entry in (facts["index"], facts["sources"], *facts["shards"], *facts["maps"]):
        del entry["blocks"]
    (out / "manifest.json").write_text(manifest_text(facts))


def test_a_store_of_schema_version_1_is_read_validated_split_and_added_to(tmp_path: Path) -> None:
    out = made(tmp_path / "a.twm", 3)
    fingerprint = open_store(out).fingerprint()
    first_version(out)
    store = open_store(out)
    assert (store.manifest.schema_of.version, store.manifest.generation, store.fingerprint()) == (1, 0, fingerprint)
    assert len(store.scenario(0).state)
    assert validate_store(out) == []
    store.write_splits(make_splits(store.scenarios, "time").to_json())
    assert (store.manifest.schema_of.version, store.manifest.generation, store.fingerprint()) == (2, 1, fingerprint)
    write_store(out, [straight(9)], append=True)
    assert validate_store(out) == []
    assert len(open_store(out)) == 4
    change(out / SHARD, 900, 901)
    assert "its sha256 is not the manifest's" in validate_store(out)[0]


@pytest.mark.parametrize("inside", [False, True])
def test_a_file_that_is_a_link_is_refused_where_it_leads_out_of_the_store(tmp_path: Path, inside: bool) -> None:
    out = made(tmp_path / "a.twm", 3)
    target = (out / "shards" if inside else tmp_path) / "elsewhere.safetensors"
    os.replace(out / SHARD, target)
    (out / SHARD).symlink_to(target)
    if inside:
        assert len(open_store(out)) == 3
        return
    with pytest.raises(DataError, match=r"is a link to .* outside of the store"):
        open_store(out)
    assert "outside of the store" in validate_store(out)[0]


def test_a_folder_of_shards_that_leads_out_of_the_store_is_refused(tmp_path: Path) -> None:
    out = made(tmp_path / "a.twm", 3)
    os.replace(out / "shards", tmp_path / "elsewhere")
    (out / "shards").symlink_to(tmp_path / "elsewhere")
    assert any("outside of the store" in problem for problem in validate_store(out))


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ({"train": 5}, "the stored splits are malformed"),
        (
            {"train": [{"scenario": "none", "from": 0, "to": 1, "tracks": None}], "val": [], "test": []},
            "'none', which the store does not have",
        ),
        ({"train": [{"scenario": "run-0", "from": 0, "to": 999, "tracks": None}], "val": [], "test": []}, "names the steps 0 to 999"),
        ({"train": [], "val": [{"scenario": "run-0", "from": 0, "to": 1, "tracks": [77]}], "test": []}, "that is not there"),
    ],
)
def test_splits_that_mean_nothing_are_found(tmp_path: Path, splits: object, said: str) -> None:
    out = made(tmp_path / "a.twm", 3)
    facts = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(manifest_text({**facts, "splits": splits}))
    problems = validate_store(out)
    assert len(problems) == 1
    assert said in problems[0]
