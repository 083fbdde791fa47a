"""What stays on the terminal after the walk-through: gentle traffic, and the comparisons as they come in."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter

import httpx
from rich.console import Group
from rich.live import Live
from rich.text import Text

from .asking import PROMPTS, Asking
from .gateway import Comparison, RunningGateway
from .telling import Teller, comparison_table

__all__ = ["watching"]

_ROWS = 12
_PAUSE = 0.7
"""Seconds between two requests."""


async def watching(teller: Teller, gateway: RunningGateway, stop: asyncio.Event) -> None:
    """Go on until told to stop. Raises `DemoError` when the gateway is gone."""
    traffic = asyncio.get_running_loop().create_task(_traffic(Asking(gateway)), name="demo traffic")
    try:
        with Live(console=teller.console, auto_refresh=False) as live:
            while not stop.is_set():
                live.update(_screen(gateway, await gateway.comparisons()), refresh=True)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await stop.wait()
    finally:
        traffic.cancel()
        await asyncio.gather(traffic, return_exceptions=True)


async def _traffic(asking: Asking) -> None:
    for number in itertools.count():
        variation = PROMPTS[number % len(PROMPTS)] + " Once more." * (number // len(PROMPTS) % 5)
        with contextlib.suppress(httpx.HTTPError):
            await asking.prompt(variation, stream=number % 2 == 0)
        await asyncio.sleep(_PAUSE)


def _screen(gateway: RunningGateway, comparisons: list[Comparison]) -> Group:
    outcomes = Counter(one.outcome.replace("_", " ") for one in comparisons)
    told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    return Group(
        comparison_table(comparisons[-_ROWS:]),
        Text(f"  of the latest {len(comparisons)}: {told}", style="dim"),
        Text.assemble("  dashboard ", (gateway.admin_url, "cyan"), "   mitmweb ", (gateway.web_url, "cyan")),
        Text.assemble("  ", ("Ctrl-C", "bold"), " ends the demo and everything that it started"),
    )
