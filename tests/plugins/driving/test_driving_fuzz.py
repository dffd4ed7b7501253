"""Mutated files of every reader give recordings or one error that names the file."""

from __future__ import annotations

import json
import math
import pickle
import random
import shutil
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twm_core.errors import DataError
from twm_driving.scenarionet.example import example_scenario as scenarionet_scenario
from twm_driving.waymo.example import example_scenario
from twm_driving.waymo.json_example import example_scenario as json_scenario
from twm_driving.waymo.tfrecord import record

READERS = ("argoverse2", "argoverse2-sensor", "scenarionet", "waymo", "waymo-json")
PIECES = (b"\xff" * 8, b"\0" * 8, b"\xff\xff\xff\xff\x7f", b"1e999", b"NaN", b"null", b"{}", b"[]", b"-1", b"")


def mutate(data: bytes, chance: random.Random) -> bytes:
    found = bytearray(data)
    way, at = chance.randrange(5), chance.randrange(len(found))
    if way == 0:
        return data[:at]
    if way == 1:
        del found[at : at + chance.choice([1, 4, 100])]
    elif way == 2:
        begin = chance.randrange(len(found))
        found[at:at] = found[begin : begin + chance.choice([1, 8, 500])]
    elif way == 3:
        piece = chance.choice(PIECES)
        found[at : at + len(piece)] = piece
    else:
        for _ in range(chance.choice([1, 3, 20])):
            found[chance.randrange(len(found))] = chance.randrange(256)
    return bytes(found)


def survive(reader, paths, files):
    message = files[0].name
    try:
        for source in reader.sources(paths):
            for piece in reader.read(source):
                texts = str([piece.track, piece.site, piece.id, piece.lights and piece.lights.lane]) if hasattr(piece, "track") else ""
                (texts + " ".join(piece.skipped if hasattr(piece, "skipped") else piece.counts)).encode()
    except DataError as error:
        message = error.message
    assert any(file.name in message for file in files), message


@pytest.mark.parametrize("name", READERS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_mutated_files_are_read_or_refused(name, seed, make_reader, tmp_path):
    chance = random.Random(seed)
    reader = make_reader(name)
    shutil.rmtree(tmp_path)
    paths = reader.example(tmp_path)
    files = sorted({file for source in reader.sources(paths) for file in source.files})
    target = chance.choice(files)
    target.write_bytes(mutate(target.read_bytes(), chance))
    survive(reader, paths, files)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_mutated_protos_with_right_checksums_are_read_or_refused(seed, make_reader, tmp_path):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(record(mutate(example_scenario(), random.Random(seed))))
    survive(make_reader("waymo"), [path], [path])


def strange(chance: random.Random) -> Any:
    """A value that nobody expects somewhere in a scenario."""
    deep: Any = 1
    for _ in range(3000):
        deep = [deep]
    values = (
        None,
        deep,
        10**5000,
        -1,
        0,
        2**63,
        "\ud800",
        "",
        "x" * 500,
        math.nan,
        math.inf,
        -1e300,
        True,
        {},
        [],
        (),
        [1],
        {"a": 1},
        b"x",
    )
    arrays = (np.zeros(30), np.zeros((30, 3)), np.full(3, np.nan), np.zeros((0, 2)), np.array(["a"]), np.array([None, {}], dtype=object))
    return chance.choice((*values, *arrays))


def replace_one(value: Any, chance: random.Random, new: Any) -> None:
    """Put the new value somewhere into nested dicts and lists, as a value or, at times, as a key."""
    holder = value
    while True:
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        if not keys:
            return
        at = chance.choice(keys)
        inner = holder[at]
        if not isinstance(inner, (dict, list)) or not inner or chance.random() < 0.3:
            if isinstance(holder, dict) and isinstance(new, (str, int, float)) and chance.random() < 0.2:
                holder[new] = holder.pop(at)
            else:
                holder[at] = new
            return
        holder = inner


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_pickles_with_strange_values_are_read_or_refused(seed, make_reader, tmp_path):
    chance = random.Random(seed)
    scenario = scenarionet_scenario()
    for _ in range(chance.choice([1, 1, 3])):
        replace_one(scenario, chance, strange(chance))
    path = tmp_path / "sd_x.pkl"
    # Python's pickler recurses, which 3000 lists in one another are too deep for.
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(50_000)
    try:
        path.write_bytes(pickle.dumps(scenario, 4))
    finally:
        sys.setrecursionlimit(limit)
    survive(make_reader("scenarionet"), [path], [path])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_json_with_strange_values_is_read_or_refused(seed, make_reader, tmp_path):
    chance = random.Random(seed)
    scenario = json_scenario()
    new = chance.choice((None, [[[1]]], 10**400, -1, 2**63, "\ud800", "", math.nan, math.inf, -1e300, True, {}, [], {"a": 1}, [{"x": 1}]))
    replace_one(scenario, chance, new)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(scenario))
    survive(make_reader("waymo-json"), [path], [path])
