"""Two clips as the `drone-csv` format has them, and the size of their pixels; made up, for tests and as a pattern."""

from __future__ import annotations

import math
from pathlib import Path

HEADER = (
    "track_id,frame,center_x,center_y,width,height,angle,x1,y1,x2,y2,x3,y3,x4,y4,confidence,class_id,site,lane,preceding_id,following_id,"
    "timestamp"
)
METRES_PER_PIXEL = 0.05


def write_example(folder: Path) -> list[Path]:
    """Write `A/drone_1.csv`, `A/drone_2.csv` and `sites.toml`: cars on a road, one late, one gone early, one with a gap; frames 30 Hz."""
    (folder / "A").mkdir(parents=True, exist_ok=True)
    for clip in (1, 2):
        rows = [HEADER]
        # track, first frame, frames, first x (pixels), pixels per frame, class, lane, the one ahead, the one behind
        for track, first, frames, x, speed, kind, lane, ahead, behind in (
            (1, 0, 60, 900.0, 9.0, 1, "101", None, 2),
            (2, 0, 60, 500.0, 8.5, 1, "101", 1, None),
            (3, 20, 40, 300.0, 7.0, 2, "102", 4, None),
            (4, 0, 35, 700.0, 6.0, 0, "102", None, 3),
        ):
            length, width = {0: (220.0, 52.0), 1: (90.0, 38.0), 2: (160.0, 50.0)}[kind]
            for i in range(frames):
                if track == 2 and i in (30, 31):
                    continue  # Not detected for two frames.
                frame, cx, cy, angle = first + i, x + speed * i, 400.0 + 70 * int(lane[-1]) + 0.3 * i, math.atan2(0.3, speed)
                corners = [
                    (
                        cx + a * length / 2 * math.cos(angle) - b * width / 2 * math.sin(angle),
                        cy + a * length / 2 * math.sin(angle) + b * width / 2 * math.cos(angle),
                    )
                    for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1))
                ]
                there = {4: frame < 35, 3: frame >= 20}
                near = [str(n) if n and there.get(n, True) else "" for n in (ahead, behind)]
                numbers = [cx, cy, length, width, angle, *(value for corner in corners for value in corner), 0.95]
                cells = [str(track), str(frame), *(f"{v:.4f}" for v in numbers), str(kind), "Site A", "0" if i < 3 else lane, *near]
                rows.append(",".join([*cells, f"{1746086400 + 100 * clip + frame / 30:.4f}"]))
        (folder / "A" / f"drone_{clip}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "sites.toml").write_text(f"[A]\nmetres_per_pixel = {METRES_PER_PIXEL}\n", encoding="utf-8")
    return [folder]
