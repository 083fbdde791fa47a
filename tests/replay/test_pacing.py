"""When requests are sent: the capture's gaps, a rate, or no pace; and the order of a capture."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.replay.captured import Captured, Passed, Skip
from mirrorgate.replay.pacing import AtRate, Lateness, Original, Unpaced, in_order, parse_rate


def test_the_capture_s_gaps_are_kept_at_any_speed(captures: Any) -> None:
    """Twice as fast halves the gaps; what has no time goes with the one before it."""
    pace = Original(2.0)
    entries = [captures.entry(started=at) for at in (1000.0, 1001.0, None, 1004.0)]
    assert [pace.due(entry, 50.0 + place) for place, entry in enumerate(entries)] == [50.0, 50.5, 50.5, 52.0]


def test_the_clock_never_goes_back(captures: Any) -> None:
    """An exchange that began before those already sent is due at once, not in the past."""
    pace = Original()
    assert [pace.due(captures.entry(started=at), 0.0) for at in (10.0, 12.0, 11.0)] == [0.0, 2.0, 2.0]


def test_a_rate_is_even(captures: Any) -> None:
    """The capture's own times do not matter."""
    pace = AtRate(parse_rate("120/m"))
    assert [pace.due(captures.entry(started=None), now) for now in (5.0, 9.0, 9.0)] == [5.0, 5.5, 6.0]
    assert Unpaced().due(captures.entry(), 1.0) is None


@pytest.mark.parametrize("text", ["", "0/s", "-1", "5/y", "fast", "1e3", "٣/s/"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    """The message has what was given."""
    with pytest.raises(ValueError, match="rate"):
        parse_rate(text)


def test_late_requests_are_counted() -> None:
    """Late by the timer's own delay is not late."""
    lateness = Lateness()
    lateness.note(1.0, 1.01)
    lateness.note(1.0, 3.5)
    lateness.note(None, 9.0)
    assert (lateness.sent, lateness.late, lateness.worst) == (3, 1, 2.5)


@given(st.lists(st.floats(0, 100), max_size=30))
def test_exchanges_come_in_the_order_of_their_start(moments: list[float]) -> None:
    """Within the look ahead the order is that of arrival, nothing is lost, and what cannot be sent goes through."""
    base = Captured("x", "GET", "/", "", [], b"")
    items = [dataclasses.replace(base, id=str(n), started=at) for n, at in enumerate(moments)]
    found = list(in_order([*items, Passed(Skip.DAMAGED)]))
    sent = [each.started for each in found if isinstance(each, Captured)]
    assert sent == sorted(moments)
    assert len(found) == len(items) + 1


def test_the_look_ahead_is_bounded() -> None:
    """A capture of any size is held in part only."""
    base = Captured("x", "GET", "/", "", [], b"y" * 1000)
    taken = 0

    def items() -> Any:
        nonlocal taken
        for n in range(1000):
            taken += 1
            yield dataclasses.replace(base, id=str(n), started=float(n))

    ordered = in_order(items(), most=1000, most_bytes=10 * base.size)
    next(ordered)
    assert taken == 11
