"""Mutated recordings given to every installed reader: a store that is whole, or one error that names a file; no other exception, no hang.

One round is every mutation of `mutations.py` on every reader's example, some 480. TWM_MUTATION_ROUNDS=10 makes ten, with other draws;
`benchmarks/fuzz_readers.py` makes thousands of small random changes.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from attempts import attempt
from mutations import BYTES, mutations_of

from twm_core.plugin.registry import Registry, discover

ROUNDS = int(os.environ.get("TWM_MUTATION_ROUNDS", "1"))
READERS = sorted(r.component.name for r in discover(environ={}).components("reader"))


def test_a_round_is_more_than_three_hundred_recordings() -> None:
    assert len(READERS) * len(BYTES) > 300


@pytest.mark.parametrize("name", READERS)
@pytest.mark.filterwarnings("ignore:Parquet format:UserWarning")
def test_a_mutated_recording_is_a_whole_store_or_one_error(name: str, registry: Registry, tmp_path: Path) -> None:
    registered = registry.find("reader", name)
    reader = registered.load_build()(registered.load_config()())
    (tmp_path / "example").mkdir()
    paths = [p.relative_to(tmp_path / "example") for p in reader.example(tmp_path / "example")]
    files = sorted({f for s in reader.sources([tmp_path / "example" / p for p in paths]) for f in s.files})
    refused = tried = 0
    for turn in range(ROUNDS):
        for number, what in enumerate(sorted({n for f in files for n in mutations_of(f)})):
            draw = random.Random(f"{turn} {name} {what}")
            victim = draw.choice([f for f in files if what in mutations_of(f)])
            place = tmp_path / f"{turn}-{number}"
            shutil.copytree(tmp_path / "example", place / "in")
            target = place / "in" / victim.relative_to(tmp_path / "example")
            target.write_bytes(mutations_of(victim)[what](target.read_bytes(), draw))
            try:
                refused += attempt(reader, name, [place / "in" / p for p in paths], place) is not None
            except BaseException as error:
                error.add_note(f"{name}: {what} in {victim.name}, round {turn}")
                raise
            tried += 1
            shutil.rmtree(place)
    assert tried >= ROUNDS * len(BYTES)
    assert 0 < refused < tried
