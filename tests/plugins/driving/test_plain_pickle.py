"""The pickle machine: plain data as Python's own unpickler gives it, everything else refused without being executed."""

from __future__ import annotations

import collections
import functools
import operator
import os
import pickle
import random
import struct
import subprocess
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twm_core.errors import DataError
from twm_driving.scenarionet import plain_pickle
from twm_driving.scenarionet.pickled_values import Array
from twm_driving.scenarionet.plain_pickle import load

PLAIN: dict[str, Any] = {
    "numbers": [0, -1, 255, 256, 70_000, -(2**31), 2**80, 1.5, -0.0, True, False, None],
    "texts": ["", "a", "ä" * 300, b"", b"abc", b"x" * 300],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    "sets": [set(), {1, 2}, frozenset({"a"})],
    "ordered": collections.OrderedDict(a=1, b=2),
    "default": collections.defaultdict(list, a=[1]),
    "nested": {"a": {1: [{"b": (1.0, "c")}]}, 2.5: None, (1, "x"): 3},
}
ARRAYS = {
    "double": np.arange(12.0).reshape(3, 4),
    "single": np.arange(6, dtype=np.float32),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "strided": np.arange(10)[::3],
    "bools": np.array([True, False]),
    "big-endian": np.array([1, 2, 3], dtype=">i4"),
    "empty": np.zeros((0, 2)),
    "one": np.array(7.5),
    "texts": np.array(["ab", "c"]),
    "objects": np.array([None, "x", 1.5], dtype=object),
}
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", PLAIN)
def test_plain_values_come_back(name, protocol):
    assert load(pickle.dumps(PLAIN[name], protocol), "x.pkl") == PLAIN[name]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back(name, protocol):
    found = load(pickle.dumps({"a": ARRAYS[name]}, protocol), "x.pkl")["a"]
    assert isinstance(found, Array)
    np.testing.assert_array_equal(found.numpy(), ARRAYS[name])
    if name != "objects":
        assert found.numpy().dtype == ARRAYS[name].dtype


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpy_numbers_become_numbers(protocol):
    assert load(pickle.dumps([np.float32(1.5), np.int64(-3), np.bool_(True)], protocol), "x.pkl") == [1.5, -3, True]


def test_shared_and_recursive_values_are_kept():
    shared: list[Any] = [1]
    recursive: list[Any] = [shared, shared]
    recursive.append(recursive)
    found = load(pickle.dumps(recursive), "x.pkl")
    assert found[0] is found[1]
    assert found[2] is found


class Calls:
    """Pickles as a call of something."""

    def __init__(self, function: Any, *args: Any, state: Any = None) -> None:
        self.call = (function, args) if state is None else (function, args, state)

    def __reduce__(self) -> Any:
        return self.call


class Boom:
    """Never made: its making would be noticed."""

    def __init__(self) -> None:
        raise AssertionError("executed")


GADGETS = {
    "os.system": Calls(os.system, "touch {there}"),
    "eval": Calls(eval, "__import__('os').system('touch {there}')"),
    "exec": Calls(exec, "open({there!r}, 'w')"),
    "open": Calls(open, "{there}", "w"),
    "getattr": Calls(getattr, "text", "upper"),
    "import": Calls(__import__, "os"),
    "popen": Calls(subprocess.Popen, ["touch", "{there}"]),
    "partial": Calls(functools.partial, print, "x"),
    "attrgetter": Calls(operator.attrgetter, "system"),
    "numpy.load": Calls(np.load, "{there}"),
    "numpy.fromfile": Calls(np.fromfile, "{there}"),
    "numpy.zeros": Calls(np.zeros, (1 << 40,)),
    "ndarray called directly": Calls(np.ndarray, (1 << 40,)),
    "int of a long text": Calls(int, "9" * 4000),
    "list of a text": Calls(list, "abc"),
    "defaultdict of a function": Calls(collections.defaultdict, os.getcwd),
    "an own class": Boom.__new__(Boom),
    "a function": os.system,
    "a dtype of records": np.dtype([("a", "f8")]),
    "an array of records": np.zeros(2, dtype=[("a", "f8"), ("b", "O")]),
    "a date": np.array(["2020-01-01"], dtype="datetime64[D]"),
}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("name", GADGETS)
def test_anything_but_plain_data_is_refused_without_executing(name, nested, protocol, tmp_path):
    there = tmp_path / "executed"
    gadget = GADGETS[name]
    if isinstance(gadget, Calls):
        function, args = gadget.call
        gadget = Calls(function, *[a.replace("{there}", str(there)) if isinstance(a, str) else a for a in args])
    data = pickle.dumps({"tracks": [{"a": (1, gadget)}]} if nested else gadget, protocol)
    with pytest.raises(DataError, match=r"evil\.pkl, byte \d+: ") as caught:
        load(data, "evil.pkl")
    assert "executed" in caught.value.message or "not a complete pickle of plain data" in caught.value.message
    assert not there.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'true'\no.",  # OBJ
        b"\x80\x02cos\nsystem\n)\x81.",  # NEWOBJ
        b"\x80\x04cos\nsystem\n)}\x92.",  # NEWOBJ_EX
        b"\x80\x02\x82\x01.",  # EXT1
        b"\x80\x02Pid\n.",  # PERSID
        b"\x80\x02K\x01Q.",  # BINPERSID
        b"\x80\x05\x97.",  # NEXT_BUFFER
        b"c__builtin__\ngetattr\n.",
        b"cbuiltins\neval\n.",
        b"cnumpy\nload\n.",
        b"cnumpy.core.multiarray\nfromfile\n.",
        b"cos path\nsystem\n.",
        b"]N}b.",  # a state for a list
        b"K\x01(R.",
        b"]K\x01\x85R.",  # a call of a list
    ],
)
def test_every_door_of_the_format_is_shut(data):
    with pytest.raises(DataError, match=r"x\.pkl, byte \d+"):
        load(data, "x.pkl")


