"""A request that streams: its pieces go on as they arrive, to the upstream and to the mirror."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mitmproxy import http

from .hooking import through

if TYPE_CHECKING:
    from .carrier import Carrier

__all__ = ["Upload"]

_HIGH_WATER = 256 * 1024
"""Bytes held while the request waits for a connection, before the client is made to wait."""


class Upload:
    """The upload of one exchange."""

    __slots__ = ("_carrier", "_ending", "_kept", "_room", "_stored", "chunked")

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._ending = False
        self._stored: list[bytes] = []
        self._kept: list[bytes] = []
        """What has been sent, for another try."""
        self._room = 0
        """Bytes that may still be kept; 0 or less: nothing is kept."""
        self.chunked = carrier.inbound.head.chunked

    def changed(self) -> None:
        """Pass on what has arrived, and the end; before there is a connection, hold it."""
        carrier, inbound = self._carrier, self._carrier.inbound
        upstream = carrier.upstream
        if upstream is None:
            if inbound.buffered > _HIGH_WATER:
                carrier.connection.hold("body")
            return
        if self._ending:
            return
        for piece in inbound.take():
            carrier.facts.bytes_received += len(piece)
            for part in through(carrier.flow.request.stream, piece):
                self._send(part)
        if inbound.ended:
            self._ending = True
            carrier.run(self._end())

    def keep(self, limit: int) -> None:
        """Keep what is sent, up to so many bytes, so that it can be sent again."""
        self._room = limit

    def begin(self) -> None:
        """Start to pass on: the request's head is sent. In a further try, what went out before goes first."""
        carrier = self._carrier
        carrier.connection.unhold("body")
        if carrier.upstream is not None:
            for part in self._kept:
                carrier.upstream.write(self._framed(part))
            if carrier.sent_up:
                carrier.upstream.end_body(carrier.flow.request.trailers, chunked=self.chunked)
        self.changed()

    def _send(self, part: bytes) -> None:
        carrier = self._carrier
        if not part or carrier.upstream is None:
            return
        if self._room > 0:
            self._keep(part)
        carrier.upstream.write(self._framed(part))
        if carrier.plane.settings.store_streamed:
            self._stored.append(part)
        if carrier.mirror is not None:
            carrier.mirror.chunk(part)
        if carrier.tape is not None:
            carrier.tape.upload(part)

    def _framed(self, part: bytes) -> bytes:
        upstream = self._carrier.upstream
        framed = not self.chunked or (upstream is not None and upstream.framed)
        return part if framed else b"%x\r\n%b\r\n" % (len(part), part)

    def _keep(self, part: bytes) -> None:
        self._room -= len(part)
        if self._room >= 0:
            self._kept.append(part)
            return
        self._kept.clear()
        if self._carrier.retrying is not None:
            self._carrier.retrying.abandon()

    async def _end(self) -> None:
        carrier, flow = self._carrier, self._carrier.flow
        for part in through(flow.request.stream, b"", last=True):
            self._send(part)
        flow.request.data.timestamp_end = carrier.facts.unix(time.monotonic())
        if self._stored:
            flow.request.data.content = b"".join(self._stored)
            self._stored = []
        if carrier.inbound.trailers:
            flow.request.trailers = http.Headers(carrier.inbound.trailers)
        carrier.clocks.start_request()
        if not await carrier.hooks.going_on("request"):
            return
        carrier.sent_up = True
        if carrier.retrying is not None and carrier.upstream is not None:
            carrier.retrying.sent()
        if carrier.upstream is not None:
            carrier.upstream.end_body(carrier.flow.request.trailers, chunked=self.chunked)
        if carrier.mirror is not None:
            carrier.mirror.end()
