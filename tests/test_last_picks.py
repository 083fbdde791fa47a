"""The latest picks are kept for a while."""

from typing import Any, cast

from mirrorgate.last_picks import LastPick, LastPicks


def test_a_few_are_kept_for_each_cluster_the_latest_first() -> None:
    """One cluster's do not push another's out, and what is no longer declared is forgotten."""
    picks = LastPicks()
    pick = cast(Any, None)
    picks.note("b", LastPick(0.0, "x", "m", pick))
    for number in range(50):
        picks.note("a", LastPick(float(number), "x", "m", pick))
    assert [last.at for last in picks.of("a")] == [49.0, 48.0, 47.0, 46.0, 45.0, 44.0, 43.0, 42.0]
    assert len(list(picks.of("b"))) == 1
    assert list(picks.of("c")) == []
    picks.retain({"b"})
    assert picks.clusters() == ["b"]
