"""OpenSSL's contexts for clients: which certificate a handshake shows, by the configuration that is in effect."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from ..resources.certificate import ServerCertificate
from ..routing.certificates import certificates_for
from ..routing.hostnames import host_of
from ..routing.matching import Router

__all__ = ["Handshake", "TlsContexts", "load_certificate"]

_MOST = 1024
"""Contexts that are kept; one costs some 100 KB, and the names of a wildcard's clients are without end."""


class Handshake(ssl.SSLObject):
    """A client's TLS session, with what chooses its certificate."""

    port: int
    """The listener's logical port."""
    local: str | None
    """The local IP address that the client reached."""
    server_name: str = ""
    """Whom the client asked for, lower case; empty for nobody."""


class TlsContexts:
    """Makes TLS sessions with clients.

    The certificate is chosen while the handshake runs, from the snapshot of that moment: a Secret that changes is
    shown to the next client, and connections that are open go on. TLS 1.2 is the least, as everywhere in this decade.
    """

    def __init__(self, router: Callable[[], Router], protocols: tuple[str, ...]) -> None:
        """`protocols` are offered by ALPN, the preferred one first."""
        self._router = router
        self._protocols = list(protocols)
        self._kept: dict[tuple[str, ...], ssl.SSLContext] = {}
        self._front = self._context()
        self._front.sslobject_class = Handshake
        self._front.sni_callback = self._choose

    def handshake(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, port: int, local: str | None) -> Handshake:
        """Begin a session over two buffers."""
        session = self._front.wrap_bio(incoming, outgoing, server_side=True)
        assert isinstance(session, Handshake)
        session.port, session.local = port, local
        return session

    def _choose(self, session: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> int | None:
        """Set the context of the listener that the client asks for; an alert where no listener has the name."""
        assert isinstance(session, Handshake)
        session.server_name = host_of(name or "")
        listener = self._router().select_listener(session.port, session.server_name, session.local)
        if listener is None or not listener.certificates:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        try:
            session.context = self._of(certificates_for(listener.certificates, session.server_name))
        except (ssl.SSLError, OSError):  # what OpenSSL refuses although it could be parsed
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        return None

    def _of(self, certificates: tuple[ServerCertificate, ...]) -> ssl.SSLContext:
        key = tuple(certificate.fingerprint for certificate in certificates)
        context = self._kept.get(key)
        if context is None:
            context = self._context()
            for certificate in certificates:
                load_certificate(context, certificate.chain, certificate.key)
            if len(self._kept) >= _MOST:
                self._kept.clear()
            self._kept[key] = context
        return context

    def forget(self, router: Router) -> None:
        """Forget certificates, and with them private keys, that no listener shows any more."""
        shown = {c.fingerprint for listener in router.listeners for c in listener.certificates}
        for key in [key for key in self._kept if not shown.issuperset(key)]:
            del self._kept[key]

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.set_alpn_protocols(self._protocols)
        return context


def load_certificate(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    """Give a certificate and its key to a context. `ssl` reads files only: these are in memory, and have no name."""
    with _nameless(chain) as chain_path, _nameless(key) as key_path:
        context.load_cert_chain(chain_path, key_path, password=b"")


def _unlinked() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("certificate", os.MFD_CLOEXEC), "w+b")
    return tempfile.TemporaryFile()  # unlinked as soon as it is made; in $TMPDIR, which is the user's own on macOS


@contextmanager
def _nameless(content: bytes) -> Iterator[str]:
    """Offer bytes as a file that nobody else can open, and that is gone with its descriptor."""
    with _unlinked() as file:
        file.write(content)
        file.flush()
        file.seek(0)
        yield f"/dev/fd/{file.fileno()}"
