"""Every kind of recording at hand imports, validates and draws through the command line, with the counts that a careful look gave.

The files are not part of the project; where they are absent these tests are skipped. (The Lyft scene has no reader.)
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from twm_cli.main import main

DATA = Path(__file__).parents[1].parent / "shared" / "data"

VTP_TL = """
[table]
delimiter = "\\t"
header = false
[track]
column = 2
[time]
column = 1
unit = "frames"
fps = 30.0
[position]
x = 3
y = 4
unit = "px"
metres_per_pixel = 0.05
y_down = true
[type]
constant = "car"
"""
"""Frame rate and scale are not published; these stand in for them."""

SOURCES = {
    "commonroad": ("commonroad_ngsim", 20, 625, 39_186),
    "ethucy": ("eth_ucy", 8, 2_205, 74_428),
    "trajnet": ("trajnet_txt", 2, 970, 19_400),
    "sdd": ("sdd", 7, 180, 49_466),
    "apolloscape": ("apolloscape_trajectory", 37, 3_535, 49_821),
    "argoverse2": ("argoverse2/motion_forecasting", 1, 58, 2_434),
    "argoverse2-sensor": ("argoverse2/sensor_logs", 2, 267, 26_054),
    "scenarionet": ("scenarionet", 6, 331, 34_446),
    "ngsim": ("ngsim_raw", 6, 166, 5_000),
    "columns": ("vtp_tl", 1, 85, 45_130),
}
"""Reader: folder, scenarios, agents, states."""


@pytest.mark.parametrize("reader", SOURCES)
def test_a_recording_imports_validates_and_draws(reader: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, scenarios, agents, states = SOURCES[reader]
    if not (DATA / folder).is_dir():
        pytest.skip(f"the recordings {folder} are not here")
    store = str(tmp_path / "out.twm")
    (tmp_path / "columns.toml").write_text(VTP_TL, encoding="utf-8")
    options = ["--map", str(tmp_path / "columns.toml"), "--reader.scenario_seconds", "0"] if reader == "columns" else []
    assert main(["data", "import", reader, str(DATA / folder), "--out", store, *options]) == 0
    assert main(["data", "validate", store]) == 0
    capsys.readouterr()
    assert main(["data", "info", store, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["scenarios"], found["agents"], found["states"]) == (scenarios, agents, states)
    picture = tmp_path / "picture"
    assert main(["data", "show", store, "--out", str(picture), "--to", "2.5"]) == 0
    with Image.open(picture.with_suffix(".png")) as drawn:
        assert len(drawn.convert("RGB").getcolors(1 << 24) or ()) > 5
    with Image.open(picture.with_suffix(".gif")) as moving:
        assert getattr(moving, "n_frames", 1) > 3
