"""Questions to a worker: the answer, or none in time."""

import asyncio
from pathlib import Path

import pytest

from mirrorgate.workers.asking import ask

ANSWERS = {
    "whole": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "cut": b"HTTP/1.1 200 OK\r\nContent",
    "nonsense": b"what\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_only_an_answer_is_an_answer(tmp_path: Path, name: str) -> None:
    """A worker that dies in between has not answered."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(ANSWERS[name])
        writer.close()

    path = str(tmp_path / "worker")
    async with await asyncio.start_unix_server(answer, path):
        reply = await ask(path, "/x", method="POST", token="secret")
    assert asked[0].startswith(b"POST /x HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer secret\r\n" in asked[0]
    assert (reply.body if reply is not None else None) == (b"ok" if name == "whole" else None)


async def test_nobody_listens(tmp_path: Path) -> None:
    """A path without a socket is no answer, at once."""
    assert await ask(str(tmp_path / "nothing"), "/") is None


async def test_a_worker_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    """The time is bounded by whoever asks."""
    released = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.close()

    path = str(tmp_path / "worker")
    async with await asyncio.start_unix_server(hang, path):
        assert await ask(path, "/", timeout=0.05) is None
        released.set()