def array_pickle(shape: tuple[int, ...], code: str, data: bytes, state: tuple[Any, ...] = ()) -> bytes:
    """An array as NumPy pickles it, with a state of one's own."""

    class Forged:
        def __reduce__(self) -> Any:
            dtype = Calls(np.dtype, code, False, True)
            return np.core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), state or (1, shape, dtype, False, data)

    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pickle.dumps(Forged(), 4)


@pytest.mark.parametrize(
    ("shape", "code", "data"),
    [
        ((1 << 40,), "f8", b""),
        ((1 << 62, 1 << 62), "f8", b"x" * 8),
        ((-1,), "f8", b"x" * 8),
        ((2,), "f8", b"x" * 8),
        ((1,) * 40, "f8", b"x" * 8),
        ((True,), "f8", b"x" * 8),
        ((1,), "O8", b"x" * 8),
        ((1,), "V8", b"x" * 8),
        ((1,), "M8", b"x" * 8),
        ((1,), "f16", b"x" * 16),
        ((1,), "c16", b"x" * 16),
        ((1,), "U1000000000", b"x" * 8),
    ],
)
def test_arrays_that_promise_more_than_their_bytes_are_refused(shape, code, data):
    with pytest.raises(DataError, match=r"x\.pkl, byte \d+: not a complete pickle"):
        load(array_pickle(shape, code, data), "x.pkl")


def test_declared_sizes_are_never_allocated():
    bombs = [
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"abc",  # BINBYTES8
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 60) + b"abc",  # BYTEARRAY8
        b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"abc",  # BINUNICODE8
        b"\x80\x02B" + struct.pack("<I", 0xFFFFFFFF) + b"abc",
        b"\x80\x02\x8b" + struct.pack("<I", 0x7FFFFFFF) + b"abc",  # LONG4
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 60),  # FRAME
    ]
    for bomb in bombs:
        with pytest.raises(DataError, match=r"x\.pkl, byte \d+"):
            load(bomb, "x.pkl")
    # A memo index is only a key here, not the length of a table.
    assert load(b"\x80\x02K\x07r" + struct.pack("<I", 0xFFFFFFF0) + b".", "x.pkl") == 7


def test_one_text_cannot_be_turned_into_bytes_without_end():
    text = "a" * 10_000
    named = b"X" + struct.pack("<I", len(text)) + text.encode() + b"q\x00"
    call = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"
    assert len(load(b"\x80\x02](" + named + call + b"e.", "x.pkl")) == 2
    with pytest.raises(DataError, match="again and again"):
        load(b"\x80\x02](" + named + call * 1000 + b"e.", "x.pkl")


def test_deep_nesting_neither_recurses_nor_crashes():
    assert load(b"]" * 100_000 + b"a" * 99_999 + b".", "x.pkl")
    with pytest.raises(DataError, match="a tuple as a key"):
        load(b"\x80\x02})" + b"\x85" * 100_000 + b"Ns.", "x.pkl")


def test_the_number_of_values_is_bounded(monkeypatch):
    monkeypatch.setattr(plain_pickle, "MOST_OPCODES", 100)
    with pytest.raises(DataError, match="more than 100 values"):
        load(pickle.dumps(list(range(200))), "x.pkl")


@given(cut=st.integers(0, 10_000), seed=st.integers(0, 2**32))
def test_truncated_and_mutated_pickles_give_a_value_or_one_error(cut, seed):
    data = bytearray(pickle.dumps([PLAIN, {n: a for n, a in ARRAYS.items() if n != "objects"}], random.Random(seed).choice(PROTOCOLS)))
    chance = random.Random(seed)
    for _ in range(chance.choice([0, 1, 4, 30])):
        data[chance.randrange(len(data))] = chance.randrange(256)
    message = "x.pkl, byte 0"
    try:
        load(bytes(data[: len(data) - cut % len(data)]), "x.pkl")
    except DataError as error:
        message = error.message
    assert message.startswith("x.pkl, byte ")
