"""Every writer of stores with every other one: the first is stopped at each of its file operations, and the second runs there to its end.

Whatever the moment, at most one of them is refused, nothing is lost, and everything that is there afterwards is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from stops import Stops
from store_examples import FEATURES, PairsReader, killed_at, pull_in, straight, write_pairs

from twm_core.data.store.packing import pack_tar, unpack_tar
from twm_core.data.store.reading import Store, edit_store, open_store
from twm_core.data.store.validation import validate_store
from twm_core.data.store.writing.write_store import write_store
from twm_core.data.windows.splits import make_splits
from twm_core.errors import BusyError, DataError

BASE = {"base/0", "base/1"}


@dataclass(frozen=True)
class Place:
    """Folders and files of a test: a store, a packed one, and where another is to be made.

    Attributes:
        root: Where they are; nothing else is there.
        inputs: The recordings.
    """

    root: Path
    inputs: Path

    @property
    def store(self) -> Path:
        return self.root / "S.twm"

    @property
    def tar(self) -> Path:
        return self.root / "S.twm.tar"

    @property
    def new(self) -> Path:
        return self.root / "U.twm"

    def clip(self, name: str) -> Path:
        return self.inputs / f"{name}.pairs"


def split(place: Place, role: str) -> None:
    with edit_store(place.store) as store:
        store.write_splits(make_splits(store.scenarios, "time").to_json())


def append(place: Place, role: str) -> None:
    pull_in(place.inputs, place.store, paths=[place.clip(role)], append=True, reader=PairsReader())


def pack(place: Place, role: str) -> None:
    pack_tar(place.store, place.tar)


def unpack(place: Place, role: str) -> None:
    unpack_tar(place.tar, place.new)


def bring_in(place: Place, role: str) -> None:
    pull_in(place.inputs, place.new, paths=[place.clip(role)], features=FEATURES, reader=PairsReader())


WRITERS = {"split": split, "append": append, "pack": pack, "unpack": unpack, "import": bring_in}
EVERY = {("split", "append"), ("append", "split")}
SOME = 10
STEPWISE = ("split", "pack", "unpack")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("writers")
    place = Place(folder / "template", folder / "in")
    place.inputs.mkdir()
    for name, lines in {"base": 2, "first": 1, "second": 1}.items():
        place.clip(name).write_text("".join(f"{i + 1}.5 2\n" for i in range(lines)) + f"gone {len(name)}\n")
    pull_in(place.inputs, place.store, paths=[place.clip("base")], features=FEATURES, reader=PairsReader())
    pack_tar(place.store, place.tar)
    return place


@pytest.fixture
def fresh(template: Place, tmp_path: Path) -> Callable[[], Place]:
    """Makes everything as it was in the beginning."""

    def make() -> Place:
        root = tmp_path / "work"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(template.root, root)
        return Place(root, template.inputs)

    return make


def outcome(work: Callable[[Place, str], None], place: Place, role: str) -> BusyError | DataError | None:
    """None if the work was done, else the refusal."""
    try:
        work(place, role)
    except (BusyError, DataError) as error:
        return error
    return None


def ids(path: Path) -> set[str]:
    assert validate_store(path) == []
    return set(open_store(path).ids)


def check(place: Place, done: dict[str, str], *, packed_anew: bool = True) -> None:
    """That everything is whole and holds what was written.

    Args:
        place: Where.
        done: The writers that succeeded, by role.
        packed_anew: Whether a writer tried to pack the store; else nothing writes the packed one.
    """
    appended = {f"{role}/0" for role, name in done.items() if name == "append"}
    assert ids(place.store) == BASE | appended
    if "split" in done.values():
        assert open_store(place.store).manifest.splits["train"]
    if packed_anew:
        packed = ids(unpack_tar(place.tar, place.root / "check.twm"))
        assert BASE <= packed <= BASE | appended
        shutil.rmtree(place.root / "check.twm")
    expected = {"S.twm", "S.twm.tar"}
    makers = [(role, name) for role, name in done.items() if name in ("unpack", "import")]
    assert len(makers) <= 1
    for role, name in makers:
        expected.add("U.twm")
        made = ids(place.new)
        assert made >= BASE if name == "unpack" else made == {f"{role}/0"}
    assert {p.name for p in place.root.iterdir()} == expected
    assert not list(place.root.rglob(".unfinished-*"))


@pytest.mark.parametrize("second", WRITERS)
@pytest.mark.parametrize("first", WRITERS)
def test_a_writer_may_be_stopped_anywhere_while_another_one_works(
    fresh: Callable[[], Place], monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    stops = Stops(monkeypatch)
    place = fresh()
    total = stops.run(lambda: WRITERS[first](place, "first"))
    assert total > 10
    every = total if (first, second) in EVERY else SOME
    seen = 0
    for stop in sorted({i * total // every for i in range(every)}):
        place = fresh()
        refused: dict[str, BusyError | DataError | None] = {}

        def other() -> None:
            refused["second"] = outcome(WRITERS[second], place, "second")  # noqa: B023 - called in this turn of the loop only

        def work() -> None:
            refused["first"] = outcome(WRITERS[first], place, "first")  # noqa: B023

        stops.run(work, stop, other)
        assert set(refused) == {"first", "second"}
        done = {role: {"first": first, "second": second}[role] for role, error in refused.items() if error is None}
        assert done, refused
        seen += len(done) == 1
        check(place, done, packed_anew="pack" in (first, second))
    assert (seen > 0) == contend(first, second)


def contend(first: str, second: str) -> bool:
    """Whether the two write the same thing."""
    things = {"split": "store", "append": "store", "pack": "tar", "unpack": "new", "import": "new"}
    return things[first] == things[second]


def test_splits_of_a_store_that_was_added_to_since_it_was_opened_are_refused_and_nothing_is_lost(fresh: Callable[[], Place]) -> None:
    place = fresh()
    held = open_store(place.store)
    append(place, "second")
    with pytest.raises(DataError, match="its generation was 0 and is 1; the split was not written") as caught:
        held.write_splits(make_splits(held.scenarios, "time").to_json())
    assert "give the same command again" in str(caught.value.hint)
    check(place, {"second": "append"})
    split(place, "first")  # what the hint says
    check(place, {"first": "split", "second": "append"})


def test_every_write_of_the_manifest_raises_its_generation(fresh: Callable[[], Place]) -> None:
    place = fresh()
    found = [open_store(place.store).manifest.generation]
    for write in (split, split, append, split):
        write(place, "second" if write is append else "first")
        found.append(open_store(place.store).manifest.generation)
    assert found == [0, 1, 2, 3, 4]


def test_a_refused_writer_names_the_other_one_and_works_when_it_has_finished(fresh: Callable[[], Place]) -> None:
    place = fresh()
    with edit_store(place.store), pytest.raises(BusyError, match=r"store .*S\.twm is being written by process \d+ on host") as caught:
        append(place, "first")
    assert "give the same command again" in str(caught.value.hint)
    append(place, "first")
    check(place, {"first": "append"})


def test_a_link_to_a_store_has_the_lock_of_the_store(fresh: Callable[[], Place], tmp_path: Path) -> None:
    place = fresh()
    (tmp_path / "link.twm").symlink_to(place.store)
    with edit_store(tmp_path / "link.twm"), pytest.raises(BusyError):
        split(place, "first")


@pytest.mark.parametrize("name", WRITERS)
def test_what_a_killed_writer_leaves_is_removed_by_the_next_one_and_becomes_part_of_nothing(fresh: Callable[[], Place], name: str) -> None:
    count, left = 0, 0
    while True:
        place = fresh()
        if not killed_at(count, lambda: WRITERS[name](place, "first")):  # noqa: B023 - called at once
            break
        left += any(True for _ in place.root.rglob(".unfinished-*"))
        assert set(open_store(place.store).ids) >= BASE
        if outcome(WRITERS[name], place, "first") is not None:  # it had been completed
            assert name in ("unpack", "import", "append")
        check(place, {"first": name})
        count += 1 if name in STEPWISE else 4
    assert count > 3
    assert left > 0 or name not in STEPWISE


def test_a_stores_temporary_files_are_removed_by_any_of_its_writers_and_no_others(fresh: Callable[[], Place]) -> None:
    place = fresh()
    number = "0123456789abcdef" * 2
    mine = [place.store / f".unfinished-{number}-manifest.json", place.store / "shards" / f".unfinished-{number}-000000.safetensors"]
    mine += [place.root / f".unfinished-{number}-S.twm"]
    others = [place.root / f".unfinished-{number}-other.twm", place.store / ".unfinished-notes"]
    for file in (*mine, *others):
        file.write_text("half")
    split(place, "first")
    assert not any(file.exists() for file in mine)
    assert all(file.exists() for file in others)


def test_links_in_the_place_of_a_draft_are_not_followed(fresh: Callable[[], Place], tmp_path: Path) -> None:
    place = fresh()
    (tmp_path / "elsewhere").write_text("of the user")
    partial = place.root / "U.twm.partial"
    partial.mkdir()
    (partial / "journal.jsonl").symlink_to(tmp_path / "elsewhere")
    refused = outcome(bring_in, place, "first")
    assert refused is not None
    assert "cannot write" in refused.message
    assert (tmp_path / "elsewhere").read_text() == "of the user"


def test_two_writers_that_make_a_store_of_scenarios_in_memory_do_not_meet(tmp_path: Path) -> None:
    def scenarios() -> object:
        yield straight(0)
        with pytest.raises(BusyError):
            write_store(tmp_path / "a.twm", [straight(1)])
        yield straight(2)

    store: Store = open_store(write_store(tmp_path / "a.twm", scenarios()))  # type: ignore[arg-type]
    assert store.ids == ("run-0", "run-2")
    assert validate_store(store.path) == []


def test_files_of_an_addition_that_was_killed_and_not_continued_are_gone_after_the_next_addition(
    fresh: Callable[[], Place], tmp_path: Path
) -> None:
    many = write_pairs(tmp_path / "many", files=3, lines=4)
    place = fresh()

    def add() -> None:
        pull_in(many, place.store, append=True, reader=PairsReader(), shard_bytes=1000)

    count = 0
    while killed_at(count, add):
        orphans = [p for p in (place.store / "shards").iterdir() if p.name != "000000.safetensors"]
        if len(orphans) > 2 and len(open_store(place.store)) == 2:
            break
        place = fresh()
        count += 12
    else:
        pytest.fail("no kill left files of an addition")
    pull_in(place.inputs, place.store, paths=[place.clip("first")], append=True, restart=True, reader=PairsReader())
    assert validate_store(place.store) == []
    assert set(open_store(place.store).ids) == BASE | {"first/0"}
