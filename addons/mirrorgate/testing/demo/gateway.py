"""The gateway that the demo shows: started as a user starts it, and watched through its admin server."""

from __future__ import annotations

import contextlib
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ..admin_client import AdminClient, AdminError
from ..processes import Process, ProcessError
from .errors import DemoError

__all__ = ["Comparison", "RunningGateway", "running_gateway"]

LISTENER = 80
"""The port that both tutorials' Gateway declares."""
_PORTS = (8080, 9901, 8081)
"""Where the README says that listener, admin server and mitmweb are."""
_PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """A row of `/exchanges`, with what of its record the demo shows."""

    at: float
    outcome: str
    similarity: float | None
    primary: dict[str, Any]
    candidate: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunningGateway:
    port: int
    admin: AdminClient
    web_port: int
    web_password: str
    process: Process
    http: httpx.AsyncClient

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        """The dashboard."""
        return f"http://127.0.0.1:{self.admin.port}/"

    @property
    def web_url(self) -> str:
        """mitmweb, with what it asks for."""
        return f"http://127.0.0.1:{self.web_port}/?token={self.web_password}"

    @property
    def command(self) -> str:
        """The command that a user types, without the interpreter and the secret."""
        ports = {"--port-offset": self.port - LISTENER, "--admin": f"127.0.0.1:{self.admin.port}"}
        if self.web_port != _PORTS[2]:
            ports["--web-port"] = self.web_port
        if self.admin.port == _PORTS[1]:
            del ports["--admin"]
        return " ".join(["mirrorgate run manifests/ --web", *(f"{name} {value}" for name, value in ports.items())])

    async def applied(self, after: int) -> None:
        """Wait until a later configuration than this one has taken effect."""

        async def applied() -> bool:
            return await self.admin.generation() > after

        await self.until(applied, "the changed manifests have not taken effect")

    async def comparisons(self) -> list[Comparison]:
        """Return the latest comparisons, oldest first."""
        rows = await self.admin.comparisons()
        return [
            Comparison(
                row["at"],
                row["outcome"],
                row["similarity"],
                row["record"]["primary"],
                row["record"]["candidate"],
            )
            for row in rows
            if row["record"]
        ]

    async def cluster(self, kind: str) -> dict[str, Any]:
        """Return the one cluster of a kind, `rule` or `mirror`."""
        clusters = (await self.admin.page("/clusters"))["clusters"]
        found: dict[str, Any] = next(each for each in clusters if each["kind"] == kind)
        return found

    async def until(self, holds: Callable[[], Awaitable[bool]], complaint: str) -> None:
        """Ask until something holds. Raises `DemoError` with the complaint when it does not in time."""
        try:
            await self.admin.until(holds, f"{complaint} after {_PATIENCE:g} s", _PATIENCE)
        except AdminError as error:
            raise DemoError(f"{error}\n{self.tail()}") from error

    def tail(self) -> str:
        """Return the end of the gateway's log."""
        return "\n".join(["the gateway's log ends with:", *self.process.output[-12:]])


@contextlib.asynccontextmanager
async def running_gateway(manifests: Path) -> AsyncIterator[RunningGateway]:
    """Run `mirrorgate run` until the block ends. Raises `DemoError` when it does not get ready."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            gateway = await _started(manifests, stack, _PORTS)
        except ProcessError:
            # Somebody else, another demo perhaps, has taken a port since it was found free.
            try:
                gateway = await _started(manifests, stack, (0, 0, 0))
            except ProcessError as error:
                raise DemoError(f"the gateway does not start: {error}") from error
        yield gateway


async def _started(manifests: Path, stack: contextlib.AsyncExitStack, wanted: Sequence[int]) -> RunningGateway:
    port, admin_port, web_port = _free_ports(wanted)
    password = secrets.token_hex(8)
    command = [sys.executable, "-m", "mirrorgate.cli", "run", str(manifests), "--web", "--web-port", str(web_port)]
    command += ["--port-offset", str(port - LISTENER), "--admin", f"127.0.0.1:{admin_port}"]
    process = await stack.enter_async_context(Process([*command, "--set", f"web_password={password}"]))
    # Its own word first: at the port another gateway might answer.
    await process.printed("gateway listening at")
    await process.ready(admin_port)
    http = await stack.enter_async_context(httpx.AsyncClient(timeout=120.0, trust_env=False))
    return RunningGateway(port, AdminClient(admin_port), web_port, password, process, http)


def _free_ports(usual: Sequence[int]) -> list[int]:
    """Return the usual ports, and where one is taken another; the gateway may still find it taken, and says so."""
    with contextlib.ExitStack() as stack:
        ports = []
        for wanted in usual:
            for port in (wanted, 0):
                sock = stack.enter_context(socket.socket())
                # As asyncio's servers do: what merely lingers from a demo before is free.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                with contextlib.suppress(OSError):
                    sock.bind(("127.0.0.1", port))
                    sock.listen()
                    ports.append(sock.getsockname()[1])
                    break
        return ports
