"""The books' arithmetic over one scrape."""

from __future__ import annotations

import os

from mirrorgate.testing.chaos.books import Held, Sums

SCRAPE = """
# TYPE mirrorgate_shadow_dropped_total counter
mirrorgate_shadow_dropped_total{leg="candidate",at="proxy",reason="queue_full"} 5
mirrorgate_shadow_dropped_total{leg="candidate",at="shadow",reason="queue_full"} 2
mirrorgate_shadow_dropped_total{leg="candidate",at="shadow",reason="budget"} 1
mirrorgate_shadow_dropped_total{leg="control",at="shadow",reason="busy"} 7
"""


def test_samples_add_up_by_their_labels() -> None:
    """Absent labels do not matter, an absent metric is 0."""
    sums = Sums(SCRAPE)
    assert sums.sum("mirrorgate_shadow_dropped_total") == 15
    assert sums.sum("mirrorgate_shadow_dropped_total", at="shadow", leg="control") == 7
    assert sums.sum("mirrorgate_requests_total") == 0
    assert sums.lost_mirrors() == 3


def test_a_descriptor_more_is_seen() -> None:
    """Of this process, at once."""
    pids = {"me": os.getpid()}
    before = Held.now(pids)
    ends = os.pipe()
    after = Held.now(pids)
    for end in ends:
        os.close(end)
    assert after.descriptors["me"] == before.descriptors["me"] + 2
    assert before.resident["me"] > 1
