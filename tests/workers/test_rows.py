"""Counts in shared memory: what one writes all read, and what a dead worker wrote is gone."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator

import pytest

from mirrorgate.workers.rows import SLOTS, Rows, allocate

WORKERS = 3


@pytest.fixture
def memory() -> Iterator[int]:
    descriptor = allocate(WORKERS)
    yield descriptor
    os.close(descriptor)


def test_others_are_summed_and_oneself_is_not(memory: int) -> None:
    """A worker that does not know the cluster adds nothing; one that joins late is seen."""
    rows = [Rows(memory, WORKERS, own) for own in range(WORKERS)]
    first = rows[0].join("c")
    assert first is not None
    assert (first.active(), first.pending(), first.connections(), first.retries()) == (0, 0, 0, 0)
    second, third = rows[1].join("c"), rows[2].join("c")
    assert second is not None
    assert third is not None
    first.tell(100, 100, 100)
    second.tell(1, 2, 3)
    second.tell_retries(4)
    third.tell(10, 20, 30)
    assert (first.active(), first.pending(), first.connections(), first.retries()) == (11, 22, 33, 4)
    assert (second.active(), second.retries()) == (110, 0)


def test_clusters_are_told_apart(memory: int) -> None:
    """As many as there are slots, and one more has no place."""
    one, two = Rows(memory, WORKERS, 0), Rows(memory, WORKERS, 1)
    for number in range(SLOTS):
        row = one.join(f"cluster-{number}")
        assert row is not None
        row.tell(number, 0, 0)
    assert one.join("one too many") is None
    for number in (0, 1, SLOTS // 2, SLOTS - 1):
        row = two.join(f"cluster-{number}")
        assert row is not None
        assert row.active() == number


def test_a_place_that_is_left_counts_nothing_and_is_taken_again(memory: int) -> None:
    """Configurations come and go without using the memory up."""
    one, two = Rows(memory, WORKERS, 0), Rows(memory, WORKERS, 1)
    seen = two.join("c")
    assert seen is not None
    for number in range(3 * SLOTS):
        row = one.join(f"passing-{number}")
        assert row is not None
        row.tell(1, 1, 1)
        one.leave(f"passing-{number}")
    row = one.join("c")
    assert row is not None
    row.tell(5, 0, 0)
    assert seen.active() == 5
    one.leave("c")
    one.leave("c")
    assert seen.active() == 0


def _count_and_hang(descriptor: int, own: int, told: object) -> None:
    row = Rows(descriptor, WORKERS, own).join("c")
    assert row is not None
    row.tell(7, 8, 9)
    row.tell_retries(3)
    told.set()  # type: ignore[attr-defined]
    signal.pause()


def test_what_a_killed_process_counted_is_zeroed(memory: int) -> None:
    """A worker that SIGKILL ends holds its places until the supervisor clears its region, and not after."""
    context = multiprocessing.get_context("fork")
    told = context.Event()
    worker = context.Process(target=_count_and_hang, args=(memory, 1, told))
    worker.start()
    assert told.wait(60)
    here = Rows(memory, WORKERS, 0).join("c")
    supervisor = Rows(memory, WORKERS, -1)
    assert here is not None
    assert (here.active(), here.pending(), here.connections(), here.retries()) == (7, 8, 9, 3)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(60)
    assert here.active() == 7
    supervisor.clear(1)
    assert (here.active(), here.pending(), here.connections(), here.retries()) == (0, 0, 0, 0)
    again = Rows(memory, WORKERS, 1).join("c")
    assert again is not None
    again.tell(2, 0, 0)
    assert here.active() == 2


def test_who_has_left_writes_nowhere(memory: int) -> None:
    """The end of a connection that is told late does not clear the counts of who has the place by then."""
    one, two = Rows(memory, WORKERS, 0), Rows(memory, WORKERS, 1)
    seen, before = two.join("c"), one.join("c")
    assert seen is not None
    assert before is not None
    seen.tell(7, 0, 0)
    one.leave("c")
    now = one.join("c")
    assert now is not None
    now.tell(3, 0, 0)
    now.tell_retries(2)
    before.tell(0, 0, 0)
    before.tell_retries(0)
    assert (seen.active(), seen.retries()) == (3, 2)
    assert (before.active(), now.active()) == (0, 7)
