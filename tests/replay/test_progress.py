"""What a person reads while a replay runs."""

from mirrorgate.replay.captured import Skip
from mirrorgate.replay.progress import status_line
from mirrorgate.replay.tallying import Tally


def test_one_line_says_where_a_run_is() -> None:
    """Rate, errors and the verdict so far; what is not there is not shown."""
    tally = Tally(sent=12)
    tally.outcomes.update(same=8, candidate_failed=2)
    assert status_line(tally, 2, 5.0) == "12 sent, 10 compared, 2 under way, 2.0/s, 2 errors"
    tally.passed[Skip.FILTERED] = 3
    tally.lateness.late = 1
    tally.dropped["unfinished"] = 1
    tally.take_verdict("c", b'{"verdict":"HOLD","reason":"r","pairs":10,"pairs_needed":90,"more":{}}')
    assert status_line(tally, 0, 0.0).endswith("3 passed by, 1 late, 1 dropped, HOLD (about 90 more pairs)")
    assert "HOLD" not in status_line(tally, 0, 1.0, verdicts=False)


def test_a_long_gap_of_the_capture_does_not_look_like_a_hang() -> None:
    """The line says when it goes on, and how not to wait."""
    assert "next in" not in status_line(Tally(), 0, 1.0, idle_for=4.0)
    line = status_line(Tally(), 0, 1.0, idle_for=297.6)
    assert line.endswith("next in 298 s by the pace (--speed or --concurrency goes faster)")
