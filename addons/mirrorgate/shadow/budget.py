"""The bound on what is handed off and not yet taken: bytes queued, and room promised to answers that are to come.

Pure accounting. The room for both frames of an exchange is taken together, before anything is sent, so that whether
an exchange is dropped depends on its request alone and never on its answer.
"""

from __future__ import annotations

__all__ = ["Budget"]


class Budget:
    """Counts promised bytes against a limit; the caller supplies what is queued."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.reserved = 0
        """Bytes promised and not yet used."""

    def fits(self, queued: int, size: int) -> bool:
        """Say whether `size` more bytes stay within the limit."""
        return queued + self.reserved + size <= self.limit

    def reserve(self, queued: int, size: int, immediate: int = 0) -> bool:
        """Promise `size` bytes if they fit together with `immediate` bytes that are queued at once."""
        if not self.fits(queued, size + immediate):
            return False
        self.reserved += size
        return True

    def release(self, size: int) -> None:
        """Give promised bytes back.

        Raises ValueError when more is given back than was promised: that is a bug.
        """
        if size > self.reserved:
            raise ValueError(f"released {size} of {self.reserved} reserved bytes")
        self.reserved -= size

    def reset(self) -> None:
        """Forget every promise, as after the death of the other side."""
        self.reserved = 0
