"""The reader `sdd`: pixels to metres, what is left out, and where predictions may start."""

from __future__ import annotations

import numpy as np
import pytest

from twm_core.data.features.derive import derive
from twm_core.data.scenario import INTERPOLATED, OBSERVED, OCCLUDED
from twm_core.data.windows.protocol import WindowProtocol
from twm_core.data.windows.scenario_windows import ScenarioWindows
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_text.config import SddConfig
from twm_text.sdd import anchors, build


def reader(**options):
    return build(SddConfig(**options))


def row(track, frame, x=100, y=200, lost=0, occluded=0, generated=0, label="Pedestrian"):
    return f'{track} {x} {y} {x + 40} {y + 20} {frame} {lost} {occluded} {generated} "{label}"\n'


@pytest.fixture
def video(tmp_path):
    """A function that writes annotations (and the scales, unless told otherwise) and gives the folder."""

    def write(text, scales="gates:\n   video3:\n      scale: 0.05\n      certainty: 1.0\n"):
        place = tmp_path / "gates" / "video3"
        place.mkdir(parents=True)
        (place / "annotations.txt").write_text(text)
        if scales:
            (tmp_path / "estimated_scales.yaml").write_text(scales)
        return tmp_path

    return write


def test_a_box_becomes_metres_with_y_up(video, read_all):
    # Box from (718, 739) to (787, 804): centre (752.5, 771.5) px, sides 69 and 65 px; 0.05 m a pixel.
    (found,), _ = read_all(reader(), video('4 718 739 787 804 500 0 0 0 "Skater"\n'))
    assert {n: round(float(v[0]), 9) for n, v in found.columns.items()} == {"x": 37.625, "y": -38.575, "length": 3.45, "width": 3.25}
    assert (found.id, found.site, found.group, found.dt) == ("gates_video3",) * 3 + (1 / 30,)
    assert found.start == pytest.approx(500 / 30)
    assert "upper bound" in found.provenance["width"]


def test_labels_become_types(video, read_all):
    labels = ("Pedestrian", "Biker", "Skater", "Cart", "Car", "Bus")
    (found,), _ = read_all(reader(), video("".join(row(i, 0, label=name) for i, name in enumerate(labels))))
    assert [AGENT_TYPES[t] for t in found.type] == ["pedestrian", "bicycle", "other", "other", "car", "bus"]


def test_lost_and_occluded_boxes_are_left_out_and_counted(video, read_all):
    text = "".join(row(1, f, occluded=int(f in (2, 3)), lost=int(f > 5)) for f in range(9))
    (found,), skipped = read_all(reader(), video(text))
    assert found.code.tolist() == [OBSERVED, OBSERVED, OCCLUDED, OCCLUDED, OBSERVED, OBSERVED]
    assert skipped == {"boxes marked lost": 3, "boxes marked occluded": 2}


def test_an_agent_that_is_away_for_long_is_a_new_track(video, read_all):
    (found,), skipped = read_all(reader(), video(row(1, 0) + row(1, 1) + row(1, 200)))
    assert (found.track, found.first.tolist()) == (("1", "1#2"), [0, 200])
    assert skipped == {"tracks that begin anew after a long gap or as another type": 1}


def test_interpolated_boxes_are_marked_and_no_prediction_starts_at_them(video, read_all):
    text = "".join(row(1, f, generated=int(f % 4 != 0)) for f in range(9)) + "".join(
        row(2, f, generated=int(f not in (2, 5))) for f in (2, 3, 4, 5)
    )
    (found,), _ = read_all(reader(), video(text))
    assert found.code[:5].tolist() == [OBSERVED, INTERPOLATED, INTERPOLATED, INTERPOLATED, OBSERVED]
    # At step 4 the second agent is between its key frames 2 and 5.
    assert np.flatnonzero(found.anchors).tolist() == [0, 8]


def test_interpolation_can_be_trusted_by_request(video, read_all):
    (found,), _ = read_all(reader(trust_interpolation=True), video(row(1, 0) + row(1, 1, generated=1) + row(1, 2)))
    assert found.anchors is None
    assert found.code.tolist() == [OBSERVED, INTERPOLATED, OBSERVED]
    assert "knows the future" in found.provenance["x"]


