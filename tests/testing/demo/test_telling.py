"""How the demo prints."""

from __future__ import annotations

import io
from typing import Any

from mirrorgate.testing.demo.gateway import Comparison
from mirrorgate.testing.demo.telling import Teller, comparison_table, console_for, drawing


def leg(
    *, streamed: bool = True, ttft: float | None = 0.05, tokens: int | None = 20, finish: str = "stop"
) -> dict[str, Any]:
    """Return a leg of a comparison's record."""
    return {
        "streamed": streamed,
        "ttft": ttft,
        "e2e": 0.5,
        "usage": None if tokens is None else {"completion_tokens": tokens},
        "choices": [{"finish_reason": finish}],
    }


def printed(*comparisons: Comparison) -> str:
    """Return the table as text."""
    file = io.StringIO()
    console_for(file).print(comparison_table(comparisons))
    return file.getvalue()


def test_a_comparison_shows_both_legs() -> None:
    """Production's figure first."""
    text = printed(Comparison(0.0, "different", 0.5, leg(), leg(ttft=0.04, tokens=16, finish="length")))
    for shown in ("different", "0.50", "50 / 40", "500 / 500", "20 / 16", "stop / length", "stream"):
        assert shown in text


def test_what_is_not_known_is_left_out() -> None:
    """An answer in one piece has no first token, and a failed leg no tokens and no finish reason."""
    failed = leg(streamed=False, ttft=None, tokens=None) | {"choices": []}
    text = printed(Comparison(0.0, "candidate_failed", None, leg(streamed=False, ttft=None), failed))
    assert "candidate failed" in text
    assert "20 / –" in text
    assert "stop / –" in text
    assert "None" not in text


def test_lines_keep_to_the_width_and_carry_no_markup() -> None:
    """Brackets of a model's answer are text, and long lines are folded or cut."""
    file = io.StringIO()
    teller = Teller(console_for(file))
    teller.output("[bold]" + "x" * 500, most=100)
    teller.output("y" * 300)
    lines = file.getvalue().splitlines()
    assert lines[0].strip() == "[bold]" + "x" * 93 + "…"
    assert max(map(len, lines)) <= 116


def test_a_drawing_fetches_nothing() -> None:
    """The README's picture is complete by itself."""
    console = console_for(io.StringIO(), record=True)
    Teller(console).check("done")
    drawn = drawing(console, "title")
    assert "done" in drawn
    assert "font-face" not in drawn
    assert "url(http" not in drawn
