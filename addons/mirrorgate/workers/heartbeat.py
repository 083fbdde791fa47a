"""The heartbeats of workers: what shows that an event loop turns, and who has been without for too long."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Final

from .rows import Rows

__all__ = ["LOOK", "Silences", "beat_on"]

_BEAT: Final = 0.5
"""Seconds between two beats: there is one between any two looks, although neither keeps its time exactly."""

LOOK: Final = 1.0
"""Seconds between two looks of the supervisor."""


def beat_on(rows: Rows) -> None:
    """Beat now, and from now on for as long as the running loop turns, the drain included."""
    rows.beat()
    asyncio.get_running_loop().call_later(_BEAT, beat_on, rows)


class Silences:
    """For how long each worker's heart has stood still, by what the supervisor itself has seen.

    Silence is counted in looks, not in time: a look that comes late adds no more than any other. A machine that was
    suspended, a container that was frozen or throttled, and a clock that jumps hold up the supervisor as well as its
    workers, and look to it like one look without a beat.
    """

    def __init__(self, workers: int, seconds: float) -> None:
        """`seconds` of silence are too much, in looks of `LOOK`: two at least."""
        self._most = max(2, math.ceil(seconds / LOOK))
        self._beats = [0] * workers
        self._looks = [0] * workers

    def look(self, beats: Sequence[int]) -> list[int]:
        """Take the workers' counts of beats, and return those that hang, each once for a silence.

        A count of 0 is that of a worker that does not run, or is still starting: however long that takes.
        """
        hung = []
        for worker, count in enumerate(beats):
            if count == 0 or count != self._beats[worker]:
                self._beats[worker], self._looks[worker] = count, 0
                continue
            self._looks[worker] += 1
            if self._looks[worker] == self._most:
                hung.append(worker)
        return hung
