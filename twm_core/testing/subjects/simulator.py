"""Simulators: built from their config alone; one that needs a package which is not installed is not checked, and the report says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twm_core.errors import UsageError
from twm_core.testing.failure import NotApplicable
from twm_core.testing.subjects.base import Situation, Subject


class SimulatorSubject(Subject):
    """A simulator; the checks open and close it themselves, one at a time."""

    @staticmethod
    def situations() -> Iterator[Situation]:
        yield Situation("its own world", lambda config: type(config).__name__)

    def build(self, seed: int = 0) -> Any:
        del seed  # the seed of a simulator is an argument of `reset`
        try:
            return self.registered.load_build()(self.config)
        except UsageError as error:
            raise NotApplicable(f"{error.message} ({error.hint})") from error

    def use(self) -> None:
        with self.build() as world:
            world.reset(1)
            world.step()
