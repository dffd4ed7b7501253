"""Hostile pickles given to `twm data import scenarionet`: nothing is executed, one error each, nothing is left, and little is used.

`tests/plugins/driving/test_plain_pickle.py` has the opcodes and callables one by one; here each stands in a scenario, at every place of it.
"""

from __future__ import annotations

import pickle
import pickletools
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attempts import attempt

from twm_core.data.importing.reader import Reader
from twm_core.errors import DataError
from twm_core.plugin.registry import Registry

PLACEHOLDER = "twm-place-of-the-attack"
_CALL = b"cos\nsystem\n"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def hostile(there: Path) -> dict[str, bytes]:
    """Opcodes that put a value on the stack, or try something else, by name; `there` is a file that execution would make."""
    touch = text(f"touch {there}")
    return {
        "REDUCE of os.system": _CALL + touch + b"\x85R",
        "REDUCE of posix.system": b"cposix\nsystem\n" + touch + b"\x85R",
        "REDUCE of eval": b"cbuiltins\neval\n" + text(f"open({str(there)!r}, 'w')") + b"\x85R",
        "REDUCE of exec in the old spelling": b"c__builtin__\nexec\n" + text(f"open({str(there)!r}, 'w')") + b"\x85R",
        "REDUCE of open": b"cio\nopen\n" + text(str(there)) + text("w") + b"\x86R",
        "REDUCE of a dotted name": b"\x8c\x07pathlib\x8c\nPath.touch\x93" + text(str(there)) + b"\x85R",
        "REDUCE of numpy.save": b"cnumpy\nsave\n" + text(str(there)) + b"K\x01\x86R",
        "REDUCE of getattr": b"cbuiltins\ngetattr\ncos\npath\n" + text("os") + b"\x86R",
        "STACK_GLOBAL": text("os") + text("system") + b"\x93" + touch + b"\x85R",
        "STACK_GLOBAL of no texts": b"K\x01K\x02\x93",
        "GLOBAL with a line break in its name": b"cos\nsys\ntem\n",
        "GLOBAL alone": _CALL,
        "GLOBAL of a module that runs when it is imported": b"cantigravity\nfly\n",
        "INST": b"(" + touch + b"ios\nsystem\n",
        "OBJ": b"(" + _CALL + touch + b"o",
        "NEWOBJ": _CALL + touch + b"\x85\x81",
        "NEWOBJ_EX": _CALL + touch + b"\x85}\x92",
        "BUILD of a name": _CALL + b"}b",
        "BUILD of a dict": b"}}b",
        "BUILD of an array's state for a type": b"cnumpy\ndtype\n" + text("f8") + b"\x85R(K\x01K\x02K\x03K\x04K\x05tb",
        "EXT1": b"\x82\x01",
        "EXT2": b"\x83\x01\x00",
        "EXT4": b"\x84\x01\x00\x00\x00",
        "PERSID": b"Pos.system\n",
        "BINPERSID": touch + b"Q",
        "NEXT_BUFFER": b"\x97",
        "READONLY_BUFFER": b"\x98",
        "a memo that was never written": b"j\xff\xff\xff\x7f",
        "a memo number of many digits": b"g" + b"9" * 5000 + b"\n",
        "a number of many digits": b"L" + b"9" * 5000 + b"L\n",
        "a huge LONG4": b"\x8b\xff\xff\xff\x7f",
        "a huge BINBYTES8": b"\x8e" + b"\xff" * 7 + b"\x7f",
        "a huge BINUNICODE8": b"\x8d" + b"\xff" * 7 + b"\x7f",
        "a huge BYTEARRAY8": b"\x96" + b"\xff" * 7 + b"\x7f",
        "a huge FRAME": b"\x95" + b"\xff" * 7 + b"\x7f",
        "a negative BINSTRING": b"T\xff\xff\xff\xff",
        "a text that is not UTF-8": b"X\x02\x00\x00\x00\xff\xfe",
        "APPENDS without a mark": b"]e",
        "a stack that runs empty": b"0" * 100,
        "an unknown opcode": b"\xff",
    }


