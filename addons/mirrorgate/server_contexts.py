"""OpenSSL's contexts for servers: whose word counts, what is offered, and whether a certificate is the right one."""

from __future__ import annotations

import asyncio
import functools
import ssl
from dataclasses import replace
from typing import Any

from .resources.server_tls import ServerTls

__all__ = ["WrongCertificate", "check", "session_options"]

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class WrongCertificate(OSError):
    """A certificate that is trusted, and is for somebody else."""


async def session_options(tls: ServerTls | None, host: str, *, http2: bool) -> dict[str, Any]:
    """Return what `loop.create_connection` needs to speak TLS with an endpoint; nothing for a connection in clear.

    Raises `ssl.SSLError` for authorities that OpenSSL refuses although they could be parsed.
    """
    if tls is None:
        return {}
    # In a thread: to read the system's authorities takes some 20 ms, the first time.
    context = await asyncio.to_thread(_context, replace(tls, server_name="", source=""), http2)
    return {"ssl": context, "server_hostname": tls.server_name or host}


def check(tls: ServerTls | None, session: ssl.SSLObject | None) -> None:
    """Hold a server's certificate against the alternative names that are asked for instead of the server's name.

    Raises WrongCertificate.
    """
    if tls is None or not (tls.names or tls.uris) or not tls.verify:
        return
    found = (None if session is None else session.getpeercert()) or {}
    entries: Any = found.get("subjectAltName", ())
    names = tuple(value for kind, value in entries if kind == "DNS")
    uris = tuple(value for kind, value in entries if kind == "URI")
    if not tls.fits(names, uris):
        raise WrongCertificate("certificate verify failed: none of its alternative names is one that is asked for")


@functools.lru_cache(maxsize=256)
def _context(tls: ServerTls, http2: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version, context.maximum_version = _VERSIONS[tls.minimum], _VERSIONS[tls.maximum]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.check_hostname = tls.verify and not (tls.names or tls.uris)
    if not tls.verify:
        context.verify_mode = ssl.CERT_NONE
    elif tls.authorities:
        # What is declared is what is trusted, be it an intermediate authority or the server's own certificate.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=tls.authorities)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    context.set_alpn_protocols(["h2" if http2 else "http/1.1"])
    return context
