"""Rows that are set aside come back by group and bucket, in the order in which they came, from memory and from the file alike."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twm_core.data.importing.spill import Spill
from twm_core.errors import DataError


@pytest.fixture
def rows() -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(5)
    names = np.asarray(["", "a", "bb", "a long name"])
    return {
        "group": rng.integers(0, 3, 5000),
        "bucket": rng.integers(-2, 6, 5000),
        "value": rng.random(5000),
        "name": names[rng.integers(0, 4, 5000)],
        "flag": rng.random(5000) < 0.5,
    }


def fill(spill: Spill, rows: dict[str, NDArray[Any]], step: int = 777) -> None:
    for begin in range(0, 5000, step):
        part = {name: values[begin : begin + step] for name, values in rows.items()}
        spill.add(part.pop("group"), part.pop("bucket"), part)


@pytest.mark.parametrize("waiting", [1, 20_000, 1 << 30])
def test_every_bucket_holds_its_rows_in_order(rows: dict[str, NDArray[Any]], waiting: int, tmp_path: Path) -> None:
    with Spill(folder=tmp_path, waiting=waiting) as spill:
        fill(spill, rows)
        assert spill.rows == 5000
        found = list(spill.buckets())
        assert [(b.group, b.bucket) for b in found] == sorted({*zip(rows["group"].tolist(), rows["bucket"].tolist(), strict=True)})
        for bucket in found:
            here = (rows["group"] == bucket.group) & (rows["bucket"] == bucket.bucket)
            for name in ("value", "name", "flag"):
                assert bucket.columns[name].tolist() == rows[name][here].tolist()
    assert list(tmp_path.iterdir()) == []


def test_few_files_are_open_and_none_remains_after_an_error(rows: dict[str, NDArray[Any]], tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))

    def stop() -> None:
        with Spill(folder=tmp_path, waiting=1) as spill:
            fill(spill, rows, step=50)
            assert len(os.listdir("/dev/fd")) <= before + 1
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop()
    assert len(os.listdir("/dev/fd")) == before
    assert list(tmp_path.iterdir()) == []


def test_groups_may_be_words_and_one_for_all_rows() -> None:
    with Spill() as spill:
        spill.add("night", np.asarray([1, 0]), {"v": np.asarray([1.0, 2.0])})
        spill.add(np.asarray(["day", "night"]), np.asarray([0, 0]), {"v": np.asarray([3.0, 4.0])})
        spill.add("day", np.zeros(0, dtype=np.int64), {"v": np.zeros(0)})
        found = [(b.group, b.bucket, b.columns["v"].tolist()) for b in spill.buckets()]
    assert found == [("day", 0, [3.0]), ("night", 0, [2.0, 4.0]), ("night", 1, [1.0])]


def test_rows_with_other_columns_are_a_defect_of_the_reader() -> None:
    with Spill() as spill:
        spill.add(0, np.asarray([0]), {"v": np.asarray([1.0])})
        with pytest.raises(ValueError, match="rows with the columns w follow rows with v"):
            spill.add(0, np.asarray([0]), {"w": np.asarray([1.0])})


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with Spill(folder=tmp_path / "none", waiting=1) as spill, pytest.raises(DataError, match=r"cannot be set aside in .*none"):
        spill.add(0, np.asarray([0]), {"v": np.asarray([1.0])})
