"""Runs every scenario through every proxy, in alternating rounds.

A scenario visits its proxies before the next one begins, and every other round in reverse, so that a ratio is taken
between runs that lie close in time. Proxies and the clients have cores of their own where there are two. A gateway
whose shadow is in trouble is started for its run alone: what the shadow goes on with is nobody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ..clients import Client, WireError
from ..processes import Process, free_port
from .measures import Measure
from .origin import Trouble
from .proxies import Ports, Proxy, Unavailable
from .scenarios import Scenario
from .usage import shadow_processes

__all__ = ["Plan", "origin_server", "proxy_process", "run"]

_START = 60.0
"""Seconds that a proxy has to get ready; LiteLLM takes the longest."""
_KILLED_EVERY = 0.25


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run."""

    work: Sequence[tuple[Scenario, Sequence[Proxy]]]
    rounds: int
    window: float
    """Seconds that are measured."""
    warmup: float
    programs: Mapping[str, str]
    """Paths of programs by name."""
    folder: Path
    """For configurations."""
    until: float
    """Monotonic time after which no run begins; no round but the first does that would take longer."""


@dataclass(frozen=True, slots=True)
class _Running:
    proxy: Proxy
    process: Process | None
    """`None` where clients ask the server itself."""
    port: int
    shadow: int | None
    """The port of the shadow that it mirrors to."""


async def run(plan: Plan, told: Callable[[str], None]) -> list[Measure]:
    """Run everything and return what was measured; a proxy that is not installed is left out with a word to `told`."""
    measures: list[Measure] = []
    async with contextlib.AsyncExitStack() as stack:
        origin = await stack.enter_async_context(origin_server())
        running: dict[str, _Running] = {}
        for proxy in {proxy.name: proxy for _, proxies in plan.work for proxy in proxies}.values():
            if proxy.trouble is not None:
                continue
            try:
                running[proxy.name] = await stack.enter_async_context(_started(proxy, origin, plan))
            except (Unavailable, TimeoutError, OSError) as error:
                told(f"{proxy.name} is left out: {error}")
        took = 0.0
        for number in range(plan.rounds):
            began = time.monotonic()
            if number and began + took > plan.until:
                told(f"there is no time for round {number}")
                break
            for scenario, proxies in plan.work:
                for proxy in proxies if number % 2 == 0 else proxies[::-1]:
                    if time.monotonic() > plan.until:
                        told(f"the time is over before {proxy.name} does {scenario.name} in round {number}")
                        return measures
                    if proxy.trouble is not None:
                        async with _started(proxy, origin, plan) as troubled:
                            measure = await _measured(troubled, scenario, number, plan)
                    elif proxy.name in running:
                        measure = await _measured(running[proxy.name], scenario, number, plan)
                    else:
                        continue
                    told(_line(measure))
                    measures.append(measure)
            took = time.monotonic() - began
    return measures


@contextlib.asynccontextmanager
async def origin_server(trouble: str | None = None) -> AsyncIterator[int]:
    """Run the server behind the proxies, on the core of the clients; yields its port.

    One in trouble gives way to the clients: it stands for a machine of its own, and one that floods would hold up what
    measures it.
    """
    command = [sys.executable, "-m", f"{__package__}.origin", *(["--trouble", trouble] if trouble else [])]
    if trouble:
        command = ["nice", "-n", "19", *command]
    with _on(_harness_cores()):
        process = Process(command)
        await process.__aenter__()
    try:
        yield int(await process.printed(str.isdigit))
    finally:
        await process.stop()


@contextlib.asynccontextmanager
async def _started(proxy: Proxy, origin: int, plan: Plan) -> AsyncIterator[_Running]:
    if proxy.direct:
        yield _Running(proxy, None, origin, None)
        return
    async with contextlib.AsyncExitStack() as stack:
        shadow = await stack.enter_async_context(origin_server(proxy.trouble)) if proxy.mirrors else None
        ports = Ports(free_port(), origin, shadow if shadow is not None else free_port())
        process = await stack.enter_async_context(proxy_process(proxy, ports, plan.folder, plan.programs))
        yield _Running(proxy, process, ports.own, shadow)


@contextlib.asynccontextmanager
async def proxy_process(
    proxy: Proxy, ports: Ports, folder: Path, programs: Mapping[str, str]
) -> AsyncIterator[Process]:
    """Run a proxy until the block ends, on its cores; it answers by then. Raises `Unavailable` or `TimeoutError`."""
    folder = folder / proxy.name
    folder.mkdir(parents=True, exist_ok=True)
    process = Process([*proxy.command(folder, ports, programs), *proxy.steadied], environment=proxy.environment)
    with _on(_proxy_cores(proxy.workers)):
        await process.__aenter__()
    try:
        await _answers(process, ports.own)
        if proxy.workers > 1:
            await process.printed("workers share the listeners", timeout=_START)
        yield process
    finally:
        await process.stop()


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
    settings: dict[str, object] = {
        "port": running.port,
        "proxy": running.proxy.name,
        "round": number,
        "warmup": plan.warmup,
        "window": plan.window,
    }
    if running.process is not None:
        settings["pid"] = running.process.pid
    for name, value in settings.items():
        command += [f"--{name}", str(value)]
    came = await _requests(running.shadow)
    with _on(_harness_cores()):
        process = Process(command)
        await process.__aenter__()
    async with asyncio.TaskGroup() as beside:
        killing = beside.create_task(_killing(running))
        try:
            line = await process.printed(lambda line: line.startswith("{"), timeout=plan.window + plan.warmup + 60)
        finally:
            killing.cancel()
            await process.stop()
    measure = msgspec.json.decode(line, type=Measure)
    if came is None or running.proxy.trouble is not None:
        return measure
    return msgspec.structs.replace(measure, mirrored=(await _requests(running.shadow) or 0) - came)


async def _killing(running: _Running) -> None:
    """Kill the gateway's shadow process whenever there is one, where that is its trouble."""
    while running.proxy.trouble is Trouble.KILL and running.process is not None:
        for pid in shadow_processes(running.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(_KILLED_EVERY)


async def _requests(port: int | None) -> int | None:
    """Return how many requests have come to a server."""
    if port is None:
        return None
    async with await Client.connect(port) as client:
        answer = await client.request("GET", "/stats", [("host", "stats")])
    return int(answer.json()["requests"])


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
