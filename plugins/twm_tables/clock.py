"""Times as files write them: seconds, milliseconds, or date and time of day."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from twm_core.data.importing.tables import read_table
from twm_core.errors import DataError


def parse_time(text: str) -> float | None:
    """Seconds since 1970 (or since midnight, where there is no date, or since whatever a number counts from); None for no time.

    Numbers above 1e14 are microseconds and those above 1e11 milliseconds, since seconds do not reach so far; dates without a zone are UTC.
    """
    text = text.strip()
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text):
        number = float(text)
        return number / 1e6 if abs(number) > 1e14 else number / 1e3 if abs(number) > 1e11 else number
    clock = re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?", text)
    if clock:
        return int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3] or 0)
    try:
        moment = datetime.fromisoformat(text.replace("/", "-"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def seconds_of(path: Path, *, frame: str, time: str, fps: float) -> float:
    """The time of frame 0 of a table, from its first row that has a time; 0 where none is given.

    Raises:
        DataError: That row's time cannot be understood.
    """
    for chunk in read_table(path, {frame: "int", time: "str"}, optional=(time,)):
        if time not in chunk:
            return 0.0
        for row in range(len(chunk)):
            text = str(chunk[time][row])
            if text:
                seconds = parse_time(text)
                if seconds is None or not abs(seconds) < 1e12:
                    raise DataError(
                        f"{path}, row {chunk.line[row]}, column {time!r}: {text[:40]!r} is no time",
                        "write seconds, milliseconds, or a date and time such as 2025-05-01T08:00:00.5",
                    )
                return seconds - int(chunk[frame][row]) / fps
        break  # The first block has no time; the rest is not worth reading again.
    return 0.0
