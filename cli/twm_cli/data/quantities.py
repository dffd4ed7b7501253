"""Numbers of things for people, as the commands of `twm data` print them."""

from __future__ import annotations

NO_MAP_TEXT = "{} without a road map: lane features are 0"


def quantity(number: int, noun: str) -> str:
    """`1 source`, `2,000 sources`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def in_bytes(number: int) -> str:
    """A size: `386 B`, `61.4 kB`, `2.1 GB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} B"
