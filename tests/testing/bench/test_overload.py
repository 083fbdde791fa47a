"""What is made of the answers of an overload."""

from __future__ import annotations

import pytest

from mirrorgate.testing.bench.measures import Spread
from mirrorgate.testing.bench.open_loop import Answer, Seen
from mirrorgate.testing.bench.overload import Outcome, outcome, recovery, table


def test_a_row_for_each_rate() -> None:
    """Times in milliseconds; what was not measured is empty."""
    rows = table(
        1400.4,
        [
            Outcome(0.5, 700.2, 700.0, Spread(0.002, 0.0051), 0.0, None, 0.1, 0.0, 0.523),
            Outcome(2.0, 2800.0, 1300.0, Spread(0.01, 0.02), 1490.0, Spread(0.004, 0.0123), 10.0, 0.0, 1.0, 0.07),
        ],
    ).splitlines()
    assert rows[0] == "Capacity: 1400 requests a second."
    assert rows[4:] == [
        "| 0.5 x | 700 | 700 | 2.0 ms | 5.1 ms | 0 | – | 0.1 | 52 % |  |",
        "| 2 x | 2800 | 1300 | 10.0 ms | 20.0 ms | 1490 | 12.3 ms | 10.0 | 100 % | 0.07 s |",
    ]


def test_answers_are_counted_by_what_they_are() -> None:
    """Whole ones, refusals, and all else, a second."""
    answers = [Answer(0, 0.1, 200), Answer(0, 0.3, 200), Answer(0, 0.01, 503), Answer(0, 1.0, 502)]
    summed = outcome(3.0, Seen(window=2.0, sent=12, answers=answers, broken=1, unanswered=2, behind=0.5), 1.0, 0.25)
    assert summed == Outcome(
        3.0, 6.0, 1.0, Spread(0.1, 0.3), 0.5, Spread(0.01, 0.01), 2.0, 0.5, 0.5, 0.25,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "after"),
    [
        ([], 0.0),
        ([Answer(9.9, 5.0, 503)], 0.0),
        ([Answer(10.25, 0.01, 503), Answer(10.5, 0.001, 200)], 0.3),
        ([Answer(10.25, 0.01, 200), Answer(10.5, 0.001, 200)], 0.3),
        ([Answer(10.25, 0.01, 200), Answer(10.26, 0.001, 200), Answer(10.27, 0.001, 200)], 0.0),
    ],
)
def test_a_burst_is_over_when_nobody_is_refused_or_slow(answers: list[Answer], after: float) -> None:
    """But for a few in a tenth of a second; what was asked before the burst ended does not count."""
    assert recovery(Seen(answers=answers), 10.0, usual=0.002) == pytest.approx(after)
