"""Servers on loopback that behave as they are told, and frames to hand off."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from mirrorgate.records import ExchangeFinished, ExchangeStarted, Leg, Target

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[[Handler], Awaitable[int]]

BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]}).encode()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start servers on ports of the kernel's choice; each ends with the test, its connections cut."""
    servers: list[asyncio.Server] = []
    tasks: set[asyncio.Task[None]] = set()

    async def start(handler: Handler) -> int:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await handler(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                tasks.discard(task)
                writer.transport.abort()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    yield start
    for server in servers:
        server.close()
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class New:
    """Makes frames and answers, and reads requests."""

    @staticmethod
    async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
        """Read one request: its head, and its body by Content-Length or in chunks."""
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
        if fields.get(b"transfer-encoding") == b"chunked":
            body = b""
            while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
            return head, body
        return head, await reader.readexactly(int(fields.get(b"content-length", b"0")))

    @staticmethod
    def chat(text: str, model: str = "m") -> bytes:
        """Return a whole chat completion as a server writes it."""
        body = json.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": model,
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"},
                ],
                "usage": {"prompt_tokens": 7, "completion_tokens": len(text.split()), "total_tokens": 9},
            }
        ).encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        return head + body

    @staticmethod
    def target(port: int, **changes: object) -> Target:
        """Return a candidate's target on loopback."""
        values: dict[str, object] = {
            "leg": Leg.CANDIDATE,
            "cluster": "mirror-0",
            "ref": "Service default/candidate:8000",
            "host": "127.0.0.1",
            "port": port,
            "head": [(b"Host", b"example.com"), (b"Content-Type", b"application/json")],
            "path": "/v1/chat/completions",
            "model": None,
            "timeout": 20.0,
            "connect_timeout": 5.0,
            "idle_timeout": 10.0,
            "max_parallel": 64,
            "policy": b"{}",
        }
        return Target(**(values | changes))  # type: ignore[arg-type]

    @staticmethod
    def started(id: str, targets: list[Target], **changes: object) -> ExchangeStarted:
        """Return the first frame of an exchange."""
        values: dict[str, object] = {
            "id": id,
            "started": 1_800_000_000.0,
            "method": "POST",
            "path": "/v1/chat/completions",
            "host": "example.com",
            "route": "default/route",
            "rule": 0,
            "cluster": "httproute/default/route/rule/0",
            "endpoint": "127.0.0.1:8000",
            "model": "m",
            "target_model": "m",
            "conversation": None,
            "headers": [(b"content-type", b"application/json")],
            "body": BODY,
            "targets": targets,
            "reserved": 65536,
        }
        return ExchangeStarted(**(values | changes))  # type: ignore[arg-type]

    @staticmethod
    def finished(id: str, answer: bytes = b"", **changes: object) -> ExchangeFinished:
        """Return the last frame of an exchange, from an answer as a server writes it."""
        body = answer.partition(b"\r\n\r\n")[2]
        values: dict[str, object] = {
            "id": id,
            "outcome": "complete",
            "status": 200,
            "flag": "-",
            "headers": [(b"content-type", b"application/json")],
            "chunks": [body] if body else [],
            "times": [0.5] if body else [],
            "truncated": False,
            "upstream_started": 0.1,
            "head_at": 0.4,
            "finished": 0.5,
        }
        return ExchangeFinished(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def new() -> New:
    """Give tests the makers; a fixture, because test files import nothing from each other."""
    return New()
