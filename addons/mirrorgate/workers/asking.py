"""A question to a worker's admin server over its Unix socket."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

__all__ = ["Reply", "ask"]

_MOST = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes


async def ask(path: str, target: str, *, method: str = "GET", token: str = "", timeout: float = 5.0) -> Reply | None:
    """Return the answer of the server that listens at `path`; `None` when there is none in time."""
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(path, limit=64 * 1024)
            try:
                fields = (
                    f"Host: localhost\r\nConnection: close\r\nContent-Length: 0\r\nAuthorization: Bearer {token}\r\n"
                )
                fields = fields if token else fields.replace("Authorization: Bearer \r\n", "")
                writer.write(f"{method} {target} HTTP/1.1\r\n{fields}\r\n".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.read(_MOST)
                while piece := await reader.read(_MOST):
                    body += piece
            finally:
                writer.close()
        return Reply(int(head.split(b" ", 2)[1]), body)
    except (OSError, TimeoutError, EOFError, ValueError, IndexError, asyncio.LimitOverrunError):
        return None
