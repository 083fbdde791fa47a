"""A gateway under the conformance tests of the Gateway API: its servers, its ports, and what a request must come to.

Expectations are those of the suite's own judge: the server that answered, what it saw, and the fields of the answer.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .clients import Answer, Client
from .echo_server import EchoServer
from .gateways import RunningGateway, running_gateway, write_manifests

__all__ = ["Case", "Conformance", "conditions", "running_conformance"]

_ANYWHERE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and what it must come to."""

    path: str
    to: str = ""
    """The Service that answers; empty for an answer of the gateway's own."""
    status: int | tuple[int, ...] = 200
    host: str = ""
    """Empty: that of the test's route."""
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    port: int = 80
    """The listener's, before the offset."""
    address: str = _ANYWHERE
    seen: Mapping[str, str] = field(default_factory=dict)
    """Fields that the server must have seen, joined by commas; `:path` and `:host` among them."""
    unseen: tuple[str, ...] = ()
    answer: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """Fields of the answer, each with its value or those that are allowed; blanks after commas do not count."""
    absent: tuple[str, ...] = ()
    location: str = ""

    def __str__(self) -> str:
        place = "" if (self.port, self.address) == (80, _ANYWHERE) else f" at {self.address}:{self.port}"
        more = "".join(f" {name}={value}" for name, value in self.headers.items())
        return f"{self.method} {self.host}{self.path}{more}{place}"


@dataclass(frozen=True, slots=True)
class Conformance:
    gateway: RunningGateway
    offset: int
    """Between listeners' ports and those that are bound."""
    servers: Mapping[str, EchoServer]

    async def ask(self, case: Case, host: str = "") -> Answer:
        """Send a case's request over a connection of its own."""
        fields = [("host", case.host or host), *case.headers.items()]
        async with await Client.connect(case.port + self.offset, case.address) as client:
            return await client.request(case.method, case.path, fields)

    async def expect(self, case: Case, host: str = "") -> Answer:
        """Send a case's request and judge what it comes to. Raises `AssertionError`."""
        answer = await self.ask(case, host)
        statuses = case.status if isinstance(case.status, tuple) else (case.status,)
        assert answer.status in statuses, f"{case}: {answer.status} {answer.body[:300]!r}"
        if case.to:
            self._judge_request(case, answer, host)
        for name, allowed in case.answer.items():
            values = (allowed,) if isinstance(allowed, str) else allowed
            found = _joined(answer.head.header(name))
            assert found in map(_joined, values), f"{case}: {name} is {found}, not {values}"
        for name in case.absent:
            assert answer.head.header(name) is None, f"{case}: {name} is {answer.head.header(name)}"
        if case.location:
            assert answer.head.header("location") == case.location
        return answer

    def _judge_request(self, case: Case, answer: Answer, host: str) -> None:
        told: dict[str, Any] = answer.json()
        assert (told["service"], told["method"]) == (case.to, case.method), str(case)
        expected = {":path": case.path, ":host": case.host or host, **case.seen}
        seen = {name: ",".join(values) for name, values in told["headers"].items()}
        seen |= {":path": told["path"], ":host": told["host"]}
        for name, value in expected.items():
            found = seen.get(name.lower())
            assert _joined(found) == _joined(value), f"{case}: the server saw {name} {found!r}, not {value!r}"
        for name in case.unseen:
            assert name.lower() not in seen, f"{case}: the server saw {name}"

    async def status(self, kind: str, name: str, namespace: str = "infra") -> dict[str, Any]:
        """Return the status that is written into an object."""
        for document in (await self.gateway.admin.page("/resources"))["resources"]:
            metadata = document["metadata"]
            if (document["kind"], metadata.get("namespace", ""), metadata["name"]) == (kind, namespace, name):
                status: dict[str, Any] = document["status"]
                return status
        raise AssertionError(f"there is no {kind} {namespace}/{name}")

    async def route_conditions(
        self, name: str, namespace: str = "infra", parent: int = 0
    ) -> dict[str, tuple[str, str]]:
        """Return the conditions of a route below one of its parents: type to status and reason."""
        return conditions((await self.status("HTTPRoute", name, namespace))["parents"][parent])

    async def listener(self, gateway: str, name: str, namespace: str = "infra") -> dict[str, Any]:
        """Return the status of a Gateway's listener."""
        listeners = (await self.status("Gateway", gateway, namespace))["listeners"]
        found: dict[str, Any] = next(each for each in listeners if each["name"] == name)
        return found

    @contextlib.asynccontextmanager
    async def changed(self, file: str, objects: Iterable[Mapping[str, Any]]) -> AsyncIterator[None]:
        """Put a file beside the others, wait until it has taken effect, and take it away at the end."""
        path = self.gateway.config / file
        async with self._taking_effect():
            write_manifests(path, map(dict, objects))
        try:
            yield
        finally:
            async with self._taking_effect():
                path.unlink()

    @contextlib.asynccontextmanager
    async def _taking_effect(self) -> AsyncIterator[None]:
        before = await self.gateway.admin.generation()
        yield

        async def reached() -> bool:
            return await self.gateway.admin.generation() > before

        await self.gateway.admin.until(reached, lambda: "\n".join(self.gateway.process.output[-20:]))


def conditions(status: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return conditions by their type: status and reason."""
    return {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}


def _joined(value: str | None) -> str | None:
    return None if value is None else ",".join(part.strip() for part in value.split(","))


@contextlib.asynccontextmanager
async def running_conformance(
    folder: Path, manifests: Iterable[str], servers: Iterable[tuple[str, str]], ports: Iterable[int]
) -> AsyncIterator[Conformance]:
    """Run a gateway over manifests, with an echo server for each namespace and name of a Service."""
    async with contextlib.AsyncExitStack() as stack:
        started = [await stack.enter_async_context(EchoServer(*server)) for server in servers]
        for number, text in enumerate(manifests):
            (folder / f"{number}.yaml").write_text(text, encoding="utf-8")
        write_manifests(folder / "servers.yaml", [each for server in started for each in server.objects()])
        offset = _free_offset(tuple(ports))
        options = {"gateway_port_offset": str(offset)}
        gateway = await stack.enter_async_context(running_gateway(folder, 80 + offset, options=options))
        yield Conformance(gateway, offset, {server.name: server for server in started})


def _free_offset(ports: tuple[int, ...]) -> int:
    """Return an offset under which every port is free: the first is the kernel's choice."""
    for _ in range(100):
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(socket.socket())
            first.bind((_ANYWHERE, 0))
            offset: int = first.getsockname()[1] - ports[0]
            try:
                for port in ports[1:]:
                    stack.enter_context(socket.socket()).bind((_ANYWHERE, port + offset))
            except (OSError, OverflowError):
                continue
            return offset
    raise RuntimeError(f"no offset leaves the ports {ports} free")
