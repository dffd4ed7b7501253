"""The reader `apolloscape`: columns, types, names, and how bad rows are refused."""

from __future__ import annotations

import numpy as np
import pytest

from twm_core.data.scenario import OCCLUDED
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_text.apolloscape import build
from twm_text.config import ApolloScapeConfig

NAME = "result_9049_3_frame.txt"


def reader(**options):
    return build(ApolloScapeConfig(**options))


def test_a_row_becomes_a_state(tmp_path, read_all):
    (tmp_path / NAME).write_text("0 4 1 256.243 76.922 37.788 4.663 2.001 1.471 -0.023\n1 4 1 255.0 76.9 37.788 4.663 2.001 0 -0.023\n")
    (found,), _ = read_all(reader(), tmp_path)
    assert {n: v.tolist() for n, v in found.columns.items() if n != "height"} == {
        "x": [256.243, 255.0],
        "y": [76.922, 76.9],
        "length": [4.663, 4.663],
        "width": [2.001, 2.001],
    }
    np.testing.assert_array_equal(found.columns["height"], [1.471, np.nan])
    assert (found.id, found.group, found.site, found.dt) == ("result_9049_3_frame", "result_9049_3_frame", "9049", 0.5)


def test_numbers_become_types(tmp_path, read_all):
    (tmp_path / NAME).write_text("".join(f"0 {i} {i} 1 2 3 4 2 1 0\n" for i in range(1, 6)))
    (found,), _ = read_all(reader(), tmp_path)
    assert [AGENT_TYPES[t] for t in found.type] == ["car", "truck", "pedestrian", "bicycle", "other"]


def test_a_heading_relative_to_the_recording_car_is_not_read(tmp_path, read_all):
    (tmp_path / NAME).write_text("0 4 1 1 2 3 4 2 1 1.5\n")
    (found,), _ = read_all(reader(), tmp_path)
    assert "heading" not in found.columns


BAD = {
    "columns": ("0 1 1 2 3\n", rf"{NAME}, row 2: 5 values where the table has 10 columns"),
    "a type": ("0 1 9 1 2 3 4 2 1 0\n", rf"{NAME}, row 2: type 9 is none of 1, 2, 3, 4, 5"),
    "a size": ("0 1 1 1 2 3 -4 2 1 0\n", rf"{NAME}, row 2: length -4 is negative"),
    "a word": ("0 1 1 east 2 3 4 2 1 0\n", rf"{NAME}, row 2, column 'x': 'east' is not a number"),
    "a contradiction": ("0 4 1 7 2 3 4 2 1 0\n", rf"{NAME}, row 2: track 4, step 0 stands in row 1 already"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_is_refused_by_name_and_row(case, tmp_path, read_all):
    text, message = BAD[case]
    (tmp_path / NAME).write_text("0 4 1 1 2 3 4 2 1 0\n" + text)
    with pytest.raises(DataError, match=message) as caught:
        read_all(reader(), tmp_path)
    assert caught.value.hint


def test_the_real_files_are_read_whole(recordings, read_all):
    place = recordings("apolloscape_trajectory")
    found, skipped = read_all(reader(), place)
    rows = sum(len(path.read_text().splitlines()) for path in place.glob("*.txt"))
    assert len(found) == 37
    assert sum(int((r.code != OCCLUDED).sum()) for r in found) == rows
    assert set(skipped) == {"tracks that begin anew after a long gap or as another type"}
