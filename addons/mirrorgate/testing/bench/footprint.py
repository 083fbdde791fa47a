"""What a proxy holds in memory: idle, for each client that idles, and for each answer that is being streamed."""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..processes import free_port
from .load import request_of
from .measures import Footprint
from .proxies import Ports, Proxy, Unavailable
from .rounds import origin_server, proxy_process
from .scenarios import SCENARIOS, Scenario, Unit
from .usage import resident_bytes

__all__ = ["footprint", "footprints"]

_WARM = 64
"""Requests before anything is measured: buffers, caches and connections to the server are there by then."""
_AT_ONCE = 32
"""Clients that connect at the same time."""
_SETTLED = 2.0
"""Seconds that a proxy has to let go of what it needs no more; Mirrorgate looks once a second."""
_LONG = Scenario("held", "an event a second, without end", Unit.EVENT, events=10**6, interval=1.0)


async def footprints(
    proxies: Sequence[Proxy],
    told: Callable[[str], None],
    *,
    folder: Path,
    programs: Mapping[str, str],
    clients: int = 2000,
    streams: int = 512,
) -> list[Footprint]:
    """Measure proxies one after another; one that is not installed is left out with a word to `told`."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    found = []
    async with origin_server() as origin:
        for proxy in proxies:
            ports = Ports(free_port(), origin, free_port())
            try:
                async with proxy_process(proxy, ports, folder, programs) as process:
                    found.append(await footprint(proxy.name, process.pid, ports.own, clients, streams))
            except (Unavailable, TimeoutError, OSError, EOFError) as error:
                told(f"{proxy.name} is left out: {error}")
                continue
            told(_line(found[-1]))
    return found


async def footprint(name: str, pid: int, port: int, clients: int, streams: int) -> Footprint:
    """Measure one proxy's process and its children. Raises OSError or EOFError when it does not answer."""
    async with contextlib.AsyncExitStack() as open_ones:
        small, held = (request_of(scenario, f"127.0.0.1:{port}") for scenario in (SCENARIOS["small"], _LONG))
        async with contextlib.AsyncExitStack() as warm:
            await _open(_WARM, port, small, warm)
        await asyncio.sleep(_SETTLED)
        idle = resident_bytes(pid)
        await _open(clients, port, small, open_ones)
        await asyncio.sleep(_SETTLED)
        with_clients = resident_bytes(pid)
        await _open(streams, port, held, open_ones)
        await asyncio.sleep(_SETTLED)
        with_streams = resident_bytes(pid)
    return Footprint(
        proxy=name, idle=idle, clients=clients, with_clients=with_clients, streams=streams, with_streams=with_streams
    )


async def _open(count: int, port: int, request: bytes, stack: contextlib.AsyncExitStack) -> None:
    """Open connections that have each got an answer, or the first event of one, and stay open until the stack ends."""
    for first in range(0, count, _AT_ONCE):
        await asyncio.gather(*(_asked(port, request, stack) for _ in range(min(_AT_ONCE, count - first))))


async def _asked(port: int, request: bytes, stack: contextlib.AsyncExitStack) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stack.push_async_callback(_closed, writer)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head[:16]:
        raise OSError(f"answered {head.partition(b'\r\n')[0].decode('latin-1')!r}")
    if (length := re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)) is not None:
        await reader.readexactly(int(length[1]))
    else:
        await reader.readuntil(b"\n\n")


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _line(found: Footprint) -> str:
    return (
        f"memory {found.proxy:18} {found.idle / 2**20:.1f} MiB idle, {found.per_client / 1024:.1f} KiB a client, "
        f"{found.per_stream / 1024:.1f} KiB a stream"
    )
