"""The access log: one JSON object a line for every request, with Envoy's keys.

Keys that Envoy has are spelled and meant as in Envoy Gateway's default JSON access log; ours come after them. A value
that is not known is `null`, as there. Times are milliseconds, but for `start_time`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from ..events import Event, ExchangeDone, RequestsShed
from .access_lines import line
from .line_writer import LineWriter
from .samples import Sample

__all__ = ["AccessLog"]


class AccessLog:
    """Writes a line for each `ExchangeDone`, and one for all of a `RequestsShed`; other events pass by.

    Args:
        destination: a file's path, `-` for standard output, empty for no log.

    Raises:
        OSError: the file cannot be opened now. Later faults of the disk cost lines, which are counted, and nothing
            else.
    """

    kinds: ClassVar[tuple[type[Event], ...]] = (
        ExchangeDone,
        RequestsShed,
    )
    """The events that it is told of."""

    def __init__(self, destination: str, *, max_buffered_bytes: int = 8 * 1024 * 1024) -> None:
        self._writer = LineWriter(destination, max_buffered_bytes=max_buffered_bytes) if destination else None

    def handle(self, event: Event) -> None:
        """Hand the line over. Never waits, never raises."""
        if self._writer is None:
            return
        if isinstance(event, ExchangeDone):
            self._writer.write(line(event))
        elif isinstance(event, RequestsShed):
            self._writer.write(line(event.sample, requests=event.count))

    def reopen(self) -> None:
        """Open the file anew before the next line, as on a SIGHUP; a renamed file is noticed without it."""
        if self._writer is not None:
            self._writer.reopen()

    def close(self, timeout: float = 2.0) -> None:
        """Write what is buffered, for *timeout* seconds at most, and end."""
        if self._writer is not None:
            self._writer.close(timeout)

    def samples(self) -> Iterable[Sample]:
        """Return the counts of lines written and dropped, for `Metrics.register_gauges`."""
        if self._writer is None:
            return
        yield Sample("mirrorgate_access_log_lines_total", self._writer.written)
        for reason, count in self._writer.dropped.items():
            yield Sample("mirrorgate_access_log_dropped_total", count, {"reason": reason})
