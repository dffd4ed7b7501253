"""How fast random windows are read: from a store, from the caches that others use, and as a plain copy of memory, side by side.

    python benchmarks/window_reads.py --gigabytes 2 --dir DIR

Windows are [50 steps, 32 agents, 10 features] out of scenarios of 30 s at 10 Hz with agents that come and go. Each row reads windows in
random batches from files that are in the page cache, in turns, and takes the best turn of each batch (between two readings of a batch lie
99 others, which are larger than a processor's cache):

* store: `ScenarioWindows.batch` on a store of that size: agents chosen, states, existence, types and what is scored;
* pickle: a folder with a pickled dict for each scenario, as trajectory code bases cache them, from which the window is cut;
* hdf5: one file with a group for each scenario and datasets in it, from which the window's rows are read;
* pickled windows, hdf5 windows: the same with an entry for each window, cut and padded beforehand (faster, and 10 times the space when
  windows overlap): for comparison, not part of the bar;
* copy: the bytes of as many `agents.state` out of the memory map, one contiguous block for each window. This is the bar: the fastest way
  to get so many numbers, though of no use, since what a window shows does not lie in one block;
* rows: exactly the rows of `agents.state` that the windows show, from where they lie, in slices whose places were found beforehand,
  copied into place with one NumPy assignment each;
* gather: the same stretches with the store's own gather and nothing around it, which shows how much of the time that is.

Prints one line of JSON at the end. Caches hold the first 500 scenarios or 4,000 windows, which favours them.
"""

from __future__ import annotations

import argparse
import gc
import json
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from twm_core.data.scenario import OBSERVED, Scenario
from twm_core.data.store.reading import open_store
from twm_core.data.store.writing.write_store import write_store
from twm_core.data.windows.protocol import WindowProtocol
from twm_core.data.windows.scenario_windows import ScenarioWindows

FEATURES = ("x", "y", "heading", "vx", "vy", "ax", "ay", "yaw_rate", "length", "width")
STEPS, AGENTS = 50, 32
CACHED_SCENARIOS, CACHED_WINDOWS = 500, 4_000


def scenarios(total: float, seed: int = 0) -> Iterator[Scenario]:
    """Scenarios of 300 steps until their states take `total` bytes: 64 agents, each there for 10 to 20 s, 30 or so at a time."""
    rng, written, number = np.random.default_rng(seed), 0, 0
    while written < total:
        first = np.sort(rng.integers(-100, 280, 64)).clip(0)
        length = np.minimum(rng.integers(100, 200, 64), 300 - first)
        rows = int(length.sum())
        state = rng.standard_normal((rows, len(FEATURES)), dtype=np.float32)
        written += state.nbytes
        yield Scenario(
            id=f"run-{number}",
            site="road",
            dt=0.1,
            steps=300,
            features=FEATURES,
            state=state,
            code=np.full(rows, OBSERVED, dtype=np.uint8),
            first=first,
            length=length,
            track=tuple(map(str, range(64))),
            type=np.ones(64, dtype=np.int64),
            check_values=False,
        )
        number += 1


def cut(arrays: dict[str, Any], start: int) -> tuple[np.ndarray, np.ndarray]:
    """The window of a cached scenario: states `[T, A, F]` and existence `[T, A]` of its first 32 agents."""
    state, exists = np.zeros((STEPS, AGENTS, len(FEATURES)), dtype=np.float32), np.zeros((STEPS, AGENTS), dtype=bool)
    first, length = arrays["first"][()], arrays["length"][()]
    offset = np.cumsum(length) - length
    shown = np.flatnonzero((first < start + STEPS) & (first + length > start))[:AGENTS]
    for slot, i in enumerate(shown.tolist()):
        a, b = max(start, first[i]), min(start + STEPS, first[i] + length[i])
        state[a - start : b - start, slot] = arrays["state"][offset[i] + a - first[i] : offset[i] + b - first[i]]
        exists[a - start : b - start, slot] = True
    return state, exists


