"""The model servers that the tutorials' Pods stand for: fake ones, or a small real model."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from ..processes import PROJECT, Process, ProcessError
from .errors import DemoError
from .manifests import chat_template
from .smollm2 import SERVER, installed

__all__ = ["Fleet", "ModelServer", "Models", "Role", "fleet"]

MODEL = "/model/llama2"
_FAKE = PROJECT / "scripts" / "fake_model_server.py"


class Models(enum.StrEnum):
    """What the model servers are."""

    FAKE = "fake"
    SMOLLM2 = "smollm2"


class Role(enum.StrEnum):
    """Which of the tutorial's services a server belongs to, in the tutorial's words."""

    PRIMARY = "primary"
    MIRROR = "mirror"


_PODS = (("18001", Role.PRIMARY), ("18002", Role.PRIMARY), ("18003", Role.MIRROR), ("18004", Role.MIRROR))
"""The ports that the manifests declare, and whose they are."""


@dataclass(frozen=True, slots=True)
class ModelServer:
    declared: str
    """The port in the manifests."""
    role: Role
    port: int
    process: Process
    mark: str
    """What a line of its log has when it has answered a request."""

    def answered(self) -> list[str]:
        """Return the lines of its log that tell of answered requests."""
        return [line for line in self.process.output if self.mark in line]


@dataclass(frozen=True, slots=True)
class Fleet:
    """All servers."""

    models: Models
    servers: tuple[ModelServer, ...]

    @property
    def ports(self) -> dict[str, int]:
        """The served port of each declared one."""
        return {server.declared: server.port for server in self.servers}

    @property
    def grep(self) -> str:
        """What the tutorial greps the logs for, or its counterpart."""
        if self.models is Models.FAKE:
            return "| grep /v1/chat/completions | grep OK"
        return f"| grep {self.servers[0].mark!r}"

    def of(self, role: Role) -> list[ModelServer]:
        """Return the servers of a service."""
        return [server for server in self.servers if server.role is role]

    def answered(self, role: Role) -> list[str]:
        """Return a service's log lines of answered requests."""
        return [line for server in self.of(role) for line in server.answered()]

    async def pace(self, seconds: float) -> None:
        """Let the primary's fake servers take so long for a token; a real model takes what it takes."""
        if self.models is not Models.FAKE:
            return
        async with httpx.AsyncClient(trust_env=False) as client:
            for server in self.of(Role.PRIMARY):
                await client.post(f"http://127.0.0.1:{server.port}/control", json={"itl": seconds})


@contextlib.asynccontextmanager
async def fleet(models: Models) -> AsyncIterator[Fleet]:
    """Run two servers a service, and end them. Raises `DemoError` when one does not start."""
    async with contextlib.AsyncExitStack() as stack:
        if models is Models.FAKE:
            commands = [_fake(number, role) for number, (_, role) in enumerate(_PODS)]
            mark = '"POST /v1/chat/completions HTTP/1.1" 200 OK'
        else:
            await installed()
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mirrorgate-demo-")))
            template = folder / "llama-2-chat.jinja"
            template.write_text(chat_template("mirroring"), encoding="utf-8")
            commands = [_real(role, template) for _, role in _PODS]
            mark = "stop processing"
        processes = [await stack.enter_async_context(Process(command)) for command in commands]
        try:
            ports = await asyncio.gather(*map(_listening, processes))
        except ProcessError as error:
            raise DemoError(f"a model server does not start: {error}") from error
        yield Fleet(
            models,
            tuple(
                ModelServer(declared, role, port, process, mark)
                for (declared, role), port, process in zip(_PODS, ports, processes, strict=True)
            ),
        )


async def _listening(process: Process) -> int:
    line = await process.printed("listening on ", timeout=120.0)
    return int(line.rpartition(":")[2])


def _fake(number: int, role: Role) -> list[str]:
    """The candidate is a little faster and answers every third prompt in other words; one of its two servers is set
    up wrongly, as happens, and stops after 16 tokens."""
    command = [sys.executable, str(_FAKE), "--name", f"{role}-{number}", "--models", MODEL]
    if role is Role.PRIMARY:
        return [*command, "--ttft", "0.06", "--itl", "0.01"]
    command += ["--ttft", "0.04", "--itl", "0.008", "--divergence", "0.35"]
    return [*command, "--defect", "clamped_max_tokens"] if number == len(_PODS) - 1 else command


def _real(role: Role, template: Path) -> list[str]:
    """The candidate is the same model behind the tutorial's chat template, which is made for another one."""
    command = [sys.executable, "-m", SERVER, "--alias", MODEL]
    return command if role is Role.PRIMARY else [*command, "--chat-template", str(template)]
