"""How many bytes of request bodies are in memory at once, over all exchanges.

A body that has to be whole before it is sent on (`uploading` sends the others piece by piece) takes room as it grows,
and gives it back when its exchange is over. The last 64 KiB of each may be uncounted: who holds them has a connection,
and those are limited.
"""

from __future__ import annotations

__all__ = ["Bodies", "Room"]


class Bodies:
    """What all exchanges hold together, in bytes."""

    def __init__(self) -> None:
        self.held = 0

    def room(self) -> Room:
        """Make the room of one exchange, empty."""
        return Room(self)


class Room:
    """What one exchange holds; given back once, however often it is released."""

    __slots__ = ("_bodies", "size")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.size = 0

    def grow(self, size: int, most: int) -> bool:
        """Make it this large; `False` where all together would then be over `most`, and nothing changes."""
        more = size - self.size
        if more > 0 and self._bodies.held + more > most:
            return False
        self._bodies.held += more
        self.size = size
        return True

    def release(self) -> None:
        self._bodies.held -= self.size
        self.size = 0
