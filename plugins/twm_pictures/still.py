"""Still pictures of scenarios: a PNG with the road map and every track on it (matplotlib).

The tracks of a picture run from pale (early) to full colour (late); a box shows where an agent is at the last step, a small dot where a
track ended before. Files are the same, byte for byte, whenever the scenario, the arguments and the versions of matplotlib and Pillow are.
It needs the extra `viz`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twm_core.data.renderer import Drawn
from twm_core.data.scenario import Scenario
from twm_core.extras import need
from twm_core.specs import AGENT_TYPES
from twm_pictures.style import (
    GROUND,
    TYPE_COLOURS,
    Floats,
    Shown,
    arrowheads,
    corners,
    draw_map,
    lights_at,
    nice_length,
    quiet_corner,
    rows_shown,
    view_of,
)

_INCHES = 10.5
"""The longer side of the map in a picture."""

_DPI = 120

_MOST_SEGMENTS = 150_000
"""Pieces of tracks that are drawn at most; longer ones are thinned evenly, which the picture says."""

_BANDS = 12
"""Steps of the fading from early to late."""


def draw_png(scenario: Scenario, path: Path, *, title: str | None = None, first: int | None = None, last: int | None = None) -> Drawn:
    """Draw a scenario into a PNG file.

    Args:
        scenario: Needs the features `x` and `y`; heading and sizes are used where it has them.
        path: The file to write.
        title: Heading of the picture; the scenario's id and site by default.
        first: First step that is drawn, 0 by default.
        last: Last step that is drawn, that of the scenario by default.

    Raises:
        DataError: No agent is seen between these steps.
        UsageError: matplotlib is not installed.
    """
    figure_module, agg = need("matplotlib.figure", "viz"), need("matplotlib.backends.backend_agg", "viz")
    shown = rows_shown(scenario, first, last)
    low, high = view_of(shown, narrowest=0.3)
    across, up = _INCHES * (high - low) / float((high - low).max())
    margins = np.asarray([0.95, 0.3, 0.95, 0.85])  # left, right, bottom, top, inches
    width, height = across + margins[:2].sum(), up + margins[2:].sum()
    width = max(width, 6.0)
    figure = figure_module.Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    agg.FigureCanvasAgg(figure)
    axes = figure.add_axes(((width - across) / 2 / width, margins[2] / height, across / width, up / height))
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), facecolor=GROUND, xlabel="x (m)", ylabel="y (m)")
    axes.tick_params(labelsize=8, colors="#444444")
    axes.xaxis.label.set_size(9)
    axes.yaxis.label.set_size(9)
    for spine in axes.spines.values():
        spine.set_color("#999999")
    points_per_metre = 72 * across / float(high[0] - low[0])
    draw_map(axes, scenario, low, high, points_per_metre)
    thinned = _draw_tracks(axes, shown, points_per_metre)
    present = _draw_boxes(axes, shown, _DPI * across / float(high[0] - low[0]))
    _draw_lights(axes, scenario, shown.last)
    _draw_scale(axes, scenario, shown, low, high)
    _legend(axes, shown, scenario.lights is not None, up)
    name = title or (scenario.id if scenario.site in scenario.id else f"{scenario.id} · {scenario.site}")
    agents = len(np.unique(shown.track))
    seconds = (shown.last - shown.first) * scenario.dt
    facts = [f"{seconds:.1f} s at {1 / scenario.dt:.3g} Hz", f"{agents:,} agents, {present:,} of them at the end (boxes)"]
    if scenario.road is not None:
        facts.append(f"{len(scenario.road.lanes):,} lanes")
    if thinned > 1:
        facts.append(f"tracks drawn at every {thinned}th step")
    outside = _outside(shown, low, high)
    if outside:
        facts.append(f"{outside:,} standing outside the picture")
    figure.text(0.5, 1 - 0.3 / height, _shortened(name, width), ha="center", va="center", fontsize=11, color="#222222")
    kept = [fact.replace(" ", "\N{NO-BREAK SPACE}") for fact in facts]  # lines break between facts only
    lines = textwrap.wrap("\N{NO-BREAK SPACE}· ".join(kept), int(width * 13))
    figure.text(0.5, 1 - 0.47 / height, "\n".join(lines), ha="center", va="top", fontsize=8.5, color="#555555")
    figure.savefig(path, format="png", metadata={"Software": None})
    return Drawn(path, agents, shown.first, shown.last, thinned, 1)


def _shortened(name: str, inches: float) -> str:
    room = int(inches * 12)
    return name if len(name) <= room else f"{name[: room // 2 - 1]} … {name[-(room // 2 - 2) :]}"


def _draw_tracks(axes: Any, shown: Shown, points_per_metre: float) -> int:
    """The tracks, pale to full; returns the thinning, 1 for none."""
    collections = need("matplotlib.collections", "viz")
    every = max(1, -(-len(shown.track) // _MOST_SEGMENTS))
    ends = np.append(np.diff(shown.track) != 0, True)
    rows = np.flatnonzero((np.arange(len(shown.track)) % every == 0) | ends)
    joined = np.flatnonzero(np.diff(shown.track[rows]) == 0)
    a, b = rows[joined], rows[joined + 1]
    span = max(1, shown.last - shown.first)
    band = np.minimum((shown.step[b] - shown.first) * _BANDS // span, _BANDS - 1)
    # A gap in a track is bridged by a dotted line, so that nothing seems to be recorded there.
    gap = (shown.step[b] - shown.step[a] > every) & (np.hypot(*(shown.xy[b] - shown.xy[a]).T) > 1.0)
    segments = np.stack([shown.xy[a], shown.xy[b]], axis=1)
    # The more tracks, the thinner and paler, or crowds would be one blot.
    crowd = float(np.clip(150 / max(1, len(np.unique(shown.track))), 0.0, 1.0))
    thick = float(np.clip(0.8 * points_per_metre, 0.5, 0.7 + 0.6 * crowd))
    for i, name in enumerate(AGENT_TYPES):
        of_type = shown.type[a] == i
        for k in np.unique(band[of_type]).tolist():
            alpha = (0.12 + 0.68 * (k + 1) / _BANDS) * (0.55 + 0.45 * crowd)
            for missing in (False, True):
                here = of_type & (band == k) & (gap == missing)
                if here.any():
                    style = (0, (1, 3)) if missing else "-"
                    lines = _chains(segments[here], a[here], b[here])
                    collection = collections.LineCollection(
                        lines,
                        colors=TYPE_COLOURS[name],
                        alpha=alpha,
                        linewidths=thick,
                        linestyles=style,
                        zorder=6,
                        capstyle="butt",
                    )
                    axes.add_collection(collection, autolim=False)
    return every


def _chains(segments: Floats, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> Sequence[Floats]:
    """Segments `[S, 2, 2]` that follow one another joined to lines: overlapping ends would show as dots."""
    cut = np.flatnonzero(a[1:] != b[:-1]) + 1
    return [np.concatenate([piece[:, 0], piece[-1:, 1]]) for piece in np.split(segments, cut)]


def _draw_boxes(axes: Any, shown: Shown, pixels_per_metre: float) -> int:
    """Boxes of the agents at the last step, dots where tracks ended before; returns how many boxes."""
    collections = need("matplotlib.collections", "viz")
    final = np.append(np.diff(shown.track) != 0, True)
    colours = np.asarray([TYPE_COLOURS[name] for name in AGENT_TYPES])[shown.type]
    gone = final & (shown.step < shown.last)
    axes.scatter(*shown.xy[gone].T, s=3.0, c=colours[gone], linewidths=0, alpha=0.55, zorder=7)
    rows = np.flatnonzero(shown.step == shown.last)
    # What would be smaller than a few pixels is drawn larger, or nobody would see pedestrians on a motorway's scale.
    size = np.maximum(shown.size[rows], np.asarray([7.0, 4.5]) / pixels_per_metre)
    boxes = corners(shown.xy[rows], shown.heading[rows], size)
    edge = float(np.clip(0.06 * pixels_per_metre, 0.25, 0.6))
    polygons = collections.PolyCollection(boxes, facecolors=colours[rows], edgecolors="#1a1a1a", linewidths=edge, zorder=8)
    axes.add_collection(polygons, autolim=False)
    if 2.0 * pixels_per_metre > 7:
        axes.add_collection(collections.LineCollection(arrowheads(boxes), colors="#ffffff", linewidths=0.6, zorder=9), autolim=False)
    return len(rows)


def _draw_lights(axes: Any, scenario: Scenario, step: int) -> None:
    places, colours = lights_at(scenario, step)
    if len(places):
        axes.scatter(*places.T, s=26.0, c=colours, edgecolors="#1a1a1a", linewidths=0.8, zorder=10)


def _draw_scale(axes: Any, scenario: Scenario, shown: Shown, low: Floats, high: Floats) -> None:
    """A bar of a round number of metres, in the corner that fewest tracks pass."""
    patch = need("matplotlib.patches", "viz").Rectangle
    longest = float((high - low).max())
    length, thick, pad, text = nice_length(0.16 * float(high[0] - low[0])), 0.006 * longest, 0.01 * longest, 0.022 * longest
    box = np.asarray([length, thick + text]) + 2 * pad
    x, y = quiet_corner(scenario, shown, low + pad, high - pad, box)
    axes.add_patch(patch((x, y), *box, facecolor="white", alpha=0.8, linewidth=0, zorder=11))
    axes.add_patch(patch((x + pad, y + pad), length, thick, facecolor="#222222", linewidth=0, zorder=12))
    middle = (x + pad + length / 2, y + pad + 1.5 * thick)
    axes.text(*middle, f"{length:g} m", ha="center", va="bottom", fontsize=8, color="#222222", zorder=12)


def _legend(axes: Any, shown: Shown, lights: bool, up: float) -> None:
    """Which colour is which type, with the numbers of agents, below the axes."""
    lines = need("matplotlib.lines", "viz")
    begin = np.flatnonzero(np.diff(shown.track, prepend=-1))
    count = np.bincount(shown.type[begin], minlength=len(AGENT_TYPES))
    handles = [
        lines.Line2D([], [], color=TYPE_COLOURS[name], marker="s", markersize=5, linewidth=1.6, label=f"{name} ({count[i]:,})")
        for i, name in enumerate(AGENT_TYPES)
        if count[i]
    ]
    if lights:
        handles.append(
            lines.Line2D([], [], color="#12a53c", marker="o", markersize=6, linewidth=0, markeredgecolor="#1a1a1a", label="traffic light")
        )
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.5 / up), ncols=min(6, len(handles)), frameon=False, fontsize=8.5
    )


def _outside(shown: Shown, low: Floats, high: Floats) -> int:
    """Agents that are never inside the picture."""
    inside = ((shown.xy >= low) & (shown.xy <= high)).all(axis=1)
    return len(np.unique(shown.track)) - len(np.unique(shown.track[inside]))
