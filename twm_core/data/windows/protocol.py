"""What a protocol decides: which windows there are, which agents count, and how many of both there must be. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from twm_core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many windows a split has and how many agents are scored in them, both summed over its windows."""

    windows: int
    agents: int


@dataclass(frozen=True, kw_only=True)
class WindowProtocol:
    """Which windows there are and which agents count.

    Attributes:
        context: Observed steps.
        horizon: Predicted steps.
        stride: Steps between the starts of two windows of one scenario.
        max_agents: Most slots in a window; those farthest from the middle are dropped.
        around_agent: The middle is an agent, another one in each window (for training on crops), instead of the median position.
        min_scored: A window counts only with at least this many scored agents.
        full: Score only agents that exist at every step of the window (pedestrian protocols); else those that exist at every
            observed step, at the steps where they exist.
        self_contained: Nothing from before the window may be used: derivatives at its first step become 0 and `fresh` is set.
        entering: Whether agents that enter after the observed steps get a slot (needed to learn births; never scored).
        show_others: Whether agents that belong to another split are shown as context. Where training learns from every agent that it
            sees, they must get no slot.
        still_speed: For datasets whose headings are directions of displacements: the speed (m/s) below which a heading is carried over
            from the step before. With `self_contained`, a heading carried into the window from before it becomes 0.
        expects: Windows and scored agents that a split must have, by name of the split, as published for the dataset.
    """

    context: int
    horizon: int
    stride: int
    max_agents: int = 64
    around_agent: bool = False
    min_scored: int = 1
    full: bool = False
    self_contained: bool = False
    entering: bool = True
    show_others: bool = True
    still_speed: float | None = None
    expects: Mapping[str, Counts] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Steps of a window."""
        return self.context + self.horizon

    def check(self, split: str, found: Counts) -> None:
        """Compare what was found with what the protocol expects of a split, where it expects something.

        Raises:
            DataError: They differ.
        """
        expected = self.expects.get(split)
        if expected is not None and expected != found:
            raise DataError(
                f"split {split!r}: expected {expected.windows:,} windows with {expected.agents:,} scored agents,"
                f" found {found.windows:,} with {found.agents:,}",
                "the files are not the ones that the protocol was defined on: get those, or switch the check of its counts off",
            )


@dataclass(frozen=True, eq=False)
class Part:
    """The part of a scenario that a split may use.

    Attributes:
        begin: First step of it.
        end: Step after its last one; no window reaches out of it.
        own: bool `[N]`, the tracks that belong to the split; only these are scored. None where all do.
    """

    begin: int
    end: int
    own: NDArray[np.bool_] | None = None
