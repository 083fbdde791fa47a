"""Receives a long body of declared length where it will stay: the kernel copies it once, and nobody after it.

Read piece by piece, a body is copied out of the parser and joined at its end. Here the connection's protocol changes
while a body comes in that has to be whole, and the socket writes into the bytes that the body becomes.
"""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Final

from .client import ClientConnection

if TYPE_CHECKING:
    from ..carrying.carrier import Carrier

__all__ = ["BodyReceiver", "extent_of", "receive"]

_WORTH: Final = 64 * 1024
"""Bytes that have to have come, and to be missing, for another protocol to be worth its while."""
_GROWTH: Final = 8
"""A client gets memory for so many times what it has sent, not for what it says that it will send."""

_scrap = bytearray(64 * 1024)
"""Where goes what nobody wants any more."""


def extent_of(carrier: Carrier) -> int:
    """Return how many bytes of a body have a place once `receive` has made it; 0 for one that is not worth it."""
    inbound, connection = carrier.inbound, carrier.connection
    if inbound.receiver is None and (
        inbound.received < _WORTH
        or not isinstance(connection, ClientConnection)
        or connection.client.tls
        or connection.reader.past < _WORTH
    ):
        return 0
    return min(inbound.head.content_length or 0, _GROWTH * inbound.received)


def receive(carrier: Carrier, extent: int) -> None:
    """Make the place for so many bytes of a body, and let the socket write into it."""
    inbound = carrier.inbound
    if inbound.receiver is None:
        assert isinstance(carrier.connection, ClientConnection)
        inbound.receiver = BodyReceiver(carrier, carrier.connection)
    inbound.receiver.extend(extent)


class BodyReceiver(asyncio.BufferedProtocol):
    """The protocol of a client's connection while one body comes in; whatever else happens is the connection's."""

    def __init__(self, carrier: Carrier, connection: ClientConnection) -> None:
        self._carrier = carrier
        self._connection = connection
        # What it holds is bytes, which it hands out without a copy when nobody has a view of them.
        self._body = io.BytesIO()
        for piece in carrier.inbound.take():
            self._body.write(piece)
        self._at = self._body.tell()
        self._view = memoryview(b"")
        self._free = self._view
        connection.transport.set_protocol(self)

    def extend(self, size: int) -> None:
        """Make the place for the body's first `size` bytes."""
        self._view.release()
        self._body.seek(size - 1)
        self._body.write(b"\0")
        self._view = self._body.getbuffer()
        self._connection.unhold("place")

    # asyncio.BufferedProtocol

    def get_buffer(self, sizehint: int) -> memoryview | bytearray:
        if self._carrier.over:
            self._drop()
            return _scrap
        self._free = self._view[self._at :]
        return self._free

    def buffer_updated(self, nbytes: int) -> None:
        carrier, inbound = self._carrier, self._carrier.inbound
        self._free.release()
        if carrier.over:
            self._drop()
            self._connection.transport.set_protocol(self._connection)
            return
        self._at += nbytes
        inbound.received += nbytes
        self._connection.reader.take_past(nbytes)
        if inbound.ended:
            self._view.release()
            inbound.pieces.append(self._body.getvalue())
            inbound.receiver = None
            self._connection.transport.set_protocol(self._connection)
        elif self._at == len(self._view):
            self._connection.hold("place")
        carrier.inbound_changed()

    def eof_received(self) -> bool:
        return self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._drop()
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def _drop(self) -> None:
        """Let go of what nobody will get."""
        self._free.release()
        self._view.release()
