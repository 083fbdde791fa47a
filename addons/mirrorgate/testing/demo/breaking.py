"""Tutorial 2: of two requests at once, the second is refused by the circuit breaker."""

from __future__ import annotations

import asyncio
from typing import Any

from .asking import Answered, Asking
from .errors import DemoError
from .gateway import RunningGateway
from .mirroring import expect
from .model_servers import Fleet
from .telling import Teller

__all__ = ["OVERFLOW", "breaking"]

OVERFLOW = "upstream connect error or disconnect/reset before headers. reset reason: overflow"
"""What the tutorial's second window shows; Envoy's words."""
_HEADERS = ("content-length", "content-type", "date")
"""What Envoy sends with it, and nothing else."""
_SLOW_TOKEN = 0.03
_SHOWN = 80


async def breaking(teller: Teller, gateway: RunningGateway, servers: Fleet, verbatim: list[str]) -> None:
    """Walk through the tutorial. Raises `DemoError` when something is not as it promises."""
    asking = Asking(gateway)
    teller.heading("Tutorial 2: circuit breaker rules for inference services")
    files = " ".join(verbatim)
    teller.output(f"the tutorial's manifests, unmodified, taken over live: {files}", style="dim")
    limits = (await gateway.cluster("rule"))["limits"]
    declared = {name: limits[name]["limit"] for name in ("pending", "parallel")}
    if declared != {"pending": 1, "parallel": 1}:
        raise DemoError(f"the tutorial's limits are 1 and 1, the gateway has {declared}")
    await servers.pace(_SLOW_TOKEN)
    teller.command(f"{asking.curl.partition(' -H')[0]} ...", "window 1 ")
    loop = asyncio.get_running_loop()
    first = loop.create_task(asking.tutorial(), name="window 1")
    try:
        await _running(gateway, first)
        teller.command("the same, before the first returns", "window 2 ")
        second = expect(await asking.tutorial(), 503)
        if first.done():
            raise DemoError("the first request had ended before the second was answered")
        _check_overflow(second)
        teller.output(second.body, "window 2 ", style="bold red")
        teller.output(f"         status 503 after {second.seconds * 1000:.0f} ms, while window 1 waits", style="dim")
        answer = expect(await first)
    finally:
        first.cancel()
    teller.output(answer.body, "window 1 ", most=_SHOWN, remark=f"200 after {answer.seconds * 1000:.0f} ms")
    teller.command("once more, now that the place is free", "window 2 ")
    await servers.pace(0.01)
    third = expect(await asking.tutorial())
    teller.output(third.body, "window 2 ", most=_SHOWN, remark=f"200 after {third.seconds * 1000:.0f} ms")
    rejected = await gateway.admin.metric("envoy_cluster_upstream_rq_active_overflow")
    limits = (await gateway.cluster("rule"))["limits"]
    if rejected != 1 or limits["parallel"]["used"]:
        raise DemoError(f"one request was refused and none runs; the gateway counts {rejected:g} and {limits}")
    teller.output(f"/clusters  {_told(limits)}", style="dim")
    teller.output(f"/metrics   envoy_cluster_upstream_rq_active_overflow {rejected:g}", style="dim")
    teller.check("maxParallelRequests: 1 let one request through at a time and refused the other at once")


async def _running(gateway: RunningGateway, first: asyncio.Task[Answered]) -> None:
    """Wait until the first request holds its place."""

    async def running() -> bool:
        if first.done():
            expect(first.result())
            raise DemoError("the first request was over before it was seen running")
        return bool((await gateway.cluster("rule"))["limits"]["parallel"]["used"])

    await gateway.until(running, "the first request does not reach a model server")


def _check_overflow(answer: Answered) -> None:
    if answer.body != OVERFLOW:
        raise DemoError(f"the second request was refused with other words: {answer.body[:500]!r}")
    if answer.headers != _HEADERS:
        raise DemoError(f"the refusal's header fields are {answer.headers}, Envoy's are {_HEADERS}")


def _told(limits: dict[str, Any]) -> str:
    names = {"connections": "maxConnections", "pending": "maxPendingRequests", "parallel": "maxParallelRequests"}
    return "  ".join(
        f"{names[name]} {limit['used']}/{limit['limit']}" for name, limit in limits.items() if name in names
    )
