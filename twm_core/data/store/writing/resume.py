"""Continues an interrupted writing: the ledger as the journal tells it, as far as the spool holds what the journal promises.

A process that is killed leaves a journal whose last line may have no end, and a spool that may go further than the journal. A machine
that stops may also lose what was not flushed: then a record's crc32 tells, and the journal is cut there. Records of finished files need
no such check, because those files (and the journal up to their line) were flushed first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twm_core.data.store.manifest import MAPS, SHARDS
from twm_core.data.store.writing.journal import Journal
from twm_core.data.store.writing.ledger import Event, Ledger
from twm_core.data.store.writing.spool import Spool

_LONGEST = 200


def replay(journal: Journal, events: Sequence[tuple[int, Event]], ledger: Ledger, spool: Callable[[str], Spool]) -> None:
    """Apply the events, and forget those that cannot be relied on.

    Args:
        journal: The journal; cut after the last event that counts.
        events: Its events, each with the place where it begins.
        ledger: An empty ledger.
        spool: The spool of `shards` or `maps`, as the ledger knows it at that moment.
    """
    sealed = {(facts["word"], facts["segment"]) for _, (what, facts) in events if what == "file"}
    void = _dropped([what for _, (what, _) in events])
    for i, (begin, (what, facts)) in enumerate(events):
        word = {"scenario": SHARDS, "road": MAPS}.get(what)
        if word is not None and i not in void and (word, facts["segment"]) not in sealed:
            segment = ledger.segment(word, facts["segment"])
            if not spool(word).agrees(facts["segment"], segment.bytes, facts["bytes"], facts["crc"]):
                journal.cut(begin)
                return
        ledger.apply((what, facts))
    journal.cut_tail()


def _dropped(words: Sequence[str]) -> set[int]:
    """Which events belong to sources that were dropped: their records are gone."""
    found: set[int] = set()
    opened = 0
    for i, word in enumerate(words):
        if word == "open":
            opened = i
        elif word == "drop":
            found.update(range(opened, i))
    return found


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """What differs between two commands, in words; None if nothing does."""
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key):
            return f"{key} was {shortly(before.get(key))} and is {shortly(now.get(key))}"
    return None


def finished_by(events: Sequence[tuple[int, Event]]) -> str | None:
    """sha256 of the manifest that completed the store; None if none did."""
    found = [facts["sha256"] for _, (what, facts) in events if what == "finish"]
    return found[-1] if found else None


def shortly(value: Any) -> str:
    """A value for a message."""
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