def batch_of(windows: list[tuple[np.ndarray, np.ndarray]]) -> tuple[torch.Tensor, torch.Tensor]:
    """States and existence of some windows, collated."""
    return torch.from_numpy(np.stack([s for s, _ in windows])), torch.from_numpy(np.stack([e for _, e in windows]))


def rivals(folder: Path, windows: ScenarioWindows) -> dict[str, Callable[[np.ndarray], object]]:
    """Readers of the caches: each takes window numbers of its cache and gives a batch."""
    import h5py

    made: dict[str, Callable[[np.ndarray], object]] = {}
    some = windows.scenarios[:CACHED_SCENARIOS]
    pickles, grouped = folder / "pickles", folder / "groups.h5"
    names = ("state", "code", "first", "length", "type")
    if not grouped.exists():
        pickles.mkdir(exist_ok=True)
        with h5py.File(grouped, "w") as file:
            for i, s in enumerate(some):
                arrays = {n: np.array(getattr(s, n)) for n in names}
                (pickles / f"{i}.pkl").write_bytes(pickle.dumps(arrays, protocol=pickle.HIGHEST_PROTOCOL))
                for n, a in arrays.items():
                    file.create_dataset(f"{i}/{n}", data=a)
    opened = h5py.File(grouped, "r")

    def start(k: int) -> tuple[int, int]:
        return k % len(some), k * 7 % (300 - STEPS)

    made["pickle"] = lambda ks: batch_of([cut(pickle.loads((pickles / f"{i}.pkl").read_bytes()), t) for i, t in map(start, ks.tolist())])
    made["hdf5"] = lambda ks: batch_of([cut(opened[str(i)], t) for i, t in map(start, ks.tolist())])  # pyrefly: ignore
    cut_pickles, cut_groups = folder / "cut", folder / "cut.h5"
    if not cut_groups.exists():
        cut_pickles.mkdir(exist_ok=True)
        with h5py.File(cut_groups, "w") as file:
            for k in range(CACHED_WINDOWS):
                i, t = start(k)
                state, exists = cut({n: getattr(some[i], n) for n in names}, t)
                (cut_pickles / f"{k}.pkl").write_bytes(pickle.dumps({"state": state, "exists": exists}, protocol=pickle.HIGHEST_PROTOCOL))
                file.create_dataset(f"{k}/state", data=state)
                file.create_dataset(f"{k}/exists", data=exists)
    ready = h5py.File(cut_groups, "r")

    def unpickled(ks: np.ndarray) -> object:
        found = [pickle.loads((cut_pickles / f"{k}.pkl").read_bytes()) for k in ks.tolist()]
        return batch_of([(f["state"], f["exists"]) for f in found])

    made["pickled windows"] = unpickled
    made["hdf5 windows"] = lambda ks: batch_of([(ready[f"{k}/state"][()], ready[f"{k}/exists"][()]) for k in ks.tolist()])
    return made


def copies(windows: ScenarioWindows, agents: int) -> dict[str, Callable[[np.ndarray], object]]:
    """Plain copies of as many bytes as `agents.state` has, of the rows it has, and the gather alone."""
    states = [s.state.reshape(-1) for s in windows.scenarios]
    size = STEPS * agents * len(FEATURES)

    def block(ks: np.ndarray) -> object:
        into = np.empty((len(ks), size), dtype=np.float32)
        for b, k in enumerate(ks.tolist()):
            source = states[k % len(states)]
            at = k * 7919 % (len(source) - size)
            into[b] = source[at : at + size]
        return into

    reader, slots, kept = windows._read.readers[0][0], windows._slots, windows._kept
    assert kept is not None
    found: dict[bytes, tuple[Any, ...]] = {}

    def place(ks: np.ndarray) -> tuple[Any, ...]:
        """Where the rows of a batch lie, looked up once: the stretches, and (target, source) slices of what exists."""
        if ks.tobytes() not in found:
            table: list[int] = []
            row: list[int] = []
            pairs: list[tuple[Any, np.ndarray]] = []
            for b, k in enumerate(ks.tolist()):
                scenario, start = windows.index[k].tolist()
                for slot, i in enumerate(kept.track[kept.begin[k] : kept.begin[k] + kept.count[k]].tolist()):
                    first, end, offset = int(slots.first[i]), int(slots.end[i]), int(slots.offset[i])
                    begin, stop = max(first, start), min(end, start + STEPS)
                    source = windows.scenarios[scenario].state[offset + begin - first : offset + stop - first]
                    pairs.append(((b, slot, slice(begin - start, stop - start)), source))
                    table.append(scenario)
                    row.append(offset + start - first)
            found[ks.tobytes()] = np.asarray(table), np.asarray(row), pairs
        return found[ks.tobytes()]

    def rows(ks: np.ndarray) -> object:
        into = np.empty((len(ks), agents, STEPS, len(FEATURES)), dtype=np.float32)
        for target, source in place(ks)[2]:
            into[target] = source
        return into

    return {"copy": block, "rows": rows, "gather": lambda ks: reader.read(*place(ks)[:2])}


