"""Opens a connection to an upstream, with mitmproxy's hooks around it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mitmproxy import connection
from mitmproxy.proxy import server_hooks

from ..errors import Refusal
from .http2_upstream import Http2Upstream
from .mitm import Hooks

if TYPE_CHECKING:
    from .upstream import Upstream

__all__ = ["dial"]


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
                await asyncio.get_running_loop().create_connection(
                    lambda: upstream, server.address[0], server.address[1]
                )
                if isinstance(upstream, Http2Upstream):
                    await upstream.greeted
        except TimeoutError:
            server.error = "connection timeout"
        except (OSError, ValueError, OverflowError) as error:  # the last two for a host or port that is none
            server.error = str(error) or "connection failed"
        else:
            if (pending := hooks.fire("server_connected", data)) is not None:
                await pending
            if _error_of(server) is None:
                return None
    if (pending := hooks.fire("server_connect_error", data)) is not None:
        await pending
    return Refusal.CONNECT_TIMEOUT if _error_of(server) == "connection timeout" else Refusal.CONNECT_FAILURE


def _error_of(server: connection.Server) -> str | None:
    """Read the error anew: an addon may set it at any hook."""
    return server.error
