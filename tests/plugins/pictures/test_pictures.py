"""Pictures: what is on them is looked for pixel by pixel, and the same scenario gives the same bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from twm_core.data.features.derive import derive
from twm_core.data.recording import Recording
from twm_core.data.scenario import LINE_KINDS, OBSERVED, Lane, Lights, RoadLine, RoadMap, Scenario
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_pictures import animation
from twm_pictures.animation import draw_gif
from twm_pictures.still import draw_png
from twm_pictures.style import LIGHT_COLOURS, TYPE_COLOURS, arrowheads, corners, lights_at, nice_length, rows_shown, view_of

image = pytest.importorskip("PIL.Image")
pytest.importorskip("matplotlib")


def street(steps: int = 40, *, types: tuple[str, ...] = ("car", "pedestrian"), lit: bool = True, dt: float = 0.1) -> Scenario:
    """Agents that go along x at 10 m/s, 12 m apart in y, over a road with lines of all kinds."""
    agents = len(types)
    x = np.tile(np.arange(steps, dtype=np.float64) * dt * 10.0, agents)
    y = np.repeat(np.arange(agents, dtype=np.float64) * 12.0, steps)
    lane = Lane(id="l", centre=np.stack([np.linspace(-20, 60, 9), np.zeros(9)], axis=1), width=8.0)
    square = np.asarray([[20.0, 4.0], [26.0, 4.0], [26.0, 8.0], [20.0, 8.0]])
    lines = tuple(RoadLine(kind, square + np.asarray([0.0, 3.0 * i])) for i, kind in enumerate(LINE_KINDS))
    state = np.full((1, steps), 1, dtype=np.uint8)
    return derive(
        Recording(
            id="street/one",
            site="here",
            group="street",
            dt=dt,
            steps=steps,
            track=tuple(f"{i}" for i in range(agents)),
            type=np.asarray([AGENT_TYPES.index(t) for t in types]),
            first=np.zeros(agents, dtype=np.int64),
            length=np.full(agents, steps, dtype=np.int64),
            columns={"x": x, "y": y, "heading": np.zeros(agents * steps)},
            code=np.full(agents * steps, OBSERVED, dtype=np.uint8),
            road=RoadMap((lane,), lines),
            lights=Lights(("l",), state, np.asarray([[15.0, -3.0]])) if lit else None,
        )
    )


def pixels(path: Path) -> np.ndarray:
    with image.open(path) as file:
        return np.asarray(file.convert("RGB"))


def has(picture: np.ndarray, colour: str, tolerance: int = 12) -> int:
    """Pixels of about this colour."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(picture.astype(int) - wanted).max(axis=-1) <= tolerance).sum())


def test_a_picture_shows_agents_lanes_and_lights(tmp_path: Path) -> None:
    drawn = draw_png(street(), tmp_path / "a.png")
    picture = pixels(tmp_path / "a.png")
    assert (drawn.agents, drawn.first, drawn.last, drawn.every) == (2, 0, 39, 1)
    for colour in (TYPE_COLOURS["car"], TYPE_COLOURS["pedestrian"], LIGHT_COLOURS["red"]):
        assert has(picture, colour) > 20, colour
    assert has(picture, "#d3d6da") > 5000
    dark = draw_png(street(lit=False), tmp_path / "b.png")
    assert has(pixels(dark.path), LIGHT_COLOURS["red"]) == 0


def test_a_light_whose_place_is_unknown_stands_at_the_end_of_its_lane() -> None:
    scenario = street()
    assert scenario.lights is not None
    nowhere = replace(scenario, lights=Lights(("l", "gone"), np.asarray([[1] * 40, [3] * 40], dtype=np.uint8), np.full((2, 2), np.nan)))
    places, colours = lights_at(nowhere, 5)
    assert scenario.road is not None
    np.testing.assert_allclose(places, scenario.road.lanes[0].centre[-1:])
    assert colours == [LIGHT_COLOURS["red"]]


def test_only_the_steps_asked_for_are_drawn(tmp_path: Path) -> None:
    drawn = draw_png(street(), tmp_path / "a.png", first=10, last=20, title="a title")
    assert (drawn.first, drawn.last) == (10, 20)
    with pytest.raises(DataError, match="no agent is seen in its steps 50 to 39"):
        draw_png(street(), tmp_path / "b.png", first=50)
    assert not (tmp_path / "b.png").exists()


