"""The growth of evidence in few points."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mirrorgate.comparison.evidence import Evidence, Tally
from mirrorgate.reporting.course import Course, evidence_points, mean_points
from mirrorgate.testing.journals import JournalMaker


def test_points_are_spaced_and_end_with_now(tmp_path: Path) -> None:
    """Every step at first; when there are too many every second, and so on; the last is the evidence of now."""
    journal = JournalMaker(tmp_path / "x.jsonl")
    course = Course()
    for _ in range(1001):
        journal.pair()
        course.after_step([journal.ledger])
    counts = [point.pairs for point in evidence_points(course.points([journal.ledger]))]
    assert counts[-1] == 1001
    assert counts[:-1] == list(range(4, 1001, 4))


def test_replicas_are_added_at_each_point(tmp_path: Path) -> None:
    """A point holds the sum of the logarithms of every ledger's evidence."""
    one, two = JournalMaker(tmp_path / "a.jsonl", id="one"), JournalMaker(tmp_path / "b.jsonl", id="two")
    for _ in range(20):
        one.pair()
        two.pair()
    (point,) = evidence_points(Course().points([one.ledger, two.ledger]))
    assert point.pairs == 40
    parts = [journal.ledger.tallies()["errors"].log_ni for journal in (one, two)]
    assert point.log_ni["errors"] == sum(parts)


def test_nothing_yet_is_no_point_of_a_mean() -> None:
    """Before the first observation there is no mean."""
    assert mean_points([{"errors": Tally()}], "errors", 0.05) == ()
    assert mean_points([], "errors", 0.05) == ()


@given(differences=st.lists(st.sampled_from([-1.0, 0.0, 0.25, 1.0]), min_size=1, max_size=400))
@settings(max_examples=25, deadline=None)
def test_means_lie_in_their_intervals(differences: list[float]) -> None:
    """At most so many points are kept, in order, the last of all among them."""
    evidence, points = Evidence(0.05), []
    for difference in differences:
        evidence.update(difference)
        points.append({"errors": evidence.tally()})
    means = mean_points(points, "errors", 0.05, most=50)
    assert len(means) <= 50
    assert means[-1].pairs == len(differences)
    assert [point.pairs for point in means] == sorted({point.pairs for point in means})
    assert all(point.low <= point.mean + 1e-12 and point.mean <= point.high + 1e-12 for point in means)
