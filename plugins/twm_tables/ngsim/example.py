"""A combined NGSIM table as the US Department of Transportation writes it; made up, for tests and as a pattern."""

from __future__ import annotations

from pathlib import Path

HEADER = (
    "Vehicle_ID,Frame_ID,Total_Frames,Global_Time,Local_X,Local_Y,Global_X,Global_Y,v_length,v_Width,v_Class,v_Vel,v_Acc,Lane_ID,O_Zone,"
    "D_Zone,Int_ID,Section_ID,Direction,Movement,Preceding,Following,Space_Headway,Time_Headway,Location"
)


def write_example(folder: Path) -> list[Path]:
    """Write `ngsim.csv`: two periods of a freeway with the same vehicle numbers, rows by vehicle, one of them twice."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [HEADER]
    for base in (1118846978900, 1118847868900):
        # vehicle, first frame, frames, lane, feet at the first frame, feet per second, length, width, class, preceding, following
        for vehicle, first, frames, lane, y, speed, length, width, kind, ahead, behind in (
            (2, 10, 40, 2, 300.0, 52.0, 14.5, 4.9, 2, 0, 4),
            (4, 10, 40, 2, 180.0, 50.0, 48.0, 8.0, 3, 2, 0),
            (7, 22, 28, 3, 90.0, 61.5, 7.0, 3.0, 1, 0, 0),
            (9, 10, 25, 1, 400.0, 66.0, 15.0, 6.0, 2, 0, 0),
        ):
            for i in range(frames):
                frame, along, across = first + i, y + speed * 0.1 * i, 12.0 * lane - 6.0 + 0.02 * i
                cells = [vehicle, frame, frames, base + 100 * frame, f"{across:.3f}", f"{along:.3f}", f"{6451137.6 + along * 0.7:.3f}"]
                cells += [f"{1873344.9 - along * 0.7:.3f}", length, width, kind, speed, 0.0, lane, "", "", "", "", "", ""]
                cells += [ahead, behind, 0.0, 0.0, "us-101"]
                rows.append(",".join(map(str, cells)))
        rows.append(rows[-1])
    (folder / "ngsim.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return [folder / "ngsim.csv"]
