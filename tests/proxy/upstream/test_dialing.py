"""What a connection to a server costs for as long as it lasts."""

from __future__ import annotations

import asyncio
import ssl

from mirrorgate.proxy.upstream import dialing
from mirrorgate.testing.certificates import Authority


async def test_a_tls_connection_keeps_room_for_a_record() -> None:
    """asyncio has 256 KiB for each by itself, and there may be one for every stream."""
    authority = Authority()
    accepted = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=authority.server("localhost"))
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=authority.client(), server_hostname="localhost"
        )
        await accepted.wait()
        session = writer.transport._ssl_protocol  # type: ignore[attr-defined]
        assert len(session._ssl_buffer) == dialing.KEPT
        # A record with its header, its type and its tag.
        assert 16 * 1024 + 5 + 1 + 16 <= dialing.KEPT <= 32 * 1024
        assert isinstance(writer.get_extra_info("ssl_object"), ssl.SSLObject)
        writer.close()
        await writer.wait_closed()
