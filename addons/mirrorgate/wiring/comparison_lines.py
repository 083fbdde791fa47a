"""A line of the log for each compared pair, while a person could read them.

Through mitmproxy's handlers, one line costs the event loop 170 us: two fifths of a small request. Every pair is counted
in the metrics, stands in `/exchanges` and in the journal.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import ClassVar, Final

from ..events import Event
from ..records import Compared

__all__ = ["ComparisonLines"]

logger = logging.getLogger("mirrorgate")

_MOST: Final = 10
"""Lines in a second."""


class ComparisonLines:
    """Subscribes to what the shadow process tells of pairs."""

    kinds: ClassVar[tuple[type[Event], ...]] = (Compared,)
    """The events that it is told of."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second = 0.0
        self._lines = 0
        self._untold = 0

    def handle(self, event: Event) -> None:
        """Log a pair; beyond the most of a second it is only counted, and the count told with the next line."""
        if type(event) is not Compared:
            return
        now = self._clock()
        if now - self._second >= 1.0:
            self._second, self._lines = now, 0
        if self._lines >= _MOST:
            self._untold += 1
            return
        self._lines += 1
        if self._untold:
            logger.info("%d more pairs were compared (the journal and /exchanges have them)", self._untold)
            self._untold = 0
        logger.info("%s: %s", event.id, event.summary)
