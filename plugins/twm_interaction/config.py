"""Config of the reader `interaction`. Torch-free and numpy-free."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from twm_core.kinds.reader import ReaderConfig


class InteractionConfig(ReaderConfig):
    """INTERACTION dataset, v1.0 to v1.2."""

    maps: Path | None = Field(
        None, description="Folder of the maps (<location>.osm); looked for as `maps` beside the tracks or above, if none."
    )
    origin_lat: float = Field(0.0, ge=-80, le=84, description="Latitude of the point that has the coordinates 0, 0.")
    origin_lon: float = Field(0.0, ge=-180, le=180, description="Longitude of the point that has the coordinates 0, 0.")
    velocity: Literal["derived", "file"] = Field(
        "derived",
        description="Velocities as backward differences of the positions, or as the files give them: smoothed forwards and backwards in"
        " time by the publisher, so that they know the future.",
    )
