"""The wire format against bytes put together by hand, after the specification's own examples."""

from __future__ import annotations

import struct

import pytest

from twm_driving.wire import DEEPEST, Field, Message, WireError, decode, layout_of

POINT = Message("Point", {1: Field("x", "double"), 2: Field("y", "double")})
INNER = Message("Inner", {1: Field("a", "int")})
OUTER = Message(
    "Outer",
    {
        1: Field("a", "int"),
        2: Field("b", "text"),
        3: Field("c", "message", message=INNER),
        4: Field("d", "int", repeated=True),
        5: Field("e", "message", repeated=True, message=INNER),
        6: Field("f", "float"),
        7: Field("g", "bool"),
    },
)


def test_the_examples_of_the_specification():
    # https://protobuf.dev/programming-guides/encoding: 150 is 08 96 01, "testing" 12 07 …, the inner message 1a 03 08 96 01.
    assert decode(bytes.fromhex("089601"), OUTER)["a"] == 150
    assert decode(bytes.fromhex("120774657374696e67"), OUTER)["b"] == "testing"
    assert decode(bytes.fromhex("1a03089601"), OUTER)["c"] == {"a": 150}
    # Packed 3, 270, 86942 is 22 06 03 8e 02 9e a7 05 in field 4.
    assert decode(bytes.fromhex("2206038e029ea705"), OUTER)["d"] == [3, 270, 86942]


def test_packed_and_unpacked_values_may_be_mixed():
    assert decode(bytes.fromhex("2001220202032004"), OUTER)["d"] == [1, 2, 3, 4]


def test_negative_numbers_are_ten_bytes():
    assert decode(bytes.fromhex("08" + "ff" * 9 + "01"), OUTER)["a"] == -1


def test_floats_and_bools():
    found = decode(b"\x35" + struct.pack("<f", 1.5) + b"\x38\x01", OUTER)
    assert (found["f"], found["g"]) == (1.5, True)


def test_the_last_value_counts_and_messages_are_merged():
    assert decode(bytes.fromhex("08010802"), OUTER)["a"] == 2
    assert decode(bytes.fromhex("1a0208011a00"), OUTER)["c"] == {"a": 1}
    assert decode(bytes.fromhex("2a0208012a020802"), OUTER)["e"] == [{"a": 1}, {"a": 2}]


def test_unknown_fields_are_skipped_whatever_their_type():
    unknown = (
        "a00601"  # field 100, varint
        "a106" + "00" * 8 + "a506" + "00" * 4  # eight and four bytes
        + "a2060401020304"  # four bytes with a length
        + "a306" "a00601" "ab06" "ac06" "a406"  # a group with a number and a group in it
    )  # fmt: skip
    assert decode(bytes.fromhex(unknown + "0805"), OUTER) == {"a": 5, "d": [], "e": []}


def test_an_empty_message_has_its_repeated_fields_only():
    assert decode(b"", OUTER) == {"d": [], "e": []}


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("08", "ends within a number"),
        ("08" + "ff" * 10, "more than ten bytes"),
        ("0a0100", "Outer.a has the wire type 2, not 0"),
        ("1207", "Outer.b announces 7 bytes where 0 are left"),
        ("12ffffffffffffffff7f", "Outer.b announces 9223372036854775807 bytes"),
        ("1201ff", "no UTF-8"),
        ("350000", "ends within f"),
        ("00", "field of number 0"),
        ("0d00000000", "Outer.a has the wire type 5"),
        ("a306", "ends within a number"),
        ("a306ac06", "the group 100 ends as 101"),
        ("a606", "the unknown field 100 has the wire type 6"),
        ("a206ff01", "the unknown field 100 announces 255 bytes"),
        ("22028080", "ends within a number"),
    ],
)
def test_damaged_messages_are_refused(data, what):
    with pytest.raises(WireError, match=what):
        decode(bytes.fromhex(data), OUTER)


def test_endless_groups_and_nesting_are_refused():
    with pytest.raises(WireError):
        decode(bytes.fromhex("a306" * 10_000), OUTER)
    fields: dict[int, Field] = {}
    endless = Message("Endless", fields)
    fields[1] = Field("next", "message", message=endless)
    data = b""
    for _ in range(DEEPEST + 2):
        data = b"\x0a" + _varint(len(data)) + data
    with pytest.raises(WireError, match="nested more than"):
        decode(data, endless)


def test_values_are_counted(monkeypatch):
    monkeypatch.setattr("twm_driving.wire.MOST_VALUES", 10)
    assert len(decode(b"\x2a\x00" * 10, OUTER)["e"]) == 10
    with pytest.raises(WireError, match="more than 10 values"):
        decode(b"\x2a\x00" * 11, OUTER)
    with pytest.raises(WireError, match="more than 10 values"):
        decode(b"\x22\x0b" + b"\x01" * 11, OUTER)


def test_the_fast_path_and_the_slow_path_agree():
    fast = layout_of(POINT)
    usual = b"\x09" + struct.pack("<d", 1.25) + b"\x11" + struct.pack("<d", -2.5)
    turned = b"\x11" + struct.pack("<d", -2.5) + b"\x09" + struct.pack("<d", 1.25)
    for data in (usual, turned, usual + turned, usual[:9], b""):
        assert decode(data, fast) == decode(data, POINT)
    # As long as the usual one, but not the same fields.
    other = b"\x09" + struct.pack("<d", 1.25) + b"\x19" + struct.pack("<d", -2.5)
    assert decode(other, fast) == decode(other, POINT) == {"x": 1.25}


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])
