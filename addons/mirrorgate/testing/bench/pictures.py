"""The benchmark's picture, as SVG that reads on light and on dark pages and is the same for the same numbers."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from ..picture_style import STYLE, save
from .measures import Measure
from .results import Results

__all__ = ["draw"]

_OURS, _OTHERS = "#3b82f6", "#9ca3af"


def _request(measure: Measure) -> float | None:
    return measure.cpu_per_request


def _event(measure: Measure) -> float | None:
    return measure.cpu_per_event


def draw(results: Results, folder: Path) -> None:
    """Draw `benchmark.svg`: CPU time a small request and a streamed event, for each proxy."""
    panels = [
        (scenario, title, figure)
        for scenario, title, figure in (
            ("small", "CPU of a small request, µs", _request),
            ("stream", "CPU of a streamed event, µs", _event),
        )
        if scenario in results.scenarios
    ]
    if not panels:
        return
    with mpl.rc_context(STYLE):
        shown = max(sum(bool(results.of(name, each)) for name in results.proxies) for each, _, _ in panels)
        drawn = Figure(figsize=(9.0, 1.0 + 0.34 * shown), layout="constrained")
        for place, (scenario, title, figure) in enumerate(panels, 1):
            axes = drawn.add_subplot(1, len(panels), place)
            found = [(name, results.median(name, scenario, figure)) for name in reversed(results.proxies)]
            bars = [(name, value * 1e6) for name, value in found if value is not None]
            colours = [_OURS if name.startswith("mirrorgate") else _OTHERS for name, _ in bars]
            axes.barh([name for name, _ in bars], [value for _, value in bars], color=colours)
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda value, _place: f"{value:,.0f}")
            axes.margins(x=0.15)
            for row, (_, value) in enumerate(bars):
                axes.text(value * 1.05, row, f"{value:,.0f}", va="center")
            axes.set_title(title, loc="left")
            for side in ("top", "right", "left"):
                axes.spines[side].set_visible(False)
        save(drawn, folder / "benchmark.svg")
