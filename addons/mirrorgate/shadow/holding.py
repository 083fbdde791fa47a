"""What the shadow process holds in memory: bodies and answers that wait for their pair. Pure accounting."""

from __future__ import annotations

from typing import Final

__all__ = ["Holding"]

_LIMIT: Final = 512 * 1024 * 1024


class Holding:
    """Counts bytes held against two bounds: one for new exchanges, one for what the admitted ones bring."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self.limit = limit
        self.held = 0

    def admits(self, size: int) -> bool:
        """Say whether an exchange that brings `size` bytes may begin; half of the room is left to the answers."""
        return self.held + size <= self.limit // 2

    def take(self, size: int) -> bool:
        """Count bytes of an answer; false when there is no room: what comes of that answer is only counted."""
        if self.held + size > self.limit:
            return False
        self.held += size
        return True

    def force(self, size: int) -> None:
        """Count bytes that are there whether they fit or not."""
        self.held += size

    def give(self, size: int) -> None:
        """Uncount bytes. Raises ValueError when more is given than was taken: that is a bug."""
        if size > self.held:
            raise ValueError(f"gave {size} of {self.held} held bytes")
        self.held -= size
