"""Hashes of the blocks of a store's files: what lets a reader see at once that a file is not as it was written, without reading all of it.

With the sha256 of a whole file the manifest holds eight bytes of blake2b for each `BLOCK` of it. Opening a store reads `SAMPLE` blocks,
of both tables and of the other files in turn; the hash of what the store holds decides which. A store of `SAMPLE` blocks is read whole. The
first use of a shard or maps file reads one more block of it. So a change of every block of a file is noticed before a value of the file is
used; a change of the share `p` of the blocks of each file is noticed at opening with a probability of about 1 - (1 - p)^`SAMPLE`.
`twm data validate` reads every block.
"""

from __future__ import annotations

import random
from itertools import zip_longest
from pathlib import Path
from typing import Any

from twm_core.data.store.manifest import StoredFile, StoreManifest
from twm_core.data.store.tensors import BLOCK, REMEDY, FileHash, block_hash
from twm_core.errors import DataError

SAMPLE = 8
"""Blocks that are read when a store is opened."""

_WIDTH = len(block_hash(b""))


def block_count(facts: StoredFile) -> int:
    """Blocks of a file of which there are hashes; 0 for a file that an older twm wrote."""
    return len(facts.blocks) // _WIDTH


def sample(manifest: StoreManifest) -> list[tuple[StoredFile, int]]:
    """At most `SAMPLE` blocks, files with their block numbers: of both tables, and one of each file before a second one of any."""
    draw = random.Random(manifest.fingerprint())
    tables, others = [manifest.index, manifest.sources], [*manifest.shards, *manifest.maps]
    chosen = [*tables, *draw.sample(others, min(len(others), SAMPLE - len(tables)))]
    numbers = [draw.sample(range(count), min(count, SAMPLE)) for count in map(block_count, chosen)]
    turns = zip_longest(*numbers)
    found = [(facts, number) for turn in turns for facts, number in zip(chosen, turn, strict=True) if number is not None]
    return found[:SAMPLE]


def check_sample(folder: Path, manifest: StoreManifest) -> None:
    """Read a sample of the blocks of a store.

    Raises:
        DataError: One is not as it was written.
    """
    for facts, number in sample(manifest):
        check_block(folder, facts, number)


def check_one(folder: Path, facts: StoredFile) -> None:
    """Read one block of a file, which its hash decides.

    Raises:
        DataError: It is not as it was written.
    """
    if block_count(facts):
        check_block(folder, facts, random.Random(facts.sha256).randrange(block_count(facts)))


def check_block(folder: Path, facts: StoredFile, number: int) -> None:
    """Read block `number` of a file.

    Raises:
        DataError: It is not as it was written, or cannot be read.
    """
    file = folder / facts.file
    try:
        with open(file, "rb") as stream:
            stream.seek(number * BLOCK)
            found = block_hash(stream.read(BLOCK))
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}", "check its permissions") from error
    if found != facts.blocks[number * _WIDTH : (number + 1) * _WIDTH]:
        end = min((number + 1) * BLOCK, facts.bytes)
        raise DataError(
            f"{file} was changed: bytes {number * BLOCK} to {end} are not those that were written",
            f"see what else is damaged with twm data validate, then {REMEDY}",
        )


def file_facts(file: Path) -> dict[str, Any]:
    """`bytes`, `sha256` and `blocks` of a file."""
    found = FileHash()
    with open(file, "rb") as stream:
        while piece := stream.read(BLOCK):
            found.update(piece)
    return found.facts()


def difference(file: Path, facts: StoredFile) -> str | None:
    """What differs between a file and what the manifest says of it, in words; None if nothing does. Reads all of the file.

    Raises:
        OSError: It cannot be read.
    """
    found = file_facts(file)
    count = block_count(facts)
    now = [found["blocks"][i * _WIDTH : (i + 1) * _WIDTH] for i in range(max(count, len(found["blocks"]) // _WIDTH))]
    changed = [i for i, block in enumerate(now) if block != facts.blocks[i * _WIDTH : (i + 1) * _WIDTH]] if facts.blocks else []
    where = f" (bytes {changed[0] * BLOCK} to {min((changed[-1] + 1) * BLOCK, facts.bytes)})" if changed else ""
    if found["sha256"] != facts.sha256:
        return f"its sha256 is not the manifest's{where}"
    return f"the hashes of its blocks are not the manifest's{where}" if changed else None
