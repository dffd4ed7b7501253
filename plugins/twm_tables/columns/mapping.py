"""The mapping file of the reader `columns`: what the columns of a table are, in which units, and how its axes lie.

`EXAMPLE` in `mapping_example` is such a file with every key explained. Keys that are not known, words that are no choice and columns that a
table lacks are refused with the name of the key.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from twm_core.data.importing.tables import WHITESPACE
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES

METRES = {"m": 1.0, "cm": 0.01, "km": 1000.0, "ft": 0.3048}
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
SPEEDS = {"m/s": 1.0, "km/h": 1 / 3.6, "mph": 0.44704, "ft/s": 0.3048, "cm/s": 0.01}
ACCELERATIONS = {"m/s^2": 1.0, "ft/s^2": 0.3048, "g": 9.80665}

Column = str | int
"""The name of a column, or its number from 1 in a file without header."""

Length = Literal["m", "cm", "km", "ft", "px"]
Positive = Annotated[float, Field(gt=0)]
Words = tuple[str | int | float, ...]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TablePart(_Part):
    """`[table]`: how files are written."""

    endings: tuple[str, ...] = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz", ".parquet")
    delimiter: str = ","
    header: bool = True
    names: tuple[str, ...] = ()
    skip_lines: Annotated[int, Field(ge=0)] = 0
    decimal: Literal[".", ","] = "."
    thousands: bool = False
    missing: Words = ()
    skip_rows_without_position: bool = False

    @model_validator(mode="after")
    def _check(self) -> TablePart:
        if self.delimiter != WHITESPACE and len(self.delimiter) != 1:
            raise ValueError(f"delimiter is {self.delimiter!r}: one character, or {WHITESPACE!r}")
        if self.delimiter == self.decimal or (self.thousands and self.decimal == ","):
            raise ValueError("one comma cannot be delimiter, decimal and thousands at once")
        return self


class ColumnPart(_Part):
    """`[track]`, `[group]`, `[site]`: a column of names."""

    column: Column


class TimePart(_Part):
    """`[time]`: a column of frames, or of times with the time between two steps."""

    column: Column
    unit: Literal["frames", "s", "ms", "us", "ns", "datetime"]
    fps: Positive | None = None
    frames_per_step: Annotated[int, Field(ge=1)] = 1
    dt: Positive | None = None

    @model_validator(mode="after")
    def _check(self) -> TimePart:
        if (self.unit == "frames") != (self.fps is not None):
            raise ValueError("fps goes with unit 'frames', and only with it")
        if (self.unit == "frames") == (self.dt is not None):
            raise ValueError("dt, the seconds between two steps, goes with times, not with frames")
        return self

    @property
    def step_seconds(self) -> float:
        """Seconds between two steps."""
        return self.frames_per_step / self.fps if self.fps is not None else self.dt or 0.0


class PositionPart(_Part):
    """`[position]`: where agents are."""

    x: Column
    y: Column
    unit: Length = "m"
    metres_per_pixel: Positive | None = None
    homography: tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]] | None = None
    y_down: bool = False
    swap: bool = False
    origin: tuple[float, float] = (0.0, 0.0)
    reference: Literal["centre", "front", "rear", "corner"] = "centre"

    @model_validator(mode="after")
    def _check(self) -> PositionPart:
        if self.unit == "px" and (self.metres_per_pixel is None) == (self.homography is None):
            raise ValueError("unit 'px' needs metres_per_pixel or homography, one of them")
        if self.unit != "px" and (self.metres_per_pixel is not None or self.homography is not None):
            raise ValueError("metres_per_pixel and homography go with unit 'px'")
        if self.homography is not None and self.reference == "corner":
            raise ValueError("reference 'corner' cannot be used with a homography")
        return self

    @property
    def metres(self) -> float:
        """Metres per unit; 1 under a homography."""
        return METRES[self.unit] if self.unit != "px" else self.metres_per_pixel or 1.0


class HeadingPart(_Part):
    """`[heading]`: angle from the file's x towards its y, or of a compass (from north, clockwise)."""

    column: Column
    unit: Literal["rad", "deg"] = "rad"
    compass: bool = False


class VelocityPart(_Part):
    """`[velocity]`: components along the file's x and y, or a speed along the heading."""

    x: Column | None = None
    y: Column | None = None
    speed: Column | None = None
    unit: Literal["m/s", "km/h", "mph", "ft/s", "cm/s"] = "m/s"

    @model_validator(mode="after")
    def _check(self) -> VelocityPart:
        if (self.x is None) != (self.y is None) or (self.x is None) == (self.speed is None):
            raise ValueError("give x and y, or speed")
        return self


