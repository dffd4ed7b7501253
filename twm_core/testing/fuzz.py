"""Damage for files: what happens to data on the way to a user, and what an attacker would try.

`damage` makes one to three changes: bytes that flip, vanish, repeat or come from elsewhere in the file, an end that is missing, and, in
texts, values that are empty, huge, not numbers or of another sign, lines that are doubled, swapped or lost, columns too many or too few.
"""

from __future__ import annotations

import random

_TOKENS = [
    *(b"", b"NaN", b"inf", b"-inf", b"1e309", b"-1", b"0", b"-0.0", b"99999999999999999999", b"1e-320", b"0x10", b"1;2", b"1,5"),
    *(b"abc", b"true", b"null", b"=1+1", b"\x00", b"\xff\xfe", b"\xc3\xa9", b'"', b"'", b"<", b">", b"&x;", b"{", b"]", b",", b"\t"),
]
_BREAKS = b",\t ;<>\"'=:\n\r[]{}"


def damage(data: bytes, draw: random.Random) -> bytes:
    """A damaged copy of a file's bytes.

    Args:
        data: The file.
        draw: Source of all choices.
    """
    for _ in range(draw.randint(1, 3)):
        data = draw.choice(_CHANGES)(data, draw)
    return data


def _flip(data: bytes, draw: random.Random) -> bytes:
    if not data:
        return b"\x00"
    at = draw.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]


def _cut_end(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randint(0, len(data))]


def _lose(data: bytes, draw: random.Random) -> bytes:
    at, size = draw.randint(0, len(data)), draw.choice((1, 2, 8, 64, 512))
    return data[:at] + data[at + size :]


def _repeat(data: bytes, draw: random.Random) -> bytes:
    at, size = draw.randint(0, len(data)), draw.choice((1, 8, 64, 512))
    return data[: at + size] + data[at:]


def _transplant(data: bytes, draw: random.Random) -> bytes:
    at, there, size = draw.randint(0, len(data)), draw.randint(0, len(data)), draw.choice((1, 4, 16, 128))
    return data[:at] + data[there : there + size] + data[at + size :]


def _value(data: bytes, draw: random.Random) -> bytes:
    """Another value between two separators."""
    if not data:
        return draw.choice(_TOKENS)
    at = draw.randrange(len(data))
    start, end = at, at
    while start > 0 and data[start - 1] not in _BREAKS and at - start < 64:
        start -= 1
    while end < len(data) and data[end] not in _BREAKS and end - at < 64:
        end += 1
    return data[:start] + draw.choice(_TOKENS) + data[end:]


def _line(data: bytes, draw: random.Random) -> bytes:
    """A line doubled, lost, swapped with another, or with a column more."""
    lines = data.split(b"\n")
    i, j = draw.randrange(len(lines)), draw.randrange(len(lines))
    change = draw.randrange(4)
    if change == 0:
        lines.insert(j, lines[i])
    elif change == 1:
        del lines[i]
    elif change == 2:
        lines[i], lines[j] = lines[j], lines[i]
    else:
        lines[i] += draw.choice((b",1", b"\t1", b" 1", b","))
    return b"\n".join(lines)


_CHANGES = (_flip, _cut_end, _lose, _repeat, _transplant, _value, _value, _value, _line, _line)
