"""Drawings of intervals and evidence."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.comparison.verdict import Standing
from mirrorgate.reporting.graphics import bar, evidence_bar, interval_graphic, standing_kind

number = st.floats(-1.0, 1.0)


def standing(mean: float | None, low: float, high: float, margin: float = 0.01, *, gating: bool = True) -> Standing:
    return Standing("errors", margin, gating, 5, mean, low, high, 0.0, 0.0, False, False, None)


@given(mean=st.none() | number, ends=st.tuples(number, number), margin=st.floats(0.001, 0.999))
def test_every_interval_can_be_drawn(mean: float | None, ends: tuple[float, float], margin: float) -> None:
    """The drawing is well-formed and nothing in it lies outside."""
    drawing = ElementTree.fromstring(interval_graphic(standing(mean, min(ends), max(ends), margin)))
    for element in drawing.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert 0.0 <= float(element.get(name, "0")) <= 202.0
    assert len(drawing.findall("circle")) == (mean is not None)


def test_ends_outside_are_arrows() -> None:
    """An interval that is wider than the drawing points to where it goes on."""
    assert interval_graphic(standing(0.0, -1.0, 1.0)).count("arrow") == 2
    assert interval_graphic(standing(0.0, -0.001, 0.001)).count("arrow") == 0


@pytest.mark.parametrize(("log", "width"), [(-5.0, "0.0%"), (math.log(10), "50.0%"), (400.0, "100.0%")])
def test_evidence_fills_its_bar(log: float, width: str) -> None:
    """In proportion to its logarithm; evidence to the contrary is empty."""
    assert re.findall(r"width:([0-9.]+%)", evidence_bar("within", log, math.log(100), "good")) == [width]


def test_bars_stay_in_bounds() -> None:
    """A share above 1 is a whole bar."""
    assert "width:100.0%" in bar(1.7, "")


def test_kinds() -> None:
    """A guardrail that decides nothing is neither good nor bad."""
    assert standing_kind(standing(0.0, 0.0, 0.0, gating=False)) == "idle"
    assert standing_kind(standing(0.0, 0.0, 0.0)) == "warn"
