"""Compared pairs are logged while a person could read them, and counted beyond that."""

from __future__ import annotations

import pytest

from mirrorgate.records import Compared, ShadowDropped
from mirrorgate.wiring.comparison_lines import ComparisonLines


def pair(number: int) -> Compared:
    return Compared(f"pair-{number}", "m", "same", 1.0, "same: 5 tokens", b"{}")


def test_the_first_pairs_of_a_second_have_a_line_each(caplog: pytest.LogCaptureFixture) -> None:
    """The rest is counted, and told of with the next line."""
    caplog.set_level("INFO", "mirrorgate")
    now = 100.0
    lines = ComparisonLines(lambda: now)
    for number in range(35):
        lines.handle(pair(number))
    assert [record.getMessage() for record in caplog.records] == [f"pair-{n}: same: 5 tokens" for n in range(10)]
    now += 1.0
    caplog.clear()
    lines.handle(pair(35))
    lines.handle(pair(36))
    told, *others = [record.getMessage() for record in caplog.records]
    assert told.startswith("25 more pairs were compared")
    assert others == ["pair-35: same: 5 tokens", "pair-36: same: 5 tokens"]


def test_other_events_have_no_line(caplog: pytest.LogCaptureFixture) -> None:
    """What was dropped is counted elsewhere."""
    caplog.set_level("INFO", "mirrorgate")
    ComparisonLines().handle(ShadowDropped("a", "m", "candidate", "127.0.0.1:1", "queue_full"))  # type: ignore[arg-type]
    assert not caplog.records
