"""Readers: built from their config alone, and tried on the example that they write in their own format."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from twm_core.data.importing.reader import Reader, Skipped, Source
from twm_core.data.recording import Recording
from twm_core.errors import UsageError
from twm_core.testing.failure import NotApplicable
from twm_core.testing.subjects.base import Situation, Subject


class ReaderSubject(Subject):
    """A reader and the example it writes."""

    @staticmethod
    def situations() -> Iterator[Situation]:
        yield Situation("its own example", lambda config: type(config).__name__)

    def build(self, seed: int = 0) -> Any:
        del seed  # nothing random in a reader
        return self.registered.load_build()(self.config)

    @cached_property
    def instance(self) -> Any:
        """The reader.

        Raises:
            NotApplicable: A package that it needs is not installed.
        """
        try:
            return self.build()
        except UsageError as error:
            raise NotApplicable(f"{error.message} ({error.hint})") from error

    def with_options(self, **options: Any) -> Reader:
        """Another reader of the same kind with some fields set otherwise."""
        config = type(self.config).model_validate({**self.config.model_dump(), **options})
        return self.registered.load_build()(config)

    @cached_property
    def folder(self) -> Path:
        """Where the example lies; it goes away with the subject."""
        folder = Path(tempfile.mkdtemp(prefix="twm-example-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    @cached_property
    def paths(self) -> list[Path]:
        """What the reader says is to be imported of its example."""
        place = self.folder / "here"
        place.mkdir()
        return self.instance.example(place)

    @cached_property
    def sources(self) -> list[Source]:
        """The sources of the example."""
        return self.instance.sources(self.paths)

    @cached_property
    def recordings(self) -> list[Recording]:
        """The recordings of the example."""
        return read_all(self.instance, self.sources)[0]

    def use(self) -> None:
        read_all(self.instance, self.sources)

    def moved(self) -> list[Path]:
        """The same example in another folder."""
        here, there = self.folder / "here", self.folder / "elsewhere" / "deeper"
        paths = self.paths
        shutil.rmtree(there, ignore_errors=True)
        shutil.copytree(here, there)
        return [there / p.relative_to(here) for p in paths]


def read_all(reader: Reader, sources: list[Source]) -> tuple[list[Recording], dict[str, int]]:
    """All recordings, and what was left out beside them."""
    recordings: list[Recording] = []
    skipped: dict[str, int] = {}
    for source in sources:
        for item in reader.read(source):
            if isinstance(item, Skipped):
                for reason, count in item.counts.items():
                    skipped[reason] = skipped.get(reason, 0) + count
            else:
                recordings.append(item)
    return recordings, skipped
