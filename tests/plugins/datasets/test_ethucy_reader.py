"""The reader `ethucy`, and that windows cut from a store of its recordings are those of the published protocol."""

from __future__ import annotations

import numpy as np
import pytest

from twm_core.data.importing.importer import import_sources
from twm_core.data.importing.reader import Skipped
from twm_core.data.scenario import OBSERVED, OCCLUDED
from twm_core.data.store.reading import open_store
from twm_core.data.windows.protocol import WindowProtocol
from twm_core.data.windows.scenario_windows import ScenarioWindows
from twm_core.errors import DataError
from twm_datasets.config_readers import EthUcyReaderConfig
from twm_datasets.ethucy import STANDARD_COUNTS, TESTED
from twm_datasets.ethucy_reader import build


def reader(**options):
    return build(EthUcyReaderConfig(**options))


def read(of, *paths):
    found = [item for source in of.sources(paths) for item in of.read(source)]
    recordings = [item for item in found if not isinstance(item, Skipped)]
    skipped: dict[str, int] = {}
    for item in found:
        if isinstance(item, Skipped):
            skipped.update(item.counts)
    return recordings, skipped


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_gap_between_frames_is_time_that_passes(tmp_path):
    write(tmp_path / "raw/all_data/biwi_hotel.txt", "10\t1.0\t0.5\t-1\n20\t1.0\t1.0\t-1\n50\t1.0\t3.0\t-1\n50\t2.0\t0\t0\n60\t2.0\t0\t0\n")
    (found,), _ = read(reader(), tmp_path)
    assert (found.id, found.group, found.site, found.dt, found.steps) == ("raw/all_data/biwi_hotel", "biwi_hotel", "hotel", 0.4, 6)
    assert found.start == pytest.approx(0.4)
    assert found.code.tolist() == [OBSERVED, OBSERVED, OCCLUDED, OCCLUDED, OBSERVED, OBSERVED, OBSERVED]
    np.testing.assert_array_equal(found.columns["x"][:2], [0.5, 1.0])
    assert found.track == ("1", "2")


@pytest.mark.parametrize(("name", "dt"), [("biwi_eth", 10 / 15), ("biwi_hotel", 0.4)])
def test_the_true_time_of_eth_is_longer(name, dt, tmp_path):
    write(tmp_path / f"{name}.txt", "0 1 0 0\n10 1 1 0\n")
    (found,), _ = read(reader(eth_time="true"), tmp_path)
    assert found.dt == dt


def test_parts_of_whole_recordings_are_left_out_and_counted(tmp_path):
    for name in ("all_data/students001", "train/students001_train", "val/students001_val", "train/crowds_zara01_train"):
        write(tmp_path / f"raw/{name}.txt", "0 1 0 0\n10 1 1 0\n")
    found, skipped = read(reader(), tmp_path)
    assert [(r.id, r.site) for r in found] == [("raw/all_data/students001", "univ"), ("raw/train/crowds_zara01_train", "zara")]
    assert skipped == {"files that repeat rows of the whole recordings (train, val)": 2}
    found, skipped = read(reader(pieces=True), tmp_path)
    assert (len(found), skipped) == (4, {})


def test_lines_of_obstacles_come_from_the_scene(tmp_path):
    example = reader()
    (found,), _ = read(example, *example.example(tmp_path))
    assert [(line.kind, line.points.tolist()) for line in found.road.lines] == [("obstacle", [[-1, 0], [14, 0]])]
    scene = tmp_path / "scene_images" / "seq_eth" / "map.xml"
    scene.write_text(scene.read_text().replace('x2="14"', 'x2="far"'))
    with pytest.raises(DataError, match=r"seq_eth/map\.xml, line 1: x2 is 'far', not a number"):
        read(reader(), tmp_path)


BAD = {
    "columns": ("0 1 2.0", r"biwi_eth\.txt, row 2: has 3 columns"),
    "far away": ("1e12 1 1 1\n10 2 1 1", r"biwi_eth\.txt, row 2: its time, step \d+, is impossible"),
    "another phase": ("10 1 1 1\n15 1 1 1\n22 1 1 1", r"biwi_eth\.txt, row 4: frame 22 is no multiple of 5 frames after frame 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_is_refused_by_name_and_place(case, tmp_path):
    text, message = BAD[case]
    write(tmp_path / "biwi_eth.txt", "0 9 1 1\n" + text + "\n")
    with pytest.raises(DataError, match=message) as caught:
        read(reader(), tmp_path)
    assert caught.value.hint


def test_windows_from_a_store_are_those_of_the_published_protocol(recordings, tmp_path):
    report = import_sources(reader(), [recordings("eth_ucy")], tmp_path / "x.twm", reader_name="ethucy", options={}, features=("x", "y"))
    assert (report.scenarios, report.skipped) == (8, {"files that repeat rows of the whole recordings (train, val)": 16})
    scenarios = {s.group: s for s in open_store(tmp_path / "x.twm").scenarios}
    for convention, least in (("sgan", 2), ("all", 1)):
        protocol = WindowProtocol(context=8, horizon=12, stride=1, max_agents=128, min_scored=least, full=True, self_contained=True)
        for fold, (windows, agents) in STANDARD_COUNTS[convention].items():
            found = ScenarioWindows([scenarios[name] for name in TESTED[fold]], protocol, "test").report()
            assert (fold, found["windows"], found["agents"]) == (fold, windows, agents)
