"""Clean traffic for tests of the doctor, computed by hand: cars on wide circles, each with a speed of its own that varies a little."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from twm_core.data.doctor.examination import Diagnosis, Doctor
from twm_core.data.doctor.findings import Finding
from twm_core.data.importing.reader import Credits, Reader, Source
from twm_core.data.recording import Recording
from twm_core.data.scenario import OBSERVED
from twm_core.specs import AGENT_TYPES

DT = 0.1
STEPS = 80
FIRST, LENGTH = (0, 0, 5, 20), (80, 60, 70, 60)


def clean(*, seed: int = 0, type: str = "car", speed: float = 12.0, **changes: Any) -> Recording:
    """Four cars, 20 m apart; the second leaves early, the third and the fourth come later."""
    rng = np.random.default_rng(seed)
    columns: dict[str, list[np.ndarray]] = {n: [] for n in ("x", "y", "heading", "vx", "vy", "length", "width")}
    for i, (first, length) in enumerate(zip(FIRST, LENGTH, strict=True)):
        t = (first + np.arange(length)) * DT
        radius, pace, phase = 200.0 + 20 * i, speed + i + rng.uniform(-0.5, 0.5), rng.uniform(0, 6)
        # The way along the circle is the integral of a speed of pace + sin(t + phase) / 2.
        angle = (pace * t - 0.5 * np.cos(t + phase)) / radius
        now = pace + 0.5 * np.sin(t + phase)
        columns["x"].append(radius * np.cos(angle))
        columns["y"].append(radius * np.sin(angle))
        columns["heading"].append(angle + np.pi / 2)
        columns["vx"].append(-now * np.sin(angle))
        columns["vy"].append(now * np.cos(angle))
        columns["length"].append(np.full(length, 4.5))
        columns["width"].append(np.full(length, 1.8))
    rows = sum(LENGTH)
    made: dict[str, Any] = {
        "id": f"clip-{seed}",
        "site": "ring",
        "group": f"clip-{seed}",
        "dt": DT,
        "steps": STEPS,
        "track": ("1", "2", "3", "4"),
        "type": np.full(4, AGENT_TYPES.index(type)),
        "first": np.array(FIRST),
        "length": np.array(LENGTH),
        "columns": {n: np.concatenate(v) for n, v in columns.items()},
        "code": np.full(rows, OBSERVED, dtype=np.uint8),
        "lane": np.ones(rows, dtype=np.int64),
        "lane_names": ("ring",),
    }
    return Recording(**{**made, **changes})


def changed(recording: Recording, **columns: np.ndarray) -> Recording:
    """The recording with other columns."""
    return replace(recording, columns={**recording.columns, **columns})


def rows_of(recording: Recording, track: str) -> slice:
    """Rows of a track."""
    i = recording.track.index(track)
    return slice(int(recording.offset[i]), int(recording.offset[i] + recording.length[i]))


def diagnose(*recordings: Recording, source: str = "clip.csv") -> Diagnosis:
    """What the doctor says of these recordings, each from a source of its own if there are several."""
    doctor = Doctor()
    for i, recording in enumerate(recordings):
        doctor.examine(recording, source if len(recordings) == 1 else f"{i}-{source}")
    return doctor.diagnosis()


def found(diagnosis: Diagnosis) -> dict[str, Finding]:
    """Findings by name."""
    return {f.name: f for f in diagnosis.findings}


class ListReader(Reader):
    """A reader of sources that stand in a mapping; an exception among their items is raised."""

    credits = Credits("test")

    def __init__(self, items: Mapping[str, Sequence[Any]]) -> None:
        self.items = items

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        return [Source(name, ()) for name in self.items]

    def read(self, source: Source) -> Iterator[Any]:
        for item in self.items[source.name]:
            if isinstance(item, Exception):
                raise item
            yield item

    def example(self, folder: Path) -> list[Path]:
        raise NotImplementedError
