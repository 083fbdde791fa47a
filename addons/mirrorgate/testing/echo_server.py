"""A server that says what it was asked, as the echo server of the Gateway API's conformance suite does."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from .backends import Backend, Conversation, Received, response_bytes
from .manifests import Object

__all__ = ["EchoServer"]

_SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class EchoServer:
    """One Service of one endpoint. `?delay=` holds its answer back, in seconds; `X-Echo-Set-Header: A:1,B:2` sets
    fields of the answer. `?first=` is how many requests of a target fare badly, all without it: `&status=` is what they
    are answered, `&reset` cuts their connections, `&delay=` holds them back. A websocket is echoed."""

    def __init__(self, namespace: str, name: str) -> None:
        self.namespace = namespace
        self.name = name
        self._backend = Backend(self._converse)
        self._asked: Counter[str] = Counter()

    @property
    def requests(self) -> list[Received]:
        """Every request so far, in its order."""
        return self._backend.requests

    async def __aenter__(self) -> Self:
        await self._backend.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._backend.__aexit__(kind, error, trace)

    def objects(self) -> list[Object]:
        """Return the Service, on port 8080, and the EndpointSlice that leads to this server."""
        metadata = {"namespace": self.namespace, "name": self.name}
        label = {"kubernetes.io/service-name": self.name}
        return [
            {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 8080}]}},
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**metadata, "labels": label},
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["127.0.0.1"]}],
                "ports": [{"port": self._backend.port}],
            },
        ]

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        return self._backend.port

    async def _converse(self, talk: Conversation) -> None:
        while True:
            request = await talk.request()
            if request.header("upgrade") == "websocket":
                await _echo(talk)
                return
            query = parse_qs(urlsplit(request.target).query, keep_blank_values=True)
            self._asked[request.target] += 1
            bad = "first" not in query or self._asked[request.target] <= int(query["first"][0])
            if bad and "delay" in query:
                await asyncio.sleep(float(query["delay"][0]))
            if bad and "reset" in query:
                talk.reset()
                return
            await talk.say(self._answer(request, int(query["status"][0]) if bad and "status" in query else 200))

    def _answer(self, request: Received, status: int) -> bytes:
        headers: dict[str, list[str]] = {}
        for name, value in request.headers:
            headers.setdefault(name.lower(), []).append(value)
        told: dict[str, Any] = {
            "method": request.method,
            "path": request.target,
            "host": request.header("host"),
            "headers": headers,
            "namespace": self.namespace,
            "service": self.name,
        }
        wanted = [pair.partition(":") for pair in (request.header("x-echo-set-header") or "").split(",") if pair]
        fields = [(name.strip(), value.strip()) for name, _, value in wanted]
        body = b"" if request.method == "HEAD" else json.dumps(told).encode()
        return response_bytes(status, body, ("content-type", "application/json"), *fields)


async def _echo(talk: Conversation) -> None:
    await talk.say(_SWITCHED)
    while piece := await talk.read():
        await talk.say(piece)
