"""From files to a store: sources are read one after another, each recording is completed and written before the next one is read.

    sources(paths) -> for each source: sha256 of its files -> read -> derive -> StoreWriter

An import that is killed leaves `X.twm.partial`, and the same command continues it: finished sources are not read again (their files
are hashed, to see that they are the same), and of the source that was being read, the scenarios that are written are skipped. The
result is the same bytes as without the interruption. Bad input leaves nothing behind.

Which features a store has is decided before anything of it is final: by `features`, by the store that is added to, else by what the
recordings support. Lane features need a road map with lanes, and some recordings of a dataset may have none: their lane features are 0,
"not known". Where the first recording with a map follows others without one, the import begins again with all features.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twm_core.data.importing.identity import recorded_options, sources_facts
from twm_core.data.importing.reader import Reader
from twm_core.data.importing.run import ImportRun, MapCameLateError
from twm_core.data.store.manifest import StoredReader
from twm_core.data.store.writing.draft import CannotWriteError
from twm_core.data.store.writing.writer import SHARD_BYTES, StoreWriter
from twm_core.errors import DataError, TwmError
from twm_core.reporting import Reporter


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        store: Folder of the store.
        sources: Sources that were imported.
        scenarios: Scenarios that were written (`agents`, `states` likewise).
        without_map: How many of them have lane features that are not known, because there is no road map with lanes.
        skipped: What the reader left out of them, by reason.
        bad: Sources left out because they cannot be read, with the message.
        left_out: Sources left out because the store has the same files already.
        resumed: Whether an interrupted import was continued.
        not_read_again: Sources that were finished before the interruption.
    """

    store: Path
    sources: int
    scenarios: int
    agents: int
    states: int
    without_map: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    bad: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    resumed: bool = False
    not_read_again: int = 0


def import_sources(
    reader: Reader,
    paths: Sequence[Path],
    out: Path,
    *,
    reader_name: str,
    options: Mapping[str, Any],
    reader_version: str = "",
    features: tuple[str, ...] | None = None,
    append: bool = False,
    skip_bad: bool = False,
    restart: bool = False,
    observe: Reporter | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> ImportReport:
    """Import files into a store.

    Args:
        reader: What reads them.
        paths: Files and folders.
        out: Folder of the store.
        reader_name: Name of the reader, kept in the store; `reader_version` and `options` (its config) likewise.
        options: Fields of the reader's config, as `config.model_dump()` gives them: those of type `Path` are kept by name and sha256
            (see `recorded_options`).
        reader_version: Version of the distribution that brings the reader.
        features: Columns of `state`; None for all that the recordings support, or for those of the store with `append`.
        append: Add to the store that is there.
        skip_bad: Leave sources out that cannot be read, and count them, instead of refusing all.
        restart: Begin again where an import was interrupted.
        observe: Is told progress after every scenario, and what is left out.
        shard_bytes: About how long shards are.

    Raises:
        BusyError: Another process writes the store.
        DataError: The input is bad, or lane features are asked for and no recording has a road map (nothing is left behind); or the
            store cannot be written (the same command continues).
    """
    sources = reader.sources(paths)
    names = Counter(s.name for s in sources)
    if len(names) < len(sources):
        raise DataError(f"two sources are called {names.most_common(1)[0][0]}", "rename the files, or import them separately")
    command = {
        "reader": reader_name,
        "version": reader_version,
        "options": recorded_options(options),
        "features": None if features is None else list(features),
        "sources": sources_facts(sources),
        "shard_bytes": shard_bytes,
    }
    writer = StoreWriter(out, command=command, append=append, restart=restart, shard_bytes=shard_bytes)
    continued = writer.resumed
    observe = observe or Reporter()
    try:
        run = ImportRun(reader, writer, features, skip_bad, observe)
        try:
            run.all(sources)
        except MapCameLateError as late:
            observe.note(f"{late.scenario} has a road map, those before it have none: beginning again, with the features of lanes")
            writer.begin_again()
            writer.fix_features(late.features)
            run = ImportRun(reader, writer, features, skip_bad, observe)
            run.all(sources)
        run.check_features()
        credits = reader.credits
        entry = StoredReader(
            name=reader_name,
            version=reader_version,
            options=command["options"],
            dataset=credits.dataset,
            licence=str(options.get("licence") or credits.licence),
            citation=credits.citation,
        )
        writer.finish([entry])
    except CannotWriteError:
        writer.release()
        raise
    except TwmError:
        # Nobody gains from the first half of an import that cannot be completed; one that was there before is the user's.
        writer.release() if continued else writer.remove()
        raise
    except BaseException:
        writer.release()
        raise
    return _report(run, out)


def _report(run: ImportRun, out: Path) -> ImportReport:
    """What was done."""
    ledger = run.writer.ledger
    skipped: Counter[str] = Counter()
    good = [s for s in ledger.sources if "message" not in s]
    for source in good:
        skipped.update(source["skipped"])
    return ImportReport(
        store=out,
        sources=len(good),
        scenarios=len(ledger.ids),
        agents=ledger.agents(),
        states=ledger.states(),
        without_map=run.without_map(),
        skipped=dict(sorted(skipped.items())),
        bad={s["name"]: s["message"] for s in ledger.sources if "message" in s},
        left_out=tuple(s["name"] for s in ledger.left),
        resumed=run.writer.resumed,
        not_read_again=run.not_read_again,
    )
