"""What a fake server saw: one record a request, for a test to look at."""

from __future__ import annotations

import enum
import http
import urllib.parse
from dataclasses import dataclass, field

__all__ = ["Ending", "Received", "uvicorn_line"]


class Ending(enum.StrEnum):
    """How an exchange ended, seen from the server."""

    OPEN = "open"
    """Not yet."""
    COMPLETE = "complete"
    """Everything was answered."""
    CLIENT_LEFT = "client_left"
    """The connection was gone before that."""
    CUT = "cut"
    """A fault of the server's ended it."""


@dataclass(slots=True, eq=False)
class Received:
    """A request and what became of it. Times are the event loop's clock, in seconds."""

    number: int
    """Counts the server's requests from 1."""
    connection: int
    """Counts the server's connections from 1: equal numbers were one connection."""
    client: str
    """`host:port` of the peer."""
    method: str
    target: str
    """The request target as it came, query included."""
    version: str
    headers: tuple[tuple[str, str], ...]
    """Header fields in their order, names as they came."""
    arrived: float
    """When the head was complete."""
    body: bytes = b""
    """The body, or as much of it as was read."""
    trailers: tuple[tuple[str, str], ...] = ()
    body_read: float | None = None
    """When the body was complete."""
    status: int | None = None
    """What was answered; `None` when nothing was."""
    answered: float | None = None
    """When the head of the answer went out."""
    ended: float | None = None
    ending: Ending = Ending.OPEN
    bytes_sent: int = 0
    events: list[float] = field(default_factory=list)
    """When each event of a stream went out."""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """Return a header field's value, several joined by commas; `None` when it is absent."""
        values = [value for field_name, value in self.headers if field_name.lower() == name.lower()]
        return ", ".join(values) if values else None


def uvicorn_line(received: Received) -> str:
    """Return the line that uvicorn logs for an answer."""
    status = received.status or 0
    phrase = http.HTTPStatus(status).phrase if status in http.HTTPStatus else ""
    path, mark, query = received.target.partition("?")
    target = urllib.parse.quote(path, safe="/%") + mark + query
    return f'INFO:     {received.client} - "{received.method} {target} HTTP/{received.version}" {status} {phrase}'
