"""Scenarios of every shape, a reader of a tiny text format, and comparisons: for the tests of the store."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from twm_core.data.importing.importer import ImportReport, import_sources
from twm_core.data.importing.reader import Credits, Reader, Skipped, Source
from twm_core.data.recording import Recording
from twm_core.data.scenario import LINE_KINDS, OBSERVED, Lane, Lights, RoadLine, RoadMap, Scenario
from twm_core.errors import DataError

FEATURES = ("x", "y", "heading", "vx", "vy")
NAMES = st.text(st.characters(codec="utf-8"), max_size=8)


def road(seed: int = 0, far: float = 0.0) -> RoadMap:
    """Two lanes, one without boundaries, and two lines."""
    rng = np.random.default_rng(seed)

    def points(n: int) -> np.ndarray:
        return rng.normal(size=(n, 2)) * 50 + far

    lanes = (
        Lane("a", points(5), 3.5, points(4), points(3), successors=("b", "c"), left="b", speed_limit=13.9),
        Lane("b", points(2), 3.0, right="a"),
    )
    return RoadMap(lanes, (RoadLine("crosswalk", points(4)), RoadLine(LINE_KINDS[0], points(2))))


def straight(number: int = 0, **changes: Any) -> Scenario:
    """Two cars on a straight line for five steps."""
    fields: dict[str, Any] = {
        "id": f"run-{number}",
        "site": "here",
        "dt": 0.1,
        "steps": 5,
        "features": FEATURES,
        "state": np.arange(50, dtype=np.float32).reshape(10, 5) + number,
        "code": np.full(10, OBSERVED, dtype=np.uint8),
        "first": np.array([0, 0]),
        "length": np.array([5, 5]),
        "track": ("a", "b"),
        "type": np.array([1, 6]),
    }
    return Scenario(**{**fields, **changes})


@st.composite
def scenarios(draw: st.DrawFn, number: int = 0, actions: int = 0) -> Scenario:
    """A scenario with any number of tracks, with and without everything that it may have."""
    steps = draw(st.integers(1, 9))
    spans = draw(st.lists(st.tuples(st.integers(0, steps - 1), st.integers(1, steps)), max_size=5))
    first = np.array([a for a, _ in spans], dtype=np.int64)
    length = np.array([min(n, steps - a) for a, n in spans], dtype=np.int64)
    rows, tracks = int(length.sum()), len(spans)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    lane_names = tuple(draw(st.lists(NAMES, max_size=3)))
    lights = None
    if draw(st.booleans()):
        count = draw(st.integers(1, 3))
        stop = np.where(rng.random((count, 2)) < 0.3, np.nan, rng.normal(size=(count, 2)))
        lights = Lights(tuple(draw(NAMES) for _ in range(count)), rng.integers(0, 5, (count, steps)).astype(np.uint8), stop)
    return Scenario(
        id=f"{draw(NAMES)}-{number}",
        site=draw(NAMES),
        group=draw(NAMES),
        start=draw(st.floats(0, 1e6)),
        dt=draw(st.sampled_from([0.1, 1 / 30, 0.4])),
        steps=steps,
        features=FEATURES,
        state=rng.normal(size=(rows, len(FEATURES))).astype(np.float32),
        code=rng.integers(1, 4, rows).astype(np.uint8),
        first=first,
        length=length,
        track=tuple(f"{draw(NAMES)}/{i}" for i in range(tracks)),
        type=rng.integers(0, 8, tracks),
        lane=rng.integers(0, len(lane_names) + 1, rows) if draw(st.booleans()) or lane_names else None,
        lane_names=lane_names,
        action=rng.normal(size=(rows, actions)).astype(np.float32) if actions and draw(st.booleans()) else None,
        road=road(draw(st.integers(0, 1))) if draw(st.booleans()) else None,
        origin=(draw(st.floats(-1e7, 1e7)), draw(st.floats(-1e7, 1e7))),
        eligible=rng.random(tracks) < 0.5 if draw(st.booleans()) else None,
        lights=lights,
        anchors=rng.random(steps) < 0.5 if draw(st.booleans()) else None,
        provenance={"x": draw(NAMES)},
        ego=draw(st.integers(0, tracks - 1)) if tracks and draw(st.booleans()) else None,
    )


def assert_same_road(a: RoadMap | None, b: RoadMap | None) -> None:
    if a is None or b is None:
        assert a is b
        return
    for one, two in zip(a.lanes, b.lanes, strict=True):
        for name in ("id", "width", "successors", "left", "right", "speed_limit"):
            assert getattr(one, name) == getattr(two, name)
        for name in ("centre", "left_boundary", "right_boundary"):
            p, q = getattr(one, name), getattr(two, name)
            assert (p is None) == (q is None)
            assert p is None or np.array_equal(p, q)
    assert [line.kind for line in a.lines] == [line.kind for line in b.lines]
    assert all(np.array_equal(p.points, q.points) for p, q in zip(a.lines, b.lines, strict=True))


def assert_same(a: Scenario, b: Scenario) -> None:
    """Everything equal, bit for bit; an empty array is as good as none."""
    for name in ("id", "site", "group", "start", "dt", "steps", "features", "track", "origin", "lane_names", "ego"):
        assert getattr(a, name) == getattr(b, name), name
    assert dict(a.provenance) == dict(b.provenance)
    for name in ("state", "code", "first", "length", "offset", "type", "lane", "action", "eligible", "anchors"):
        p, q = (getattr(s, name) for s in (a, b))
        p, q = (None if v is None or not len(v) else v for v in (p, q))
        assert (p is None) == (q is None), name
        if p is not None and q is not None:
            assert p.dtype == q.dtype
            assert np.array_equal(p, q, equal_nan=p.dtype.kind == "f"), name
    assert (a.lights is None) == (b.lights is None)
    if a.lights is not None and b.lights is not None:
        assert a.lights.lane == b.lights.lane
        assert np.array_equal(a.lights.state, b.lights.state)
        assert np.array_equal(a.lights.stop, b.lights.stop, equal_nan=True)
    assert_same_road(a.road, b.road)


class PairsReader(Reader):
    """Reads `*.pairs`: one recording per line, the speeds of its agents;
    the word `bad` is an error, `gone 3` skips three rows. A line that begins with `bare` has no road map.

    Args:
        map_seed: Which road map the recordings have; None for none.
    """

    credits = Credits("Pairs", "CC0", "nobody")

    def __init__(self, map_seed: int | None = None) -> None:
        self.road = None if map_seed is None else road(map_seed, far=4_000_000.25)
        self.read_names: list[str] = []

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        found = [f for p in paths for f in (sorted(p.glob("*.pairs")) if p.is_dir() else [p])]
        if not found:
            raise DataError("no .pairs file")
        return [Source(f.stem, (f,)) for f in found]

    def read(self, source: Source) -> Iterator[Recording | Skipped]:
        self.read_names.append(source.name)
        for number, line in enumerate(source.files[0].read_text().splitlines()):
            words = line.split()
            if words[0] == "bad":
                raise DataError(f"{source.files[0].name}, row {number + 1}: bad")
            if words[0] == "gone":
                yield Skipped({"rows gone": int(words[1])})
                continue
            made = self._recording(f"{source.name}/{number}", source.name, number, [float(w) for w in words if w != "bare"])
            yield replace(made, road=None) if words[0] == "bare" else made

    def _recording(self, name: str, group: str, number: int, speeds: list[float]) -> Recording:
        steps, n = 6, len(speeds)
        x = (np.arange(steps)[None, :] * np.array(speeds)[:, None]).reshape(-1) + 4_000_000.0
        return Recording(
            id=name,
            site="road",
            group=group,
            dt=0.1,
            start=0.6 * number,
            steps=steps,
            track=tuple(map(str, range(n))),
            type=np.ones(n, dtype=np.int64),
            first=np.zeros(n, dtype=np.int64),
            length=np.full(n, steps),
            columns={"x": x, "y": np.repeat(np.arange(n) * 3.5, steps)},
            code=np.ones(n * steps, dtype=np.uint8),
            road=self.road,
            ego=n - 1,
            scored=np.arange(n) == 0,
            skipped={"rows without sense": 2},
        )

    def example(self, folder: Path) -> list[Path]:
        raise NotImplementedError


def write_pairs(folder: Path, files: int = 3, lines: int = 4) -> Path:
    """A folder of such files."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(files):
        (folder / f"clip{i}.pairs").write_text("".join(f"{i}.5 {j} {i + j}\n" for j in range(lines)) + "gone 3\n")
    return folder


def pull_in(folder: Path, out: Path, **changes: Any) -> ImportReport:
    """Import such a folder, in shards so short that there are several."""
    reader = changes.pop("reader", None) or PairsReader(0)
    fields = {"options": {"site": ""}, "shard_bytes": 6_000, **changes}
    paths = fields.pop("paths", [folder])
    return import_sources(reader, paths, out, reader_name="pairs", **fields)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def killed_at(count: int, work: Callable[[], object]) -> bool:
    """Do some work in a process that is killed (SIGKILL) at its `count`-th change of the file system, in the middle of a write.

    Returns:
        Whether it was; if not, it came to its end before.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads are those of the test runner, which the child does not need
        child = os.fork()
    if child == 0:
        try:
            _kill_at(count)
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a forked test process must end here, whatever happens
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def _kill_at(count: int) -> None:
    left = [count]
    really_write = os.write

    def counted(name: str) -> Callable[..., Any]:
        really = getattr(os, name)

        def call(*args: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                if name == "write":
                    really_write(args[0], bytes(args[1])[: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return really(*args, **options)

        return call

    for name in ("write", "replace", "unlink", "mkdir", "truncate", "ftruncate", "rmdir"):
        setattr(os, name, counted(name))
