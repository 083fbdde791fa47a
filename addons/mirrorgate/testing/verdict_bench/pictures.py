"""The benchmark's pictures, as SVG that reads on light and on dark pages and is the same for the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import FillStyleType

from ..picture_style import INK, STYLE, save
from .results import RaceRow, Races, RateRow

__all__ = ["draw_error_rates", "draw_races"]

_OURS, _SOUND, _FIXED, _DIFFY = "#3b82f6", "#22a06b", "#d97706", "#a855f7"
"""All of these have enough contrast on white and on GitHub's dark grey."""
_APART = 0.22
"""Between the marks of one row, of which some may fall on the same pair."""


def draw_races(races: Races, title: str, file: Path) -> None:
    """Draw for each candidate after how many pairs each rule decides; what never does stands at the right edge."""
    rows = [row for row in races.rows if row.modes and "," not in row.name]
    never = max(races.most, races.rival_pairs) * 1.6
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 2.0 + 0.34 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, place: f"{value:,.0f}")
        axes.set_xlim(0.8, never * 1.5)
        axes.set_ylim(-0.7, len(rows) - 0.3)
        for place, row in enumerate(reversed(rows)):
            _draw_row(axes, place, row, never)
        axes.axvline(races.most, color=INK, linewidth=0.6, linestyle=":")
        axes.text(never, len(rows) - 0.3, "never", ha="center", va="bottom")
        axes.set_yticks(range(len(rows)), [row.name.replace("_", " ") for row in reversed(rows)])
        axes.set_xlabel("pairs (median of the runs)")
        axes.set_title(title, loc="left")
        axes.grid(axis="x", color=INK, alpha=0.2)
        _bare(axes)
        axes.legend(handles=_legend(), loc="upper center", bbox_to_anchor=(0.45, -0.1), ncols=3, frameon=False)
        save(figure, file)


def _draw_row(axes: Axes, place: int, row: RaceRow, never: float) -> None:
    axes.axhline(place, color=INK, linewidth=0.4, alpha=0.3)
    mode = row.modes[0]
    if mode.middle is None:
        axes.plot(never, place + _APART, "o", color=_OURS, fillstyle="none")
    else:
        rejects = mode.rejected > mode.promoted
        axes.plot(mode.middle, place + _APART, "o", color=_OURS if rejects else _SOUND, markersize=8)
    fixed: FillStyleType = "full" if row.argo else "none"
    axes.plot(row.argo or never, place, "s", color=_FIXED, markersize=5, fillstyle=fixed)
    flagged: FillStyleType = "full" if row.diffy_flagged > 0.5 else "none"
    axes.plot(row.diffy_first or never, place - _APART, "D", color=_DIFFY, markersize=5, fillstyle=flagged)


def _legend() -> list[Line2D]:
    def mark(label: str, marker: str, color: str, fill: FillStyleType = "full") -> Line2D:
        return Line2D([], [], linestyle="", label=label, marker=marker, color=color, fillstyle=fill)

    return [
        mark("the verdict: REJECT", "o", _OURS),
        mark("the verdict: PROMOTE", "o", _SOUND),
        mark("the verdict: HOLD", "o", _OURS, "none"),
        mark("fixed thresholds: rolled back", "s", _FIXED),
        mark("Diffy: first flag", "D", _DIFFY),
        mark("Diffy: flag that does not last", "D", _DIFFY, "none"),
    ]


def draw_error_rates(rows: Sequence[RateRow], alpha: float, title: str, file: Path) -> None:
    """Draw how often a candidate at the margin was promoted, with the exact intervals' upper ends, and the bound."""
    shown = [row for row in rows if row.beyond and row.promoted_at_most > 0]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 1.8 + 0.26 * len(shown)), layout="constrained")
        axes = figure.add_subplot()
        for place, row in enumerate(reversed(shown)):
            rate = row.promoted / row.runs
            axes.plot((100 * rate, 100 * row.promoted_at_most), (place, place), color=_OURS, linewidth=1.5)
            axes.plot(100 * rate, place, "o", color=_OURS, markersize=5)
        axes.axvline(100 * alpha, color=_FIXED, linewidth=1.2)
        axes.text(100 * alpha, len(shown) - 0.4, f"bound {alpha:.0%}", color=_FIXED, ha="center", va="bottom")
        axes.set_xlim(left=0.0)
        axes.set_ylim(-0.7, len(shown) - 0.3)
        axes.set_yticks(range(len(shown)), [row.name for row in reversed(shown)])
        axes.set_xlabel("runs with a false PROMOTE, in %")
        axes.set_title(title, loc="left", pad=16)
        axes.grid(axis="x", color=INK, alpha=0.2)
        _bare(axes)
        save(figure, file)


def _bare(axes: Axes) -> None:
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
