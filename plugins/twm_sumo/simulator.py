"""The simulator `sumo`: a live, headless simulation to step and to intervene in.

SUMO runs in a child process (`twm_sumo.worker`), so several simulators live side by side in one process. A snapshot is the way to a
state: the seed and what was done at which step; restoring it runs that way again (about a thousand steps a second), or only its rest where
the simulator is on that way already. SUMO's own state files are not used, because they do not bring the same future back: measured with
SUMO 1.28, `loadState` leaves the random numbers of the drivers where they are, and a restart from the file forgets lane changes that are
under way, which puts those vehicles back by up to a lane's width.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from twm_core.errors import DataError, TwmError, UsageError
from twm_core.extras import need
from twm_core.simulation.interface import Frame, Simulator, Snapshot
from twm_core.simulation.interventions import Intervention
from twm_sumo.config import SumoSimulatorConfig
from twm_sumo.kinematics import accelerations, centres, heading_of
from twm_sumo.lights import controlled_lanes, lane_states, stop_points
from twm_sumo.network import read_network
from twm_sumo.sites.demand import write_demand, write_types
from twm_sumo.sites.presets import make_site, run_words
from twm_sumo.sites.site import surroundings, write_network
from twm_sumo.vehicle_types import VehicleType

Orders = list[tuple[str, dict[str, Any]]]


def build(config: SumoSimulatorConfig) -> SumoSimulator:
    """The simulator.

    Raises:
        UsageError: SUMO is not installed, or a network is given without routes.
        DataError: The network cannot be read.
    """
    return SumoSimulator(config)


class SumoSimulator(Simulator):
    """See the module and the interface.

    Attributes:
        network_file: The network, as SUMO reads it.
    """

    def __init__(self, config: SumoSimulatorConfig) -> None:
        need("sumo", "sumo")
        need_libsumo()
        if config.network and not config.routes:
            raise UsageError("simulator sumo: a network is given without routes", "name the route files too, or use a preset")
        if config.network and (missing := [p for p in (config.network, *config.routes, *config.additional) if not Path(p).is_file()]):
            raise DataError(f"simulator sumo: {', '.join(missing)} is not a file", "check the paths")
        self.config = config
        self.dt = config.dt
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._types: dict[str, VehicleType] = {}
        self._seed: int | None = None
        self._steps = 0
        self._orders: dict[int, Orders] = {}
        self._last: Frame | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="twm-sumo-")
        self._closed = False
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    def _load(self) -> None:
        """Write or find the network, and read it."""
        config = self.config
        self._site = None if config.network else make_site(config.preset, config.site)
        self.network_file = Path(config.network).absolute() if self._site is None else write_network(self._site, Path(self._folder.name))
        self._network = read_network(self.network_file)
        self.site = self.network_file.name.partition(".net.xml")[0]
        self.road = self._network.road
        self.lane_names = tuple(lane.id for lane in self._network.road.lanes)
        self.light_lanes = controlled_lanes(self._network)
        self.light_stops = stop_points(self._network, self.light_lanes)
        self._lane_number = {name: i + 1 for i, name in enumerate(self.lane_names)}
        self._identity = self._identify()

    def reset(self, seed: int | None = None) -> Frame:
        self._begin(self.config.seed if seed is None else seed)
        return self._advance([[] for _ in range(self._warmup)])

    def step(self, interventions: Sequence[Intervention] = ()) -> Frame:
        self._running()
        orders: Orders = [(type(i).__name__, asdict(i)) for i in interventions]
        return self._advance([orders])

    def save(self) -> Snapshot:
        frame = self._running()
        way = {"seed": self._seed, "steps": self._steps, "orders": sorted(self._orders.items())}
        return Snapshot(self._identity, frame.time, json.dumps(way).encode())

    def restore(self, snapshot: Snapshot) -> Frame:
        if snapshot.simulator != self._identity:
            raise DataError(
                f"the snapshot belongs to another simulator than this one of site {self.site}", "restore it in one of the same config"
            )
        way = json.loads(snapshot.state)
        orders = {int(step): [(str(kind), dict(given)) for kind, given in each] for step, each in way["orders"]}
        done = {step: each for step, each in orders.items() if step < self._steps}
        if self._seed != way["seed"] or self._steps > way["steps"] or done != self._orders or self._last is None:
            self._begin(int(way["seed"]))
        if self._last is not None and self._steps == way["steps"]:
            return self._last
        return self._advance([orders.get(step, []) for step in range(self._steps, int(way["steps"]))])

    def close(self) -> None:
        self._closed, self._last = True, None
        self._stop()
        self._folder.cleanup()

    @property
    def _warmup(self) -> int:
        """Steps to the first frame, whose time is `warmup`: SUMO's first step is that of time 0."""
        return round(self.config.warmup / self.dt) + 1

    def _running(self) -> Frame:
        if self._last is None:
            raise UsageError(
                "simulator sumo is closed" if self._closed else "simulator sumo has not begun an episode",
                "make a new one" if self._closed else "call reset first",
            )
        return self._last

    def _identify(self) -> str:
        """What a snapshot must agree with: the config without the seed, the files' contents, and SUMO's version."""
        fields = self.config.model_dump(mode="json", exclude={"seed", "network", "routes", "additional"})
        files = [self.network_file, *map(Path, (*self.config.routes, *self.config.additional) if self.config.network else ())]
        digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode())
        for file in files:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return f"sumo {self.site} {digest.hexdigest()[:16]}"

    def _begin(self, seed: int) -> None:
        if self._closed:
            raise UsageError("simulator sumo is closed", "make a new one")
        config = self.config
        routes = [Path(r).absolute() for r in config.routes]
        if self._site is not None:
            folder = Path(self._folder.name)
            routes = [folder / "types.rou.xml", folder / f"seed-{seed}.rou.xml"]
            write_types(routes[0], imperfection=config.imperfection)
            write_demand(self._site, routes[1], seconds=config.warmup + config.seconds, seed=seed, density=config.density)
        words = run_words(network=self.network_file, routes=routes, dt=self.dt, seed=seed, lane_change_seconds=config.lane_change_seconds)
        if config.network and config.additional:
            words += ["--additional-files", ",".join(str(Path(a).absolute()) for a in config.additional)]
        self._last, self._seed, self._steps = None, seed, 0
        self._orders = {}
        sizes = self._ask("begin", words, self.dt)
        self._types = {name: VehicleType(*size) for name, size in sizes.items()}

    def _advance(self, plan: Sequence[Orders]) -> Frame:
        reply = self._ask("advance", plan)
        for at, orders in enumerate(plan):
            if orders:
                self._orders[self._steps + at] = list(orders)
        self._steps += len(plan)
        self._last = self._frame(reply)
        return self._last

    def _frame(self, reply: dict[str, Any]) -> Frame:
        rows = reply["rows"]
        names, kinds, *numbers, lanes = zip(*rows, strict=True) if rows else ((),) * 8
        x, y, angle, speed, along = (np.asarray(v, dtype=np.float64) for v in numbers)
        types = [self._types[k] for k in kinds]
        size = {n: np.asarray([getattr(t, n) for t in types], dtype=np.float64) for n in ("length", "width", "height")}
        heading = heading_of(angle)
        before = heading_of(np.asarray([a if b is None else b for a, b in zip(angle, reply["before"], strict=True)], dtype=np.float64))
        on_foot = np.asarray([t.vehicle_class == "pedestrian" for t in types], dtype=bool)
        x, y = centres(x, y, heading, np.where(on_foot, 0.0, size["length"]))
        turned: NDArray[np.float64] = np.mod(heading - before + math.pi, 2 * math.pi) - math.pi
        ax, ay = accelerations(along, speed, heading, turned / self.dt)
        columns = {"x": x, "y": y, "heading": heading, "vx": speed * np.cos(heading), "vy": speed * np.sin(heading), "ax": ax, "ay": ay}
        return Frame(
            time=round(reply["time"], 6),
            names=tuple(names),
            type=np.asarray([t.agent for t in types], dtype=np.int64),
            columns=columns | size,
            lane=np.asarray([self._lane_number.get(lane, 0) for lane in lanes], dtype=np.int64),
            lights=lane_states(self._network.signals, self.light_lanes, reply["lights"]),
            events=reply["events"],
        )

    # The child process --------------------------------------------------------------------------------------------------------------

    def _ask(self, command: str, *arguments: Any) -> Any:
        if self._process is None:
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process; `_stop` closes it
            self._process = subprocess.Popen(
                [sys.executable, "-m", "twm_sumo.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=surroundings(),
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump((command, arguments), self._process.stdin)
            self._process.stdin.flush()
            status, answer = pickle.load(self._process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise TwmError(f"simulator sumo: SUMO ended: {self._said()}", "reset the simulator, or report this with its config") from error
        except BaseException:
            # Interrupted between question and answer: the next answer would belong to this question.
            self._stop()
            self._last = None
            raise
        if status == "refused":
            raise DataError(f"simulator sumo, time {self._last.time if self._last else 0:g} s: {answer}", "intervene differently")
        if status == "failed":
            said = self._said()
            raise TwmError(f"simulator sumo: SUMO refuses: {answer} ({said})", "correct the network, the routes or the intervention")
        return answer

    def _said(self) -> str:
        """The last that SUMO said; ends the process."""
        errors = self._errors
        self._stop(keep_errors=True)
        self._last = None
        if errors is None:
            return "it said nothing"
        errors.seek(0)
        lines = errors.read().decode("utf-8", "replace").strip().splitlines()
        errors.close()
        return " ".join(lines[-3:]) or "it said nothing"

    def _stop(self, *, keep_errors: bool = False) -> None:
        process, self._process = self._process, None
        errors, self._errors = self._errors, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if errors is not None and not keep_errors:
            errors.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()


def need_libsumo() -> None:
    """Check that libsumo is installed, without importing it: it is for the child process only.

    Raises:
        UsageError: It is not installed.
    """
    from importlib.util import find_spec

    if find_spec("libsumo") is None:
        need("libsumo", "sumo")
