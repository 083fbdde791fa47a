"""The library's side of an HTTP/2 connection that outlives a GOAWAY, for proxy, shadow and tests.

A GOAWAY says which streams are the last; those go on to their ends (RFC 9113, 6.8), and every graceful shutdown counts
on it. `h2` takes it for the end of all: it raises on whatever comes behind, be it in the same read, and forgets what it
was about to send.
"""

from __future__ import annotations

from h2.connection import H2Connection
from h2.events import ConnectionTerminated, Event
from hyperframe.frame import Frame, GoAwayFrame

__all__ = ["LastingSession"]


class LastingSession(H2Connection):
    """A connection for which a peer's GOAWAY is news, and no end."""

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        """Tell of it. Who has it decides what is asked no more; `error_code` is the number, known or not."""
        told = ConnectionTerminated()
        told.error_code = frame.error_code
        told.last_stream_id = frame.last_stream_id
        told.additional_data = frame.additional_data or None
        return [], [told]
