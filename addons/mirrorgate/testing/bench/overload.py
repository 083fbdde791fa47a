"""Asks a gateway for more than it can do, whatever it answers, and tells what those get whom it takes.

`python -m mirrorgate.testing.bench.overload` prints a table, in Markdown: goodput, refusals and latency at several
rates, with load shedding and without. Each run has a gateway of its own. Answers take a fifth of a second by
themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..processes import Process, free_port
from .load import Load
from .measures import Spread, spread
from .proxies import PROXIES, Ports
from .scenarios import Scenario, Unit

__all__ = ["Outcome", "main", "table"]

_RATES = (100, 400, 800, 1600)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one rate."""

    rate: int
    """Requests a second that were sent."""
    limit: int
    """`gateway_overload_lag` in milliseconds; 0 sheds nothing."""
    goodput: float
    """Whole answers a second."""
    refused: float
    """Answers other than 200, and requests without an answer at the end, a second."""
    e2e: Spread | None
    """Of the whole answers, seconds."""


def table(outcomes: list[Outcome]) -> str:
    """Return a table in Markdown."""
    lines = [
        "| asked, a second | `gateway_overload_lag` | answered, a second | refused or never answered | p50 | p99 |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for outcome in outcomes:
        times = ("–", "–") if outcome.e2e is None else [f"{1e3 * t:.0f} ms" for t in (outcome.e2e.p50, outcome.e2e.p99)]
        limit = f"{outcome.limit} ms" if outcome.limit else "off"
        lines.append(
            f"| {outcome.rate} | {limit} | {outcome.goodput:.0f} | {outcome.refused:.0f} | {times[0]} | {times[1]} |"
        )
    return "\n".join(lines) + "\n"


async def measured(rate: int, limit: int, *, warmup: float, window: float) -> Outcome:
    """Run one gateway at one rate."""
    scenario = Scenario("overload", "", Unit.REQUEST, events=2, interval=0.1, rate=float(rate))
    with tempfile.TemporaryDirectory(prefix="overload-") as folder:
        async with Process([sys.executable, "-m", f"{__package__}.origin"]) as origin:
            port = int(await origin.printed(str.isdigit))
            ports = Ports(free_port(), port, free_port())
            command = PROXIES["mirrorgate"].command(Path(folder), ports, {})
            async with Process([*command, "--set", f"gateway_overload_lag={limit}"]) as process:
                await process.printed("gateway listening at", timeout=60.0)
                load = Load(scenario, ports.own)
                used = await load.run(warmup, asyncio.sleep(window), process.pid, None)
    took, seen = float(used["window"]), load.seen
    bad = seen.errors + int(used["unfinished"])
    return Outcome(rate, limit, len(seen.e2e) / took, bad / took, spread(seen.e2e))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="overload", description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", action="append", type=int, help=f"may be repeated ({_RATES})")
    parser.add_argument("--limit", action="append", type=int, help="gateway_overload_lag; may be repeated (0, 250)")
    parser.add_argument("--warmup", type=float, default=3.0, help="seconds (%(default)s)")
    parser.add_argument("--window", type=float, default=6.0, help="seconds (%(default)s)")
    parsed = parser.parse_args(arguments)
    outcomes = []
    for rate in parsed.rate or _RATES:
        for limit in parsed.limit or (0, 250):
            outcomes.append(asyncio.run(measured(rate, limit, warmup=parsed.warmup, window=parsed.window)))
            sys.stderr.write(f"{outcomes[-1]}\n")
    sys.stdout.write(table(outcomes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
