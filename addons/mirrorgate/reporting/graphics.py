"""Small drawings that stand in a table: an interval beside its margin, a bar of evidence, a bar of counts.

They are plain SVG and HTML, coloured by the page's style, so that they need no script.
"""

from __future__ import annotations

from typing import Final

from ..comparison.verdict import Standing
from .markup import Markup, tag
from .wording import odds, points

__all__ = ["bar", "evidence_bar", "interval_graphic", "standing_kind"]

_WIDTH: Final = 200.0
_HEIGHT: Final = 24.0
_REACH: Final = 3.0
"""The drawing shows differences up to so many margins to either side of no difference."""


def standing_kind(standing: Standing) -> str:
    """Return how a guardrail stands: `bad`, `good`, `warn`, or `idle` when it decides nothing."""
    if not standing.gating:
        return "idle"
    if standing.failed:
        return "bad"
    return "good" if standing.passed else "warn"


def interval_graphic(standing: Standing) -> Markup:
    """Draw the interval of the mean difference: no difference in the middle, worse to the right, the margin marked."""

    def across(difference: float) -> float:
        held = max(-_REACH, min(_REACH, difference / standing.margin))
        return _WIDTH * (held + _REACH) / (2.0 * _REACH)

    middle = _HEIGHT / 2.0
    low, high, margin = across(standing.low), across(standing.high), across(standing.margin)
    parts = [
        tag("rect", x=margin, y=0.0, width=_WIDTH - margin, height=_HEIGHT, class_="beyond"),
        tag("line", x1=_WIDTH / 2.0, x2=_WIDTH / 2.0, y1=2.0, y2=_HEIGHT - 2.0, class_="zero"),
        tag("line", x1=margin, x2=margin, y1=0.0, y2=_HEIGHT, class_="margin"),
        tag("line", x1=low, x2=max(high, low + 1.0), y1=middle, y2=middle, class_="interval"),
    ]
    for end, outside, tip in (
        (low, standing.low < -_REACH * standing.margin, 5.0),
        (high, standing.high > _REACH * standing.margin, -5.0),
    ):
        if outside:
            arrow = f"M{end + tip:g} {middle - 4:g} L{end:g} {middle:g} L{end + tip:g} {middle + 4:g}"
            parts.append(tag("path", d=arrow, class_="arrow"))
        else:
            parts.append(tag("line", x1=end, x2=end, y1=middle - 4.0, y2=middle + 4.0, class_="interval"))
    if standing.mean is not None:
        parts.append(tag("circle", cx=across(standing.mean), cy=middle, r=3.5, class_="mean"))
    words = (
        f"mean {points(standing.mean)}, interval {points(standing.low)} to {points(standing.high)}, "
        f"margin {points(standing.margin)}"
    )
    return tag(
        "svg",
        tag("title", words),
        *parts,
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        width=_WIDTH,
        height=_HEIGHT,
        role="img",
        class_=f"difference {standing_kind(standing)}",
    )


def evidence_bar(side: str, log: float, threshold: float, kind: str) -> Markup:
    """Draw how much of the evidence that is needed for one side there is; evidence to the contrary is an empty bar."""
    share = max(0.0, min(1.0, log / threshold)) if threshold > 0.0 else 1.0
    return tag(
        "div",
        tag("div", tag("i", style=f"width:{100.0 * share:.1f}%", class_=kind), class_="bar"),
        tag("small", f"{side} {odds(log)}" + ("" if log >= threshold else f", needs {odds(threshold)}")),
        class_="evidence",
        title=f"evidence {odds(log)}, {odds(threshold)} decides",
    )


def bar(share: float, kind: str) -> Markup:
    """Draw a share of a whole."""
    width = f"width:{100.0 * max(0.0, min(1.0, share)):.1f}%"
    return tag("div", tag("i", style=width, class_=kind), class_="bar")
