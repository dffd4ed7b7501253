"""Tokens of names, such as lanes and sites: hashes into a declared capacity.

They depend neither on the order of files nor on which other names there are, so the same lane has the same token in every run; two names
may share one, and datasets count how many do. Torch-free.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection


def token(name: str, capacity: int) -> int:
    """A token in `1 .. capacity - 1` for a name; 0 stands for unknown."""
    return 1 + int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) % (capacity - 1)


def shared(names: Collection[str], capacity: int) -> int:
    """How many of these distinct names have to share a token."""
    distinct = set(names)
    return len(distinct) - len({token(n, capacity) for n in distinct})
