"""How the documentation's pictures look: SVG that reads on light and on dark pages, the same for the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

__all__ = ["INK", "STYLE", "save"]

INK = "#7d8590"
"""Has enough contrast on white and on GitHub's dark grey."""

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mirrorgate",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
"""For `matplotlib.rc_context`."""


def save(figure: Figure, file: Path) -> None:
    """Write a figure as SVG without anything that changes from one run to the next."""
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    # Trailing blanks are matplotlib's; a repository's checks dislike them.
    text = file.read_text(encoding="utf-8")
    file.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")