def test_anchors_agree_with_the_definition_by_brute_force():
    generator = np.random.default_rng(3)
    for _ in range(30):
        step = np.concatenate([np.arange(a, b) for a, b in ((0, 12), (3, 15), (5, 9))])
        track = np.repeat([1, 2, 3], [12, 12, 4])
        generated, seen = generator.random(len(step)) < 0.7, generator.random(len(step)) < 0.7
        order = generator.permutation(len(step))
        expected = np.ones(15, dtype=bool)
        for s, k in zip(step[generated & seen], track[generated & seen], strict=True):
            keys = step[(track == k) & ~generated & (step > s)]
            until = keys.min() if len(keys) else 15
            expected[s:until] = False
        found = anchors(track[order], step[order], generated[order], seen[order])
        np.testing.assert_array_equal(found, expected)


def test_every_keeps_some_frames_and_counts_the_others(video, read_all):
    text = "".join(row(1, f, x=100 + f, generated=int(f not in (0, 24, 30))) for f in range(31))
    (found,), skipped = read_all(reader(every=12), video(text))
    assert (found.dt, found.steps) == (12 / 30, 3)
    np.testing.assert_allclose(found.columns["x"], 0.05 * (np.asarray([0, 12, 24]) + 120))
    assert found.anchors.tolist() == [True, False, True]
    assert skipped == {"boxes between the frames that are kept (every)": 28}


def test_long_videos_are_cut_and_names_go_on(video, read_all):
    text = "".join(row(1, f) for f in range(90))
    found, _ = read_all(reader(scenario_seconds=1.0), video(text))
    assert [(r.id, r.start, r.steps, r.track) for r in found] == [(f"gates_video3/{i:04d}", float(i), 30, ("1",)) for i in range(3)]


BAD = {
    "columns": ("1 2 3\n", r"annotations\.txt, row 2: 3 values where the table has 10 columns"),
    "words": (row(1, 5).replace("200", "low"), r"annotations\.txt, row 2, column 'ymin': 'low' is not a number"),
    "a flag": (row(1, 5, lost=2), r"annotations\.txt, row 2: lost is neither 0 nor 1"),
    "inside out": ('1 9 9 5 20 5 0 0 0 "Car"\n', r"annotations\.txt, row 2: the box is inside out"),
    "a label": (row(1, 5, label="Dog"), r"annotations\.txt, row 2: the label is none of Pedestrian, Biker"),
    "a time": (row(1, -5), r"annotations\.txt, row 2: its time, step -5, is impossible"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_is_refused_by_name_and_row(case, video, read_all):
    text, message = BAD[case]
    with pytest.raises(DataError, match=message) as caught:
        read_all(reader(), video(row(1, 4) + text))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        (None, "gates_video3/annotations.txt: metres per pixel are not known"),
        ("gates:\n  video1:\n    scale: 0.1\n", "estimated_scales.yaml: key gates/video3/scale is missing"),
        ("gates: [1, 2\n", "estimated_scales.yaml: not YAML"),
        ("gates:\n  video3:\n    scale: -1\n", "no positive number"),
    ],
)
def test_without_a_scale_the_video_is_refused(scales, message, video, read_all):
    with pytest.raises(DataError, match=message) as caught:
        read_all(reader(), video(row(1, 0), scales))
    assert "metres_per_pixel" in caught.value.hint


def test_a_scale_can_be_given(video, read_all):
    (found,), _ = read_all(reader(metres_per_pixel=0.1), video(row(1, 0), None))
    assert float(found.columns["x"][0]) == pytest.approx(12.0)


def test_the_real_videos_keep_every_box_that_is_seen(recordings, read_all):
    found, skipped = read_all(reader(), recordings("sdd"))
    assert len(found) == 7
    seen = sum(int((r.code != OCCLUDED).sum()) for r in found)
    assert seen + skipped["boxes marked lost"] + skipped["boxes marked occluded"] == 86_107
    assert skipped["boxes marked lost"] == 34_377
    assert all(0 < r.anchors.mean() < 0.05 for r in found)


def test_the_remedy_for_a_split_without_windows_works(video, read_all):
    """Key frames a second apart: no prediction may start between them, unless the interpolation is trusted."""
    folder = video("".join(row(1, f, x=100 + 3 * f, generated=int(f % 30 != 0)) for f in range(45)))
    protocol = WindowProtocol(context=10, horizon=20, stride=7)
    with pytest.raises(DataError) as caught:
        ScenarioWindows([derive(r) for r in read_all(reader(), folder)[0]], protocol, "train")
    assert "--reader.trust_interpolation" in caught.value.hint
    trusted = read_all(reader(trust_interpolation=True), folder)[0]
    assert len(ScenarioWindows([derive(r) for r in trusted], protocol, "train")) == 3
