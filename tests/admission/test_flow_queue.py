"""The queue in front of a saturated pool: order, turns, bounds, and nobody who is forgotten."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.admission.flow_queue import FlowQueue, QueueLimits

LIMITS = QueueLimits(requests=100)


def test_priorities_then_turns_then_arrival() -> None:
    """The highest priority goes first; its fairness ids take turns; of one, the first to come."""
    queue: FlowQueue[str] = FlowQueue()
    for priority, fairness, names in ((0, "a", "abc"), (0, "b", "xy"), (-1, "a", "z"), (5, "b", "h")):
        for name in names:
            assert queue.join(name, LIMITS, priority=priority, fairness=fairness, now=0.0)
    assert "".join(iter(queue.take, None)) == "haxbycz"
    assert len(queue) == 0


def test_a_flow_that_comes_back_has_no_advantage() -> None:
    """Who joins again after its turn waits behind those whose turn is still to come."""
    queue: FlowQueue[str] = FlowQueue()
    for name in ("a1", "b1", "c1"):
        queue.join(name, LIMITS, fairness=name[0], now=0.0)
    assert queue.take() == "a1"
    queue.join("a2", LIMITS, fairness="a", now=1.0)
    assert [queue.take() for _ in range(4)] == ["b1", "c1", "a2", None]


@pytest.mark.parametrize(
    ("limits", "sizes", "taken"),
    [
        (QueueLimits(2, 100), [1, 1, 1], [True, True, False]),
        (QueueLimits(9, 100), [60, 40, 1], [True, True, False]),
        (QueueLimits(9, 100), [500, 1], [True, False]),
        (QueueLimits(0), [0], [False]),
    ],
)
def test_bounds(limits: QueueLimits, sizes: list[int], taken: list[bool]) -> None:
    """In number and in bytes; a band that is empty takes one of any size; other priorities have room of their own."""
    queue: FlowQueue[int] = FlowQueue()
    assert [queue.join(index, limits, size=size, now=0.0) for index, size in enumerate(sizes)] == taken
    assert queue.join(99, limits, priority=1, now=0.0) is (limits.requests > 0)
    if taken[0]:
        assert queue.leave(0)
        assert not queue.leave(0)
        assert queue.join(0, limits, now=0.0)


def test_who_waits_already_cannot_join() -> None:
    """It is a bug of the caller's, and changes nothing."""
    queue: FlowQueue[str] = FlowQueue()
    queue.join("a", LIMITS, now=0.0)
    with pytest.raises(ValueError, match="waits already"):
        queue.join("a", LIMITS, priority=1, now=0.0)
    assert (queue.take(), queue.take()) == ("a", None)


def test_time_is_up_for_the_oldest() -> None:
    """Whatever its priority is."""
    queue: FlowQueue[str] = FlowQueue()
    for at, name in enumerate("abc"):
        queue.join(name, LIMITS, priority=at, fairness=name, now=float(at))
    assert queue.expired(-0.5) == []
    assert queue.expired(1.0) == ["a", "b"]
    assert (queue.take(), len(queue)) == ("c", 0)


@dataclass(frozen=True)
class Waiting:
    name: int
    priority: int
    fairness: str
    size: int
    at: float


class Plain:
    """The same queue as a list that is searched."""

    def __init__(self) -> None:
        self.waiting: list[Waiting] = []
        self.turns: dict[int, list[str]] = {}

    def take(self) -> int | None:
        if not self.waiting:
            return None
        top = max(one.priority for one in self.waiting)
        flow = self.turns[top][0]
        found = next(one for one in self.waiting if (one.priority, one.fairness) == (top, flow))
        self.turns[top].append(self.turns[top].pop(0))
        self.remove(found)
        return found.name

    def remove(self, one: Waiting) -> None:
        self.waiting.remove(one)
        if not any((other.priority, other.fairness) == (one.priority, one.fairness) for other in self.waiting):
            self.turns[one.priority].remove(one.fairness)

    def join(self, one: Waiting, limits: QueueLimits) -> bool:
        band = [other for other in self.waiting if other.priority == one.priority]
        if band and (len(band) >= limits.requests or sum(o.size for o in band) + one.size > limits.bytes):
            return False
        self.waiting.append(one)
        turns = self.turns.setdefault(one.priority, [])
        if one.fairness not in turns:
            turns.append(one.fairness)
        return True


joins = st.tuples(st.just("join"), st.integers(-1, 1), st.sampled_from("abc"), st.integers(0, 40))
steps = st.lists(joins | st.tuples(st.sampled_from(["take", "leave", "expire"]), st.integers(0, 30)), max_size=60)


@given(steps)
def test_it_does_what_a_plain_list_does(steps: list[tuple[object, ...]]) -> None:
    """Joining, taking, leaving and running out of time in any order; bytes and counts add up all the while."""
    limits, queue, plain, names = QueueLimits(4, 100), FlowQueue[int](), Plain(), itertools.count()
    for now, step in enumerate(steps):
        match step:
            case ("join", int(priority), str(fairness), int(size)):
                one = Waiting(next(names), priority, fairness, size, float(now))
                joined = queue.join(one.name, limits, priority=priority, fairness=fairness, size=size, now=float(now))
                assert joined is plain.join(one, limits)
            case ("take", _):
                assert queue.take() == plain.take()
            case ("leave", int(name)):
                found = [one for one in plain.waiting if one.name == name]
                assert queue.leave(name) is bool(found)
                for one in found:
                    plain.remove(one)
            case ("expire", int(before)):
                late = [one for one in plain.waiting if one.at <= before]
                assert queue.expired(float(before)) == [one.name for one in late]
                for one in late:
                    plain.remove(one)
        assert len(queue) == len(plain.waiting) == sum(number for _, _, number in queue.sizes())
        assert dict(queue.bytes()) == {
            priority: sum(one.size for one in plain.waiting if one.priority == priority)
            for priority in {one.priority for one in plain.waiting}
        }
