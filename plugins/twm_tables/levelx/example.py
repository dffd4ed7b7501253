"""A recording of highD and one of exiD as levelXData writes them; made up, for tests and as a pattern."""

from __future__ import annotations

import math
from pathlib import Path

HIGHD_TRACKS = (
    "frame,id,x,y,width,height,xVelocity,yVelocity,xAcceleration,yAcceleration,frontSightDistance,backSightDistance,dhw,thw,ttc,"
    "precedingXVelocity,precedingId,followingId,leftPrecedingId,leftAlongsideId,leftFollowingId,rightPrecedingId,rightAlongsideId,"
    "rightFollowingId,laneId"
)
HIGHD_META = (
    "id,width,height,initialFrame,finalFrame,numFrames,class,drivingDirection,traveledDistance,minXVelocity,maxXVelocity,meanXVelocity,"
    "minDHW,minTHW,minTTC,numLaneChanges"
)
HIGHD_RECORDING = (
    "id,frameRate,locationId,speedLimit,month,weekDay,startTime,duration,totalDrivenDistance,totalDrivenTime,numVehicles,numCars,numTrucks,"
    "upperLaneMarkings,lowerLaneMarkings"
)
EXID_TRACKS = (
    "recordingId,trackId,frame,trackLifetime,xCenter,yCenter,heading,width,length,xVelocity,yVelocity,xAcceleration,yAcceleration,"
    "lonVelocity,latVelocity,lonAcceleration,latAcceleration,traveledDistance,latLaneCenterOffset,laneWidth,laneletId,laneChange,"
    "lonLaneletPos,laneletLength,leadDHW,leadDV,leadTHW,leadTTC,leadId,rearId,leftLeadId,leftRearId,leftAlongsideId,rightLeadId,"
    "rightRearId,rightAlongsideId,odrRoadId,odrSectionNo,odrLaneId"
)
EXID_META = "recordingId,trackId,initialFrame,finalFrame,numFrames,width,length,class"
EXID_RECORDING = (
    "recordingId,locationId,frameRate,speedLimit,weekday,startTime,duration,numTracks,numVehicles,numVRUs,latLocation,lonLocation,"
    "xUtmOrigin,yUtmOrigin,orthoPxToMeter"
)


def write_example(folder: Path) -> list[Path]:
    """Write `highD/01_*.csv` and `exiD/07_*.csv`: in each one agent that comes late and one that leaves early."""
    _highd(folder / "highD")
    _exid(folder / "exiD")
    return [folder]


def _write(path: Path, header: str, rows: list[list[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")


def _highd(folder: Path) -> None:
    tracks: list[list[object]] = []
    meta: list[list[object]] = []
    # id, first frame, frames, x and y of the corner, length, width, m/s, lane, preceding, following, class
    for number, first, frames, x, y, length, width, speed, lane, ahead, behind, kind in (
        (1, 1, 40, 380.0, 13.5, 4.4, 1.9, -34.0, 3, 0, 0, "Car"),
        (2, 1, 40, 60.0, 26.0, 16.5, 2.5, 24.0, 6, 0, 3, "Truck"),
        (3, 1, 25, 10.0, 26.2, 4.8, 2.0, 25.0, 6, 2, 0, "Car"),
        (4, 12, 29, 0.0, 21.9, 4.1, 1.8, 38.0, 5, 0, 0, "Car"),
    ):
        for i in range(frames):
            motion = [f"{x + speed * i / 25:.2f}", f"{y:.2f}", length, width, f"{speed:.2f}", "0.00", "0.00", "0.00"]
            near = [ahead, behind if behind != 3 or first + i < 26 else 0]
            tracks.append([first + i, number, *motion, *["0.00"] * 6, *near, *[0] * 6, lane])
        toward = 1 if speed < 0 else 2
        meta.append([number, length, width, first, first + frames - 1, frames, kind, toward, 0, 0, 0, 0, -1, -1, -1, 0])
    _write(folder / "01_tracks.csv", HIGHD_TRACKS, tracks)
    _write(folder / "01_tracksMeta.csv", HIGHD_META, meta)
    row: list[object] = [1, 25, 2, "-1.00", "9.2017", "Tue", "08:38", 1.6, 0, 0, 4, 3, 1, "8.51;12.59;16.43", "21.00;24.96;28.80"]
    _write(folder / "01_recordingMeta.csv", HIGHD_RECORDING, [row])


def _exid(folder: Path) -> None:
    tracks: list[list[object]] = []
    meta: list[list[object]] = []
    angle = 151.5
    # id, first frame, frames, metres along, length, width, m/s, lanelets, lead, rear, class
    for number, first, frames, along, length, width, speed, lanelet, ahead, behind, kind in (
        (0, 0, 40, 90.0, 4.6, 2.0, 30.0, "1502", -1, 1, "car"),
        (1, 0, 40, 40.0, 12.2, 2.5, 24.0, "1502;1503", 0, -1, "truck"),
        (2, 10, 30, 5.0, 5.4, 2.1, 33.0, "1503", -1, -1, "van"),
        (3, 0, 25, 60.0, 2.2, 0.8, 28.0, "", -1, -1, "motorcycle"),
    ):
        for i in range(frames):
            s = along + speed * i / 25
            x, y = 100.0 + s * math.cos(math.radians(angle)), -80.0 - 4.0 * number + s * math.sin(math.radians(angle))
            vx, vy = speed * math.cos(math.radians(angle)), speed * math.sin(math.radians(angle))
            pose = [f"{x:.5f}", f"{y:.5f}", angle, width, length, f"{vx:.4f}", f"{vy:.4f}", 0.0, 0.0, speed, 0.0, 0.0, 0.0]
            lane = [0.0, "0.1", "3.75", lanelet, 0, "10.0", "250.0", -1, -1000, -1, -1]
            near = [ahead, behind, -1, -1, "-1", -1, -1, "-1", 1, 1, -2]
            tracks.append([7, number, first + i, i, *pose, *lane, *near])
        meta.append([7, number, first, first + frames - 1, frames, width, length, kind])
    _write(folder / "07_tracks.csv", EXID_TRACKS, tracks)
    _write(folder / "07_tracksMeta.csv", EXID_META, meta)
    row: list[object] = [7, 0, 25.0, -1.0, "tuesday", 10, 1.6, 4, 4, 0, 50.86, 6.91, 352930.5, 5637210.25, 0.0959]
    _write(folder / "07_recordingMeta.csv", EXID_RECORDING, [row])
