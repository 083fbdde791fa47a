"""The queue in front of a saturated pool: who waits, who is next, who has waited long enough.

Order and bounds of the Inference Extension's flow control (`pkg/epp/flowcontrol`): the highest priority first; within
one, fairness ids take turns; of one id, the request that came first. Each priority is a band with bounds of its own, so
that a flood of low priority leaves room for what is above it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

__all__ = ["FlowQueue", "QueueLimits"]


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Bounds of each priority, and of the wait."""

    requests: int = 0
    """0: nothing waits. The Inference Extension's default is 5,000, and 1 GB."""
    bytes: int = 256 * 1024 * 1024
    """Of the bodies that wait. A band that is empty takes one of any size."""
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class _Entry:
    priority: int
    fairness: str
    size: int
    joined: float


@dataclass(slots=True)
class _Band[W: Hashable]:
    flows: OrderedDict[str, OrderedDict[W, None]] = field(default_factory=OrderedDict)
    """By fairness id, in the order of their turns; none is empty."""
    requests: int = 0
    bytes: int = 0


class FlowQueue[W: Hashable]:
    """One pool's queue. Waiters are the caller's own objects. No operation costs more the longer the queue is."""

    def __init__(self) -> None:
        self._entries: OrderedDict[W, _Entry] = OrderedDict()
        self._bands: dict[int, _Band[W]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def join(
        self, waiter: W, limits: QueueLimits, *, priority: int = 0, fairness: str = "", size: int = 0, now: float
    ) -> bool:
        """Let a request wait; false when its priority has no room. One that waits already is a bug: `ValueError`."""
        if waiter in self._entries:
            raise ValueError(f"{waiter!r} waits already")
        band = self._bands.get(priority)
        if limits.requests <= 0:
            return False
        if band is None:
            band = self._bands[priority] = _Band()
        elif band.requests >= limits.requests or band.bytes + size > limits.bytes:
            return False
        self._entries[waiter] = _Entry(priority, fairness, size, now)
        band.flows.setdefault(fairness, OrderedDict())[waiter] = None
        band.requests += 1
        band.bytes += size
        return True

    def leave(self, waiter: W) -> bool:
        """Take a request out, whatever the reason. Whether it was there."""
        entry = self._entries.pop(waiter, None)
        if entry is None:
            return False
        band = self._bands[entry.priority]
        flow = band.flows[entry.fairness]
        del flow[waiter]
        if not flow:
            del band.flows[entry.fairness]
        band.requests -= 1
        band.bytes -= entry.size
        if not band.requests:
            del self._bands[entry.priority]
        return True

    def take(self) -> W | None:
        """Take out the request whose turn it is; `None` when none waits."""
        if not self._bands:
            return None
        flows = self._bands[max(self._bands)].flows
        fairness, flow = next(iter(flows.items()))
        waiter = next(iter(flow))
        flows.move_to_end(fairness)
        self.leave(waiter)
        return waiter

    def expired(self, before: float) -> list[W]:
        """Take out the requests that joined at `before` or earlier, oldest first."""
        found = []
        for waiter, entry in self._entries.items():
            if entry.joined > before:
                break
            found.append(waiter)
        for waiter in found:
            self.leave(waiter)
        return found

    def sizes(self) -> Iterator[tuple[int, str, int]]:
        """Yield priority, fairness id and number of requests of every flow that waits."""
        for priority, band in self._bands.items():
            for fairness, flow in band.flows.items():
                yield priority, fairness, len(flow)

    def bytes(self) -> Iterator[tuple[int, int]]:
        """Yield priority and bytes of every band that waits."""
        for priority, band in self._bands.items():
            yield priority, band.bytes
