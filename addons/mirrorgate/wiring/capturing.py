"""The capture as an option sets it: opened, moved and closed while the gateway runs, and what is told of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from ..proxy.carrying.capturing import Capture
from ..proxy.dataplane import Dataplane
from ..telemetry.samples import Sample

__all__ = ["Captures"]

_CLOSE_SECONDS = 5.0


class Captures:
    """Keeps the data plane's capture as the option says."""

    def __init__(self, plane: Dataplane) -> None:
        self._plane = plane
        self._past: dict[str, int] = {}
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
            # What waits is written by its thread; nobody waits for it here.
            threading.Thread(target=self._retire, args=(current,), name="capture end", daemon=True).start()

    def close(self) -> None:
        """Write what waits, for some seconds at most. Blocks."""
        current, self._plane.capture = self._plane.capture, None
        if current is not None:
            self._retire(current)

    def samples(self) -> Iterator[Sample]:
        """Yield the capture's counts since the start."""
        current = self._plane.capture
        counts = dict(self._past)
        for name, count in (current.counts if current is not None else {}).items():
            counts[name] = counts.get(name, 0) + count
        for name, count in counts.items():
            yield Sample("mirrorgate_capture_flows_total", count, {"result": name})
        bodies = self._past_bodies + (current.cut_bodies if current is not None else 0)
        yield Sample("mirrorgate_capture_bodies_left_out_total", bodies)
        yield Sample("mirrorgate_capture_held_bytes", current.held if current is not None else 0)

    def _retire(self, capture: Capture) -> None:
        capture.close(_CLOSE_SECONDS)
        for name, count in capture.counts.items():
            self._past[name] = self._past.get(name, 0) + count
        self._past_bodies += capture.cut_bodies
