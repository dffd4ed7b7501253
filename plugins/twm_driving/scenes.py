"""From a scene that is in memory to recordings: cuts in time, marks the recording vehicle and the scored tracks, bounds the memory.

Most formats here hold a grid of tracks and steps with a flag "valid"; `Grid` flattens it to rows. Unlike `twm_core.data.importing.pieces`,
which sorts a stream of rows whose extent nobody knows yet, this knows the steps of the scene: lights and anchors are cut together with the
rows, and a scene that is not cut keeps all its steps, seen or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.reader import Skipped
from twm_core.data.importing.tracks import Rows, TrackMemory, make_recording
from twm_core.data.recording import Recording
from twm_core.data.scenario import Lights, RoadMap
from twm_core.errors import DataError
from twm_driving.values import Floats, checked

MOST_ROWS = 5_000_000
"""Most states of one scenario. A Waymo scenario has up to 20,000; more than this is a damaged or hostile file."""

MOST_STEPS = 36_000
"""Most steps of one scenario: an hour at 10 Hz."""

MOST_CELLS = 20_000_000
"""Most steps of all tracks together, hidden ones included."""

LONGEST_GAP = 300
"""Steps that a track may be away before its name begins a new one: it bounds what rows can be spread out to."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Tracks on a grid of steps.

    Attributes:
        file: Name of the file (and scenario), for messages.
        names: Names of the tracks, `N` of them, each once.
        type: int64 `[N]`.
        valid: bool `[N, T]`.
        columns: float64 `[N, T]` each; `[N, 1]` is spread over the steps.
        code: uint8 `[N, T]`, or None where all that is valid was observed.
    """

    file: str
    names: tuple[str, ...]
    type: NDArray[np.int64]
    valid: NDArray[np.bool_]
    columns: Mapping[str, Floats]
    code: NDArray[np.uint8] | None = None

    def rows(self, counts: Counter[str]) -> Rows:
        """The valid cells as rows.

        Raises:
            DataError: There are too many, a name stands twice, or a value cannot be.
        """
        if len(set(self.names)) < len(self.names):
            again = next(n for n, k in Counter(self.names).items() if k > 1)
            raise DataError(f"{self.file}: track {again} stands in it twice", "track names must be unique within a scenario")
        track, step = np.nonzero(self.valid)
        counts["tracks without a single valid state"] += int((~self.valid.any(axis=1)).sum())
        values = {n: np.broadcast_to(v, self.valid.shape)[track, step] for n, v in self.columns.items()}
        return Rows(
            track=np.asarray(self.names, dtype=object)[track],
            step=step.astype(np.int64),
            columns=checked(values, lambda r: f"{self.file}: track {self.names[track[r]]}, step {step[r]}", counts),
            type=self.type[track],
            code=None if self.code is None else self.code[track, step],
        )


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What belongs to the rows of one scenario.

    Attributes:
        id: Unique within the import.
        file: Name of the file, for messages.
        site: Name of the place.
        dt: Seconds between steps.
        steps: Number of steps.
        ego: Name of the track of the recording vehicle.
        scored: Names of the tracks that the dataset's protocol scores; None for all.
        road: The map.
        lights: States of lights at all steps.
        anchors: bool `[T]`, as in a recording.
        provenance: As in a recording.
        group: Name of the recording that this is a piece of, where the data tell; the scenario itself by default.
    """

    id: str
    file: str
    site: str
    dt: float
    steps: int
    ego: str | None = None
    scored: frozenset[str] | None = None
    road: RoadMap | None = None
    lights: Lights | None = None
    anchors: NDArray[np.bool_] | None = None
    provenance: Mapping[str, str] | None = None
    group: str = ""


def check_size(file: str, tracks: int, steps: int) -> None:
    """Refuse a scenario whose grid would not fit the memory.

    Raises:
        DataError: There are too many steps, or tracks times steps.
    """
    if steps > MOST_STEPS or tracks * steps > MOST_ROWS:
        raise DataError(f"{file}: {tracks} tracks of {steps} steps are too many", f"at most {MOST_STEPS} steps and {MOST_ROWS} states")


def recordings(rows: Rows, scene: Scene, seconds: float, counts: Counter[str]) -> Iterator[Recording | Skipped]:
    """The recordings of one scenario: one, or consecutive pieces of at most `seconds` (0 never cuts).

    The counts go with the first piece.
    """
    if not len(rows.step):
        counts["scenarios without a single valid state"] += 1
        yield Skipped({reason: n for reason, n in counts.items() if n})
        return
    _check_spread(rows, scene.file)
    per = max(1, int(seconds / scene.dt + 1e-6)) if seconds else scene.steps
    left: Mapping[str, int] | None = counts
    memory = TrackMemory()
    for begin in range(0, scene.steps, per):
        end = min(begin + per, scene.steps)
        here = (rows.step >= begin) & (rows.step < end)
        if not here.any():
            continue
        piece = make_recording(
            _take(rows, here, begin),
            file=scene.file,
            longest_gap=LONGEST_GAP,
            steps=end - begin,
            skipped=left,
            memory=memory,
            begin_step=begin,
            id=scene.id if per >= scene.steps else f"{scene.id}/{begin // per:04d}",
            site=scene.site,
            group=scene.group or scene.id,
            start=begin * scene.dt,
            dt=scene.dt,
            road=scene.road,
            lights=None if scene.lights is None else replace(scene.lights, state=scene.lights.state[:, begin:end]),
            anchors=None if scene.anchors is None else scene.anchors[begin:end],
            provenance=scene.provenance or {},
        )
        left = None
        yield _marked(piece, scene)


def _check_spread(rows: Rows, file: str) -> None:
    """Refuse rows that would take far more room as tracks without holes than they take in the file."""
    if len(rows.step) * (LONGEST_GAP + 1) <= MOST_CELLS:
        return
    _, owner, count = np.unique(rows.track, return_inverse=True, return_counts=True)
    first, last = np.full(len(count), MOST_STEPS), np.zeros(len(count), dtype=np.int64)
    np.minimum.at(first, owner, rows.step)
    np.maximum.at(last, owner, rows.step)
    cells = int(np.minimum(last - first + 1, count * (LONGEST_GAP + 1)).sum())
    if cells > MOST_CELLS:
        raise DataError(f"{file}: its {len(rows.step)} rows are spread over {cells} steps of {len(count)} tracks", "split the file")


def _take(rows: Rows, here: NDArray[np.bool_], begin: int) -> Rows:
    def of(values: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if values is None else values[here]

    columns = {name: values[here] for name, values in rows.columns.items()}
    return replace(
        rows,
        track=rows.track[here],
        step=rows.step[here] - begin,
        columns=columns,
        type=rows.type[here],
        code=of(rows.code),
        line=of(rows.line),
    )


def _marked(piece: Recording, scene: Scene) -> Recording:
    """The piece with the number of the recording vehicle and the scored tracks; pieces `7#2` of a track count as the track."""
    whole = [name if "#" not in name else name.rpartition("#")[0] for name in piece.track]
    ego = None
    scored = None
    if scene.ego is not None:
        ego = next((i for i, name in enumerate(piece.track) if scene.ego in (name, whole[i])), None)
    if scene.scored is not None:
        scored = np.array([a in scene.scored or b in scene.scored for a, b in zip(piece.track, whole, strict=True)], dtype=bool)
    return replace(piece, ego=ego, scored=scored)
