"""The admin server's start: as the options say, or not at all, or the process ends with a word."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from mirrorgate.proxy.admin.sources import AdminSources
from mirrorgate.wiring.administration import start_admin


def sources() -> AdminSources:
    """Return what an admin server shows at least."""
    return AdminSources(ready=lambda: (True, "ready"), metrics=lambda accept: ("text/plain", iter([b""])))


async def test_none_is_started_where_none_is_wanted() -> None:
    """The option is empty."""
    assert start_admin(sources(), SimpleNamespace(gateway_admin="", gateway_admin_token="")) is None


async def test_it_listens() -> None:
    """On a port of the kernel's choice."""
    server = start_admin(sources(), SimpleNamespace(gateway_admin="127.0.0.1:0", gateway_admin_token=""))
    assert server is not None
    assert server.address is not None
    assert server.address.port
    await server.stop()


async def test_a_taken_port_ends_the_process(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody could see what goes on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SystemExit):
            start_admin(sources(), SimpleNamespace(gateway_admin=bind, gateway_admin_token=""))
    assert "cannot bind" in caplog.text
    assert "--admin HOST:PORT" in caplog.text
