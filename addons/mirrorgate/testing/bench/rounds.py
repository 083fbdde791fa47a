"""Runs every scenario through every proxy, in alternating rounds.

A scenario visits all proxies before the next one begins, and every other round in reverse, so that a ratio is taken
between runs that lie close in time. Proxies and the clients have cores of their own where there are two.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ..clients import Client, WireError
from ..processes import Process, free_port
from .measures import Measure
from .proxies import Ports, Proxy, Unavailable
from .scenarios import Scenario
from .usage import descendants

__all__ = ["Plan", "run"]

_START = 60.0
"""Seconds that a proxy has to get ready; LiteLLM takes the longest."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run."""

    proxies: Sequence[Proxy]
    scenarios: Sequence[Scenario]
    rounds: int
    window: float
    """Seconds that are measured."""
    warmup: float
    programs: Mapping[str, str]
    """Paths of programs by name."""
    folder: Path
    """For configurations."""


@dataclass(frozen=True, slots=True)
class _Running:
    proxy: Proxy
    process: Process
    port: int
    shadow: int | None
    """The port of the shadow that it mirrors to."""


async def run(plan: Plan, told: Callable[[str], None]) -> list[Measure]:
    """Run everything and return what was measured; a proxy that is not installed is left out with a word to `told`."""
    measures: list[Measure] = []
    async with contextlib.AsyncExitStack() as stack:
        origin = await stack.enter_async_context(_origin())
        running = []
        for proxy in plan.proxies:
            try:
                running.append(await stack.enter_async_context(_started(proxy, origin, plan)))
            except (Unavailable, TimeoutError, OSError) as error:
                told(f"{proxy.name} is left out: {error}")
        for number in range(plan.rounds):
            for scenario in plan.scenarios:
                for each in running if number % 2 == 0 else running[::-1]:
                    measure = await _measured(each, scenario, number, plan)
                    told(_line(measure))
                    measures.append(measure)
    return measures


@contextlib.asynccontextmanager
async def _origin(trouble: str | None = None) -> AsyncIterator[int]:
    command = [sys.executable, "-m", f"{__package__}.origin", *(["--trouble", trouble] if trouble else [])]
    with _on(_harness_cores()):
        process = Process(command)
        await process.__aenter__()
    try:
        yield int(await process.printed(str.isdigit))
    finally:
        await process.stop()


@contextlib.asynccontextmanager
async def _started(proxy: Proxy, origin: int, plan: Plan) -> AsyncIterator[_Running]:
    async with contextlib.AsyncExitStack() as stack:
        shadow = await stack.enter_async_context(_origin(proxy.trouble)) if proxy.mirrors else None
        ports = Ports(free_port(), origin, shadow if shadow is not None else free_port())
        folder = plan.folder / proxy.name
        folder.mkdir(parents=True, exist_ok=True)
        process = Process(proxy.command(folder, ports, plan.programs), environment=proxy.environment)
        with _on(_proxy_cores(proxy.workers)):
            await process.__aenter__()
        stack.push_async_callback(process.stop)
        await _answers(process, ports.own)
        if proxy.workers > 1:
            await process.printed("workers share the listeners", timeout=_START)
        yield _Running(proxy, process, ports.own, shadow)


async def _answers(process: Process, port: int) -> None:
    """Wait until a request comes through. Raises `TimeoutError`."""
    body = {"model": "bench", "messages": [{"role": "user", "content": "hello"}]}
    async with asyncio.timeout(_START):
        while True:
            with contextlib.suppress(OSError, WireError, TimeoutError):
                async with await Client.connect(port, timeout=5.0) as client:
                    head = [("host", f"127.0.0.1:{port}"), ("authorization", "Bearer none")]
                    answer = await client.request("POST", "/v1/chat/completions", head, body)
                if answer.status == 200:
                    return
            if process.returncode is not None:
                raise Unavailable(f"it ended with {process.returncode}: {process.text[-500:]}")
            # Another process's listening socket tells nobody when it opens: ask, and ask again.
            await asyncio.sleep(0.1)


async def _measured(running: _Running, scenario: Scenario, number: int, plan: Plan) -> Measure:
    command = [sys.executable, "-m", f"{__package__}.load", scenario.name]
    pid = running.process.pid
    settings: dict[str, object] = {
        "port": running.port,
        "proxy": running.proxy.name,
        "round": number,
        "pid": pid,
        "warmup": plan.warmup,
        "window": plan.window,
    }
    if (beside := _shadow_process(pid)) is not None:
        settings["beside"] = beside
    for name, value in settings.items():
        command += [f"--{name}", str(value)]
    came = await _requests(running.shadow)
    with _on(_harness_cores()):
        process = Process(command)
        await process.__aenter__()
    try:
        line = await process.printed(lambda line: line.startswith("{"), timeout=plan.window + plan.warmup + 60)
    finally:
        await process.stop()
    measure = msgspec.json.decode(line, type=Measure)
    if came is None or running.proxy.trouble is not None:
        return measure
    return msgspec.structs.replace(measure, mirrored=(await _requests(running.shadow) or 0) - came)


async def _requests(port: int | None) -> int | None:
    """Return how many requests have come to a server."""
    if port is None:
        return None
    async with await Client.connect(port) as client:
        answer = await client.request("GET", "/stats", [("host", "stats")])
    return int(answer.json()["requests"])


def _shadow_process(root: int) -> int | None:
    """Return the shadow process of a gateway, `None` when it has none."""
    for pid in descendants(root):
        with contextlib.suppress(OSError):
            if b"mirrorgate.shadow" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return None


def _line(measure: Measure) -> str:
    costs = []
    if (cost := measure.cpu_per_event) is not None:
        costs.append(f"{cost * 1e6:.1f} us an event")
    if (cost := measure.cpu_per_request) is not None:
        costs.append(f"{cost * 1e6:.0f} us a request")
    return f"round {measure.round} {measure.scenario:9} {measure.proxy:18} {', '.join(costs)}, {measure.errors} errors"


# Cores


def _proxy_cores(workers: int) -> set[int]:
    cores = sorted(os.sched_getaffinity(0))
    return set(cores[: max(1, min(workers, len(cores) - 1))])


def _harness_cores() -> set[int]:
    return {max(os.sched_getaffinity(0))}


@contextlib.contextmanager
def _on(cores: set[int]) -> Iterator[None]:
    """Let what is started inside run on some cores only: a child inherits them."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
