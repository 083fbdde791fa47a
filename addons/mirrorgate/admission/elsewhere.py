"""What other processes of the same gateway have of a cluster, as numbers.

Workers share the limits of a cluster. Each counts its own and tells the others; a limit is held against the sum. Two
workers that decide in the same microsecond do not see each other, so that W workers may exceed a limit by W - 1, as
Envoy's threads do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["NOWHERE", "Counts", "Elsewhere", "Sharing"]


@dataclass(frozen=True, slots=True)
class Counts:
    """What counts against the limits of one cluster."""

    active: int = 0
    pending: int = 0
    connections: int = 0
    retries: int = 0


NOWHERE = Counts()
"""Of a gateway that is one process."""


class Elsewhere(Protocol):
    """The place of one cluster where workers tell each other their counts. No call waits or fails."""

    def active(self) -> int:
        """Requests under way in the other workers."""

    def pending(self) -> int:
        """Requests that wait for a connection there."""

    def connections(self) -> int: ...

    def retries(self) -> int: ...

    def tell(self, active: int, pending: int, connections: int) -> None:
        """Say what this worker has."""

    def tell_retries(self, retries: int) -> None: ...


class Sharing(Protocol):
    """Where a worker finds the place of a cluster."""

    def join(self, cluster: str) -> Elsewhere | None:
        """Return the place of a cluster, `None` when there is no room for another: then its limits hold for each
        worker by itself."""

    def leave(self, cluster: str) -> None:
        """Give up the place of a cluster that has nothing under way; harmless without one."""
