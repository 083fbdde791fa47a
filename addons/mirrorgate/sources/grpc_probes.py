"""A probe by gRPC's health checking protocol (`grpc.health.v1.Health/Check`), over a channel that is kept.

The two messages have one field each and are read and written here, so that no generated code is needed. gRPC is
imported when the first such probe is made: it costs memory and time that few gateways need.
"""

from __future__ import annotations

from typing import Any

from ..admission.checks import Outcome
from ..resources.endpoints import Address

__all__ = ["GrpcProbe"]

_METHOD = "/grpc.health.v1.Health/Check"
_STATUS = 0x08
"""The tag of `HealthCheckResponse.status`, a varint."""
_SERVING = 1
_NO_ANSWER = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")


class GrpcProbe:
    """Asks for a service, or for the server as a whole; over plaintext."""

    def __init__(self, address: Address, service: str | None) -> None:
        self._address = address
        self._request = b""
        if service:
            name = service.encode()
            self._request = b"\x0a" + _varint(len(name)) + name
        self._channel: Any = None

    async def ask(self) -> tuple[Outcome, str]:
        import grpc.aio

        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(str(self._address))
        try:
            answer: bytes = await self._channel.unary_unary(_METHOD)(self._request)
        except grpc.aio.AioRpcError as error:
            code = error.code().name
            return (Outcome.SILENT if code in _NO_ANSWER else Outcome.FAILED), f"gRPC status {code}"
        if answer[:1] == bytes((_STATUS,)) and answer[1:2] == bytes((_SERVING,)):
            return Outcome.PASSED, ""
        return Outcome.FAILED, "the service is not serving"

    async def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close(None)


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
