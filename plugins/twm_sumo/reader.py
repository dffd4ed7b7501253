"""The reader `sumo`: FCD output with its network, vehicle types and signal states.

SUMO gives the middle of the front bumper, so the centre of the box is half a length behind it along the heading; degrees clockwise from
north become radians counter-clockwise from east. Speed is along the heading. The acceleration is that speed's, to which the centripetal
part is added (speed times the backward difference of the heading), so that the vector is that of the motion in curves too.

Lanes are those of the front bumper, as SUMO names them. Output with `--fcd-output.utm` is moved back into network coordinates; longitudes
and latitudes are refused.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.reader import Credits, Reader, Skipped, Source
from twm_core.data.importing.tracks import Rows, make_recording
from twm_core.data.recording import Recording
from twm_core.data.scenario import OCCLUDED
from twm_core.errors import DataError
from twm_sumo.config import SumoReaderConfig
from twm_sumo.example import write_example
from twm_sumo.fcd import FcdChunk, is_fcd, read_fcd
from twm_sumo.kinematics import accelerations, centres, heading_of
from twm_sumo.lights import LightPhases, make_lights, read_phases
from twm_sumo.network import Network, read_network
from twm_sumo.vehicle_types import VehicleType, read_vehicle_types

_FCD_NAMES = ("*.xml", "*.xml.gz", "*.csv", "*.csv.gz")
_NOT_FCD = (".net.xml", ".rou.xml", ".add.xml", ".tls.xml", ".nod.xml", ".edg.xml", ".con.xml")
_LONGEST_GAP = 60.0
"""Seconds that an agent may be away (teleports of SUMO take a while) and still be the same track."""

_LONGEST_SILENCE = 1_000_000
"""Steps without anybody after which a time counts as damaged; a day of steps of 0.1 s."""

PROVENANCE = {
    "x": "front bumper of SUMO minus half the length",
    "y": "front bumper of SUMO minus half the length",
    "vx": "speed of SUMO along the heading",
    "vy": "speed of SUMO along the heading",
    "ax": "acceleration of SUMO along the heading, centripetal part from backward differences of the heading",
    "ay": "acceleration of SUMO along the heading, centripetal part from backward differences of the heading",
    "length": "vehicle type",
    "width": "vehicle type",
    "height": "vehicle type",
}
"""How the columns of a recording come about."""


def build(config: SumoReaderConfig) -> SumoReader:
    """The reader."""
    return SumoReader(config)


class SumoReader(Reader):
    """See the module."""

    credits = Credits(
        dataset="SUMO simulation",
        licence="that of whoever made the network and the demand; SUMO itself is EPL-2.0 and claims nothing of its output",
        citation="Lopez et al., Microscopic Traffic Simulation using SUMO, IEEE ITSC 2018",
    )

    def __init__(self, config: SumoReaderConfig) -> None:
        self.config = config
        if config.licence:
            self.credits = replace(self.credits, licence=config.licence)
        self._network: Callable[[Path], Network] = lru_cache(maxsize=4)(read_network)

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        found: dict[Path, str] = {}
        for path in paths:
            if not path.exists():
                raise DataError(f"{path} is not there", "check the path")
            inside = [path] if path.is_file() else sorted({p for n in _FCD_NAMES for p in path.rglob(n) if _may_be_fcd(p)})
            for file in inside:
                if path.is_file() or is_fcd(file):
                    name = _stem(file)
                    relative = file.relative_to(path).parent.as_posix() if path.is_dir() else "."
                    found.setdefault(file, name if relative == "." else f"{relative}/{name}")
        if not found:
            raise DataError(
                f"there is no FCD output in {', '.join(map(str, paths))}", "write it with sumo --fcd-output NAME.fcd.xml (or .csv.gz)"
            )
        names = Counter(found.values())
        if twice := [n for n, k in names.items() if k > 1]:
            raise DataError(f"{names[twice[0]]} files are called {twice[0]}", "rename them, or give the folder above them")
        return [Source(name, (file, *self._companions(file))) for file, name in found.items()]

    def _companions(self, fcd: Path) -> list[Path]:
        """Network, types and lights of a file, in this order."""
        beside = fcd.parent
        files = []
        if self.config.network:
            files.append(_there(self.config.network, "network"))
        else:
            networks = sorted([*beside.glob("*.net.xml"), *beside.glob("*.net.xml.gz")])
            same = [n for n in networks if n.name.partition(".net.xml")[0] == _stem(fcd)]
            if len(networks) > 1 and not same:
                raise DataError(
                    f"beside {fcd.name} there are {len(networks)} networks: {', '.join(n.name for n in networks)}",
                    "name the right one with the option network",
                )
            files += same[:1] or networks
        if self.config.types:
            files += [_there(t, "types") for t in self.config.types]
        else:
            files += sorted(p for n in ("*.rou.xml", "*.add.xml", "*.rou.xml.gz", "*.add.xml.gz") for p in beside.glob(n))
        if self.config.lights:
            files.append(_there(self.config.lights, "lights"))
        else:
            files += [p for s in (".tls.xml", ".tls.xml.gz") if (p := beside / (_stem(fcd) + s)).is_file()][:1]
        return files

    def read(self, source: Source) -> Iterator[Recording | Skipped]:
        fcd, *rest = source.files
        network = next((self._network(p) for p in rest if ".net.xml" in p.name or p == self.config.network), None)
        lights = next((p for p in rest if ".tls.xml" in p.name or p == self.config.lights), None)
        named = set(self.config.types)
        types = read_vehicle_types([p for p in rest if p in named or (not named and (".rou.xml" in p.name or ".add.xml" in p.name))])
        site = self.config.site or next((p.name.partition(".net.xml")[0] for p in rest if ".net.xml" in p.name), "") or source.name
        yield from _Pieces(
            source=source.name,
            site=site,
            file=fcd.name,
            network=network,
            types=types,
            phases=None if lights is None else read_phases(lights),
            cut=self.config.scenario_seconds,
        ).recordings(read_fcd(fcd))

    def example(self, folder: Path) -> list[Path]:
        return write_example(folder)


def _may_be_fcd(path: Path) -> bool:
    return path.is_file() and not path.name.removesuffix(".gz").endswith(_NOT_FCD)


def _stem(path: Path) -> str:
    name = path.name.removesuffix(".gz")
    return name.removesuffix(Path(name).suffix).removesuffix(".fcd")


def _there(path: Path, option: str) -> Path:
    if not path.is_file():
        raise DataError(f"option {option}: {path} is not a file", "check the path")
    return path


@dataclass
class _Batch:
    """Rows of one scenario, as arrays to be joined."""

    step: list[NDArray[np.int64]] = field(default_factory=list)
    track: list[NDArray[np.int64]] = field(default_factory=list)
    leader: list[NDArray[np.int64]] = field(default_factory=list)
    kind: list[NDArray[np.int64]] = field(default_factory=list)
    lane: list[NDArray[np.int64]] = field(default_factory=list)
    line: list[NDArray[np.int64]] = field(default_factory=list)
    numbers: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)


class _Names:
    """Numbers for names, in the order in which they come."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.of: dict[str, int] = {name: i for i, name in enumerate(names)}

    def numbers(self, values: NDArray[np.str_]) -> NDArray[np.int64]:
        unique, first, inverse = np.unique(values, return_index=True, return_inverse=True)
        found = np.zeros(len(unique), dtype=np.int64)
        for i in np.argsort(first):
            found[i] = self.of.setdefault(str(unique[i]), len(self.of))
        return found[inverse]


