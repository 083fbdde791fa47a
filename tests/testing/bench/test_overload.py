"""The table of what a gateway does when it is asked for too much."""

from __future__ import annotations

from mirrorgate.testing.bench.measures import Spread
from mirrorgate.testing.bench.overload import Outcome, table


def test_a_row_for_each_run() -> None:
    """Times in milliseconds; a run without an answer has none."""
    rows = table([Outcome(100, 0, 99.7, 0.2, Spread(0.2, 0.25)), Outcome(800, 250, 0.0, 800.0, None)]).splitlines()[2:]
    assert rows == ["| 100 | off | 100 | 0 | 200 ms | 250 ms |", "| 800 | 250 ms | 0 | 800 | – | – |"]
