"""Stores: scenarios come back bit for bit, as views, and every kind of damage is found and named."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from store_examples import FEATURES, assert_same, assert_same_road, contents, pull_in, road, scenarios, straight, write_pairs

from twm_core.data.store.blocks import file_facts
from twm_core.data.store.manifest import INDEX, MAP_COLUMNS, StoreManifest, shard_columns
from twm_core.data.store.reading import open_store
from twm_core.data.store.roads import arrays_hash, road_arrays, road_from
from twm_core.data.store.summary import summary
from twm_core.data.store.validation import validate_store
from twm_core.data.store.writing.write_store import write_store
from twm_core.data.store.writing.writer import StoreWriter
from twm_core.data.windows.splits import make_splits
from twm_core.errors import BusyError, DataError
from twm_core.tensor_files import read_header


@given(st.data())
def test_scenarios_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    out = tmp_path_factory.mktemp("store") / "a.twm"
    actions = data.draw(st.sampled_from([0, 2]))
    given_ = [data.draw(scenarios(number=i, actions=actions)) for i in range(data.draw(st.integers(1, 4)))]
    given_.sort(key=lambda s: s.action is None)  # the first scenario decides whether there are actions
    if given_[0].action is None:
        given_ = [s for s in given_ if s.action is None]
    elif not all(s.action is not None for s in given_):
        given_ = [s for s in given_ if s.action is not None]
    write_store(out, given_, shard_bytes=data.draw(st.sampled_from([1, 2_000, 1 << 20])))
    store = open_store(out)
    assert len(store) == len(given_)
    for i, scenario in enumerate(given_):
        assert_same(store.scenario(i), scenario)
        assert_same(store.scenarios[i - len(given_)], scenario)
    assert validate_store(store.path) == []
    assert not out.with_name("a.twm.partial").exists()


def test_the_arrays_of_a_scenario_are_read_only_views_of_its_shard(tmp_path: Path) -> None:
    store = open_store(write_store(tmp_path / "a.twm", [straight(i, lane=np.ones(10, dtype=np.int64)) for i in range(3)]))
    scenario, arrays = store.scenario(1), store.arrays(1)
    for name in ("state", "code", "first", "length", "type", "lane"):
        view = getattr(arrays, name)
        assert not view.flags.writeable
        assert not view.flags.owndata
        assert view.flags.aligned
        assert np.shares_memory(view, getattr(scenario, name))
        assert np.array_equal(view, getattr(straight(1, lane=np.ones(10, dtype=np.int64)), name))
    assert arrays.offset.tolist() == [0, 5]
    assert arrays.action is None


def test_a_track_without_a_row_or_a_scenario_without_a_track_keeps_its_place(tmp_path: Path) -> None:
    empty = straight(
        1, state=np.zeros((0, 5), dtype=np.float32), code=np.zeros(0, dtype=np.uint8), first=np.zeros(0, dtype=np.int64),
        length=np.zeros(0, dtype=np.int64), track=(), type=np.zeros(0, dtype=np.int64),
    )  # fmt: skip
    store = open_store(write_store(tmp_path / "a.twm", [straight(0), empty, straight(2)]))
    assert_same(store.scenario(1), empty)
    assert_same(store.scenario(2), straight(2))


def test_the_files_are_ordinary_safetensors_files_with_the_documented_tensors(tmp_path: Path) -> None:
    out = write_store(tmp_path / "a.twm", [straight(i, road=road(i % 2)) for i in range(4)])
    shard = load_file(out / "shards" / "000000.safetensors")
    assert np.array_equal(shard["state"], np.concatenate([straight(i).state for i in range(4)]))
    assert set(shard) == {c.name for c in shard_columns(5, 0)}
    assert set(load_file(out / "index-0.safetensors")) == {c.name for c in INDEX}
    maps = load_file(out / "maps" / "000000.safetensors")
    assert set(maps) == {c.name for c in MAP_COLUMNS}
    assert len(maps["lane_width"]) == 4  # two maps of two lanes, each stored once


def test_every_tensor_and_every_field_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "explanations" / "store.md").read_text(encoding="utf-8")
    for column in (*INDEX, *MAP_COLUMNS, *shard_columns(1, 1)):
        assert f"`{column.name}`" in page, column.name
    for name, field in StoreManifest.model_fields.items():
        assert f"`{field.alias or name}`" in page, name


@given(st.integers(0, 9), st.floats(-1e7, 1e7), st.floats(-1e7, 1e7))
def test_road_maps_come_back_and_shift_in_float64(seed: int, x: float, y: float) -> None:
    there = road(seed)
    assert_same_road(road_from(road_arrays(there)), there)
    moved = road_from(road_arrays(there), (x, y))
    assert np.array_equal(moved.lanes[0].centre, there.lanes[0].centre - (x, y))
    assert np.array_equal(moved.lines[1].points, there.lines[1].points - (x, y))
    assert moved.lanes[1].left_boundary is None
    assert (arrays_hash(road_arrays(moved)) == arrays_hash(road_arrays(there))) == (
        np.array_equal(road_arrays(moved)["points"], road_arrays(there)["points"])
    )


def test_scenarios_of_a_site_share_one_road_map(tmp_path: Path) -> None:
    store = open_store(write_store(tmp_path / "a.twm", [straight(i, road=road(0)) for i in range(3)]))
    assert store.index.roads == 1
    assert store.scenario(0).road is store.scenario(2).road


def test_scenarios_of_a_shard_share_equal_lane_names(tmp_path: Path) -> None:
    names = ("north:1", "north:2")
    given_ = [straight(i, lane=np.ones(10, dtype=np.int64), lane_names=names if i != 1 else ("x",)) for i in range(3)]
    store = open_store(write_store(tmp_path / "a.twm", given_))
    assert [store.lane_names(i) for i in range(3)] == [names, ("x",), names]
    assert store.lane_names(0) is store.lane_names(2)


def test_a_store_can_be_sent_to_other_processes(tmp_path: Path) -> None:
    store = open_store(write_store(tmp_path / "a.twm", [straight()]))
    again = pickle.loads(pickle.dumps(store))
    assert_same(again.scenario(0), straight())
    assert again.fingerprint() == store.fingerprint()


def test_a_scenario_that_is_not_there_is_an_index_error(tmp_path: Path) -> None:
    store = open_store(write_store(tmp_path / "a.twm", [straight()]))
    with pytest.raises(IndexError):
        store.scenario(1)
    assert store.number("run-0") == 0
    with pytest.raises(DataError, match="has no scenario run-9"):
        store.number("run-9")


def test_opening_imports_no_torch(tmp_path: Path) -> None:
    write_store(tmp_path / "a.twm", [straight()])
    code = (
        "import sys; from twm_core.data.store.reading import open_store; open_store(sys.argv[1]).scenario(0); print('torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.twm")], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


def test_splits_are_kept_and_do_not_change_the_fingerprint(tmp_path: Path) -> None:
    store = open_store(write_store(tmp_path / "a.twm", [straight(i) for i in range(3)]))
    before = store.fingerprint()
    splits = make_splits(store.scenarios, "time").to_json()
    store.write_splits(splits)
    again = open_store(tmp_path / "a.twm")
    assert again.manifest.splits == store.manifest.splits == splits
    assert again.manifest.generation == store.manifest.generation == 1
    assert again.fingerprint() == before
    assert validate_store(again.path) == []


def test_two_stores_of_the_same_scenarios_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_store(tmp_path / name / "x.twm", (straight(i, road=road(i)) for i in range(5)), shard_bytes=700)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert len(list((tmp_path / "a" / "x.twm" / "shards").iterdir())) > 1


def test_shards_end_before_they_are_too_long(tmp_path: Path) -> None:
    write_store(tmp_path / "a.twm", (straight(i) for i in range(20)), shard_bytes=2_000)
    store = open_store(tmp_path / "a.twm")
    assert all(f.bytes < 2_000 + 2_000 for f in store.manifest.shards)  # header included
    assert [store.index["shard"][i] for i in range(20)] == sorted(store.index["shard"].tolist())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": "run-0"}, "scenario run-0 is in source scenarios already"),
        ({"features": ("x", "y", "heading", "vx", "ax")}, "the store has x, y, heading, vx, vy"),
        ({"code": np.full(10, 5, dtype=np.uint8)}, "row 0 has the code 5"),
        ({"type": np.array([1, 8])}, "a type beyond"),
        ({"action": np.zeros((10, 2), dtype=np.float32)}, "2 actions"),
    ],
)
def test_scenarios_that_do_not_belong_together_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        write_store(tmp_path / "a.twm", [straight(0), straight(1, **changes)])
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    write_store(tmp_path / "a.twm", [straight()])
    with pytest.raises(DataError, match="is there already"):
        write_store(tmp_path / "a.twm", [straight(1)])
    assert len(open_store(tmp_path / "a.twm")) == 1


def test_a_store_without_a_scenario_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no source gave a scenario"):
        write_store(tmp_path / "a.twm", [])
    assert list(tmp_path.iterdir()) == []


def test_two_processes_do_not_write_one_store(tmp_path: Path) -> None:
    first = StoreWriter(tmp_path / "a.twm", command={"n": 1})
    with pytest.raises(BusyError, match="is being written by process"):
        StoreWriter(tmp_path / "a.twm", command={"n": 1})
    first.remove()


def test_an_unwritable_place_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        write_store(tmp_path / "file" / "a.twm", [straight()])


def test_a_full_disk_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    writer = StoreWriter(tmp_path / "a.twm", command={})
    writer.open_source({"name": "s", "files": [], "reader": 0})
    monkeypatch.setattr("twm_core.data.store.writing.journal.os.write", full)
    with pytest.raises(DataError, match="No space left on device"):
        writer.add(straight())
    writer.release()


def test_there_must_be_a_store(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no store"):
        open_store(tmp_path / "none.twm")
    with pytest.raises(DataError, match="is not a store"):
        open_store(tmp_path)
    assert len(validate_store(tmp_path / "none.twm")) == 1


def edit_manifest(out: Path, **changes: Any) -> None:
    facts = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({**facts, **changes}))


def test_a_newer_schema_is_one_clear_error(tmp_path: Path) -> None:
    out = write_store(tmp_path / "a.twm", [straight()])
    edit_manifest(out, schema={"name": "twm-store", "version": 3})
    with pytest.raises(DataError, match="schema twm-store 3; this twm reads twm-store 1 to 2") as caught:
        open_store(out)
    assert "newer version of twm" in str(caught.value.hint)
    assert "schema twm-store 3" in validate_store(out)[0]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": 3}', '{"schema": {"name": "twm-store", "version": 1}}', "\0"])
def test_a_damaged_manifest_is_one_clear_error(tmp_path: Path, text: str) -> None:
    out = write_store(tmp_path / "a.twm", [straight()])
    (out / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json is damaged"):
        open_store(out)
    assert len(validate_store(out)) == 1


FILES = ("shards/000000.safetensors", "shards/000001.safetensors", "maps/000000.safetensors", "index-0.safetensors", "sources-0.jsonl")


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return write_store(tmp_path / "a.twm", [straight(i, road=road(0)) for i in range(4)], shard_bytes=1_000)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused_at_opening_and_named(stored: Path, name: str) -> None:
    data = (stored / name).read_bytes()
    (stored / name).write_bytes(data[:-1])
    with pytest.raises(DataError, match=f"{name} is truncated or was changed"):
        open_store(stored)
    assert name in validate_store(stored)[0]
    (stored / name).unlink()
    with pytest.raises(DataError, match=f"{name} is missing"):
        open_store(stored)
    assert name in validate_store(stored)[0]


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_found_by_its_hash(stored: Path, name: str) -> None:
    data = bytearray((stored / name).read_bytes())
    data[-1] ^= 1
    (stored / name).write_bytes(bytes(data))
    where = f"bytes 0 to {len(data)}"
    assert validate_store(stored) == [f"{stored / name} was changed: its sha256 is not the manifest's ({where})"]
    with pytest.raises(DataError, match=f"{name} was changed: {where} are not those that were written"):
        open_store(stored)


def test_a_manifest_that_was_edited_opens_but_is_told_of(stored: Path) -> None:
    edit_manifest(stored, frame="another")
    assert open_store(stored).manifest.frame == "another"
    assert validate_store(stored) == [f"{stored / 'manifest.json'} was changed: it is not as it was written"]


def test_a_file_that_does_not_belong_to_the_store_is_found(stored: Path) -> None:
    (stored / "shards" / "note.txt").write_text("hello")
    assert validate_store(stored) == [f"{stored / 'shards' / 'note.txt'} is not named in the manifest"]


def forge(out: Path, file: str, tensor: str, place: int, value: float) -> None:
    """Change a tensor and its file's hashes in the manifest, as a broken writer would."""
    header, begin = read_header(out / file)
    a, b = header[tensor]["data_offsets"]
    data = bytearray((out / file).read_bytes())
    kinds = {"I64": "<i8", "F64": "<f8", "F32": "<f4", "U8": "u1", "BOOL": "u1"}
    array = np.frombuffer(bytes(data[begin + a : begin + b]), dtype=kinds[header[tensor]["dtype"]]).copy()
    array[place] = value
    data[begin + a : begin + b] = array.tobytes()
    (out / file).write_bytes(bytes(data))
    facts = json.loads((out / "manifest.json").read_text())
    for entry in (facts["index"], facts["sources"], *facts["shards"], *facts["maps"]):
        if entry["file"] == file:
            entry |= file_facts(out / file)
    (out / "manifest.json").write_text(json.dumps(facts))