class _Pieces:
    """Turns the chunks of one file into recordings of at most `cut` seconds."""

    def __init__(
        self,
        *,
        source: str,
        site: str,
        file: str,
        network: Network | None,
        types: dict[str, VehicleType],
        phases: LightPhases | None,
        cut: float,
    ) -> None:
        self.source, self.site, self.file, self.network, self.types, self.phases, self.cut = source, site, file, network, types, phases, cut
        self.tracks, self.kinds = _Names([""]), _Names()
        self.lanes = _Names(["", *(lane.id for lane in network.road.lanes)] if network else [""])
        self.shift: tuple[float, float] | None = None
        self.dt = 0.0
        self.begin = 0.0
        self.last = -1
        self.skipped: Counter[str] = Counter()

    def recordings(self, chunks: Iterator[FcdChunk]) -> Iterator[Recording | Skipped]:
        early: list[FcdChunk] = []
        batch, piece = _Batch(), 0
        for chunk in self._with_dt(chunks, early):
            for number, part in self._split(chunk):
                if number != piece and batch.step:
                    yield self._recording(batch, piece, last=False)
                    batch = _Batch()
                piece = number
                self._add(batch, part, piece)
        if batch.step:
            yield self._recording(batch, piece, last=True)
        if not self.dt or self.skipped:
            yield Skipped(dict(self.skipped))
        if not self.dt:
            raise DataError(f"{self.file}: no agent is there at any of its times, or there is one time only", "simulate for longer")

    def _with_dt(self, chunks: Iterator[FcdChunk], early: list[FcdChunk]) -> Iterator[FcdChunk]:
        """The chunks, once two different times have told how long a step is."""
        for chunk in chunks:
            early.append(chunk)
            if not self.dt:
                times = np.unique(np.concatenate([t for c in early for t in (c.time, c.empty_times)]))
                if len(times) < 2:
                    continue
                self.begin, self.dt = float(times[0]), round(float(times[1] - times[0]), 6)
                if self.dt < 1e-3:
                    raise DataError(f"{self.file}: its first times are {times[0]} and {times[1]}", "a step is a millisecond or longer")
            yield from early
            early.clear()

    @property
    def _per_piece(self) -> int:
        return max(1, round(self.cut / self.dt)) if self.cut else 1 << 62

    def _split(self, chunk: FcdChunk) -> Iterator[tuple[int, FcdChunk]]:
        """Parts of the chunk that belong to one scenario each."""
        exact = (chunk.time - self.begin) / self.dt
        step = np.rint(exact).astype(np.int64)
        bad = np.abs(exact - step) > 0.02
        back = np.diff(step, prepend=self.last if len(step) else 0) < 0
        ahead = np.diff(step, prepend=max(self.last, 0) if len(step) else 0)
        wrong = bad | back | (ahead > _LONGEST_SILENCE)
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            if bad[at]:
                said = f"is not a whole number of steps of {self.dt:g} s after {self.begin:g}"
            else:
                said = "is earlier than one before it" if back[at] else f"comes {ahead[at]} steps after the one before it"
            raise DataError(f"{self.file}, line {chunk.line[at]}: time {chunk.time[at]:g} {said}", "give an unchanged FCD output")
        if not len(step):
            return
        self.last = int(step[-1])
        piece = step // self._per_piece
        for rows in np.split(np.arange(len(step)), np.flatnonzero(np.diff(piece)) + 1):
            s = slice(int(rows[0]), int(rows[-1]) + 1)
            part = FcdChunk(
                chunk.time[s],
                {n: v[s] for n, v in chunk.numbers.items()},
                {n: v[s] for n, v in chunk.texts.items()},
                chunk.line[s],
                chunk.empty_times[:0],
            )
            yield int(piece[rows[0]]), part

    def _add(self, batch: _Batch, chunk: FcdChunk, piece: int) -> None:
        kind = self.kinds.numbers(chunk.texts["type"])
        names = list(self.kinds.of)
        for i in np.unique(kind).tolist():
            if names[i] not in self.types:
                at = int(np.flatnonzero(kind == i)[0])
                raise DataError(
                    f"{self.file}, line {chunk.line[at]}: vehicle type {names[i]!r} of {str(chunk.texts['id'][at])!r} is defined nowhere",
                    "put the route or additional file that defines it beside the FCD file, or name it with the option types",
                )
        boxes = np.asarray(
            [i for i, n in enumerate(names) if n in self.types and self.types[n].vehicle_class == "container"], dtype=np.int64
        )
        keep = ~np.isin(kind, boxes)
        if not keep.all():
            self.skipped["rows of containers"] += int((~keep).sum())
        step = np.rint((chunk.time - self.begin) / self.dt).astype(np.int64) - piece * (self._per_piece if self.cut else 0)
        batch.step.append(step[keep])
        batch.track.append(self.tracks.numbers(chunk.texts["id"])[keep])
        if "leaderID" in chunk.texts:
            batch.leader.append(self.tracks.numbers(chunk.texts["leaderID"])[keep])
        batch.kind.append(kind[keep])
        batch.lane.append(self.lanes.numbers(chunk.texts["lane"])[keep])
        batch.line.append(chunk.line[keep])
        for name, values in chunk.numbers.items():
            batch.numbers.setdefault(name, []).append(values[keep])

    def _recording(self, batch: _Batch, piece: int, *, last: bool) -> Recording | Skipped:
        joined = {name: np.concatenate(parts) for name, parts in batch.numbers.items()}
        kind, step = np.concatenate(batch.kind), np.concatenate(batch.step)
        counts, self.skipped = dict(self.skipped), Counter()
        if not len(step):
            return Skipped(counts)
        known = [self.types.get(name) for name in self.kinds.of]
        size = {n: np.asarray([np.nan if t is None else getattr(t, n) for t in known])[kind] for n in ("length", "width", "height")}
        agent = np.asarray([0 if t is None else t.agent for t in known], dtype=np.int64)[kind]
        on_foot = np.asarray([t is not None and t.vehicle_class == "pedestrian" for t in known])[kind]
        heading = heading_of(joined["angle"])
        shift = self._offset(joined["x"], joined["y"])
        x, y = centres(joined["x"] + shift[0], joined["y"] + shift[1], heading, np.where(on_foot, 0.0, size["length"]))
        columns = {"x": x, "y": y, "heading": heading, **size}
        speed, acceleration = joined["speed"], joined["acceleration"]
        if not np.isnan(speed).all():
            columns |= {"vx": speed * np.cos(heading), "vy": speed * np.sin(heading)}
        leaders = len(batch.leader) == len(batch.step)
        names = list(self.tracks.of)
        steps = self._per_piece if self.cut and not last else None
        start = piece * self._per_piece * self.dt if self.cut else 0.0
        if self.network is None:
            counts["recordings without a network, hence without a map"] = 1
        recording = make_recording(
            Rows(
                track=np.concatenate(batch.track),
                step=step,
                columns=columns | {"ax": acceleration, "ay": speed},
                type=agent,
                lane=np.concatenate(batch.lane),
                leader=np.concatenate(batch.leader) if leaders else None,
                no_track=0,
                line=np.concatenate(batch.line),
            ),
            file=self.file,
            longest_gap=round(_LONGEST_GAP / self.dt),
            steps=steps,
            skipped=counts,
            id=f"{self.source}/{piece:03d}" if self.cut else self.source,
            site=self.site,
            group=self.source,
            start=start,
            dt=self.dt,
            lane_names=tuple(list(self.lanes.of)[1:]),
            road=None if self.network is None else self.network.road,
        )
        times = np.asarray(self.begin + start + self.dt * np.arange(recording.steps), dtype=np.float64)
        lights = make_lights(self.network, self.phases, times) if self.network is not None and self.phases is not None else None
        columns = _with_acceleration(recording)
        tracks = tuple(_renamed(name, names) for name in recording.track)
        return replace(
            recording, track=tracks, lights=lights, columns=columns, provenance={n: p for n, p in PROVENANCE.items() if n in columns}
        )

    def _offset(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
        """What brings positions into network coordinates; decided once, by the first scenario."""
        if self.shift is None:
            self.shift = (0.0, 0.0)
            if self.network is not None and self.network.bounds is not None:
                self.shift = _shift(self.network, float(np.median(x)), float(np.median(y)), self.file)
        return self.shift


def _shift(network: Network, x: float, y: float, file: str) -> tuple[float, float]:
    x0, y0, x1, y1 = network.bounds or (0.0, 0.0, 0.0, 0.0)
    margin = 200.0

    def inside(px: float, py: float) -> bool:
        return x0 - margin <= px <= x1 + margin and y0 - margin <= py <= y1 + margin

    if inside(x, y):
        return 0.0, 0.0
    if inside(x + network.offset[0], y + network.offset[1]):
        return network.offset
    if network.projected and abs(x) <= 180 and abs(y) <= 90:
        raise DataError(f"{file}: positions such as {x:g}, {y:g} are longitudes and latitudes", "write FCD output without --fcd-output.geo")
    raise DataError(
        f"{file}: positions such as {x:g}, {y:g} lie outside the network, which reaches from {x0:g}, {y0:g} to {x1:g}, {y1:g}",
        "name the network of this simulation with the option network",
    )


def _with_acceleration(recording: Recording) -> dict[str, NDArray[np.float64]]:
    """The columns of a recording whose `ax` and `ay` still hold acceleration and speed along the heading."""
    columns = dict(recording.columns)
    along, speed = columns.pop("ax"), columns.pop("ay")
    if np.isnan(along).all() or np.isnan(speed).all():
        return columns
    heading = columns["heading"]
    turned = np.zeros(len(heading))
    turned[1:] = np.mod(np.diff(heading) + math.pi, 2 * math.pi) - math.pi
    known = recording.code != OCCLUDED
    turned[1:][~(known[1:] & known[:-1])] = 0.0
    turned[recording.offset] = 0.0
    columns["ax"], columns["ay"] = accelerations(along, speed, heading, turned / recording.dt)
    return columns


def _renamed(name: str, names: Sequence[str]) -> str:
    number, cut, again = name.partition("#")
    return names[int(number)] + cut + again
