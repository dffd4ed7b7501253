"""Imports: the same bytes from the same files, also after a kill at any moment; bad input leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from store_examples import FEATURES, PairsReader, assert_same, contents, killed_at, pull_in, road, write_pairs

from twm_core.data.features.derive import derive
from twm_core.data.features.lanes import LANE_FEATURES
from twm_core.data.schema import TRAFFIC_FEATURES
from twm_core.data.store.reading import open_store
from twm_core.data.store.summary import summary
from twm_core.data.store.validation import validate_store
from twm_core.errors import DataError
from twm_core.reporting import Reporter


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "in")


class Said(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[tuple[int, int]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, step: int, steps: int, metrics: object) -> None:
        self.steps.append((step, steps))


def test_an_import_stores_what_derive_makes_of_every_recording(clips: Path, tmp_path: Path) -> None:
    said = Said()
    report = pull_in(clips, tmp_path / "a.twm", observe=said)
    store = open_store(report.store)
    reader = PairsReader(0)
    wanted = [derive(r) for s in reader.sources([clips]) for r in reader.read(s) if not hasattr(r, "counts")]
    assert len(store) == len(wanted) == report.scenarios == 12
    for i, scenario in enumerate(wanted):
        assert_same(store.scenario(i), scenario)
    assert (report.sources, report.agents, report.states, report.resumed) == (3, 36, 216, False)
    assert report.skipped == {"rows gone": 9, "rows without sense": 24}
    assert said.steps == [(i // 5, 3) for i in range(16)]  # at the beginning, after each of four scenarios, and after the source
    assert validate_store(store.path) == []
    assert store.index.roads == 1
    assert store.scenario(0).road is store.scenario(11).road
    assert store.scenario(5).ego == 2


def test_a_store_tells_where_it_comes_from_but_not_where_that_was(clips: Path, tmp_path: Path) -> None:
    table = tmp_path / "columns.toml"
    table.write_text("x = 1\n")
    report = pull_in(clips, tmp_path / "a.twm", options={"mapping": table, "folder": tmp_path, "site": "s"}, reader_version="1.2")
    store = open_store(report.store)
    reader = store.manifest.readers[0]
    assert (reader.name, reader.version, reader.dataset, reader.licence) == ("pairs", "1.2", "Pairs", "CC0")
    digest = hashlib.sha256(b"x = 1\n").hexdigest()
    assert reader.options == {"mapping": {"file": "columns.toml", "sha256": digest}, "folder": {"folder": tmp_path.name}, "site": "s"}
    source = store.sources()[1]
    assert (source.name, source.scenarios, source.files[0]["name"]) == ("clip1", 4, "clip1.pairs")
    assert source.skipped == {"rows gone": 3, "rows without sense": 8}
    everything = b"".join(contents(report.store).values())
    assert str(tmp_path).encode() not in everything


def test_two_imports_from_different_places_are_the_same_bytes(clips: Path, tmp_path: Path) -> None:
    shutil.copytree(clips, tmp_path / "elsewhere" / "in")
    pull_in(clips, tmp_path / "a.twm")
    pull_in(tmp_path / "elsewhere" / "in", tmp_path / "elsewhere" / "b.twm")
    assert contents(tmp_path / "a.twm") == contents(tmp_path / "elsewhere" / "b.twm")


def test_where_the_files_of_options_lie_and_how_their_paths_are_spelled_does_not_matter(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    for folder in (tmp_path, elsewhere):
        (folder / "maps").mkdir(parents=True)
        (folder / "columns.toml").write_text("x = 1\n")
    stores = []
    for i, (folder, table, maps) in enumerate(
        [
            (tmp_path, "columns.toml", "maps"),
            (tmp_path, "./columns.toml", "./maps/"),
            (tmp_path, str(tmp_path / "columns.toml"), str(tmp_path / "maps")),
            (elsewhere, "columns.toml", "maps"),
            (elsewhere / "maps", "../columns.toml", "."),
        ]
    ):
        monkeypatch.chdir(folder)
        options = {"mapping": Path(table), "maps": (Path(maps),), "note": "a/b"}
        stores.append(contents(pull_in(clips, tmp_path / f"{i}.twm", options=options).store))
    assert all(store == stores[0] for store in stores)
    (elsewhere / "columns.toml").write_text("x = 2\n")
    options = {"mapping": elsewhere / "columns.toml", "maps": (elsewhere / "maps",), "note": "a/b"}
    assert contents(pull_in(clips, tmp_path / "other.twm", options=options).store) != stores[0]
    assert open_store(tmp_path / "0.twm").manifest.readers[0].options["note"] == "a/b"


def journal(out: Path) -> Path:
    return out.with_name(f"{out.name}.partial") / "journal.jsonl"


def test_an_import_that_is_killed_at_any_moment_is_continued_to_the_same_bytes(tmp_path: Path) -> None:
    clips = write_pairs(tmp_path / "in", files=3, lines=2)
    pull_in(clips, tmp_path / "whole.twm", features=FEATURES, shard_bytes=2_000)
    wanted = contents(tmp_path / "whole.twm")
    count, out, kept = 0, tmp_path / "a.twm", 0
    while killed_at(count, lambda: pull_in(clips, out, features=FEATURES, shard_bytes=2_000)):
        if not out.exists() or journal(out).exists():
            kept += pull_in(clips, out, features=FEATURES, shard_bytes=2_000).not_read_again
        assert contents(out) == wanted, f"killed at change {count}"
        shutil.rmtree(out)
        count += 5
    assert contents(out) == wanted
    assert count > 60  # records, lines of the journal, files
    assert kept > 10


def test_an_import_that_is_killed_again_and_again_comes_to_its_end(clips: Path, tmp_path: Path) -> None:
    pull_in(clips, tmp_path / "whole.twm")
    out, lives = tmp_path / "a.twm", 0
    while killed_at(45, lambda: pull_in(clips, out)):
        lives += 1
        assert lives < 50
    assert lives > 3
    assert contents(out) == contents(tmp_path / "whole.twm")


def interrupt(clips: Path, out: Path, at: int = 120) -> None:
    assert killed_at(at, lambda: pull_in(clips, out))
    assert out.with_name(f"{out.name}.partial").exists()


def test_finished_sources_are_not_read_again(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.twm"
    interrupt(clips, out)
    reader = PairsReader(0)
    report = pull_in(clips, out, reader=reader)
    assert report.resumed
    assert 0 < report.not_read_again < 3
    assert reader.read_names == [f"clip{i}" for i in range(report.not_read_again, 3)]
    assert (report.scenarios, report.skipped) == (12, {"rows gone": 9, "rows without sense": 24})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"options": {"site": "b"}}, 'options was {"site": ""} and is {"site": "b"}'),
        ({"features": FEATURES}, "features was null and is"),
        ({"shard_bytes": 7}, "shard_bytes was 6000 and is 7"),
        ({"reader_version": "2"}, 'version was "" and is "2"'),
    ],
)
def test_another_command_does_not_continue_an_import(clips: Path, tmp_path: Path, changes: dict[str, object], said: str) -> None:
    out = tmp_path / "a.twm"
    interrupt(clips, out)
    with pytest.raises(DataError) as caught:
        pull_in(clips, out, **changes)
    assert said in caught.value.message
    assert "--restart" in str(caught.value.hint)
    assert pull_in(clips, out, **changes, restart=True).resumed is False


def test_other_files_do_not_continue_an_import(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.twm"
    interrupt(clips, out)
    text = (clips / "clip0.pairs").read_text()
    (clips / "clip0.pairs").write_text(text.replace("0.5", "0.7"))
    with pytest.raises(DataError, match=r"source clip0: clip0.pairs was changed since the import was interrupted: sha256 \w{12}\.\.\."):
        pull_in(clips, out)
    assert out.with_name("a.twm.partial").exists()
    (clips / "clip0.pairs").write_text(text)
    (clips / "clip9.pairs").write_text("1 2\n")
    with pytest.raises(DataError, match="sources was"):
        pull_in(clips, out)
    (clips / "clip9.pairs").unlink()
    assert pull_in(clips, out).resumed


def test_what_the_disk_lost_is_read_again(clips: Path, tmp_path: Path) -> None:
    pull_in(clips, tmp_path / "whole.twm")
    out = tmp_path / "a.twm"
    interrupt(clips, out)
    spool = max((tmp_path / "a.twm.partial").glob("shards-*"))
    data = spool.read_bytes()
    spool.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))  # a power failure: zeros where data was not flushed
    pull_in(clips, out)
    assert contents(out) == contents(tmp_path / "whole.twm")


def test_bad_input_leaves_nothing_behind(clips: Path, tmp_path: Path) -> None:
    (clips / "clip1.pairs").write_text("1 2\n3 4\nbad\n")
    with pytest.raises(DataError, match=r"clip1\.pairs, row 3: bad"):
        pull_in(clips, tmp_path / "a.twm")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    with pytest.raises(DataError, match=r"no \.pairs file"):
        pull_in(tmp_path / "in", tmp_path / "a.twm", paths=[tmp_path])
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_bad_input_after_an_interruption_keeps_what_was_there(clips: Path, tmp_path: Path) -> None:
    (clips / "clip2.pairs").write_text("1 2\nbad\n")
    out = tmp_path / "a.twm"
    interrupt(clips, out, at=100)
    with pytest.raises(DataError, match="row 2: bad"):
        pull_in(clips, out)
    assert out.with_name("a.twm.partial").exists()
    assert pull_in(clips, out, skip_bad=True).bad == {"clip2": "clip2.pairs, row 2: bad"}


def test_bad_sources_can_be_left_out_whole(clips: Path, tmp_path: Path) -> None:
    lines = "".join(f"1 {i}\n" for i in range(30))
    (clips / "clip1.pairs").write_text(lines + "bad\n")  # bad after several shards were filled
    said = Said()
    report = pull_in(clips, tmp_path / "a.twm", skip_bad=True, observe=said)
    assert report.bad == {"clip1": "clip1.pairs, row 31: bad"}
    assert said.notes == ["left out clip1: clip1.pairs, row 31: bad"]
    store = open_store(report.store)
    assert validate_store(store.path) == []
    assert {s.split("/")[0] for s in store.ids} == {"clip0", "clip2"}
    assert store.manifest.bad == report.bad
    assert store.manifest.counts["sources left out as bad"] == 1
    assert [s.message for s in store.sources()] == ["", report.bad["clip1"], ""]
    good = write_pairs(tmp_path / "good")
    (good / "clip1.pairs").unlink()
    pull_in(good, tmp_path / "b.twm")
    shards = [{n: b for n, b in contents(tmp_path / x).items() if n.startswith(("shards", "maps"))} for x in ("a.twm", "b.twm")]
    assert shards[0] == shards[1]


def survives_kills(clips: Path, folder: Path, every: int) -> int:
    """Kill an import that leaves out bad sources at every so-many-th change and continue it: always the same bytes. How many there are."""
    pull_in(clips, folder / "whole.twm", skip_bad=True)
    out, count = folder / "a.twm", 5
    while killed_at(count, lambda: pull_in(clips, out, skip_bad=True)):
        if not out.exists() or journal(out).exists():
            pull_in(clips, out, skip_bad=True)
        assert contents(out) == contents(folder / "whole.twm"), count
        shutil.rmtree(out)
        count += every
    return count


def test_leaving_out_bad_sources_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    clips = write_pairs(tmp_path / "in", files=2, lines=2)
    (clips / "clip0.pairs").write_text("1 2\n" * 9 + "bad\n")
    assert survives_kills(clips, tmp_path, every=9) > 50


def test_a_copy_of_a_file_is_imported_once(clips: Path, tmp_path: Path) -> None:
    shutil.copy(clips / "clip0.pairs", clips / "clip7.pairs")
    said = Said()
    report = pull_in(clips, tmp_path / "a.twm", observe=said)
    assert report.left_out == ("clip7",)
    assert said.notes == ["left out clip7: its files are those of clip0"]
    assert open_store(report.store).manifest.counts["sources left out as already there"] == 1


def test_more_sources_can_be_added(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.twm"
    pull_in(clips, out, paths=[clips / "clip0.pairs"])
    before = contents(out)
    first = open_store(out)
    kept = first.scenario(2)
    report = pull_in(clips, out, append=True, reader=PairsReader(1))
    store = open_store(out)
    assert report.left_out == ("clip0",)
    assert (report.scenarios, len(store), store.index.roads) == (8, 12, 2)
    assert validate_store(store.path) == []
    assert_same(store.scenario(2), kept)
    assert_same(first.scenario(2), kept)  # a store that was open before goes on
    pull_in(clips, tmp_path / "b.twm", paths=[clips / "clip1.pairs", clips / "clip2.pairs"], reader=PairsReader(1))
    alone = open_store(tmp_path / "b.twm")
    for i in range(8):
        assert_same(store.scenario(4 + i), alone.scenario(i))
    assert {n: b for n, b in contents(out).items() if n in before and n.startswith("shards")} == {
        n: b for n, b in before.items() if n.startswith("shards")
    }
    assert [s.reader for s in store.sources()] == [0, 1, 1]
    assert store.additions == 1
    assert store.manifest.skipped == {"rows gone": 9, "rows without sense": 24}
    assert store.manifest.counts["sources"] == 3
    assert pull_in(clips, out, append=True, reader=PairsReader(1)).left_out == ("clip0", "clip1", "clip2")
    assert len(open_store(out)) == 12


def test_adding_leaves_the_store_valid_when_it_is_killed_at_any_moment(tmp_path: Path) -> None:
    clips = write_pairs(tmp_path / "in", files=2, lines=2)
    pull_in(clips, tmp_path / "base.twm", paths=[clips / "clip0.pairs"])
    base = open_store(tmp_path / "base.twm").ids
    shutil.copytree(tmp_path / "base.twm", tmp_path / "whole.twm")
    pull_in(clips, tmp_path / "whole.twm", append=True)
    wanted = contents(tmp_path / "whole.twm")
    out, count = tmp_path / "a.twm", 0
    while True:
        shutil.copytree(tmp_path / "base.twm", out)
        if not killed_at(count, lambda: pull_in(clips, out, append=True)):
            break
        store = open_store(out)
        assert store.ids[: len(base)] == base
        for i in range(len(store)):
            store.scenario(i)
        if journal(out).exists() or len(store) == len(base):
            pull_in(clips, out, append=True)
        assert contents(out) == wanted, count
        shutil.rmtree(out)
        count += 4
    assert count > 40


def test_adding_refuses_what_does_not_fit(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.twm"
    with pytest.raises(DataError, match="there is no store"):
        pull_in(clips, out, append=True)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    pull_in(clips, out, paths=[clips / "clip0.pairs"], features=FEATURES)
    before = contents(out)
    with pytest.raises(DataError, match="the store has x, y, heading, vx, vy"):
        pull_in(clips, out, append=True, features=("x", "y"))
    (clips / "other").mkdir()
    (clips / "other" / "clip0.pairs").write_text("7 7\n")
    with pytest.raises(DataError, match=r"scenario clip0/0 is in .* already"):
        pull_in(clips, out, append=True, paths=[clips / "other"])
    assert contents(out) == before
    assert not out.with_name("a.twm.partial").exists()
    assert pull_in(clips, out, append=True).scenarios == 8  # features are those of the store


def test_a_store_that_changed_since_is_not_added_to(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.twm"
    pull_in(clips, out, paths=[clips / "clip0.pairs"])
    assert killed_at(60, lambda: pull_in(clips, out, append=True))
    open_store(out).write_splits({"train": []})
    with pytest.raises(DataError, match=r"a\.twm has changed since"):
        pull_in(clips, out, append=True)


def test_a_map_is_stored_in_the_world_and_shifted_with_each_scenario(clips: Path, tmp_path: Path) -> None:
    report = pull_in(clips, tmp_path / "a.twm")
    store = open_store(report.store)
    there = road(0, far=4_000_000.25)
    assert np.array_equal(store.road_arrays(0)["points"][:5], there.lanes[0].centre)
    scenario = store.scenario(3)
    assert scenario.road is not None
    assert np.array_equal(scenario.road.lanes[0].centre, there.lanes[0].centre - scenario.origin)
    assert abs(float(scenario.state[0, 0])) < 1e4


def test_sources_with_one_name_are_refused(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two sources are called clip0"):
        pull_in(clips, tmp_path / "a.twm", paths=[clips, clips])


def test_a_file_that_changes_while_it_is_read_is_refused(clips: Path, tmp_path: Path) -> None:
    class Meddling(PairsReader):
        def read(self, source):
            yield from super().read(source)
            source.files[0].write_text("1 2 3\n")

    with pytest.raises(DataError, match="source clip0 was changed while it was read"):
        pull_in(clips, tmp_path / "a.twm", reader=Meddling())


def test_a_defect_of_a_reader_keeps_its_traceback_and_the_partial_folder(clips: Path, tmp_path: Path) -> None:
    class Broken(PairsReader):
        def read(self, source):
            yield from super().read(source)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        pull_in(clips, tmp_path / "a.twm", reader=Broken(0))
    assert pull_in(clips, tmp_path / "a.twm").resumed


def test_the_journal_is_lines_of_json(clips: Path, tmp_path: Path) -> None:
    interrupt(clips, tmp_path / "a.twm")
    lines = (tmp_path / "a.twm.partial" / "journal.jsonl").read_text().splitlines()
    words = [json.loads(line)[0] for line in lines[:-1]]
    assert words[:3] == ["begin", "open", "features"]


def mixed(folder: Path, *clips: str) -> Path:
    """Files of these lines; a line that begins with `bare` is a recording without a road map."""
    folder.mkdir()
    for i, text in enumerate(clips):
        (folder / f"clip{i}.pairs").write_text(text)
    return folder


def test_a_recording_without_a_map_among_others_has_lane_features_that_are_not_known(tmp_path: Path) -> None:
    clips = mixed(tmp_path / "in", "1 2\nbare 3 4\n", "bare 5\n6 7 8\n")
    report = pull_in(clips, tmp_path / "a.twm")
    store = open_store(report.store)
    assert (report.scenarios, report.without_map, summary(store)["without_map"]) == (4, 2, 2)
    assert store.features == tuple(TRAFFIC_FEATURES)
    bare = store.scenario(1)
    assert bare.road is None
    for name in LANE_FEATURES:
        assert not bare.state[:, store.features.index(name)].any()
        assert bare.provenance[name] == "not known: no road map"
        assert store.scenario(0).provenance[name].startswith("from the road map")
    assert validate_store(store.path) == []


def test_a_map_that_comes_late_gives_the_store_of_the_features_named(tmp_path: Path) -> None:
    clips = mixed(tmp_path / "in", "bare 1 2\nbare 3 4\n", "bare 5\n6 7 8\nbare 2\n", "5 5\n")
    said = Said()
    report = pull_in(clips, tmp_path / "a.twm", observe=said)
    assert said.notes == ["clip1/1 has a road map, those before it have none: beginning again, with the features of lanes"]
    assert (report.sources, report.scenarios, report.without_map, report.resumed) == (3, 6, 4, False)
    pull_in(clips, tmp_path / "b.twm", features=tuple(TRAFFIC_FEATURES))
    assert contents(tmp_path / "a.twm") == contents(tmp_path / "b.twm")


def test_an_import_that_begins_again_for_a_map_may_be_killed_at_any_moment(tmp_path: Path) -> None:
    clips = mixed(tmp_path / "in", "bare 1 2\n", "bare 5\n6 7 8\nbad\n", "bare 2\n")
    assert survives_kills(clips, tmp_path, every=3) > 60
    assert open_store(tmp_path / "a.twm").features == tuple(TRAFFIC_FEATURES)


def test_lane_features_that_are_asked_for_and_never_known_are_refused(tmp_path: Path) -> None:
    clips = mixed(tmp_path / "in", "bare 1 2\nbare 3\n")
    with pytest.raises(DataError, match="features lane_offset need a road map with lanes, and none of the 2 scenarios has one"):
        pull_in(clips, tmp_path / "a.twm", features=("x", "y", "lane_offset"))
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    report = pull_in(clips, tmp_path / "a.twm")
    assert report.without_map == 0
    assert not set(LANE_FEATURES) & set(open_store(report.store).features)


def test_adding_recordings_without_a_map_keeps_the_features_of_the_store(tmp_path: Path) -> None:
    out = tmp_path / "a.twm"
    pull_in(mixed(tmp_path / "in", "1 2\n", "bare 3\n"), out, paths=[tmp_path / "in" / "clip0.pairs"])
    report = pull_in(tmp_path / "in", out, append=True)
    assert (report.scenarios, report.without_map) == (1, 1)
    assert summary(open_store(out))["without_map"] == 1
