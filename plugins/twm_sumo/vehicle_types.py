"""Sizes and kinds of SUMO's vehicle types, from the route and additional files that define them.

A `vType` states length, width and height (metres), or leaves them to its vehicle class; the defaults below are those of SUMO 1.28 and are
tested against it. FCD output names the type of each agent but not its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_sumo.xml_stream import number, tags, text

_CAR, _VAN, _RAIL = (5.0, 1.8, 1.5), (6.5, 2.16, 2.86), (200.0, 2.95, 3.89)

CLASS_SIZES: dict[str, tuple[float, float, float]] = {
    **dict.fromkeys(
        ("passenger", "private", "army", "authority", "vip", "hov", "taxi", "evehicle", "cable_car", "custom1", "custom2"), _CAR
    ),
    **dict.fromkeys(("emergency", "delivery"), _VAN),
    "bus": (12.0, 2.5, 3.4),
    "coach": (14.0, 2.6, 4.0),
    "truck": (7.1, 2.4, 2.4),
    "trailer": (16.5, 2.55, 4.0),
    "motorcycle": (2.2, 0.9, 1.5),
    "moped": (2.1, 0.78, 1.7),
    "bicycle": (1.6, 0.65, 1.7),
    "scooter": (1.2, 0.5, 1.7),
    "pedestrian": (0.215, 0.478, 1.719),
    "wheelchair": (1.2, 0.72, 1.2),
    "tram": (22.0, 2.4, 3.2),
    **dict.fromkeys(("rail_urban", "subway"), (109.5, 3.0, 3.6)),
    "rail": (135.0, 2.84, 3.75),
    **dict.fromkeys(("rail_electric", "rail_fast"), _RAIL),
    "ship": (17.0, 4.0, 4.0),
    "container": (6.096, 2.438, 2.591),
    "aircraft": (72.7, 79.8, 1.5),
    "drone": (0.5, 0.5, 1.5),
}
"""Default length, width and height of each vehicle class, metres."""

_AGENT_TYPES = {
    **dict.fromkeys(("passenger", "private", "army", "authority", "vip", "hov", "taxi", "evehicle", "emergency"), "car"),
    **dict.fromkeys(("delivery", "truck", "trailer"), "truck"),
    **dict.fromkeys(("bus", "coach"), "bus"),
    **dict.fromkeys(("motorcycle", "moped"), "motorcycle"),
    "bicycle": "bicycle",
    "pedestrian": "pedestrian",
}

DEFAULT_TYPES = {
    "DEFAULT_VEHTYPE": "passenger",
    "DEFAULT_PEDTYPE": "pedestrian",
    "DEFAULT_BIKETYPE": "bicycle",
    "DEFAULT_TAXITYPE": "taxi",
    "DEFAULT_RAILTYPE": "rail",
    "DEFAULT_CONTAINERTYPE": "container",
}
"""The types that SUMO defines itself, and their classes."""


@dataclass(frozen=True)
class VehicleType:
    """Size in metres and class; `agent` is the index into `AGENT_TYPES`."""

    length: float
    width: float
    height: float
    vehicle_class: str

    @property
    def agent(self) -> int:
        """Index into `twm_core.specs.AGENT_TYPES`; classes without an own entry count as `other`."""
        return AGENT_TYPES.index(_AGENT_TYPES.get(self.vehicle_class, "other"))


def read_vehicle_types(files: Sequence[Path]) -> dict[str, VehicleType]:
    """All vehicle types that these files define, and SUMO's own.

    Raises:
        DataError: A file is malformed, a size is not positive, a class is unknown, or two files define a type differently.
    """
    found = {name: VehicleType(*CLASS_SIZES[c], c) for name, c in DEFAULT_TYPES.items()}
    where_defined: dict[str, str] = {}
    for file in files:
        for name, attributes, line in tags(file):
            if name != "vType":
                continue
            where = f"{file.name}, line {line}"
            identity = text(attributes, "id", where)
            inherited = DEFAULT_TYPES.get(identity, "passenger")
            vehicle_class = attributes.get("vClass", inherited)
            if vehicle_class not in CLASS_SIZES:
                raise DataError(f"{where}: vehicle class {vehicle_class!r} is unknown", f"SUMO's classes are {', '.join(CLASS_SIZES)}")
            defaults = zip(("length", "width", "height"), CLASS_SIZES[vehicle_class], strict=True)
            sizes = [number(attributes.get(n, str(default)), f"{n} of type {identity}", where) for n, default in defaults]
            if min(sizes) <= 0 or max(sizes) > 1000:
                raise DataError(f"{where}: type {identity} is {' x '.join(f'{s:g}' for s in sizes)} m", "sizes are metres above 0")
            new = VehicleType(sizes[0], sizes[1], sizes[2], vehicle_class)
            if identity in where_defined and found[identity] != new:
                raise DataError(
                    f"{where}: type {identity} is defined differently in {where_defined[identity]}",
                    "name the files that belong to this FCD output with the option types",
                )
            found[identity], where_defined[identity] = new, where
    return found
