"""TLS between a client's socket and the protocol above it, over OpenSSL's memory buffers.

asyncio's own TLS tells the protocol of a connection only after the handshake, hides how much the socket has not taken,
and gives its protocol no say in a handshake. Here the protocol sits on a transport that behaves as the socket's does:
what is `unsent` is what the client has not taken, to the byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterable
from typing import Any, Protocol

from .tls_contexts import Handshake, TlsContexts

__all__ = ["TlsTransport", "TlsUser", "pieces_of"]

_READ = 256 * 1024

_AT_ONCE = 32 * 1024
"""Bytes that OpenSSL is given at once. Its memory buffers grow to the most that they have ever held, and keep that for
as long as the connection lasts: a client that idled behind an answer of 1 MB held it all (measured)."""


class TlsUser(Protocol):
    """The protocol above; besides what it hears of a socket, it hears how the handshake ended."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def tls_established(self, session: Handshake) -> None: ...
    def tls_failed(self, session: Handshake, message: str) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool | None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """The socket's protocol, and the transport of the protocol above."""

    def __init__(self, user: TlsUser, contexts: TlsContexts, port: int, timeout: float) -> None:
        """`port` is the logical one, `timeout` that of the handshake, in seconds."""
        super().__init__()
        self._user: Any = user
        self._contexts = contexts
        self._port = port
        self._timeout = timeout
        self._socket: asyncio.Transport
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._session: Handshake
        self._timer: asyncio.TimerHandle
        self._established = False
        self._closing = False
        self._ended = False
        """Whether the client has said that it sends no more."""

    # asyncio.Protocol, of the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._socket = transport
        own = transport.get_extra_info("sockname") or (None,)
        self._session = self._contexts.handshake(self._incoming, self._outgoing, self._port, own[0])
        self._timer = asyncio.get_running_loop().call_later(self._timeout, self._fail, "the handshake takes too long")
        self._user.connection_made(self)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        for piece in pieces_of(data):
            self._incoming.write(piece)
            if self._established or self._shake_hands():
                self._read()
            if self.is_closing():
                return

    def eof_received(self) -> bool:
        if not self._established:
            self._fail("the client has left during the handshake")
            return False
        # Without a close_notify nobody can tell whether this is the client's word; a close it is in any case.
        if not self._ended and not self._closing:
            self._ended = True
            self._user.eof_received()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._established and not self._closing:
            self._fail("the client has left during the handshake")
        self._timer.cancel()
        self._closing = True
        self._user.connection_lost(exc)

    def pause_writing(self) -> None:
        self._user.pause_writing()

    def resume_writing(self) -> None:
        self._user.resume_writing()

    def _shake_hands(self) -> bool:
        """Go on with the handshake. Whether it is done."""
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._flush()  # the alert
            self._fail(error.reason or "the handshake failed")
            return False
        self._timer.cancel()
        self._established = True
        self._flush()
        self._user.tls_established(self._session)
        return not self._closing

    def _fail(self, message: str) -> None:
        """End a handshake that came to nothing."""
        if self._closing:
            return
        self._closing = True
        self._timer.cancel()
        self._user.tls_failed(self._session, message)
        self._socket.close()

    def _read(self) -> None:
        """Pass on all that has been decrypted, in one piece; the socket bounds how much that is."""
        session, incoming = self._session, self._incoming
        pieces: list[bytes] = []
        ended = broken = False
        try:
            while True:
                piece = session.read(_READ)
                if not piece:
                    ended = True
                    break
                pieces.append(piece)
                if not incoming.pending and not session.pending():
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            broken = True
        self._flush()
        if pieces:
            self._user.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if broken:
            self.abort()
        elif ended and not self._ended and not self._closing:
            self._ended = True
            if not self._user.eof_received():
                self.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._socket.write(self._outgoing.read())

    # asyncio.Transport, of the protocol above

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._user = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._user
        return protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._socket.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._closing or self._socket.is_closing()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if not self._established or self._closing or self._socket.is_closing():
            return
        session = self._session
        try:
            if len(data) <= _AT_ONCE:
                session.write(data)  # to memory, which takes it all
                self._socket.write(self._outgoing.read())
                return
            records = []
            for piece in pieces_of(data):
                session.write(piece)
                records.append(self._outgoing.read())
        except ssl.SSLError:
            self.abort()
            return
        # In one piece: `writelines` does not tell its protocol to pause before Python 3.12.9 and 3.13.2.
        self._socket.write(b"".join(records))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        self.write(b"".join(list_of_data))

    def get_write_buffer_size(self) -> int:
        return self._socket.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._socket.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._socket.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        self._socket.pause_reading()

    def resume_reading(self) -> None:
        self._socket.resume_reading()

    def is_reading(self) -> bool:
        return self._socket.is_reading()

    def can_write_eof(self) -> bool:
        # After close_notify OpenSSL takes what the client still sends for an error.
        return False

    def close(self) -> None:
        """Say that no more comes, and close; what the client says to that is not waited for (RFC 8446, 6.1)."""
        if self._closing:
            return
        if self._established:
            with contextlib.suppress(ssl.SSLError):  # the client's own close_notify is still to come
                self._session.unwrap()
            self._flush()
        self._closing = True
        self._socket.close()

    def abort(self) -> None:
        self._closing = True
        self._socket.abort()


def pieces_of(data: bytes | bytearray | memoryview[Any]) -> Iterable[bytes | bytearray | memoryview[Any]]:
    """Return bytes in pieces that a TLS connection's buffers may keep room for, themselves when they are few."""
    if len(data) <= _AT_ONCE:
        return (data,)
    view = memoryview(data)
    return [view[at : at + _AT_ONCE] for at in range(0, len(view), _AT_ONCE)]
