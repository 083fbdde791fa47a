"""The capture as an option sets it: opened, moved and closed while the gateway runs, and what is told of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

from ..proxy.carrying.capturing import Capture
from ..proxy.dataplane import Dataplane
from ..telemetry.samples import Sample

__all__ = ["Captures"]

_CLOSE_SECONDS = 5.0


class Captures:
    """Keeps the data plane's capture as the option says."""

    def __init__(self, plane: Dataplane) -> None:
        self._plane = plane
        self._former: list[Capture] = []
        """Captures that still count: their disks are slow, or exchanges that began with them are under way."""
        self._past: dict[str, int] = {}
        """What those before have counted."""
        self._past_bodies = 0

    def configure(self, path: str) -> None:
        """Capture into this file from now on, into none when it is empty; raises ValueError when that cannot be."""
        current = self._plane.capture
        if path == (current.path if current is not None else ""):
            return
        try:
            fresh = Capture(path) if path else None
        except (OSError, ValueError) as error:
            raise ValueError(f"gateway_capture: {error}") from error
        self._plane.capture = fresh
        if current is not None:
            self._former.append(current)
            # What waits is written by its thread; nobody waits for it here.
            threading.Thread(target=current.close, args=(_CLOSE_SECONDS,), name="capture end", daemon=True).start()

    def close(self) -> None:
        """Write what waits, for some seconds at most. Blocks."""
        current, self._plane.capture = self._plane.capture, None
        if current is not None:
            self._former.append(current)
            current.close(_CLOSE_SECONDS)

    def samples(self) -> Iterator[Sample]:
        """Yield the captures' counts since the start."""
        self._sum_up()
        current = self._plane.capture
        captures = self._former if current is None else [*self._former, current]
        counts = dict(self._past)
        for capture in captures:
            _add(counts, capture.counts)
        for name, count in counts.items():
            yield Sample("mirrorgate_capture_flows_total", count, {"result": name})
        bodies = self._past_bodies + sum(capture.cut_bodies for capture in captures)
        yield Sample("mirrorgate_capture_bodies_left_out_total", bodies)
        yield Sample("mirrorgate_capture_held_bytes", sum(capture.held for capture in captures))

    def _sum_up(self) -> None:
        """Keep of captures that are over what they have counted."""
        for capture in [capture for capture in self._former if capture.over]:
            self._former.remove(capture)
            _add(self._past, capture.counts)
            self._past_bodies += capture.cut_bodies


def _add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    for name, count in more.items():
        counts[name] = counts.get(name, 0) + count
