"""Commit results in the order in which their exchanges arrived, whatever the order in which they are known.

Committing in order of completion would feed short, quick answers first and void the verdict's error rates: the
evidence has to be blind to how long an answer took. Each key (a mirror's cluster) has a watermark of its own, so that
a candidate that hangs holds up no other.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["ArrivalOrder", "Place"]


@dataclass(slots=True, eq=False)
class Place[Value]:
    """A place in the queue of one key, taken on arrival."""

    key: str
    settled: bool = False
    value: Value | None = None


class ArrivalOrder[Value]:
    """Holds back what is known until everything that arrived before it is known too."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Place[Value]]] = {}
        self.waiting = 0
        """Places that are not committed."""

    @property
    def keys(self) -> frozenset[str]:
        """The keys that have places which are not committed."""
        return frozenset(self._queues)

    def arrive(self, key: str) -> Place[Value]:
        """Take the next place of a key."""
        place: Place[Value] = Place(key)
        self._queues.setdefault(key, deque()).append(place)
        self.waiting += 1
        return place

    def settle(self, place: Place[Value], value: Value | None) -> list[Value]:
        """Fill a place, with `None` for what is not to be committed, and return what may be committed now, in order.

        Filling a place twice changes nothing.
        """
        if place.settled:
            return []
        place.settled, place.value = True, value
        queue = self._queues[place.key]
        ready: list[Value] = []
        while queue and queue[0].settled:
            head = queue.popleft()
            self.waiting -= 1
            if head.value is not None:
                ready.append(head.value)
        if not queue:
            del self._queues[place.key]
        return ready
