"""Scenarios as moving pictures: oriented boxes over the road map, with trails, traffic lights and a clock, in a GIF (Pillow).

The map is drawn once (matplotlib) at twice the size; every frame adds the agents and is then halved, which smooths their edges. All frames
share one palette: the colours of `style` and what anti-aliasing makes of them. A picture shows at most `MOST_FRAMES` frames; longer
stretches are shown at every n-th step, and a file that still grows beyond `MOST_BYTES` at every 2n-th, 4n-th ... The caption and the
returned `Drawn` say so.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.renderer import Drawn
from twm_core.data.scenario import Scenario
from twm_core.extras import need
from twm_core.specs import AGENT_TYPES
from twm_pictures.palette import INK, PALE, mixed, palette_of_frames, rgb
from twm_pictures.style import (
    GROUND,
    ROAD,
    TYPE_COLOURS,
    Floats,
    Ints,
    arrowheads,
    corners,
    draw_map,
    lights_at,
    nice_length,
    quiet_corner,
    rows_shown,
    view_of,
)

MOST_FRAMES = 150
MOST_BYTES = 5_000_000
"""Size of a file above which frames are left out."""

_SECONDS = 20.0
"""Of the recording, by default; at rates below 4 Hz twice as many."""

_LONGEST, _SHORTEST = 760, 260
"""Pixels of the longer side of the map, and of its shorter side at least."""

_HEAD, _ROW = 24, 22
"""Pixels of the caption above the map, and of a row of the legend below it."""

_FINER = 2
_TRAIL = 2.0
"""Seconds of the past that trail behind an agent; 3.2 s where steps are rarer than 4 a second."""


def draw_gif(scenario: Scenario, path: Path, *, first: int | None = None, last: int | None = None, fps: float | None = None) -> Drawn:
    """Draw a scenario as a moving picture.

    Args:
        scenario: Needs the features `x` and `y`; heading and sizes are used where it has them.
        path: The file to write.
        first: First step that is shown. Where neither it nor `last` is given, the 20 s in which the most agents are seen are shown (40 s
            of recordings of less than 4 Hz).
        last: Last step that is shown, that of the scenario by default.
        fps: Most frames per second of the recording; 10 by default.

    Raises:
        DataError: No agent is seen between these steps.
        UsageError: matplotlib or Pillow is not installed.
    """
    if first is None and last is None:
        seconds = 2 * _SECONDS if scenario.dt > 0.25 else _SECONDS
        first, last = _busiest(scenario, max(1, round(seconds / scenario.dt)))
    first, last = 0 if first is None else first, scenario.steps - 1 if last is None else min(last, scenario.steps - 1)
    every = max(1, round(1 / ((10.0 if fps is None else fps) * scenario.dt)))
    every = max(every, -(-(last - first + 1) // MOST_FRAMES))
    scene = _Scene(scenario, first, last)
    while True:
        steps = list(range(first, last + 1, every))
        data = scene.encode(steps, every)
        if len(data) <= MOST_BYTES or len(steps) < 20:
            break
        every *= 2
    path.write_bytes(data)
    return Drawn(path, len(np.unique(scene.shown.track)), first, last, every, len(steps))


def _busiest(scenario: Scenario, steps: int) -> tuple[int, int]:
    """First and last step of the stretch of so many steps that shows the most (the first of them)."""
    shown = rows_shown(scenario, None, None)
    if scenario.steps <= steps:
        return 0, scenario.steps - 1
    total = np.concatenate([[0], np.cumsum(np.bincount(shown.step, minlength=scenario.steps))])
    begin = int(np.argmax(total[steps:] - total[:-steps]))
    return begin, begin + steps - 1


class _Scene:
    """Everything that the frames of one picture share.

    Args:
        scenario: What is drawn.
        first: First step.
        last: Last step.
    """

    def __init__(self, scenario: Scenario, first: int, last: int) -> None:
        self.scenario, self.shown = scenario, rows_shown(scenario, first, last)
        self.low, self.high = view_of(self.shown, narrowest=_SHORTEST / _LONGEST, most=98.0)
        side = self.high - self.low
        self.scale = _LONGEST / float(side.max())  # pixels per metre
        self.width, self.height = (int(np.ceil(s * self.scale)) for s in side)
        self.width = max(self.width, 420)  # room for the captions
        extra = (self.width / self.scale - float(side[0])) / 2
        self.low[0] -= extra
        self.high[0] += extra
        self.legend, self.foot = self._lay_out_legend()
        self.base = self._paint_base()
        order = np.argsort(self.shown.step, kind="stable")
        self.rows = np.split(order, np.searchsorted(self.shown.step[order], np.arange(first + 1, last + 1)))
        self.trail = round((3.2 if scenario.dt > 0.25 else _TRAIL) / scenario.dt)

    def encode(self, steps: list[int], every: int) -> bytes:
        """The frames at these steps, as the bytes of a file."""
        frames = [self._frame(step, every) for step in steps]
        image = need("PIL.Image", "viz")
        palette = image.new("P", (1, 1))
        palette.putpalette([value for colour in palette_of_frames() for value in colour])
        indexed = [frame.quantize(palette=palette, dither=image.Dither.NONE) for frame in frames]
        shown_for = max(round(every * self.scenario.dt * 100) * 10, 40)
        if self.scenario.dt > 0.25:
            shown_for = max(40, shown_for // 2)  # twice the true speed: steps are too rare to look smooth anyway
        file = io.BytesIO()
        # `optimize` writes only what changes between frames; the others stay transparent.
        indexed[0].save(file, format="GIF", save_all=True, append_images=indexed[1:], duration=shown_for, loop=0, optimize=True)
        return file.getvalue()

    def _paint_base(self) -> Any:
        """The map, twice as large as the frames, with room above and below."""
        figure_module, agg = need("matplotlib.figure", "viz"), need("matplotlib.backends.backend_agg", "viz")
        image = need("PIL.Image", "viz")
        dpi = 100 * _FINER
        width, height = self.width * _FINER, self.height * _FINER
        figure = figure_module.Figure(figsize=(width / dpi, height / dpi), dpi=dpi)
        canvas = agg.FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(self.low[0], self.high[0]), ylim=(self.low[1], self.low[1] + self.height / self.scale))
        axes.axis("off")
        figure.set_facecolor(GROUND)
        draw_map(axes, self.scenario, self.low, self.high, self.scale * _FINER * 72 / dpi)
        canvas.draw()
        picture: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3]
        base = image.new("RGB", (width, height + (_HEAD + self.foot) * _FINER), "white")
        base.paste(image.fromarray(np.ascontiguousarray(picture)), (0, _HEAD * _FINER))
        self._caption(base)
        return base

    def _caption(self, base: Any) -> None:
        """What stays: the name, the legend and the scale bar."""
        draw = need("PIL.ImageDraw", "viz").Draw(base)
        write = _writer(draw)
        name = self.scenario.id
        room = self.width - 215
        while len(name) > 8 and draw.textlength(name, font=_font(12)) > room * _FINER:
            name = name[:-2]
        write((8, _HEAD / 2), name if name == self.scenario.id else f"{name}…", INK, "lm")
        for x, y, kind in self.legend:
            draw.rectangle([_FINER * v for v in (x, y - 5, x + 10, y + 5)], fill=TYPE_COLOURS[kind])
            write((x + 14, y), kind, INK, "lm")
        length = nice_length(min(110.0, 0.25 * self.width) / self.scale)
        box = np.asarray([length * self.scale + 16, 26]) / self.scale
        margin = 6 / self.scale
        corner = np.asarray(quiet_corner(self.scenario, self.shown, self.low + margin, self.high - margin, box))
        (x, low), (_, high) = (self._pixels(corner) / _FINER).tolist(), (self._pixels(corner + box) / _FINER).tolist()
        draw.rectangle([_FINER * v for v in (x, high, x + length * self.scale + 16, low)], fill=(252, 252, 250))
        draw.rectangle([_FINER * v for v in (x + 8, low - 8, x + 8 + length * self.scale, low - 5)], fill=INK)
        write((x + 8 + length * self.scale / 2, high + 9), f"{length:g} m", INK, "mm")

    def _lay_out_legend(self) -> tuple[list[tuple[float, float, str]], int]:
        """Where the name of each type stands (left, middle, name), in as many rows as are needed, and their height."""
        x, y = 8.0, _HEAD + self.height + _ROW / 2 + 1
        found = []
        for i in np.unique(self.shown.type).tolist():
            wide = 14 + _font(12).getlength(AGENT_TYPES[i]) / _FINER + 12
            if found and x + wide > self.width:
                x, y = 8.0, y + _ROW
            found.append((x, y, AGENT_TYPES[i]))
            x += wide
        return found, int(y + _ROW / 2 + 1 - _HEAD - self.height)

    def _pixels(self, xy: Floats) -> Floats:
        """Positions `[..., 2]` in pixels of the large picture."""
        x = (xy[..., 0] - self.low[0]) * self.scale
        y = _HEAD + self.height - (xy[..., 1] - self.low[1]) * self.scale
        return np.stack([x, y], axis=-1) * _FINER

    def _frame(self, step: int, every: int) -> Any:
        """The picture of one step."""
        image = need("PIL.Image", "viz")
        frame = self.base.copy()
        # Agents may not paint over the captions, so they are drawn on a copy of the map alone.
        box = (0, _HEAD * _FINER, self.width * _FINER, (_HEAD + self.height) * _FINER)
        inner = frame.crop(box)
        draw = need("PIL.ImageDraw", "viz").Draw(inner)
        rows = self.rows[step - self.shown.first]
        self._paint_trails(draw, step, rows)
        self._paint_agents(draw, rows)
        places, colours = lights_at(self.scenario, step)
        for (x, y), colour in zip(self._inner(places).tolist(), colours, strict=True):
            draw.ellipse((x - 8, y - 8, x + 8, y + 8), fill=colour, outline=INK, width=2)
        frame.paste(inner, box[:2])
        clock = f"{step * self.scenario.dt:.1f} s  ·  {len(rows)} agents"
        note = "" if every == 1 else f"  ·  every {_ordinal(every)} step"
        _writer(need("PIL.ImageDraw", "viz").Draw(frame))((self.width - 8, _HEAD / 2), clock + note, PALE, "rm")
        return frame.resize((frame.width // _FINER, frame.height // _FINER), image.Resampling.BOX)

    def _inner(self, xy: Floats) -> Floats:
        return self._pixels(xy) - (0.0, _HEAD * _FINER)

    def _paint_trails(self, draw: Any, step: int, rows: Ints) -> None:
        shown = self.shown
        for row in rows.tolist():
            begin = row
            while begin > 0 and shown.track[begin - 1] == shown.track[row] and shown.step[begin - 1] >= step - self.trail:
                begin -= 1
            points = self._inner(shown.xy[begin : row + 1])
            if len(points) < 2 or float(np.abs(points[-1] - points[0]).max()) < 2:
                continue
            colour = rgb(TYPE_COLOURS[AGENT_TYPES[int(shown.type[row])]])
            pieces = np.array_split(np.arange(len(points) - 1), min(4, len(points) - 1))
            for k, piece in enumerate(pieces):
                share = 0.25 + 0.5 * (k + 1) / len(pieces)
                line = [tuple(p) for p in points[piece[0] : piece[-1] + 2].tolist()]
                draw.line(line, fill=mixed(colour, rgb(ROAD), share), width=3)

    def _paint_agents(self, draw: Any, rows: Ints) -> None:
        shown = self.shown
        least = 5.0 / self.scale  # metres that take five pixels, so that everybody can be seen
        size = np.maximum(shown.size[rows], [least, least * 0.6])
        boxes = self._inner(corners(shown.xy[rows], shown.heading[rows], size))
        middle = self._inner(shown.xy[rows])
        arrows = self._inner(arrowheads(corners(shown.xy[rows], shown.heading[rows], size)))
        for i, row in enumerate(rows.tolist()):
            kind = AGENT_TYPES[int(shown.type[row])]
            if kind == "pedestrian" or float(shown.size[row].max()) < 1.0:
                radius = max(4.0, float(shown.size[row].max()) / 2 * self.scale * _FINER)
                (x, y) = middle[i].tolist()
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=TYPE_COLOURS[kind], outline=INK)
                continue
            box = [tuple(p) for p in boxes[i].tolist()]
            draw.polygon(box, fill=TYPE_COLOURS[kind], outline=INK)
            if size[i, 1] * self.scale >= 5:
                draw.line([tuple(p) for p in arrows[i].tolist()], fill=(255, 255, 255), width=2)


def _font(size: int) -> Any:
    return need("PIL.ImageFont", "viz").load_default(size * _FINER)


def _writer(draw: Any) -> Callable[[tuple[float, float], str, tuple[int, int, int], str], None]:
    """A function that writes text at a place in pixels of the frame."""

    def write(at: tuple[float, float], text: str, colour: tuple[int, int, int], anchor: str) -> None:
        draw.text((at[0] * _FINER, at[1] * _FINER), text, fill=colour, font=_font(12), anchor=anchor)

    return write


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
