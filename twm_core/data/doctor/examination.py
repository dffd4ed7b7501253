"""The doctor: reads recordings as an import would, and reports what looks wrong and what an import does about it. It changes nothing.

    diagnosis = examine(reader, [Path("recordings")])
    for finding in diagnosis.findings: ...

Recordings are examined one by one and let go; what is kept between them (counts, worst examples, hashes of pieces of tracks, the last
place of each track of a group) is bounded, or grows with the number of tracks, never with rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twm_core.data.doctor.across import Overlaps, Reuse, Units
from twm_core.data.doctor.findings import Example, Finding, Findings
from twm_core.data.doctor.motion import Sightings, check_motion
from twm_core.data.doctor.tracks import check_skipped, check_tracks
from twm_core.data.importing.reader import Reader, Source
from twm_core.data.recording import Recording
from twm_core.errors import DataError

SHORTEST = 10
"""Steps below which a track counts as short, by default."""

Observer = Callable[[int, int, str], None]
"""Called with the number of sources that are done, how many there are, and the name of the one that is read next, empty at the end."""


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor found.

    Attributes:
        sources: Sources that were read.
        recordings: Recordings in them.
        agents: Tracks, counted in every recording.
        states: Rows at which an agent was seen.
        seconds: Length of all recordings.
        findings: In the order of the catalogue; empty where all is well.
    """

    sources: int
    recordings: int
    agents: int
    states: int
    seconds: float
    findings: tuple[Finding, ...]

    @property
    def readable(self) -> bool:
        """Whether an import would go through."""
        return all(f.name != "unreadable" for f in self.findings)

    def as_object(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        counts = {n: getattr(self, n) for n in ("sources", "recordings", "agents", "states", "seconds")}
        return {**counts, "findings": [f.as_object() for f in self.findings]}


class Doctor:
    """Examines recordings one after another.

    Args:
        shortest: Steps below which a track counts as short.
    """

    def __init__(self, *, shortest: int = SHORTEST) -> None:
        self._shortest = shortest
        self._findings = Findings()
        self._reuse, self._overlaps, self._units = Reuse(), Overlaps(), Units()
        self._sources = self._recordings = self._agents = self._states = 0
        self._seconds = 0.0

    def read(self, reader: Reader, source: Source) -> None:
        """Examine everything in a source; what its reader refuses becomes a finding."""
        self._sources += 1
        try:
            for item in reader.read(source):
                if isinstance(item, Recording):
                    self.examine(item, source.name)
                else:
                    check_skipped(source.name, "", item.counts, self._findings)
        except DataError as error:
            self._findings.add("unreadable", 1, [Example(source.name, "", error.message, 0.0)])

    def examine(self, recording: Recording, source: str) -> None:
        """Examine one recording."""
        sightings = Sightings(recording, source)
        self._recordings += 1
        self._agents += len(recording.track)
        self._states += len(sightings.row)
        self._seconds += recording.steps * recording.dt
        check_skipped(source, recording.id, recording.skipped, self._findings)
        check_tracks(sightings, self._findings, shortest=self._shortest)
        check_motion(sightings, self._findings)
        self._reuse.add(sightings, self._findings)
        self._overlaps.add(sightings)
        self._units.add(sightings)

    def diagnosis(self) -> Diagnosis:
        """What was found; call it once, at the end."""
        self._overlaps.finish(self._findings)
        self._units.finish(self._findings)
        counts = (self._sources, self._recordings, self._agents, self._states, self._seconds)
        return Diagnosis(*counts, findings=self._findings.collect())


def examine(reader: Reader, paths: Sequence[Path], *, shortest: int = SHORTEST, observe: Observer | None = None) -> Diagnosis:
    """Examine everything that a reader finds in files and folders.

    Args:
        reader: The reader.
        paths: Files and folders.
        shortest: Steps below which a track counts as short.
        observe: Told of progress.

    Raises:
        DataError: A path is not there, or nothing of the reader's format is in it. Files that are malformed are a finding.
    """
    sources = reader.sources(paths)
    doctor = Doctor(shortest=shortest)
    for done, source in enumerate(sources):
        if observe is not None:
            observe(done, len(sources), source.name)
        doctor.read(reader, source)
    if observe is not None:
        observe(len(sources), len(sources), "")
    return doctor.diagnosis()