def main() -> None:
    """Write what is not there yet, read in turns, print."""
    parser = argparse.ArgumentParser(description="Random window reads, side by side.")
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--dir", type=Path, required=True, help="Where the store and the caches are written, and found the next time.")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = options.dir / f"{options.gigabytes:g}-gb"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "random.twm"
    if not path.exists():
        write_store(path, scenarios(options.gigabytes * 1e9))
    begin = time.perf_counter()
    store = open_store(path)
    opened = list(store.scenarios)
    loaded = time.perf_counter() - begin
    protocol = WindowProtocol(context=20, horizon=30, stride=5, max_agents=AGENTS, entering=False)
    # All but lanes, which these scenarios have none of.
    keys = {f"agents.{name}" for name in ("state", "exists", "code", "type", "scored", "track")} | {"site", "dt", "is_first", "scenario"}
    begin = time.perf_counter()
    windows = ScenarioWindows(opened, protocol, "val", keys=keys)
    found = time.perf_counter() - begin
    print(f"{len(store):,} scenarios opened in {loaded:.1f} s, {len(windows):,} windows found in {found:.1f} s")
    for s in opened:
        s.state[::64].sum()  # into the page cache
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, len(windows), (100, options.batch))
    shape = windows.batch(numbers[0].tolist())["agents.state"].shape
    agents = shape[2]
    print(f"a batch is {list(shape)}")

    def contiguous(ks: np.ndarray) -> object:
        batch = windows.batch(ks.tolist())
        return {k: v.contiguous() for k, v in batch.items()}

    rows: dict[str, Callable[[np.ndarray], object]] = {
        "store": lambda ks: windows.batch(ks.tolist()),
        "store, contiguous": contiguous,
        **copies(windows, agents),
        **rivals(folder, windows),
    }
    fastest = {name: np.full(5 if name in ("pickle", "hdf5") else 100, np.inf) for name in rows}
    for _ in range(options.turns):
        for name, read in rows.items():
            few = numbers[: len(fastest[name])]
            gc.collect()
            gc.disable()
            for i, ks in enumerate(few % CACHED_WINDOWS if "windows" in name else few):
                begin = time.perf_counter()
                read(ks)
                fastest[name][i] = min(fastest[name][i], time.perf_counter() - begin)
            gc.enable()
    best = {name: float(seconds.mean()) / options.batch for name, seconds in fastest.items()}
    for name, seconds in best.items():
        print(f"{name:18} {1 / seconds:12,.0f} windows/s {seconds * 1e6:9.1f} us  store is {seconds / best['store']:8.2f} times as fast")
    bars = {
        "against pickle": best["pickle"] / best["store"],
        "against hdf5": best["hdf5"] / best["store"],
        "of a copy": best["store"] / best["copy"],
        "of copied rows": best["store"] / best["rows"],
        "of gather": best["store"] / best["gather"],
    }
    print(json.dumps({"batch": options.batch, "windows": len(windows), **{k: round(v, 2) for k, v in bars.items()}}))


if __name__ == "__main__":
    main()
