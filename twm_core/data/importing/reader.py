"""The reader interface: from the files of a data format to recordings, in bounded memory.

A reader finds *sources* (units that are read, hashed, committed and resumed on their own: one file, or files that belong together) and
turns each into a stream of recordings. Everything that is particular to a format ends here: units, axes, reference points, missing
values, repeated numbers. What comes out is SI, right-handed with x to the east (or along the road) and y to the left of it, and refers
to the centre of the agent's bounding box. Reading is deterministic: the same files give the same recordings in the same order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from twm_core.data.recording import Recording


@dataclass(frozen=True)
class Source:
    """One unit of import.

    Attributes:
        name: Unique among the sources of an import, independent of where the files lie (as `fold/recording_01`).
        files: Every file that is read for it, maps and metadata included, in a fixed order.
    """

    name: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Skipped:
    """What a reader left out, by reason ("rows marked lost": 12), where no recording can carry the counts."""

    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Credits:
    """Whose data it is.

    Attributes:
        dataset: Name of the dataset or format.
        licence: Licence or terms of use, as the publisher names them.
        citation: How the publisher asks to be cited.
    """

    dataset: str
    licence: str = ""
    citation: str = ""


class Reader(ABC):
    """What the `build` of a reader component returns; `build(config)` gets the config alone.

    Attributes:
        credits: Whose data it is.
    """

    credits: Credits

    @abstractmethod
    def sources(self, paths: Sequence[Path]) -> list[Source]:
        """The sources that files and folders hold, in a fixed order; reads no more than names (and small indexes).

        Raises:
            DataError: A path is not there, or nothing of this format is in it.
        """

    @abstractmethod
    def read(self, source: Source) -> Iterator[Recording | Skipped]:
        """The recordings of one source, in a fixed order, each of bounded size.

        Raises:
            DataError: The files are malformed; the message names file and row (or element, track and step).
        """

    @abstractmethod
    def example(self, folder: Path) -> list[Path]:
        """Write a small recording in the official format and return the paths to import.

        The conformance kit and the fuzz tests read it: at least two agents and twenty steps, one agent that comes later and one that
        leaves early, and, where the format has them, a map and recorded lanes.
        """