class AccelerationPart(_Part):
    """`[acceleration]`: components along the file's x and y."""

    x: Column
    y: Column
    unit: Literal["m/s^2", "ft/s^2", "g"] = "m/s^2"


class SizePart(_Part):
    """`[size]`: columns."""

    length: Column | None = None
    width: Column | None = None
    height: Column | None = None
    unit: Length = "m"


class TypePart(_Part):
    """`[type]`: a column and what its values mean, or one type for all."""

    column: Column | None = None
    values: dict[str, str] = {}
    default: str = ""
    constant: str = ""

    @model_validator(mode="after")
    def _check(self) -> TypePart:
        if (self.column is None) == (not self.constant):
            raise ValueError("give a column or a constant")
        for word in (*self.values.values(), self.default, self.constant):
            if word and word not in AGENT_TYPES:
                raise ValueError(f"{word!r} is no agent type; the types are {', '.join(AGENT_TYPES)}")
        return self


class LanePart(_Part):
    """`[lane]`: names of lanes, and what says that the lane is not known."""

    column: Column
    unknown: Words = ("0", "-1")


class NeighbourPart(_Part):
    """`[leader]`, `[follower]`: tracks, and what says that there is none; nothing at all says so too."""

    column: Column
    none: Words = ("0", "-1")


class Mapping(_Part):
    """A mapping file."""

    table: TablePart = TablePart()
    track: ColumnPart
    time: TimePart
    position: PositionPart
    heading: HeadingPart | None = None
    velocity: VelocityPart | None = None
    acceleration: AccelerationPart | None = None
    size: SizePart | None = None
    type: TypePart | None = None
    lane: LanePart | None = None
    leader: NeighbourPart | None = None
    follower: NeighbourPart | None = None
    group: ColumnPart | None = None
    site: ColumnPart | None = None
    longest_gap_seconds: Positive = 5.0

    @model_validator(mode="after")
    def _check(self) -> Mapping:
        position, size = self.position, self.size
        if position.homography is not None and ((self.velocity and self.velocity.x is not None) or self.acceleration):
            raise ValueError("position.homography bends directions: leave velocity.x, velocity.y and acceleration out; they are derived")
        if position.homography is not None and self.heading and not self.heading.compass:
            raise ValueError("position.homography bends directions: leave heading out; it is derived")
        if size and size.unit == "px" and position.metres_per_pixel is None:
            raise ValueError("size.unit 'px' needs position.metres_per_pixel")
        if position.reference in ("front", "rear") and not (size and size.length is not None):
            raise ValueError(f"position.reference {position.reference!r} needs size.length")
        if position.reference == "corner" and not (size and size.length is not None and size.width is not None):
            raise ValueError("position.reference 'corner' needs size.length (along x) and size.width (along y)")
        if self.velocity and self.velocity.speed is not None and position.homography is not None:
            raise ValueError("velocity.speed cannot be used with position.homography; it is derived")
        return self

    def columns(self) -> dict[str, Column]:
        """The columns that are mapped, by the key that maps them."""
        found: dict[str, Column] = {}
        for part in ("track", "time", "position", "heading", "velocity", "acceleration", "size", "type", "lane", "leader", "follower"):
            value = getattr(self, part)
            for key in ("column", "x", "y", "speed", "length", "width", "height"):
                column = getattr(value, key, None)
                if column is not None:
                    found[f"{part}.{key}"] = column
        for part in ("group", "site"):
            value = getattr(self, part)
            if value is not None:
                found[f"{part}.column"] = value.column
        return found


def read_mapping(path: Path) -> Mapping:
    """The mapping in a file.

    Raises:
        DataError: It is not there or no TOML, or a key is unknown, missing or has an impossible value; the message names the key.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: {error}", "write a mapping file; `twm data example columns FOLDER` writes one to begin with") from error
    try:
        return Mapping.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = [part for part in first["loc"] if isinstance(part, int) or part not in ("str", "int", "float")]
        key = ".".join(map(str, where)) or "the mapping"
        said = {"extra_forbidden": "is no key of mapping files", "missing": "is missing"}.get(
            first["type"], first["msg"].removeprefix("Value error, ")
        )
        given = "" if first["type"] in ("missing", "value_error", "extra_forbidden") else f" (given: {str(first['input'])[:60]!r})"
        raise DataError(
            f"{path}: {key}: {said}{given}", "`twm data example columns FOLDER` writes a mapping with every key explained"
        ) from error
