"""Which keys of a batch are images or vectors, and which of them a regular expression chooses. Torch-free.

An image is uint8 `[B,T,C,H,W]`, a vector float32 `[B,T,D]`, a label int64 `[B,T]` with a number of classes. Keys whose role is `target` are
none of them. The encoder and the decoders go by the same rules. A pattern is matched from the start of the key (`re.match`), as DreamerV3
does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from twm_core import KeySpec, Mismatch, ObservationSpec
from twm_core.selection import chosen

IMAGES, VECTORS, NONE = r"image\..*", r"vector\..*", "$^"
"""Default patterns, and the one that says on purpose that no key is meant."""

PREFIX = "vector."
"""How keys begin that are meant to be vectors or labels."""


def images(obs_spec: ObservationSpec) -> list[KeySpec]:
    """All images, sorted by key."""
    return _sorted(k for k in obs_spec.keys if k.axes == "B T C H W" and k.dtype == "uint8")


def is_vector(key: KeySpec) -> bool:
    """Whether a key holds float vectors `[B,T,D]`."""
    return key.axes == "B T D" and key.dtype == "float32" and key.role == "input"


def is_label(key: KeySpec) -> bool:
    """Whether a key holds one class at each step, `[B,T]`."""
    return key.axes == "B T" and key.dtype == "int64" and key.classes is not None and key.role == "input"


def vectors(obs_spec: ObservationSpec) -> list[KeySpec]:
    """All vectors and labels, sorted by key."""
    return _sorted(k for k in obs_spec.keys if is_vector(k) or is_label(k))


def check_vectors(pattern: str, keys: Iterable[KeySpec], *, option: str) -> None:
    """Refuse a key that is named `vector.` and matches the pattern, but holds neither vectors nor labels.

    Raises:
        Mismatch: There is one; the remedy leaves it out of the option.
    """
    for key in keys:
        if key.key.startswith(PREFIX) and not (is_vector(key) or is_label(key)) and chosen(pattern, [key.key]):
            raise Mismatch(
                needs="float32 vectors [B,T,D] or int64 labels [B,T] with classes",
                got=f"{key.key} with axes {key.axes}, {key.dtype}, role {key.role}",
                remedy=f"set {option} so that it leaves {key.key} out, such as '(?!{re.escape(key.key)}$){pattern}'",
            )


def _sorted(keys: Iterable[KeySpec]) -> list[KeySpec]:
    return sorted((k for k in keys if k.role == "input"), key=lambda k: k.key)


def choose(pattern: str, among: list[KeySpec], *, default: str, what: str, option: str) -> list[KeySpec]:
    """The keys that the pattern matches.

    Args:
        pattern: The regular expression.
        among: The keys to choose from.
        default: The option's default, which may match nothing.
        what: What the keys are, for the message: `images`.
        option: The option that holds the pattern, for the remedy.

    Raises:
        Mismatch: The pattern was chosen on purpose and matches nothing.
    """
    names = chosen(pattern, (k.key for k in among))
    found = [k for k in among if k.key in names]
    if not found and pattern not in (default, NONE):
        there = ", ".join(k.key for k in among)
        remedy = f"set {option} to '{re.escape(among[0].key)}'" if among else f"set {option} to '{NONE}', which means no key"
        raise Mismatch(needs=f"{what} whose key matches {pattern!r}", got=f"the keys {there}" if there else "none", remedy=remedy)
    return found


def one_size(pictures: list[KeySpec], *, option: str) -> tuple[int, int, int]:
    """Channels of all images together, and their common height and width.

    Raises:
        Mismatch: They have different sizes, so that they cannot be joined on channels.
    """
    sizes = {k.key: (k.shape[1], k.shape[2]) for k in pictures}
    if len(set(sizes.values())) > 1:
        got = ", ".join(f"{k} {h} x {w}" for k, (h, w) in sizes.items())
        raise Mismatch(
            needs="images of one size, to join them on channels", got=got, remedy=f"set {option} to '{re.escape(pictures[0].key)}$'"
        )
    height, width = next(iter(sizes.values()))
    return sum(k.shape[0] for k in pictures), height, width
