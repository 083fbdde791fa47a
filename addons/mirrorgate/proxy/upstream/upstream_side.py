"""What exchanges, connections to upstreams and their pools ask of each other, whatever version of HTTP is spoken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mitmproxy import connection, http

from ...errors import Refusal
from ...resources.endpoints import Address
from ...resources.server_tls import ServerTls
from ..messages.heads import Fields, ResponseHead

__all__ = ["UpstreamLink", "UpstreamUser", "Waiter"]


class UpstreamUser(Protocol):
    """Who is using an upstream connection: an exchange, or the tunnel that follows it."""

    def upstream_head(self, head: ResponseHead) -> None: ...
    def upstream_body(self, pieces: list[bytes]) -> None: ...
    def upstream_end(self, trailers: Fields) -> None: ...
    def upstream_failed(self, refusal: Refusal) -> None: ...
    def upstream_writable(self, writable: bool) -> None: ...


class UpstreamLink(Protocol):
    """An exchange's way to its endpoint: an HTTP/1.1 connection, or a stream of an HTTP/2 connection."""

    server: connection.Server
    endpoint: str
    requests: int
    """Requests of the connection so far, with this one."""

    @property
    def framed(self) -> bool:
        """Whether the upstream's side marks the end of a body by itself, and takes a head as fields."""
        ...

    @property
    def closing(self) -> bool: ...
    @property
    def reusable(self) -> bool:
        """Whether nothing is left to be taken back, known once the response has ended."""
        ...

    def begin(self, user: UpstreamUser, *, head: bool) -> None: ...
    def send_request(
        self,
        method: bytes,
        target: bytes,
        scheme: bytes,
        fields: Sequence[tuple[bytes, bytes]],
        *,
        trailers_known: bool,
    ) -> None:
        """Send a request's head; `trailers_known` says that the sender understands trailers (`te`, for gRPC)."""
        ...

    def write(self, data: bytes) -> None: ...
    def end_body(self, trailers: http.Headers | None, *, chunked: bool) -> None: ...
    def tunnel(self) -> bytes: ...
    def end_writing(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...


class Waiter(Protocol):
    """Who waits for a connection."""

    client: connection.Client

    @property
    def address(self) -> Address: ...

    @property
    def http2(self) -> bool:
        """Whether the endpoint speaks HTTP/2."""
        ...

    @property
    def tls(self) -> ServerTls | None:
        """How the endpoint is spoken to; `None` in clear."""
        ...

    def __hash__(self) -> int: ...

    def assigned(self, upstream: UpstreamLink) -> None: ...
    def refused(self, refusal: Refusal) -> None: ...
