"""The document of the metrics."""

from __future__ import annotations

from pathlib import Path

from mirrorgate.telemetry.names import SPECS
from mirrorgate.telemetry.reference import markdown


def test_the_document_is_current() -> None:
    """docs/metrics.md is what the module writes; run `python -m mirrorgate.telemetry.reference > docs/metrics.md`."""
    assert (Path(__file__).parents[2] / "docs/metrics.md").read_text("utf-8") == markdown()


def test_the_document_has_every_metric() -> None:
    """Each name of the table has its row."""
    text = markdown()
    assert all(f"| `{name}` |" in text for name in SPECS)