@pytest.fixture(scope="session")
def reader(registry: Registry) -> Reader:
    registered = registry.find("reader", "scenarionet")
    return registered.load_build()(registered.load_config()())


@pytest.fixture(scope="session")
def scenario(reader: Reader, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The example as Python values."""
    folder = tmp_path_factory.mktemp("scenario")
    reader.example(folder)
    (file,) = folder.rglob("sd_*.pkl")
    return pickle.loads(file.read_bytes())


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in nested dicts, lists and tuples; of many alike, the first."""
    yield path
    if isinstance(value, dict):
        for key, inner in list(value.items()):
            yield from places(inner, (*path, key))
    elif isinstance(value, list | tuple) and value:
        yield from places(value[0], (*path, 0))


def with_value(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, dict):
        return {k: with_value(v, path[1:], new) if k == path[0] else v for k, v in value.items()}
    return [with_value(v, path[1:], new) if k == path[0] else v for k, v in enumerate(value)]


def written(scenario: Any, path: tuple[Any, ...], opcodes: bytes, protocol: int = 3) -> bytes:
    """The scenario with raw opcodes in place of a value."""
    data = pickle.dumps(with_value(scenario, path, PLACEHOLDER), protocol)
    whole = text(PLACEHOLDER)
    assert data.count(whole) == 1
    return data.replace(whole, opcodes)


def given(reader: Reader, data: bytes, place: Path) -> DataError | None:
    """Import a pickle: the error, or None where the store is whole."""
    (place / "in").mkdir(parents=True)
    (place / "in" / "sd_evil.pkl").write_bytes(data)
    return attempt(reader, "scenarionet", [place / "in"], place, file="sd_evil.pkl")


ATTACKS = sorted(hostile(Path("x")))
assert len(ATTACKS) >= 17


def test_the_scenario_as_it_is_is_imported(reader: Reader, scenario: Any, tmp_path: Path) -> None:
    assert given(reader, pickle.dumps(scenario, 3), tmp_path) is None


@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_pickle_is_refused_and_nothing_of_it_is_executed(name: str, reader: Reader, scenario: Any, tmp_path: Path) -> None:
    there = tmp_path / "executed"
    opcodes = hostile(there)[name]
    for path in ((), ("metadata",), ("tracks",), ("version",), ("map_features", next(iter(scenario["map_features"])), "type")):
        place = tmp_path / f"place-{len(path)}-{path[:1]}"
        error = given(reader, written(scenario, path, opcodes), place)
        assert not there.exists()
        assert error is not None, path
        assert "byte " in error.message


@pytest.mark.parametrize("name", ["REDUCE of os.system", "STACK_GLOBAL", "INST", "OBJ"])
def test_the_attacks_are_real(name: str, scenario: Any, tmp_path: Path) -> None:
    """Python's own unpickler executes them."""
    there = tmp_path / "executed"
    pickle.loads(written(scenario, ("metadata",), hostile(there)[name]))
    assert there.exists()


def test_values_that_name_one_another_again_and_again_are_never_written_out(reader: Reader, scenario: Any, tmp_path: Path) -> None:
    """Ten to the fortieth texts in 2 kB, at every place of a scenario: read in time and memory of the file, or refused."""
    refused = 0
    for number, path in enumerate(places(scenario)):
        place = tmp_path / str(number)
        refused += given(reader, bomb(scenario, path), place) is not None
    assert refused > 10


def bomb(scenario: Any, path: tuple[Any, ...]) -> bytes:
    value: Any = "ha"
    for _ in range(40):
        value = [value] * 10
    return pickle.dumps(with_value(scenario, path, value), 3)


def test_what_a_bomb_costs_is_bounded(reader: Reader, scenario: Any, tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        given(reader, bomb(scenario, ("tracks",)), tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20


def test_every_truncation_of_a_pickle_is_refused(reader: Reader, scenario: Any, tmp_path: Path) -> None:
    data = pickle.dumps(scenario, 3)
    for number, (_, _, at) in enumerate(list(pickletools.genops(data))[::40]):
        place = tmp_path / str(number)
        assert given(reader, data[:at], place) is not None
