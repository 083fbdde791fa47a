"""One keep-alive connection to one server, and the one request that is ever sent on it: for its metrics or health.

An HTTP client of its own, because a scrape happens on the event loop that forwards tokens: httpx costs 0.8 ms of CPU a
request before anything is parsed, this a twentieth. It follows no redirects, decodes no content encodings, sends no
credentials, and reads no more than it was told to.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httptools

from ..resources.endpoints import Address

__all__ = ["Answer", "ScrapeConnection", "ScrapeError", "request_bytes"]

MAX_HEAD = 64 * 1024
"""Bytes that status line, headers and chunk framing may add to the body."""


class ScrapeError(Exception):
    """A request that got no complete answer; the text says why. Never raised for an HTTP status."""


class TooLarge(ScrapeError):
    """An answer that is larger than was asked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


class ScrapeConnection:
    """The connection to one server: opened when first needed, kept, and opened again when it was closed.

    Requests are made one at a time. A request that finds a kept connection dead is sent once more on a new one.
    """

    def __init__(
        self, address: Address, path: str, max_body: int, *, request: bytes | None = None, bodiless: bool = False
    ) -> None:
        """`request` is sent instead of a GET of the path; `bodiless` tells that it is a HEAD."""
        self._address = address
        self._max_body = max_body
        self._request = request_bytes(address, path) if request is None else request
        self._bodiless = bodiless
        self._exchange: _Exchange | None = None

    async def get(self) -> Answer:
        """Ask once; a caller's timeout cancels it and so closes the connection.

        Raises `ScrapeError` for everything that the network or the server can do wrong.
        """
        try:
            exchange = self._exchange
            if exchange is not None and exchange.usable:
                try:
                    return await exchange.ask(self._request)
                except _Dead:
                    pass
            return await (await self._connect()).ask(self._request)
        except OSError as error:
            raise ScrapeError(f"cannot connect: {error.strerror or error}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection at once; the next `get` opens a new one."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.close()

    async def _connect(self) -> _Exchange:
        self.close()
        loop = asyncio.get_running_loop()
        try:
            _, exchange = await loop.create_connection(
                lambda: _Exchange(self._max_body, self._bodiless), self._address.host, self._address.port
            )
        except (UnicodeError, ValueError, OverflowError) as error:
            # A host that no name service takes: a label over 63 characters, a NUL, a port out of range.
            raise ScrapeError(f"cannot connect: {error}") from error
        self._exchange = exchange
        return exchange


def request_bytes(address: Address, path: str, *, method: str = "GET", host: str = "", body: bytes = b"") -> bytes:
    """Write a request; what could break out of a line of its head is escaped. Host is the address by default."""
    path = path if path.startswith("/") else f"/{path}"
    target = "".join(c if "!" <= c <= "~" else "".join(f"%{b:02X}" for b in c.encode()) for c in path)
    host = "".join(c for c in host or str(address) if "!" <= c <= "~")
    verb = "".join(c for c in method if c.isascii() and c.isalpha())
    length = f"content-length: {len(body)}\r\n" if body else ""
    head = (
        f"{verb} {target} HTTP/1.1\r\nhost: {host}\r\nuser-agent: mirrorgate\r\n"
        f"accept: text/plain;version=0.0.4, */*;q=0.1\r\naccept-encoding: identity\r\n{length}\r\n"
    )
    return head.encode("ascii") + body


class _Dead(ScrapeError):
    """A kept connection that ended before it gave a byte of the answer."""


class _Exchange(asyncio.Protocol):
    """The protocol of one TCP connection: a request out, an answer in."""

    def __init__(self, max_body: int, bodiless: bool) -> None:
        self._max_body = max_body
        self._bodiless = bodiless
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._used = False
        self._reset()

    def _reset(self) -> None:
        self._status = 0
        self._body: list[bytes] = []
        self._received = 0
        self._body_size = 0
        self._until_close = True
        self._in_body = False

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes) -> Answer:
        """Send the request and wait for its answer."""
        if self._transport is None:
            raise _Dead("the connection was closed")
        self._reset()
        self._parser = httptools.HttpResponseParser(self)
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._waiter
        finally:
            self._waiter = None
            self._used = True

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._parser is None or self._waiter is None or self._waiter.done():
            # Bytes that nobody asked for: the connection is out of step.
            self.close()
        elif self._received > self._max_body + MAX_HEAD:
            self._fail(TooLarge(f"the answer is larger than {self._max_body} bytes"))
        else:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade:
                self._fail(ScrapeError("the server switched protocols"))
            except httptools.HttpParserError as error:
                self._fail(ScrapeError(f"the answer is not HTTP: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiter is None or self._waiter.done():
            return
        if self._in_body and self._until_close and exc is None:
            # Neither length nor chunks: the end of the connection is the end of the body (RFC 9112, 6.3).
            self._waiter.set_result(Answer(self._status, b"".join(self._body)))
        elif self._used and not self._received:
            self._waiter.set_exception(_Dead("the kept connection was closed"))
        else:
            text = "in the middle of the answer" if self._received else "before an answer"
            self._waiter.set_exception(ScrapeError(f"the connection was closed {text}"))

    # httptools' side

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._until_close = False

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        self._status = self._parser.get_status_code()
        self._in_body = True
        if self._bodiless and self._status >= 200 and self._waiter is not None and not self._waiter.done():
            # The parser would wait for what Content-Length announces; a connection for each HEAD is simple and safe.
            self._waiter.set_result(Answer(self._status, b""))
            self.close()

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        if self._body_size > self._max_body:
            self._fail(TooLarge(f"the answer is larger than {self._max_body} bytes"))
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._status < 200:
            # An interim answer: the final one follows.
            self._until_close = True
            self._in_body = False
            return
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(Answer(self._status, b"".join(self._body)))
        if self._parser is not None and not self._parser.should_keep_alive():
            self.close()

    def _fail(self, error: ScrapeError) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self.close()
