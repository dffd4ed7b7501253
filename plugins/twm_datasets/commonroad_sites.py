"""Places of CommonRoad files, from their benchmark ids: `USA_US101-3_1_T-1` is the first scenario on map 3 of US101."""

from __future__ import annotations

import re

ONE_ROAD = ("US101", "I80")
"""Places whose numbered maps are stretches of one road."""

_BENCHMARK = re.compile(r"(?:C-)?[A-Z]{3}_(?P<map>[^_]+)_.*")


def site_of(benchmark: str) -> str:
    """The place of a benchmark id: `USA_US101-3_1_T-1` is at `US101`, `USA_Lanker-2_16_T-1` at `Lanker-2`."""
    match = _BENCHMARK.fullmatch(benchmark)
    name = match["map"] if match else benchmark
    road = name.split("-")[0]
    return road if road in ONE_ROAD else name
