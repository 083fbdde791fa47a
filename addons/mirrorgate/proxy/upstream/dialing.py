"""Opens a connection to an upstream, with mitmproxy's hooks around it."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto
from typing import TYPE_CHECKING

from mitmproxy import connection
from mitmproxy.proxy import server_hooks

from ...errors import Refusal
from ...server_contexts import WrongCertificate, check, session_options
from ..mitm import Hooks, note_server_session
from .http2 import Http2Upstream

if TYPE_CHECKING:
    from .http1 import Upstream

__all__ = ["KEPT", "dial"]

_TIMEOUT = "connection timeout"

KEPT = 17 * 1024
"""What asyncio keeps for reading with every TLS connection for as long as that lasts: room for a record, where 256 KiB
are its default. Each stream of a server that is spoken to by TLS has a connection."""

sslproto.SSLProtocol.max_size = KEPT


async def dial(
    upstream: Upstream | Http2Upstream, data: server_hooks.ServerConnectionHookData, hooks: Hooks, timeout: float
) -> Refusal | None:
    """Connect within so many seconds. Why there is no connection, `None` when there is one."""
    server = data.server
    if (pending := hooks.fire("server_connect", data)) is not None:
        await pending
    if _error_of(server) is None:
        assert server.address is not None
        try:
            async with asyncio.timeout(timeout):
                tls, host, port = upstream.tls, server.address[0], server.address[1]
                options = await session_options(tls, host, http2=upstream.framed)
                transport, _ = await asyncio.get_running_loop().create_connection(
                    lambda: upstream, host, port, **options
                )
                if tls is not None:
                    session = transport.get_extra_info("ssl_object")
                    check(tls, session)
                    note_server_session(server, session, options["server_hostname"])
                    await _tell(hooks, "tls_established_server", data)
                if isinstance(upstream, Http2Upstream):
                    await upstream.greeted
        except TimeoutError:
            server.error = _TIMEOUT
        except (OSError, ValueError, OverflowError) as error:  # the last two for a host or port that is none
            server.error = str(error) or "connection failed"
            if isinstance(error, ssl.SSLError | WrongCertificate):
                server.error = f"the TLS handshake failed: {error}"
                await _tell(hooks, "tls_failed_server", data)
        else:
            if (pending := hooks.fire("server_connected", data)) is not None:
                await pending
            if _error_of(server) is None:
                return None
    if (pending := hooks.fire("server_connect_error", data)) is not None:
        await pending
    return Refusal.CONNECT_TIMEOUT if _error_of(server) == _TIMEOUT else Refusal.CONNECT_FAILURE


async def _tell(hooks: Hooks, hook: str, data: server_hooks.ServerConnectionHookData) -> None:
    """Call a hook of TLS if anybody listens; what it is told is not made for nobody."""
    if hooks.listens(hook) and (pending := hooks.fire(hook, hooks.tls_data(data.client, data.server))) is not None:
        await pending


def _error_of(server: connection.Server) -> str | None:
    """Read the error anew: an addon may set it at any hook."""
    return server.error
