"""Numbers as people read them, and text that does no harm where it is shown."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.comparison.guardrails import GuardrailName
from mirrorgate.comparison.verdict import Standing
from mirrorgate.reporting.wording import (
    EXPLANATIONS,
    explanation,
    odds,
    percent,
    period,
    points,
    safe,
    seconds,
    state,
    when,
)


def test_every_guardrail_is_explained() -> None:
    """Those of ours by their loss, the others as the user's."""
    assert set(EXPLANATIONS) == {name.value for name in GuardrailName}
    assert explanation("tone") == "a scorer of yours"


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.0, "0 pt"), (0.00001, "0 pt"), (0.012, "+1.20 pt"), (-0.5, "−50.00 pt"), (1.0, "+100.00 pt"), (None, "–")],
)
def test_points(share: float | None, shown: str) -> None:
    """Differences have a sign, and what rounds to nothing is nothing."""
    assert points(share) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0 µs"), (0.0123, "12.3 ms"), (0.25, "250 ms"), (1.5, "1.50 s"), (600.0, "10.0 min"), (None, "–")],
)
def test_seconds(value: float | None, shown: str) -> None:
    """Three digits or so, in the unit that suits."""
    assert seconds(value) == shown


@pytest.mark.parametrize(
    ("log", "shown"), [(0.0, "1 : 1"), (math.log(0.05), "0.05 : 1"), (math.log(100), "100 : 1"), (50.0, "10^22 : 1")]
)
def test_odds(log: float, shown: str) -> None:
    """Evidence as odds; beyond a million as a power of ten."""
    assert odds(log) == shown


def test_times_outside_the_calendar_are_numbers() -> None:
    """A journal can hold any number."""
    assert when(0.0) == "1970-01-01 00:00:00 UTC"
    assert when(1e300) == "1e+300"
    assert period(0.0, 7200.0).endswith("(2.0 hours)")
    assert period(None, None) == percent(None) == "–"


@given(st.text())
def test_what_is_shown_controls_nothing(text: str) -> None:
    """No escape sequence reaches a terminal, and no mark turns the direction of what follows."""
    shown = safe(text)
    assert len(shown) == len(text)
    assert not set(shown) & {*map(chr, range(9)), "\x1b", "\x7f", "\x9b", "\u202e", "\u2066"}


def test_words_and_emoji_stay_as_they_are() -> None:
    """Letters of every script, and the joiners that some need."""
    text = "naïve 東京 می‌خواهم 👩‍🚀\n\tend"
    assert safe(text) == text


def test_states() -> None:
    """In the order in which they decide."""

    def standing(**fields: object) -> Standing:
        plain = {"name": "errors", "margin": 0.01, "gating": True, "pairs": 1, "mean": 0.0, "low": -1.0, "high": 1.0}
        rest = {"log_ni": 0.0, "log_rej": 0.0, "passed": False, "failed": False, "pairs_needed": 1200}
        return Standing(**(plain | rest | fields))  # type: ignore[arg-type]

    assert state(standing(gating=False, failed=True)) == "shown only"
    assert state(standing(failed=True, passed=True)) == "fails"
    assert state(standing(passed=True)) == "passes"
    assert state(standing()) == "about 1,200 more"
    assert state(standing(pairs_needed=None)) == "at the margin or beyond"
