"""A probe by a TCP connection, with something to say and to hear where that is declared."""

from __future__ import annotations

import asyncio

from ..admission.checks import Outcome
from ..resources.endpoints import Address
from ..resources.traffic_health import TcpActiveHealthCheck

__all__ = ["TcpProbe"]

_MAX_READ = 64 * 1024


class TcpProbe:
    """Connects anew for each probe; without anything to hear, to be connected is enough."""

    def __init__(self, address: Address, check: TcpActiveHealthCheck) -> None:
        self._address = address
        self._send = b"" if check.send is None else check.send.content
        self._receive = b"" if check.receive is None else check.receive.content
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self) -> tuple[Outcome, str]:
        try:
            reader, self._writer = await asyncio.open_connection(self._address.host, self._address.port)
            self._writer.write(self._send)
            heard = b""
            while self._receive not in heard:
                more = await reader.read(4096)
                heard += more
                if not more or len(heard) > _MAX_READ:
                    return Outcome.FAILED, "the expected bytes were not received"
        except (OSError, ValueError, OverflowError) as error:
            return Outcome.SILENT, f"cannot connect: {error}"
        else:
            return Outcome.PASSED, ""
        finally:
            await self.close()

    async def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.transport.abort()