@pytest.mark.parametrize(
    ("file", "tensor", "place", "value", "said"),
    [
        (FILES[0], "state", 3, np.nan, "row 0 is not finite"),
        (FILES[0], "code", 2, 0, "row 2 has the code 0"),
        (FILES[0], "type", 0, 77, "unknown type"),
        (FILES[0], "offset", 1, 4, "offsets are not the sums"),
        (FILES[0], "first", 0, 3, "contradict one another"),
        (FILES[0], "length", 0, 6, "contradict one another"),
        (FILES[0], "text", 0, 1, "contradict one another"),
        (FILES[3], "begin", 0, 10**9, "lies outside of it"),
        (FILES[3], "begin", 0, -1, "lies outside of it"),
        (FILES[3], "count", 0, 2**62, "lies outside of it"),
        (FILES[3], "shard", 1, 99, "shard of entry 1 is 99"),
        (FILES[3], "road", 1, 1, "road of entry 1 is 1"),
        (FILES[3], "dt", 1, -0.1, "dt has impossible values"),
        (FILES[3], "codes", 1, 5, "counts"),
        (FILES[3], "ego", 1, 2, "an ego is no track"),
        (FILES[2], "points", 0, 1e9, "is not the one that the index names"),
    ],
)
def test_forged_values_are_found(stored: Path, file: str, tensor: str, place: int, value: float, said: str) -> None:
    forge(stored, file, tensor, place, value)
    problems = validate_store(stored)
    assert any(said in p for p in problems), problems


def test_a_summary_counts_what_the_scenarios_hold(tmp_path: Path) -> None:
    write_pairs(tmp_path / "in", files=2, lines=3)
    pull_in(tmp_path / "in", tmp_path / "a.twm", features=FEATURES)
    store = open_store(tmp_path / "a.twm")
    told = json.loads(json.dumps(summary(store)))
    assert (told["scenarios"], told["agents"], told["rows"], told["states"]) == (6, 18, 108, 108)
    assert told["seconds"] == pytest.approx(6 * 6 * 0.1)
    assert told["sites"] == {"road": 6}
    assert told["dt"] == {"0.1": 6}
    assert told["agents_by_type"] == {"car": 18}
    assert told["rows_by_code"] == {"observed": 108}
    assert told["skipped"] == {"rows gone": 6, "rows without sense": 12}
    assert told["maps"] == 1
    assert told["features"][3]["provenance"] == {"backward differences of x": 6}
    assert told["readers"][0]["dataset"] == "Pairs"
    assert told["counts"]["sources"] == 2
    assert store.scenario(0).ego == 2
    eligible = store.scenario(0).eligible
    assert eligible is not None
    assert eligible.tolist() == [True, False, False]
