"""What an exchange needs from its client's side, whatever version of HTTP the client speaks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec
from mitmproxy import connection, http

from ...resources.endpoints import Address
from ..messages.heads import Fields, RequestHead

if TYPE_CHECKING:
    from ..carrying.carrier import Carrier
    from ..dataplane import Dataplane, Port
    from .receiving import BodyReceiver

__all__ = ["ClientLink", "ClientSide", "Inbound"]


class Inbound(msgspec.Struct, eq=False):
    """A request as it comes in. The exchange takes its pieces; `changed` is called when there is more."""

    head: RequestHead
    started: float = msgspec.field(default_factory=time.time)
    """For people and records to read."""
    began: float = msgspec.field(default_factory=time.monotonic)
    """From which durations count."""
    welcome: bool = False
    """Whether it is the one that a connection was let in for, however busy the gateway is meanwhile."""
    pieces: list[bytes] = []
    buffered: int = 0
    received: int = 0
    ended: bool = False
    trailers: Fields = ()
    carrier: Carrier | None = None
    receiver: BodyReceiver | None = None
    """What receives the body in one piece, while it does."""
    flow: http.HTTPFlow | None = None
    """The flow that is replayed; `None` for a request of a client, which gets a new one."""
    direct: Address | None = None
    """Where a replayed request goes without being routed; `None` routes it."""

    def add(self, data: bytes) -> None:
        """Take a piece of the body as it arrives."""
        self.pieces.append(data)
        size = len(data)
        self.buffered += size
        self.received += size

    def take(self) -> list[bytes]:
        """Take the pieces that have arrived."""
        pieces, self.pieces, self.buffered = self.pieces, [], 0
        return pieces


class ClientLink(Protocol):
    """A client's connection, as the data plane sees it."""

    client: connection.Client

    @property
    def active(self) -> int:
        """Exchanges under way."""
        ...

    def abort(self) -> None: ...
    def drain(self) -> None: ...
    def sweep(self, now: float) -> None: ...


class ClientSide(Protocol):
    """One exchange's way to its client: an HTTP/1.1 connection, or a stream of an HTTP/2 connection."""

    plane: Dataplane
    port: Port
    client: connection.Client
    carrier: Carrier | None

    @property
    def writable(self) -> bool:
        """Whether the client takes what is written to it."""
        ...

    @property
    def closed(self) -> bool: ...
    @property
    def framed(self) -> bool:
        """Whether the client's side marks the end of a body by itself, and knows no fields of a connection."""
        ...

    @property
    def scheme(self) -> bytes: ...
    @property
    def server_name(self) -> str | None:
        """Whom the TLS handshake asked for, empty for nobody; `None` without TLS."""
        ...

    @property
    def storing(self) -> int:
        """Bytes of a streamed answer that are kept on its flow; 0 keeps none."""
        ...

    @property
    def straight(self) -> Callable[[bytes], object] | None:
        """What takes the chunks of a body as they are, until the exchange is over; `None` where they are not sent."""
        ...

    @property
    def unsent(self) -> int:
        """Bytes that were written and the client's side has not taken."""
        ...

    def hold(self, reason: str) -> None: ...
    def unhold(self, reason: str) -> None: ...
    def send_continue(self) -> None: ...
    def send_head(
        self,
        status: int,
        reason: bytes,
        fields: Sequence[tuple[bytes, bytes]],
        content: bytes | None,
        trailers: http.Headers | None = None,
    ) -> None:
        """Send an answer's head, and with it the whole body and its end; `None` when the body follows."""
        ...

    def write(self, data: bytes) -> None: ...
    def end_body(self, trailers: http.Headers | None, *, chunked: bool) -> None: ...
    def when_drained(self, carrier: Carrier) -> bool: ...
    def start_tunnel(self) -> bytes: ...
    def end_writing(self) -> None: ...
    def exchange_done(self, *, close: bool) -> None: ...
    def cut(self) -> None:
        """End an answer that is not whole, so that the client can tell."""
        ...

    def abort(self) -> None: ...
