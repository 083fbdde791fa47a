"""Contexts for servers: what they verify and offer."""

from __future__ import annotations

import contextlib
import ssl

import pytest

from mirrorgate.resources.server_tls import ServerTls
from mirrorgate.server_contexts import WrongCertificate, check, session_options
from mirrorgate.testing.certificates import Authority

AUTHORITY = Authority()
TRUST = AUTHORITY.certificate.decode()


async def shaken(tls: ServerTls, host: str, *hosts: str, http2: bool = False) -> ssl.SSLObject:
    """Shake hands with a server of these hosts, in memory."""
    options = await session_options(tls, host, http2=http2)
    one, two, three, four = (ssl.MemoryBIO() for _ in range(4))
    client = options["ssl"].wrap_bio(one, two, server_hostname=options["server_hostname"])
    server = AUTHORITY.server(*hosts, protocols=("h2", "http/1.1")).wrap_bio(three, four, server_side=True)
    for _ in range(4):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
            three.write(two.read())
            one.write(four.read())
    check(tls, client)
    return client


async def test_clear_text() -> None:
    """Nothing is asked of the loop."""
    assert await session_options(None, "a.test", http2=False) == {}


@pytest.mark.parametrize(
    ("tls", "host"),
    [
        (ServerTls("a.test", TRUST), "10.0.0.1"),
        (ServerTls("", TRUST), "127.0.0.1"),
        (ServerTls("sni.test", TRUST, names=("a.test",)), "10.0.0.1"),
        (ServerTls("other.test", verify=False), "10.0.0.1"),
        (ServerTls("a.test", TRUST, minimum="1.3"), "10.0.0.1"),
    ],
)
async def test_believed(tls: ServerTls, host: str) -> None:
    """By name, by address, by alternative name, or without a look."""
    assert (await shaken(tls, host, "a.test", "127.0.0.1")).version() == "TLSv1.3"


@pytest.mark.parametrize(
    ("tls", "host"),
    [
        (ServerTls("b.test", TRUST), "10.0.0.1"),
        (ServerTls("", TRUST), "127.0.0.2"),
        (ServerTls("a.test", TRUST, names=("b.test",)), "10.0.0.1"),
        (ServerTls("a.test", TRUST, uris=("spiffe://a/b",)), "10.0.0.1"),
        (ServerTls("a.test"), "10.0.0.1"),
        (ServerTls("a.test", Authority().certificate.decode()), "10.0.0.1"),
        (ServerTls("a.test", Authority().certificate.decode(), names=("a.test",)), "10.0.0.1"),
    ],
)
async def test_not_believed(tls: ServerTls, host: str) -> None:
    """Another name, another address, another authority."""
    with pytest.raises((ssl.SSLError, WrongCertificate)):
        await shaken(tls, host, "a.test", "127.0.0.1")


@pytest.mark.parametrize(("http2", "agreed"), [(True, "h2"), (False, "http/1.1")])
async def test_protocols(http2: bool, agreed: str) -> None:
    """One is offered: what the destination is declared to speak."""
    session = await shaken(ServerTls("a.test", TRUST), "a.test", "a.test", http2=http2)
    assert session.selected_alpn_protocol() == agreed
