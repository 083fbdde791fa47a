"""The tries of one request: when it is sent again, as a table of states and a table of what is retried for.

As Envoy's router filter does it (measured on Envoy 1.40). A try ends in an answer or in a failure; it is judged once,
an answer by its head, before anything of it went to the client.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .admission.cluster import Cluster
from .errors import Refusal
from .routing.retrying import RetryPolicy, Trigger

__all__ = ["FAILURES", "TRANSITIONS", "Phase", "Tries", "answered_by"]

Fields = Iterable[tuple[bytes, bytes]]


class Phase(enum.Enum):
    """Where the tries of a request are."""

    TRYING = "trying"
    """A try waits for a connection or for its answer."""
    WAITING = "waiting"
    """The back-off before the next try: of the places, only that of a retry is held."""
    OVER = "over"
    """What comes now is the answer."""


TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.TRYING: frozenset({Phase.WAITING, Phase.OVER}),
    Phase.WAITING: frozenset({Phase.TRYING, Phase.OVER}),
    Phase.OVER: frozenset(),
}

_ANY_RESET = frozenset({Trigger.RESET, Trigger.SERVER_ERROR, Trigger.GATEWAY_ERROR})

FAILURES: dict[Refusal, frozenset[Trigger]] = {
    Refusal.CONNECT_FAILURE: _ANY_RESET | {Trigger.CONNECT_FAILURE, Trigger.RESET_BEFORE_REQUEST},
    Refusal.CONNECT_TIMEOUT: _ANY_RESET | {Trigger.CONNECT_FAILURE, Trigger.RESET_BEFORE_REQUEST},
    Refusal.UPSTREAM_CLOSED: _ANY_RESET,
    Refusal.UPSTREAM_PROTOCOL: _ANY_RESET,
    Refusal.UPSTREAM_RESET: _ANY_RESET,
    Refusal.UPSTREAM_REFUSED: _ANY_RESET | {Trigger.REFUSED_STREAM},
    Refusal.PER_TRY_TIMEOUT: _ANY_RESET,
    Refusal.MAX_DURATION: _ANY_RESET,
}
"""What each failure before the head of an answer is retried for; an overflow, and every other one, for nothing."""

_GRPC = {
    b"1": Trigger.CANCELLED,
    b"4": Trigger.DEADLINE_EXCEEDED,
    b"8": Trigger.RESOURCE_EXHAUSTED,
    b"13": Trigger.INTERNAL,
    b"14": Trigger.UNAVAILABLE,
}


def answered_by(status: int, fields: Fields, codes: Iterable[int]) -> frozenset[Trigger]:
    """Return what an answer's head is retried for; `codes` are the statuses of `retriable-status-codes`."""
    found: set[Trigger] = set()
    if 500 <= status < 600:
        found.add(Trigger.SERVER_ERROR)
    if status in (502, 503, 504):
        found.add(Trigger.GATEWAY_ERROR)
    if status == 409:
        found.add(Trigger.RETRIABLE_4XX)
    if status in codes and status >= 200:
        found.add(Trigger.RETRIABLE_STATUS_CODES)
    for name, value in fields:
        lower = name.lower()
        if lower == b"x-envoy-overloaded":
            return frozenset()  # a proxy behind us is shedding load: more of it would not help
        if lower == b"grpc-status" and value.strip() in _GRPC:
            found.add(_GRPC[value.strip()])
    return frozenset(found)


@dataclass(slots=True)
class Tries:
    """What is known of one request's tries."""

    policy: RetryPolicy
    count: int = 1
    """The tries so far, the one that is under way included."""
    phase: Phase = Phase.TRYING
    flag: str = ""
    """Envoy's response flag of why there is no further try: `URX`, `UO`, or empty."""
    endpoints: set[str] = field(default_factory=set)
    """Where the request has been tried."""
    settled: bool = False
    """Whether there is no further try, whatever comes."""
    _place: Cluster[Any, Any] | None = None

    def to(self, phase: Phase) -> None:
        """Go on to a phase; raises `ValueError` where the table has no such transition."""
        if phase not in TRANSITIONS[self.phase]:
            raise ValueError(f"tries cannot go from {self.phase.value} to {phase.value}")
        self.phase = phase

    def answered(self, status: int, fields: Fields, cluster: Cluster[Any, Any]) -> bool:
        """Judge an answer by its head. Whether it is thrown away, and the request sent again."""
        found = answered_by(status, fields, self.policy.codes)
        again = self._judge(found, cluster)
        if self.count > 1 and found.isdisjoint(self.policy.triggers):
            cluster.retries.counters.success += 1
        return again

    def failed(self, refusal: Refusal, cluster: Cluster[Any, Any], *, sent: bool = True) -> bool:
        """Judge a failure before the head of an answer; `sent` tells whether anything of the request went out."""
        found = FAILURES.get(refusal, frozenset())
        if not sent and found:
            found |= {Trigger.RESET_BEFORE_REQUEST}
        return self._judge(found, cluster)

    def next(self) -> None:
        """Begin another try."""
        self.to(Phase.TRYING)
        self.count += 1

    def end(self) -> None:
        """Take no more part; a place that is held goes back."""
        self._give_back()
        self.phase = Phase.OVER

    def settle(self) -> bool:
        """Let the try that is under way, or the next when none is, be the last. Whether that is news."""
        settled, self.settled = self.settled, True
        return not settled

    def abandon(self, cluster: Cluster[Any, Any]) -> None:
        """Let the try that is under way be the last, since not all of the request is kept."""
        if self.settle():
            cluster.retries.counters.abandoned += 1

    def _judge(self, found: frozenset[Trigger], cluster: Cluster[Any, Any]) -> bool:
        self._give_back()
        if self.settled or found.isdisjoint(self.policy.triggers):
            self.to(Phase.OVER)
            return False
        if self.count > self.policy.retries:
            cluster.retries.counters.limit_exceeded += 1
            self.flag = "URX"
        elif cluster.retries.take(cluster.limits, cluster.load):
            self._place = cluster
            self.to(Phase.WAITING)
            return True
        else:
            self.flag = "UO"
        self.to(Phase.OVER)
        return False

    def _give_back(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            place.retries.give_back()
