"""What the doctor looks for: every finding with its threshold, the reason for it, and what an import does about it.

    findings.add("jumps", 3, [Example(...)])   counts and keeps the worst examples; its memory does not grow with the data

The doctor changes nothing and drops nothing. `CATALOGUE` is the one place where thresholds are explained; the numbers themselves stand
in `twm_core.data.limits`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

KEPT = 5
"""Examples that are kept for each finding, the worst ones."""


@dataclass(frozen=True)
class About:
    """A kind of finding.

    Attributes:
        title: What is wrong, as a heading.
        unit: What is counted.
        threshold: When it is one, and why.
        imported: What an import does about it.
        remedy: What its owner can do about it.
    """

    title: str
    unit: str
    threshold: str
    imported: str
    remedy: str


@dataclass(frozen=True)
class Example:
    """One place in the data: the source and the recording, and where it matters the track and the step.

    Attributes:
        severity: How bad it is; larger is worse, comparable within one kind of finding only.
    """

    source: str
    recording: str
    text: str
    severity: float
    track: str | None = None
    step: int | None = None

    def where(self) -> str:
        """The place in words: `a.csv, track 7, step 31`."""
        place = self.source if self.recording in ("", self.source) else f"{self.source} ({self.recording})"
        place += "" if self.track is None else f", track {self.track}"
        return place + ("" if self.step is None else f", step {self.step}")


@dataclass(frozen=True)
class Finding:
    """One kind of finding in the data that were examined: how many, and the worst ones."""

    name: str
    count: int
    examples: tuple[Example, ...]

    @property
    def about(self) -> About:
        """What it means."""
        return CATALOGUE[self.name]

    def as_object(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {"name": self.name, "count": self.count, **asdict(self.about), "examples": [asdict(e) for e in self.examples]}


@dataclass
class Findings:
    """Counts of findings while the data stream by, with the worst examples of each."""

    counts: dict[str, int] = field(default_factory=dict)
    worst: dict[str, list[Example]] = field(default_factory=dict)

    def add(self, name: str, count: int, examples: Iterable[Example]) -> None:
        """Count; of the examples so far the worst are kept."""
        if count:
            self.counts[name] = self.counts.get(name, 0) + count
            kept = sorted([*self.worst.get(name, []), *examples], key=lambda e: -e.severity)
            self.worst[name] = kept[:KEPT]

    def collect(self) -> tuple[Finding, ...]:
        """What was found, in the order of the catalogue."""
        return tuple(Finding(n, self.counts[n], tuple(self.worst[n])) for n in CATALOGUE if n in self.counts)


CATALOGUE: Mapping[str, About] = {
    "unreadable": About(
        "files that cannot be read",
        "sources",
        "the reader refuses them with the message that is shown",
        "stops at the first one and leaves nothing behind; with --skip-bad it leaves them out and counts them",
        "repair the file where the message says",
    ),
    "repeated-rows": About(
        "rows that repeat another",
        "rows",
        "the same track and step with the same values",
        "keeps one of them and counts the others",
        "nothing needs to be done",
    ),
    "contradicting-rows": About(
        "rows that contradict an earlier one",
        "rows",
        "the same track and step with other values",
        "keeps the first of them and counts the others, where the reader does not refuse them",
        "remove the wrong one: often two files were joined, or one number was given to two agents",
    ),
    "left-out": About(
        "what the reader leaves out, cuts or counts",
        "rows or tracks, by reason",
        "the reader's own reasons",
        "does as the reader says, and keeps the counts in the store, by reason",
        "look at the reader's options if it should be otherwise",
    ),
    "irregular-steps": About(
        "steps at which nobody is recorded",
        "steps",
        "steps inside tracks at which no agent at all has a row: frames are missing, or frame numbers advance by more than one",
        "keeps the steps as occluded; differences are taken over the time that really passed",
        "set the time step to that of the rows if frame numbers advance by more than one",
    ),
    "gaps": About(
        "gaps inside tracks",
        "gaps",
        "an agent has no row although it has some before and after, and others have rows then",
        "codes the steps as occluded, fills in nothing, and takes differences over the time that really passed",
        "nothing needs to be done; many long gaps say that one number was given to several agents",
    ),
    "jumps": About(
        "jumps",
        "places",
        "a step leads farther from where the last velocity leads than the hardest acceleration of the agent's type does, by more than a"
        " margin for noise (2 m, 1 m for people and bicycles): 3 m sideways in a tenth of a second is one",
        "keeps the rows; the velocity and acceleration of the step are as large as the jump",
        "give each part a track number of its own if two agents share one; repair or remove the rows otherwise",
    ),
    "impossible-speed": About(
        "impossible speeds",
        "rows",
        "faster than the fastest of the agent's type, over half a second without a jump, or as recorded: 70 m/s for cars, 45 for trucks and"
        " buses, 80 for motorcycles, 20 for bicycles, 12.5 for pedestrians (the record of a sprint)",
        "keeps the rows",
        "check metres per pixel, feet, and the time step",
    ),
    "impossible-acceleration": About(
        "impossible accelerations",
        "rows",
        "more than tyres or legs give, between two half seconds without a jump, or as recorded: 12 m/s^2 for motor vehicles (full braking"
        " is 10), 8 for bicycles and pedestrians",
        "keeps the rows",
        "check the time step; smooth the positions if their noise is the cause",
    ),
    "velocity-disagrees": About(
        "recorded velocity disagrees with the positions",
        "rows",
        "over half a second the two differ by more than 1 m/s and a quarter of the speed, which rounding and smoothing do not explain",
        "takes the recorded velocity, unless the reader marks it as not causal; without one it is derived from the positions",
        "check its unit (km/h are 3.6 times m/s), its axes and its sign, or leave it out of the columns",
    ),
    "heading-constant": About(
        "heading constant although the agent turns",
        "tracks",
        "the recorded heading never changes while the direction of motion changes by more than 20 degrees",
        "takes the recorded heading, unless the reader marks it as not causal",
        "leave the heading out of the columns, so that it is derived from the motion",
    ),
    "heading-disagrees": About(
        "heading disagrees with the direction of motion",
        "tracks",
        "a vehicle faster than 2 m/s drives more than 45 degrees off its heading for a fifth of that time; tyres slip by a few degrees",
        "takes the recorded heading, unless the reader marks it as not causal",
        "check degrees against radians, the zero direction, and whether y points down; driving backwards is real",
    ),
    "on-top": About(
        "agents on top of each other",
        "pairs of tracks",
        "the centres of two motor vehicles less than 0.5 m apart, of others less than 0.1 m: solid bodies cannot be",
        "keeps both",
        "remove one of the two if the same agent was recorded twice",
    ),
    "short-tracks": About(
        "short tracks",
        "tracks",
        "fewer steps than asked for (--shortest, 10 by default), the recording's beginning and end aside: too short to observe and predict",
        "keeps them: they are context for others",
        "nothing needs to be done; many of them say that agents were lost and found under new numbers",
    ),
    "sizes": About(
        "agents of no size or an impossible one",
        "tracks",
        "length or width of 5 cm or less, or above 40 m (the longest road trains): a missing value written as a number, or a wrong unit",
        "takes a size of 0 or less for unknown: the agent's last known size, else one assumed from its type; keeps the others",
        "leave the value empty where it is not known: a size is then assumed from the type, and said to be",
    ),
    "lanes-unknown": About(
        "lanes unknown",
        "rows",
        "lanes are recorded, but not for more than a twentieth of the rows of motor vehicles",
        "keeps the rows, their lane unknown; features of lanes come from the map, where there is one",
        "check the column of lanes, and which values stand for none",
    ),
    "id-reuse": About(
        "one number for several agents",
        "tracks",
        "between two recordings of one group a track changes its type or its size, or, where the files tell their times, is in both at"
        " once, or farther away than it can have driven in the time between",
        "takes them for one agent: a split by vehicle keeps them together",
        "number the agents anew in each file, or give files that are not one recording groups of their own",
    ),
    "overlap": About(
        "recordings that overlap",
        "pairs of recordings",
        "at least two tracks (one, if there are no more) move alike for 16 steps or more, to the millimetre, at one and the same shift in"
        " time; lengths of steps are compared, so that a recording that was moved or turned is found too",
        "imports both: the same traffic may end up in train and in test",
        "import one of them only",
    ),
    "units": About(
        "units that do not look like metres",
        "groups of agents",
        "the median of all cars' lengths is not between 2.5 and 7.5 m, or the median speed of moving agents is above 45 m/s for vehicles,"
        " 3 m/s for pedestrians (people walk at 1.3), or nobody moves faster than 0.3 m/s",
        "takes the numbers for metres, as the reader's options say",
        "set metres per pixel, or the unit, in the reader's options",
    ),
}
"""Every kind of finding by name, in the order of the report."""
