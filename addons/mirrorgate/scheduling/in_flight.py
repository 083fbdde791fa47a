"""How many requests this gateway has under way at each endpoint, and how many of them a scrape cannot know yet.

Between two scrapes a model server's numbers stand still. A gateway that goes by them alone sends everything to the
endpoint that looked best at the last scrape. So the picker adds what was sent since:

    effective waiting = reported waiting + requests sent after the scrape began that are still under way
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Mapping
from itertools import islice

__all__ = ["InFlight", "Permit"]

_LOG = 1024
"""Changes that are remembered; who has missed more looks at every endpoint."""

_NOBODY: frozenset[str] = frozenset()


class Permit:
    """One request under way at one endpoint. Releasing it twice is harmless."""

    __slots__ = ("_owner", "endpoint", "sent_at")

    def __init__(self, owner: InFlight, endpoint: str, sent_at: float) -> None:
        self._owner: InFlight | None = owner
        self.endpoint = endpoint
        self.sent_at = sent_at

    @property
    def released(self) -> bool:
        return self._owner is None

    def release(self) -> None:
        """Give the place back; only the first call counts."""
        owner, self._owner = self._owner, None
        if owner is not None:
            owner._release(self)

    def __repr__(self) -> str:
        return f"<Permit {self.endpoint} {'released' if self.released else 'held'}>"


class _Endpoint:
    """The tally of one endpoint: a count, and the permits that no load has covered yet, oldest first."""

    __slots__ = ("count", "recent")

    def __init__(self) -> None:
        self.count = 0
        self.recent: OrderedDict[Permit, None] = OrderedDict()


class InFlight:
    """Counts by endpoint key. An endpoint with nothing under way takes no memory, so none has to be removed."""

    def __init__(self) -> None:
        self._endpoints: dict[str, _Endpoint] = {}
        self._log: deque[str] = deque(maxlen=_LOG)
        self.version = 0
        """Counted up with every change of a count."""

    def changed_since(self, version: int) -> Collection[str] | None:
        """Tell whose counts changed after a version; `None` when that is too long ago."""
        log, missed = self._log, self.version - version
        if missed > len(log):
            return None
        return set(islice(reversed(log), missed)) if missed else _NOBODY

    def acquire(self, endpoint: str, now: float) -> Permit:
        """Count a request that is sent at `now`, a second of the clock that `Load.at` is of."""
        tally = self._endpoints.get(endpoint)
        if tally is None:
            tally = self._endpoints[endpoint] = _Endpoint()
        permit = Permit(self, endpoint, now)
        tally.count += 1
        tally.recent[permit] = None
        self.version += 1
        self._log.append(endpoint)
        return permit

    def count(self, endpoint: str) -> int:
        """Tell how many requests are under way."""
        tally = self._endpoints.get(endpoint)
        return 0 if tally is None else tally.count

    def unseen(self, endpoint: str, since: float) -> int:
        """Tell how many requests under way were sent after `since`.

        Those sent before are forgotten as *recent*, which makes the call cheap: `since` is meant to grow. After a
        clock that went back, the answer is too small, never too large or negative.
        """
        tally = self._endpoints.get(endpoint)
        if tally is None:
            return 0
        recent = tally.recent
        while recent:
            oldest = next(iter(recent))
            if oldest.sent_at > since:
                break
            del recent[oldest]
        return len(recent)

    def counts(self) -> Mapping[str, int]:
        """List the endpoints that have requests under way, as a copy."""
        return {key: tally.count for key, tally in self._endpoints.items()}

    def _release(self, permit: Permit) -> None:
        tally = self._endpoints[permit.endpoint]
        tally.count -= 1
        tally.recent.pop(permit, None)
        self.version += 1
        self._log.append(permit.endpoint)
        if not tally.count:
            del self._endpoints[permit.endpoint]

    def __repr__(self) -> str:
        total = sum(tally.count for tally in self._endpoints.values())
        return f"<InFlight {total} at {len(self._endpoints)} endpoints>"
