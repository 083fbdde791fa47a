"""A cluster whose limits hold over several workers: it tells them its counts whenever these have changed."""

from __future__ import annotations

from collections.abc import Hashable

from ..errors import Refusal
from .cluster import Action, Cluster
from .elsewhere import Elsewhere
from .limits import Limits

__all__ = ["SharedCluster", "cluster_of"]


class SharedCluster[W: Hashable, C: Hashable](Cluster[W, C]):
    """Counts as `Cluster`. The queue and the connections of an endpoint are this worker's own, as in Envoy.

    A connection that another worker closes makes room that is seen with the next request or the next connection that
    ends here: nobody waits for it, since a queue always has a connection of its own worker.
    """

    def __init__(self, limits: Limits, elsewhere: Elsewhere) -> None:
        super().__init__(limits, elsewhere)
        self._others = elsewhere

    def request(self, endpoint: str, waiter: W, streams: int = 1) -> list[Action[W, C]]:
        try:
            return super().request(endpoint, waiter, streams)
        finally:
            self._tell()

    def leave(self, endpoint: str, waiter: W) -> bool:
        try:
            return super().leave(endpoint, waiter)
        finally:
            self._tell()

    def opened(self, endpoint: str, connection: C, streams: int = 1) -> list[Action[W, C]]:
        try:
            return super().opened(endpoint, connection, streams)
        finally:
            self._tell()

    def resized(self, endpoint: str, connection: C, streams: int) -> list[Action[W, C]]:
        try:
            return super().resized(endpoint, connection, streams)
        finally:
            self._tell()

    def open_failed(self, endpoint: str, reason: Refusal) -> list[Action[W, C]]:
        try:
            return super().open_failed(endpoint, reason)
        finally:
            self._tell()

    def finished(self, endpoint: str, connection: C, *, reusable: bool) -> list[Action[W, C]]:
        try:
            return super().finished(endpoint, connection, reusable=reusable)
        finally:
            self._tell()

    def stale(self, endpoint: str, connection: C, waiter: W) -> list[Action[W, C]]:
        try:
            return super().stale(endpoint, connection, waiter)
        finally:
            self._tell()

    def idle_closed(self, endpoint: str, connection: C) -> list[Action[W, C]]:
        try:
            return super().idle_closed(endpoint, connection)
        finally:
            self._tell()

    def apply(self, limits: Limits) -> list[Action[W, C]]:
        try:
            return super().apply(limits)
        finally:
            self._tell()

    def _tell(self) -> None:
        self._others.tell(self.active, self.pending, self.connections)


def cluster_of[W: Hashable, C: Hashable](limits: Limits, elsewhere: Elsewhere | None) -> Cluster[W, C]:
    """Return a cluster that counts alone or, with a place to tell others, together with them."""
    return Cluster(limits) if elsewhere is None else SharedCluster(limits, elsewhere)
