"""The admin server's life: where it listens, and its end."""

from __future__ import annotations

import socket

import httpx
import pytest

from mirrorgate.proxy.admin.server import AdminServer, Bind, parse_bind
from mirrorgate.proxy.admin.sources import AdminSources

SOURCES = AdminSources(ready=lambda: (True, "ready"), metrics=lambda accept: ("text/plain", iter([b"x 1\n"])))


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("", None),
        ("  ", None),
        ("127.0.0.1:9901", Bind("127.0.0.1", 9901)),
        ("localhost:0", Bind("localhost", 0)),
        ("[::1]:9901", Bind("::1", 9901)),
    ],
)
def test_addresses(text: str, bind: Bind | None) -> None:
    """Empty is none; the rest is host and port, and is written as it is read."""
    assert parse_bind(text) == bind
    assert bind is None or str(bind) == text


@pytest.mark.parametrize(
    "text", ["9901", ":9901", "localhost", "localhost:", "::1:9901", "h:65536", "h:-1", "h:1x", "h:²"]
)
def test_addresses_that_are_none(text: str) -> None:
    """Said with the text itself, before anything is bound."""
    with pytest.raises(ValueError, match="9901"):
        parse_bind(text)


async def test_the_kernel_chooses_a_port() -> None:
    """Port 0 listens somewhere, and the server says where; it can be stopped and is gone."""
    server = AdminServer(SOURCES, Bind("127.0.0.1", 0))
    assert server.address is None
    assert server.url == ""
    server.start()
    server.start()
    assert server.address is not None
    url = server.url
    async with httpx.AsyncClient() as client:
        assert (await client.get(url + "healthz")).text == "ok\n"
        await server.stop()
        await server.stop()
        with pytest.raises(httpx.ConnectError):
            await client.get(url + "healthz")
    server.start()
    assert server.url
    await server.stop()


async def test_a_taken_port_is_said_clearly() -> None:
    """The error names the server, the address and the reason."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"admin server cannot listen on 127.0.0.1:{port}: Address already in use"):
            AdminServer(SOURCES, Bind("127.0.0.1", port)).start()


async def test_a_wildcard_shows_an_address_that_opens() -> None:
    """0.0.0.0 is no address for a browser."""
    server = AdminServer(SOURCES, Bind("0.0.0.0", 0))
    server.start()
    assert server.url.startswith("http://127.0.0.1:")
    await server.stop()
