"""The server behind the proxies: it answers so cheaply that the proxy is what is measured.

What it answers stands in the request's headers, which every proxy passes on: `x-bench-bytes` of JSON, or
`x-bench-events` with `x-bench-interval` microseconds between them. Each event is a chunk and a write of its own and
holds the time at which it was sent, so that a client on the same machine can tell how long it was under way. With
`--trouble` it is a shadow that misbehaves. `GET /stats` answers how many requests came, as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import enum
import json
import re
import signal
import sys
import time

import httptools

__all__ = ["Origin", "Trouble", "main"]

_BYTES = b"x-bench-bytes"
_EVENTS = b"x-bench-events"
_INTERVAL = b"x-bench-interval"
_FLOOD = 64 * 1024
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)
_EVENT = (
    b'data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1700000000,"model":"bench",'
    b'"choices":[{"index":0,"delta":{"content":" @%d"},"logprobs":null,"finish_reason":null}]}\n\n'
)
_STREAM_END = (
    b'data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1700000000,"model":"bench",'
    b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":100,"completion_tokens":200,"total_tokens":300}}\n\ndata: [DONE]\n\n'
)


class Trouble(enum.StrEnum):
    """How a shadow misbehaves."""

    HANG = "hang"
    """It accepts and never answers."""
    FLOOD = "flood"
    """Its answers never end, as fast as they are read."""
    CRASH = "crash"
    """It resets every connection with its first request."""
    KILL = "kill"
    """It answers well, but the gateway's process for it is killed again and again (`rounds.py`)."""


class Origin:
    """What all connections share."""

    def __init__(self, trouble: Trouble | None = None) -> None:
        self.trouble = trouble
        self.requests = 0
        self._answers: dict[int, bytes] = {}

    def answer(self, size: int) -> bytes:
        """Return a whole JSON answer with a completion of about `size` bytes."""
        made = self._answers.get(size)
        if made is None:
            message = {
                "role": "assistant",
                "content": ("The quick brown fox. " * (size // 21 + 1))[: max(0, size - 300)],
            }
            body = json.dumps(
                {
                    "id": "chatcmpl-0123456789abcdef",
                    "object": "chat.completion",
                    "created": 1700000000,
                    "model": "bench",
                    "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
                }
            ).encode()
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
            made = self._answers[size] = head + body
        return made


class _Connection(asyncio.Protocol):
    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._parser = httptools.HttpRequestParser(self)
        self._asked: dict[bytes, int] = {}
        self._path = b""
        self._left = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writable = True
        self._goes_on = False
        """Whether events follow as soon as there is room."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._goes_on = False
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        if self._goes_on:
            self._write_events()

    # httptools

    def on_message_begin(self) -> None:
        self._asked.clear()

    def on_url(self, url: bytes) -> None:
        self._path = url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name[:8].lower() == b"x-bench-" and re.fullmatch(rb"\d{1,12}", value):
            self._asked[name.lower()] = int(value)

    def on_message_complete(self) -> None:
        origin = self._origin
        if self._path == b"/stats":
            body = b'{"requests": %d}' % origin.requests
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            return
        origin.requests += 1
        if origin.trouble is Trouble.HANG:
            return
        if origin.trouble is Trouble.CRASH:
            self._transport.abort()
            return
        if origin.trouble is Trouble.FLOOD:
            self._transport.write(_STREAM_HEAD)
            self._goes_on = True
            self._write_events()
            return
        self._left = self._asked.get(_EVENTS, 0)
        if not self._left:
            self._transport.write(origin.answer(self._asked.get(_BYTES, 600)))
            return
        self._transport.write(_STREAM_HEAD)
        interval = self._asked.get(_INTERVAL, 0) / 1e6
        if interval:
            self._tick(asyncio.get_running_loop(), interval)
        else:
            self._goes_on = True
            self._write_events()

    # Events

    def _tick(self, loop: asyncio.AbstractEventLoop, interval: float) -> None:
        if self._left > 0:
            self._event()
            self._timer = loop.call_later(interval, self._tick, loop, interval)
        else:
            self._end()

    def _write_events(self) -> None:
        if self._origin.trouble is Trouble.FLOOD:
            flood = b"%x\r\n%b\r\n" % (_FLOOD, b" " * _FLOOD)
            while self._writable and not self._transport.is_closing():
                self._transport.write(flood)
            return
        while self._left > 0 and self._writable:
            self._event()
        if self._left <= 0:
            self._goes_on = False
            self._end()

    def _event(self) -> None:
        self._left -= 1
        data = _EVENT % time.monotonic_ns()
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _end(self) -> None:
        self._transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(_STREAM_END), _STREAM_END))


def main(arguments: list[str] | None = None) -> int:
    """Serve on a port of the kernel's choice until SIGTERM, and print the port as the first line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trouble", choices=[*Trouble], type=Trouble)
    parsed = parser.parse_args(arguments)
    asyncio.run(_serve(Origin(parsed.trouble)))
    return 0


async def _serve(origin: Origin) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(origin), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - the one who started it reads the port
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, over.set)
    await over.wait()
    server.close()


if __name__ == "__main__":
    sys.exit(main())
