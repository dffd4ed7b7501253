"""The inside of a live simulation: libsumo, stepped and intervened in. Runs in a process of its own (`twm_sumo.worker`).

libsumo is one simulation per process and ends the process on some errors, hence the own process: several simulators may live side by
side, and an accident inside SUMO is an error, not the end of a training run.

What is sent back is plain: lists and numbers as SUMO gives them (front bumper, degrees). Interventions come as (kind, fields).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import libsumo

Row = tuple[str, str, float, float, float, float, float, str]
"""Name, type, x, y, angle, speed, acceleration, lane."""

Order = tuple[str, dict[str, Any]]
"""An intervention: the name of its class and its fields."""

_NOWHERE = -1e8  # SUMO gives a huge negative position for who is not on the road (while being teleported)
_COMFORTABLE = 2.0
_USUAL, _NO_HEED = 31, 0  # speed modes: heed traffic, limits and lights; heed nothing


class RefusedError(Exception):
    """An intervention cannot be carried out; the world has not moved."""


class World:
    """One simulation; `begin` starts it, and starts it anew.

    Attributes:
        dt: Seconds of a step.
    """

    def __init__(self) -> None:
        self.dt = 0.0
        self._running = False
        self._steps = 0
        self._held: dict[str, Callable[[], bool]] = {}
        self._seen: set[str] = set()
        self._angles: dict[str, float] = {}

    def begin(self, words: Sequence[str], dt: float) -> dict[str, tuple[float, float, float, str]]:
        """Start a simulation; length, width, height and class of every vehicle type."""
        if self._running:
            libsumo.load(list(words))
        else:
            libsumo.start(["sumo", *words])
        self.dt, self._running, self._steps = dt, True, 0
        for forgotten in (self._held, self._seen, self._angles):
            forgotten.clear()
        types = libsumo.vehicletype
        return {t: (types.getLength(t), types.getWidth(t), types.getHeight(t), types.getVehicleClass(t)) for t in types.getIDList()}

    def advance(self, plan: Sequence[Sequence[Order]]) -> dict[str, Any]:
        """One step per entry of `plan`, with its interventions; what is seen after the last one.

        Raises:
            RefusedError: An intervention of an entry cannot be carried out; the entries before it have been.
        """
        events: dict[str, int] = {}
        added: list[str] = []
        for left, orders in zip(range(len(plan) - 1, -1, -1), plan, strict=True):
            for order in orders:
                self._check(order)
            added = [a for order in orders if (a := self._carry_out(order)) is not None]
            self._held = {key: hold for key, hold in self._held.items() if hold()}
            libsumo.simulationStep()
            self._steps += 1
            self._seen.update(libsumo.simulation.getDepartedIDList())
            if left == 1:
                self._angles = {row[0]: row[4] for row in self._rows()}
        events["collisions"] = len(libsumo.simulation.getCollisions())
        events["teleports"] = libsumo.simulation.getStartingTeleportNumber()
        events["emergency stops"] = libsumo.simulation.getEmergencyStoppingVehiclesNumber()
        here = set(libsumo.vehicle.getIDList())
        for name in added:
            if name not in here:
                events["added agents that found no room"] = events.get("added agents that found no room", 0) + 1
                libsumo.vehicle.remove(name)
        rows = self._rows()
        before, self._angles = self._angles, {row[0]: row[4] for row in rows}
        lights = libsumo.trafficlight
        return {
            "time": (self._steps - 1) * self.dt,
            "rows": rows,
            "before": [before.get(row[0]) for row in rows],
            "lights": {light: lights.getRedYellowGreenState(light) for light in lights.getIDList()},
            "events": {name: n for name, n in events.items() if n},
        }

    def _rows(self) -> list[Row]:
        rows = []
        for name in sorted(libsumo.vehicle.getIDList()):
            x, y = libsumo.vehicle.getPosition(name)
            if x > _NOWHERE:
                v = libsumo.vehicle
                rest = (v.getAngle(name), v.getSpeed(name), v.getAcceleration(name), v.getLaneID(name))
                rows.append((name, v.getTypeID(name), x, y, *rest))
        for name in sorted(libsumo.person.getIDList()):
            x, y = libsumo.person.getPosition(name)
            if x > _NOWHERE:
                p = libsumo.person
                rows.append((name, p.getTypeID(name), x, y, p.getAngle(name), p.getSpeed(name), 0.0, ""))
        return rows

    # Interventions -----------------------------------------------------------------------------------------------------------------

    def _check(self, order: Order) -> None:
        kind, given = order
        if kind == "Add":
            self._check_add(given)
        elif kind == "SetLights":
            self._check_lights(given)
        else:
            agent = given["agent"]
            if agent not in libsumo.vehicle.getIDList():
                raise RefusedError(f"there is no vehicle {agent!r} on the road")
            if kind == "ChangeLane":
                road, lane = libsumo.vehicle.getRoadID(agent), libsumo.vehicle.getLaneIndex(agent) + given["lanes"]
                if not 0 <= lane < libsumo.edge.getLaneNumber(road):
                    raise RefusedError(f"vehicle {agent!r} on {libsumo.vehicle.getLaneID(agent)} has no lane {given['lanes']:+d} from it")
            elif kind == "ChangeRoute":
                route = libsumo.vehicle.getRoute(agent)
                here = route[max(0, libsumo.vehicle.getRouteIndex(agent))]
                self._way(here, given["destination"], libsumo.vehicle.getTypeID(agent))
        if given.get("seconds", 1.0) <= 0 or given.get("speed", 0.0) < 0:
            raise RefusedError(f"{kind} with {given}: seconds must be above 0 and speeds not below it")

    def _check_add(self, given: dict[str, Any]) -> None:
        if given["agent"] in self._seen or given["agent"] in libsumo.vehicle.getIDList():
            raise RefusedError(f"the name {given['agent']!r} was used in this episode")
        if given["kind"] not in libsumo.vehicletype.getIDList():
            raise RefusedError(f"there is no vehicle type {given['kind']!r}; there are {', '.join(libsumo.vehicletype.getIDList())}")
        if given["lane"] not in libsumo.lane.getIDList() or given["lane"].startswith(":"):
            raise RefusedError(f"there is no lane {given['lane']!r} to enter on (lanes inside junctions are none)")
        if not 0 <= given["position"] <= libsumo.lane.getLength(given["lane"]):
            raise RefusedError(f"lane {given['lane']} is {libsumo.lane.getLength(given['lane']):.1f} m long, got {given['position']:g}")
        self._entry(given)

    def _check_lights(self, given: dict[str, Any]) -> None:
        lights = libsumo.trafficlight
        if given["light"] not in lights.getIDList():
            raise RefusedError(f"there is no traffic light {given['light']!r}; there are {', '.join(lights.getIDList()) or 'none'}")
        length = len(lights.getRedYellowGreenState(given["light"]))
        if len(given["state"]) != length or set(given["state"]) - set("ruyYgGsoO"):
            raise RefusedError(
                f"light {given['light']} has {length} signals; {given['state']!r} must have a letter out of ruyYgGsoO for each"
            )

    def _entry(self, given: dict[str, Any]) -> list[str]:
        """The edges that an added vehicle drives along."""
        begin = libsumo.lane.getEdgeID(given["lane"])
        if given["destination"]:
            return self._way(begin, given["destination"], given["kind"])
        route, lane = [begin], given["lane"]
        while len(route) < 100:
            links = libsumo.lane.getLinks(lane)
            if not links:
                break
            lane = links[0][0]
            edge = libsumo.lane.getEdgeID(lane)
            if edge in route:
                break
            route.append(edge)
        return route

    def _way(self, begin: str, destination: str, kind: str) -> list[str]:
        if destination not in libsumo.edge.getIDList():
            raise RefusedError(f"there is no road {destination!r}")
        route = list(libsumo.simulation.findRoute(begin, destination, kind).edges)
        if not route:
            raise RefusedError(f"no way leads from {begin} to {destination}")
        return route

    def _carry_out(self, order: Order) -> str | None:
        """Begin an intervention; the name of the agent that it adds."""
        kind, given = order
        vehicle = libsumo.vehicle
        agent = given.get("agent", "")
        match kind:
            case "SetSpeed":
                self._hold(agent, self._for(given["seconds"], lambda: vehicle.setSpeed(agent, given["speed"]), lambda: self._free(agent)))
            case "SetAcceleration":
                vehicle.setSpeedMode(agent, _NO_HEED)
                self._hold(
                    agent,
                    self._for(
                        given["seconds"],
                        lambda: vehicle.setSpeed(agent, max(0.0, vehicle.getSpeed(agent) + given["acceleration"] * self.dt)),
                        lambda: self._free(agent),
                    ),
                )
            case "Stop":
                self._hold(agent, self._stop(agent, given["seconds"]))
            case "ChangeLane":
                vehicle.changeLane(agent, vehicle.getLaneIndex(agent) + given["lanes"], given["seconds"])
            case "ChangeRoute":
                vehicle.changeTarget(agent, given["destination"])
            case "Remove":
                self._held.pop(agent, None)
                vehicle.remove(agent)
            case "Add":
                libsumo.route.add(f"way of {agent}", self._entry(given))
                lane, place = given["lane"].rpartition("_")[2], (str(given["position"]), str(given["speed"]))
                vehicle.add(agent, f"way of {agent}", given["kind"], "now", lane, *place)
                return str(agent)
            case "SetLights":
                light, programme = given["light"], libsumo.trafficlight.getProgram(given["light"])
                show = libsumo.trafficlight.setRedYellowGreenState
                self._hold(
                    f"light {light}",
                    self._for(
                        given["seconds"],
                        lambda: show(light, given["state"]),
                        lambda: libsumo.trafficlight.setProgram(light, programme),
                    ),
                )
            case _:
                raise RefusedError(f"SUMO knows no intervention {kind}")
        return None

    def _hold(self, key: str, hold: Callable[[], bool]) -> None:
        """Let `hold` act before every step until it says no; a newer one of the same agent takes its place."""
        self._held[key] = hold

    def _for(self, seconds: float, act: Callable[[], None], end: Callable[[], None]) -> Callable[[], bool]:
        left = max(1, round(seconds / self.dt))

        def hold() -> bool:
            nonlocal left
            left -= 1
            if left < 0:
                end()
                return False
            act()
            return True

        return self._while_there(hold)

    def _stop(self, agent: str, seconds: float) -> Callable[[], bool]:
        left = max(1, round(seconds / self.dt))

        def hold() -> bool:
            nonlocal left
            speed = libsumo.vehicle.getSpeed(agent)
            left -= speed == 0
            if left < 0:
                self._free(agent)
                return False
            libsumo.vehicle.setSpeed(agent, max(0.0, speed - _COMFORTABLE * self.dt))
            return True

        return self._while_there(hold)

    def _while_there(self, hold: Callable[[], bool]) -> Callable[[], bool]:
        """A hold that ends when its vehicle has left the road."""

        def guarded() -> bool:
            try:
                return hold()
            except libsumo.TraCIException:
                return False

        return guarded

    def _free(self, agent: str) -> None:
        libsumo.vehicle.setSpeed(agent, -1)
        libsumo.vehicle.setSpeedMode(agent, _USUAL)
