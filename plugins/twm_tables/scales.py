"""How large a pixel is: a table per site in a TOML file.

[A]
metres_per_pixel = 0.0512
fps = 29.97  # where it differs from the reader's
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from twm_core.errors import DataError

FILE = "sites.toml"


@dataclass(frozen=True)
class Scale:
    """Of one site: metres per pixel, and frames per second where the file gives them."""

    metres_per_pixel: float
    fps: float | None = None


def find_scales(paths: Sequence[Path]) -> Path | None:
    """The file `sites.toml` in one of the folders, beside one of the files, or one folder above."""
    for path in paths:
        folder = path if path.is_dir() else path.parent
        for place in (folder, folder.parent):
            if (place / FILE).is_file():
                return place / FILE
    return None


def read_scales(path: Path) -> dict[str, Scale]:
    """The scales in a file, by site.

    Raises:
        DataError: The file is not there or no TOML, a key is unknown, or a value is no positive number.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: {error}", "a table per site: [A], metres_per_pixel = 0.05") from error
    scales = {}
    for site, table in data.items():
        if not isinstance(table, dict) or "metres_per_pixel" not in table:
            raise DataError(f"{path}: {site} has no metres_per_pixel", f"write [{site}] and, below it, metres_per_pixel = 0.05")
        for key, value in table.items():
            if key not in ("metres_per_pixel", "fps"):
                raise DataError(f"{path}: [{site}] has the unknown key {key!r}", "the keys are metres_per_pixel and fps")
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
                raise DataError(f"{path}: [{site}] {key} is {value!r}, not a positive number", "correct it")
        scales[site] = Scale(float(table["metres_per_pixel"]), float(table["fps"]) if "fps" in table else None)
    return scales
