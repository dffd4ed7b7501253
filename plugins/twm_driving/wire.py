"""A minimal reader of the protocol buffer wire format: from bytes and a table of fields to dicts, without the protobuf package.

A message is a sequence of (tag, value) with tag = field number << 3 | wire type; wire types are 0 varint, 1 eight bytes, 2 a length and as
many bytes, 3 and 4 the begin and end of a group (obsolete), 5 four bytes. Unknown fields are skipped, a repeated scalar may be packed
or not, the last value of a field that is not repeated counts, and messages given twice are merged. Every length is checked against the
bytes that are there. Messages of fixed layout (points, object states) take a fast path through `struct`.

Specification: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEEPEST = 32
"""Deepest nesting of messages; those of a scenario are nested five deep."""

MOST_VALUES = 4_000_000
"""Most messages and repeated numbers of one message: two bytes can declare one, which takes some hundred bytes of memory. A Waymo
scenario has about 100,000."""

_WIRE = {"double": 1, "float": 5, "int": 0, "bool": 0, "text": 2, "message": 2}
_DOUBLE, _FLOAT = struct.Struct("<d"), struct.Struct("<f")


class WireError(ValueError):
    """The bytes are no such message; `at` is where, counted from the begin of the data."""

    def __init__(self, at: int, what: str) -> None:
        super().__init__(what)
        self.at = at
        self.what = what


@dataclass(frozen=True)
class Layout:
    """A fixed layout of a message: if it has the size of `packed` and the tags stand where they should, the values are unpacked at once.

    Attributes:
        packed: Tag (one byte), value, tag, value, ... in the order of the fields.
        tags: The tags.
        names: The names of the fields.
        flags: Which fields are bools, whose byte must be 0 or 1.
    """

    packed: struct.Struct
    tags: tuple[int, ...]
    names: tuple[str, ...]
    flags: tuple[int, ...]

    def unpack(self, data: bytes, at: int) -> dict[str, Any] | None:
        """The message that begins here, or None where it has another layout."""
        parts = self.packed.unpack_from(data, at)
        values = parts[1::2]
        if parts[::2] != self.tags or any(values[i] > 1 for i in self.flags):
            return None
        return dict(zip(self.names, values, strict=True))


@dataclass(frozen=True)
class Message:
    """A message type: its name, its fields by number, and the layout that most of its messages have."""

    name: str
    fields: Mapping[int, Field]
    layout: Layout | None = None


@dataclass(frozen=True)
class Field:
    """One field: name, kind (`double`, `float`, `int`, `bool`, `text`, `message`), whether it repeats, and the type of its messages.

    Enumerations are `int`s. An `int` is taken as a signed number of 64 bits, which is right for int32, int64 and enumerations.
    """

    name: str
    kind: str
    repeated: bool = False
    message: Message | None = None


def layout_of(message: Message) -> Message:
    """The message type with the layout that has every field once, in order; fields must be scalars of fixed size or bools."""
    form = "<"
    tags: list[int] = []
    for number, field in sorted(message.fields.items()):
        if number > 15:
            raise ValueError(f"field {field.name} has a tag of two bytes")
        form += "B" + {"double": "d", "float": "f", "bool": "B"}[field.kind]
        tags.append(number << 3 | _WIRE[field.kind])
    ordered = [message.fields[number] for number in sorted(message.fields)]
    flags = tuple(i for i, field in enumerate(ordered) if field.kind == "bool")
    layout = Layout(struct.Struct(form), tuple(tags), tuple(field.name for field in ordered), flags)
    return Message(message.name, message.fields, layout)


def decode(data: bytes, message: Message) -> dict[str, Any]:
    """The message as a dict: names that are set to values; repeated fields are lists and always there.

    Raises:
        WireError: The bytes are cut off or contradict the types.
    """
    found: dict[str, Any] = {}
    _decode(data, 0, len(data), message, found, _Place(0, [MOST_VALUES]))
    return found


@dataclass(frozen=True)
class _Place:
    """Where decoding stands: how deep, and how many values may still come (one list for the whole message)."""

    depth: int
    left: list[int]

    def spend(self, at: int) -> None:
        self.left[0] -= 1
        if self.left[0] < 0:
            raise WireError(at, f"more than {MOST_VALUES} values")


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
        if shift > 63:
            raise WireError(at, "a number of more than ten bytes")
    raise WireError(at, "the message ends within a number")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _decode(data: bytes, at: int, end: int, message: Message, found: dict[str, Any], place: _Place) -> None:
    for field in message.fields.values():
        if field.repeated:
            found.setdefault(field.name, [])
    layout = message.layout
    if layout is not None and end - at == layout.packed.size and not found and (whole := layout.unpack(data, at)) is not None:
        found.update(whole)
        return
    while at < end:
        begin = at
        tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        field = message.fields.get(number)
        if number == 0 or number >= 1 << 29:
            raise WireError(begin, f"{message.name} has a field of number {number}")
        if field is None:
            at = _skip(data, at, end, number, wire, 0)
            continue
        if wire == 2:
            if field.repeated and field.message is not None and field.message.layout is not None and number <= 15:
                behind = _run(data, begin, end, bytes([tag]), field.message.layout, found[field.name], place)
                if behind > begin:
                    at = behind
                    continue
            length, at = _varint(data, at, end)
            if length > end - at:
                raise WireError(begin, f"{message.name}.{field.name} announces {length} bytes where {end - at} are left")
            _delimited(data, at, at + length, message, field, found, place)
            at += length
        else:
            if wire != _WIRE[field.kind]:
                raise WireError(begin, f"{message.name}.{field.name} has the wire type {wire}, not {_WIRE[field.kind]}")
            value, at = _scalar(data, at, end, field)
            _store(found, field, value)


def _run(data: bytes, at: int, end: int, tag: bytes, layout: Layout, values: list[Any], place: _Place) -> int:
    """Read as many messages of the usual layout as follow one another, such as the points of a line; the place behind them."""
    size = layout.packed.size
    head = tag + bytes([size])
    while end - at >= size + 2 and data[at : at + 2] == head:
        whole = layout.unpack(data, at + 2)
        if whole is None:
            break
        place.spend(at)
        values.append(whole)
        at += size + 2
    return at


def _delimited(data: bytes, at: int, end: int, message: Message, field: Field, found: dict[str, Any], place: _Place) -> None:
    """A field with a length: text, message, or packed scalars."""
    if field.message is not None:
        place.spend(at)
        if place.depth >= DEEPEST:
            raise WireError(at, f"{message.name}.{field.name} is nested more than {DEEPEST} deep")
        inner = {} if field.repeated else found.get(field.name, {})
        _decode(data, at, end, field.message, inner, _Place(place.depth + 1, place.left))
        _store(found, field, inner)
    elif field.kind == "text":
        try:
            _store(found, field, data[at:end].decode())
        except UnicodeDecodeError:
            raise WireError(at, f"{message.name}.{field.name} is no UTF-8 text") from None
    elif field.repeated:
        while at < end:
            place.spend(at)
            value, at = _scalar(data, at, end, field)
            found[field.name].append(value)
    else:
        raise WireError(at, f"{message.name}.{field.name} has the wire type 2, not {_WIRE[field.kind]}")


def _scalar(data: bytes, at: int, end: int, field: Field) -> tuple[Any, int]:
    if field.kind == "double" or field.kind == "float":
        form = _DOUBLE if field.kind == "double" else _FLOAT
        if end - at < form.size:
            raise WireError(at, f"the message ends within {field.name}")
        return form.unpack_from(data, at)[0], at + form.size
    value, at = _varint(data, at, end)
    return (value != 0 if field.kind == "bool" else _signed(value)), at


def _store(found: dict[str, Any], field: Field, value: Any) -> None:
    if field.repeated:
        found[field.name].append(value)
    else:
        found[field.name] = value


def _skip(data: bytes, at: int, end: int, number: int, wire: int, depth: int) -> int:
    """The place behind an unknown field."""
    if wire == 0:
        return _varint(data, at, end)[1]
    if wire in (1, 5):
        size = 8 if wire == 1 else 4
        if end - at < size:
            raise WireError(at, f"the message ends within the unknown field {number}")
        return at + size
    if wire == 2:
        length, at = _varint(data, at, end)
        if length > end - at:
            raise WireError(at, f"the unknown field {number} announces {length} bytes where {end - at} are left")
        return at + length
    if wire == 3 and depth < DEEPEST:
        while True:
            tag, at = _varint(data, at, end)
            if tag & 7 == 4:
                if tag >> 3 != number:
                    raise WireError(at, f"the group {number} ends as {tag >> 3}")
                return at
            at = _skip(data, at, end, tag >> 3, tag & 7, depth + 1)
    raise WireError(at, f"the unknown field {number} has the wire type {wire}")
