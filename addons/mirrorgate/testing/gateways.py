"""A gateway under test: a real process on ports of its own, its manifests, and its admin server."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .admin_client import AdminClient
from .clients import Answer, Client
from .manifests import Object, as_yaml
from .processes import Process, ProcessError, free_port, gateway_command

__all__ = ["CHAT", "RunningGateway", "chat_body", "running_gateway", "write_manifests"]

CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class RunningGateway:
    process: Process
    port: int
    """Of the first listener."""
    admin: AdminClient
    config: Path
    """The file or folder that it reads."""

    def shadow_pid(self) -> int:
        """Return the shadow process: the gateway's one child. Raises `ProcessError` while there is none."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = [pid for thread in threads for pid in thread.read_text().split()]
        found = [int(pid) for pid in children if b"mirrorgate.shadow" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        if len(found) != 1:
            raise ProcessError(f"among the children {children} there are {len(found)} shadow processes")
        return found[0]

    async def connect(self, **more: Any) -> Client:
        """Open a client's connection."""
        return await Client.connect(self.port, **more)

    async def chat(self, host: str, **body: Any) -> Answer:
        """Ask for a chat completion over a connection of its own; `body` overrides its fields."""
        async with await self.connect() as client:
            return await client.request("POST", CHAT, [("host", host)], chat_body(**body))


def chat_body(**fields: Any) -> dict[str, Any]:
    """Return the body of a chat completion request."""
    messages = [{"role": "user", "content": "introduce yourself"}]
    return {"model": "fake-model", "messages": messages, "temperature": 0, **fields}


def write_manifests(path: Path, objects: Iterable[Object]) -> None:
    """Replace a manifest in one step, as a careful editor does."""
    fresh = path.with_name(f".{path.name}.next")
    fresh.write_text(as_yaml(objects), encoding="utf-8")
    os.replace(fresh, path)


@contextlib.asynccontextmanager
async def running_gateway(
    config: Path,
    port: int,
    *,
    program: str = "mirrorgate",
    options: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    workers: int = 1,
    words: Sequence[str] = (),
) -> AsyncIterator[RunningGateway]:
    """Run the gateway until the block ends. Raises `ProcessError` with its output when it does not get ready."""
    admin_port = free_port()
    command = gateway_command(config, admin_port, program=program, options=options, workers=workers, words=words)
    async with Process(command, environment=environment) as process:
        # Its own word first: at the admin port another process might answer.
        await process.printed("gateway listening at", timeout=60.0)
        await process.ready(admin_port)
        yield RunningGateway(process, port, AdminClient(admin_port), config)
