"""Finding the files of a format: names, order, and what is refused."""

from __future__ import annotations

import pytest

from twm_core.data.importing.files import find_above, find_files
from twm_core.errors import DataError


def texts(path):
    return path.suffix == ".txt"


@pytest.fixture
def folders(tmp_path):
    for name in ("one/b.txt", "one/a.txt", "one/deep/c.txt", "one/.hidden/d.txt", "one/readme.md", "two/a.txt", "top.dat"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    return tmp_path


def names(paths):
    return [name for name, _ in find_files(paths, texts, what="notes (.txt)")]


def test_names_are_paths_below_the_given_folder_in_order(folders):
    assert names([folders / "one"]) == ["a", "b", "deep/c"]


def test_a_file_that_is_given_is_taken_whatever_its_name_is(folders):
    assert names([folders / "top.dat", folders / "one" / "b.txt"]) == ["top", "b"]


def test_a_file_is_found_once(folders):
    assert names([folders / "one", folders / "one" / "a.txt"]) == ["a", "b", "deep/c"]


def test_where_names_repeat_the_folder_stands_before_them(folders):
    assert names([folders / "one", folders / "two"]) == ["one/a", "b", "deep/c", "two/a"]


def test_names_that_still_repeat_take_further_folders_in_front(folders):
    for place in ("x/one", "y/one"):
        (folders / place).mkdir(parents=True)
        (folders / place / "a.txt").write_text("x")
    assert names([folders / "x" / "one", folders / "y" / "one"]) == ["x/one/a", "y/one/a"]


def test_files_that_have_the_same_name_after_all_are_refused(folders):
    (folders / "one" / "a.dat").write_text("x")
    with pytest.raises(DataError, match=r"a\.dat and .*a\.txt have the same name") as caught:
        names([folders / "one" / "a.dat", folders / "one" / "a.txt"])
    assert caught.value.hint == "rename one, or import one of them only"


def test_a_file_may_stand_for_its_folder(folders):
    def found(*paths):
        return [name for name, _ in find_files(paths, texts, what="notes (.txt)", named=lambda path: path.parent)]

    assert found(folders / "two") == ["two"]
    assert found(folders / "two" / "a.txt") == ["two"]
    assert found(folders / "one" / "deep", folders / "two") == ["deep", "two"]


def test_links_keep_their_names_and_two_of_one_file_are_one(folders):
    (folders / "links").mkdir()
    for name in ("p.txt", "q.txt"):
        (folders / "links" / name).symlink_to(folders / "top.dat")
    assert names([folders / "links"]) == ["p"]


def test_what_is_not_there_or_empty_is_refused_with_a_remedy(folders):
    (folders / "empty").mkdir()
    for place, message in (("nowhere", "nowhere is not there"), ("empty", r"empty holds no file of notes \(\.txt\)")):
        with pytest.raises(DataError, match=message) as caught:
            names([folders / place])
        assert caught.value.hint


def test_the_nearest_file_above_is_found(folders):
    (folders / "scales.yaml").write_text("far")
    deep = folders / "one" / "deep" / "c.txt"
    assert find_above(deep, "scales.yaml") == (folders / "scales.yaml").resolve()
    (folders / "one" / "scales.yaml").write_text("near")
    assert find_above(deep, "scales.yaml") == (folders / "one" / "scales.yaml").resolve()
    assert find_above(deep, "scales.yaml", levels=1) is None
