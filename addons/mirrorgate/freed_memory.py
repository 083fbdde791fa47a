"""Memory that was freed: kept for the next body, and given back to the system when nobody needs it.

glibc returns the end of its heap to the system as soon as 128 KiB of it are free, and asks for it again with the next
body: 250 page faults for a megabyte, which cost more than everything else that is done with it (measured). So more is
kept. What lies between pieces that are in use is never returned without being asked for, which is done here.
"""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path
from typing import Final

__all__ = ["FreedMemory"]

_KEPT: Final = 64 * 1024 * 1024
"""Bytes that may be free at the heap's end."""
_MAPPED: Final = 32 * 1024 * 1024
"""Allocations from this size on are mapped, hence returned, by themselves; glibc's own upper bound."""
_WORTH: Final = 32 * 1024 * 1024
"""Bytes that a process has to grow by for a look at its heap to be worth its time, some 0.2 ms a megabyte."""
_PATIENCE: Final = 60.0
"""Seconds after which memory is returned although there is work under way."""

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3


class FreedMemory:
    """The freed memory of this process. Does nothing where the C library is not glibc."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None)
        self._trim = getattr(libc, "malloc_trim", None)
        if self._trim is not None:
            libc.mallopt(_TRIM_THRESHOLD, _KEPT)
            libc.mallopt(_MMAP_THRESHOLD, _MAPPED)
        self._least = _resident()
        self._grown: float | None = None
        """Since when there has been something to return."""

    def sweep(self, now: float, *, busy: bool) -> bool:
        """Return what is free, where that is much: at once while nothing is under way, else after a while. Whether it
        was done; `now` is monotonic. To be called about once a second."""
        resident = _resident()
        self._least = min(self._least, resident)
        if self._trim is None or resident - self._least < _WORTH:
            self._grown = None
            return False
        if self._grown is None:
            self._grown = now
        if busy and now - self._grown < _PATIENCE:
            return False
        self._trim(0)
        self._least = _resident()
        self._grown = None
        return True


def _resident() -> int:
    """Return the bytes of this process that are in memory; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * mmap.PAGESIZE
    except OSError:
        return 0