def test_many_rows_are_thinned_and_the_picture_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twm_pictures.still._MOST_SEGMENTS", 20)
    assert draw_png(street(), tmp_path / "a.png").every == 4


def test_the_frames_of_a_moving_picture_move(tmp_path: Path) -> None:
    drawn = draw_gif(street(), tmp_path / "a.gif")
    assert (drawn.frames, drawn.every, drawn.agents) == (40, 1, 2)
    with image.open(tmp_path / "a.gif") as file:
        assert file.n_frames == 40
        assert file.info["duration"] == 100
        places = []
        for frame in (0, 20, 39):
            file.seek(frame)
            picture = np.asarray(file.convert("RGB"))
            body = np.abs(picture[24:-30].astype(int) - [0x16, 0x67, 0xB7]).max(axis=-1) <= 6
            places.append(float(np.flatnonzero(body.any(axis=0)).mean()))
    assert places[0] < places[1] < places[2]


def test_long_stretches_are_shown_at_every_nth_step_and_from_where_most_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animation, "MOST_FRAMES", 12)
    drawn = draw_gif(street(), tmp_path / "a.gif")
    assert (drawn.every, drawn.frames) == (4, 10)
    monkeypatch.setattr(animation, "MOST_BYTES", 1)
    assert draw_gif(street(), tmp_path / "b.gif").every == 4  # fewer than 20 frames stay
    monkeypatch.setattr(animation, "_SECONDS", 1.0)
    drawn = draw_gif(street(), tmp_path / "c.gif", fps=5)
    assert (drawn.first, drawn.last, drawn.every) == (0, 9, 2)


def test_a_moving_picture_shows_the_steps_that_are_named(tmp_path: Path) -> None:
    found = [draw_gif(street(), tmp_path / "a.gif", first=first, last=last) for first, last in ((3, 7), (30, None), (None, 4), (38, 99))]
    assert [(d.first, d.last, d.frames) for d in found] == [(3, 7, 5), (30, 39, 10), (0, 4, 5), (38, 39, 2)]
    with pytest.raises(DataError, match="no agent is seen in its steps 50 to 39"):
        draw_gif(street(), tmp_path / "b.gif", first=50)
    assert not (tmp_path / "b.gif").exists()


def test_slow_recordings_play_at_twice_their_speed(tmp_path: Path) -> None:
    draw_gif(street(12, dt=0.4), tmp_path / "a.gif")
    with image.open(tmp_path / "a.gif") as file:
        assert (file.n_frames, file.info["duration"]) == (12, 200)


def test_a_legend_of_all_types_has_room(tmp_path: Path) -> None:
    drawn = draw_gif(street(3, types=AGENT_TYPES), tmp_path / "a.gif")
    picture = pixels(drawn.path)
    for name in AGENT_TYPES:
        assert has(picture[-60:], TYPE_COLOURS[name], tolerance=4) >= 60, name


def test_files_are_the_same_whenever_they_are_drawn(tmp_path: Path) -> None:
    for draw, ending in ((draw_png, "png"), (draw_gif, "gif")):
        for name in "ab":
            draw(street(8), tmp_path / f"{name}.{ending}")
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_the_view_holds_who_moves_and_leaves_out_who_stands_far_away() -> None:
    shown = rows_shown(street(), None, None)
    low, high = view_of(shown, narrowest=0.3)
    assert ((shown.xy >= low) & (shown.xy <= high)).all()
    assert (high - low).min() >= 10
    assert (high - low).min() / (high - low).max() >= 0.3 - 1e-9
    far = shown.xy.copy()
    far[shown.track == 1] = [900.0, 900.0]
    _, high = view_of(replace(shown, xy=far), narrowest=0.3)
    assert high.max() < 100


def test_boxes_are_turned_and_their_arrows_point_ahead() -> None:
    box = corners(np.asarray([[10.0, 0.0]]), np.asarray([np.pi / 2]), np.asarray([[4.0, 2.0]]))
    np.testing.assert_allclose(box[0], [[9, 2], [11, 2], [11, -2], [9, -2]], atol=1e-12)
    left, tip, right = arrowheads(box)[0]
    assert tip[1] > left[1] == right[1]
    assert left[0] < tip[0] == 10 < right[0]


@pytest.mark.parametrize(("metres", "nice"), [(1.0, 1.0), (9.9, 5.0), (0.3, 0.2), (140.0, 100.0), (20.0, 20.0)])
def test_scale_bars_have_round_lengths(metres: float, nice: float) -> None:
    assert nice_length(metres) == pytest.approx(nice)
