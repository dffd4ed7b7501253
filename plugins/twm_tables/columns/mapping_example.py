"""A mapping file with every key explained, and a table that it fits; made up, for tests and to begin with."""

from __future__ import annotations

import math
from pathlib import Path

EXAMPLE = """# What the columns of a table are, for `twm data import columns` (or `twm data import --map columns.toml`).
# Needed are [track], [time] and [position]; leave out what your table does not have.
# A column is given by its name, or by its number from 1 where the file has no header.

longest_gap_seconds = 5.0  # a track that is away for longer begins anew under another name

[table]
delimiter = ";"            # one character, "\\t", or "whitespace" for any run of blanks and tabs
header = true              # false: the first line holds values; columns are then 1, 2, 3, ...
# names = ["id", "t"]      # names for the columns of a file without header (with header = false)
# skip_lines = 0           # lines before the header
# decimal = "."            # or ","
# thousands = false        # true: commas between thousands
# endings = [".csv"]       # which files of a folder are tables
missing = ["-999"]         # what stands for "no value", beside nothing at all, NaN, NA, null and None
# skip_rows_without_position = false  # true: leave them out and count them; false: refuse them

[track]
column = "ID"

[time]
column = "Time [ms]"
unit = "ms"                # frames (with fps, and frames_per_step), s, ms, us, ns or datetime (with dt)
dt = 0.1                   # seconds between two steps
# fps = 30.0
# frames_per_step = 1      # 10 where only every tenth frame was annotated

[position]
x = "X"
y = "Y"
unit = "px"                # m, cm, km, ft or px
metres_per_pixel = 0.05    # with px; or homography = [[..3..], [..3..], [..3..]], from pixels to metres
y_down = true              # y grows downwards, as in pictures
swap = false               # x and y change places (after y_down)
origin = [1000.0, 2000.0]  # metres that are added in the end, as an UTM offset
reference = "front"        # what the position is of: centre, front or rear of the box, or its corner of smallest x and y

[heading]
column = "Angle"
unit = "deg"               # or rad
compass = false            # false: from the file's x towards its y; true: from north (y) clockwise

[velocity]
speed = "Speed"            # along the heading; or x = .. and y = ..
unit = "km/h"              # m/s, km/h, mph, ft/s, cm/s

# [acceleration]           # x = .., y = .., unit m/s^2, ft/s^2 or g

[size]
length = "L"
width = "W"                # and height
unit = "m"                 # m, cm, km, ft or px

[type]
column = "Class"           # or constant = "car"
values = { PKW = "car", LKW = "truck", Rad = "bicycle" }
default = "other"          # for values that are not named; without it they are an error

[lane]
column = "Lane"
unknown = ["0"]            # lanes that are none

[leader]
column = "Ahead"
none = ["0"]               # what stands for "nobody"

# [follower]               # likewise
# [group]                  # column = "..": the recording that a row belongs to, where a file holds several
# [site]                   # column = "..": the place; the folder's name otherwise
"""


def write_example(folder: Path) -> list[Path]:
    """Write `columns.toml` and `junction/morning.csv`: four agents at 10 Hz, one late, one gone early."""
    (folder / "junction").mkdir(parents=True, exist_ok=True)
    (folder / "columns.toml").write_text(EXAMPLE, encoding="utf-8")
    rows = ["ID;Time [ms];X;Y;Angle;Speed;L;W;Class;Lane;Ahead"]
    # id, first step, steps, x, y (pixels), degrees in the picture, km/h, length, width, class, lane, the one ahead
    for name, first, steps, x, y, angle, speed, length, width, kind, lane, ahead in (
        ("a", 0, 30, 1200.0, 800.0, 0.0, 36.0, 4.5, 1.8, "PKW", 1, 0),
        ("b", 0, 30, 900.0, 800.0, 0.0, 39.6, 9.5, 2.5, "LKW", 1, "a"),
        ("c", 8, 22, 1500.0, 700.0, 180.0, 54.0, 4.2, 1.7, "PKW", 2, 0),
        ("d", 0, 21, 1400.0, 300.0, 90.0, 18.0, "-999", "-999", "Rad", 0, 0),
    ):
        for i in range(steps):
            far = speed / 3.6 * 0.1 * i / 0.05
            px, py = x + far * math.cos(math.radians(angle)), y + far * math.sin(math.radians(angle))
            rows.append(f"{name};{100 * (first + i)};{px:.2f};{py:.2f};{angle};{speed};{length};{width};{kind};{lane};{ahead}")
    (folder / "junction" / "morning.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return [folder]
