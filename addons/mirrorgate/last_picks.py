"""The latest picks of every cluster, which `/clusters` explains."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterator

import msgspec

from .scheduling.picks import Pick

__all__ = ["LastPick", "LastPicks"]

_KEPT = 8
"""A pick keeps its tables alive, so the number is small."""


class LastPick(msgspec.Struct, frozen=True):
    at: float
    """Unix time."""
    exchange: str
    model: str
    pick: Pick


class LastPicks:
    """A few picks for each cluster, the latest last."""

    def __init__(self) -> None:
        self._by_cluster: dict[str, deque[LastPick]] = {}

    def note(self, cluster: str, pick: LastPick) -> None:
        picks = self._by_cluster.get(cluster)
        if picks is None:
            picks = self._by_cluster[cluster] = deque(maxlen=_KEPT)
        picks.append(pick)

    def of(self, cluster: str) -> Iterator[LastPick]:
        """Return a cluster's picks, the latest first."""
        return reversed(self._by_cluster.get(cluster, ()))

    def clusters(self) -> list[str]:
        return list(self._by_cluster)

    def retain(self, clusters: Container[str]) -> None:
        """Forget the clusters that are no longer declared."""
        for cluster in [cluster for cluster in self._by_cluster if cluster not in clusters]:
            del self._by_cluster[cluster]
