"""Pictures of the curves of an evaluation: a row for each forecaster, a column for each curve (matplotlib)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twm_core.errors import UsageError
from twm_core.extras import need

_DPI = 110
_INK, _LINE, _BARS = "#1a1a1a", "#1f5fa8", "#a9c4e4"


def draw_curves(result: Mapping[str, Any], file: Path) -> None:
    """Draw the curves of an evaluation's result into a PNG, SVG or PDF file.

    Args:
        result: What `twm_core.evaluation.evaluate.evaluate` returned, or its saved JSON.
        file: Where to; its ending says which format.

    Raises:
        UsageError: No metric of the evaluation has curves, the ending is none of these, or matplotlib is not installed.
    """
    if file.suffix not in (".png", ".svg", ".pdf"):
        raise UsageError(f"{file}: a picture is a PNG, SVG or PDF file", "end its name with .png, .svg or .pdf")
    rows = {name: each["curves"] for name, each in result.get("forecasters", {}).items() if each.get("curves")}
    titles = list(dict.fromkeys(t for curves in rows.values() for t in curves))
    if not titles:
        raise UsageError("no metric of this evaluation has curves", "add --metric calibration, and a forecaster with several futures")
    figure_module, agg = need("matplotlib.figure", "viz"), need("matplotlib.backends.backend_agg", "viz")
    figure = figure_module.Figure(figsize=(3.1 * len(titles), 0.5 + 2.75 * len(rows)), dpi=_DPI, layout="constrained")
    agg.FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    for axes, (name, curves) in zip(grid, rows.items(), strict=True):
        for place, title in zip(axes, titles, strict=True):
            if title not in curves:
                place.set_axis_off()
                continue
            _draw(place, curves[title], title.startswith("PIT"))
            place.set_title(f"{name}\n{title}", fontsize=8, color=_INK)
    figure.savefig(file, format=file.suffix[1:])


def _draw(axes: Any, curve: Mapping[str, Any], histogram: bool) -> None:
    x, y, weight = curve["x"], curve["y"], curve["weight"]
    total = sum(weight) or 1.0
    if histogram:
        axes.bar(x, y, width=1 / max(len(x), 1), color=_BARS, edgecolor="white", linewidth=0.5)
        axes.axhline(1.0, color=_INK, linewidth=0.8, linestyle="--")
        axes.set_ylim(0, max(2.0, 1.05 * max(y, default=1.0)))
    else:
        axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle="--")
        axes.plot(x, y, color=_LINE, linewidth=1.2)
        axes.scatter(x, y, s=[6 + 90 * w / total for w in weight], color=_LINE)
        axes.set_ylim(0, 1)
    axes.set_xlim(0, 1)
    axes.set_xlabel(curve["x_label"], fontsize=7)
    axes.set_ylabel(curve["y_label"], fontsize=7)
    axes.tick_params(labelsize=7)
