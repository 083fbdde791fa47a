"""Asks a gateway for more than it can do, whatever it answers, and tells what those get whom it takes.

`python -m mirrorgate.testing.bench.overload` (`scripts/bench --overload`) measures what one core answers that is asked
for more and sheds nothing, then sends parts and multiples of that, and prints a table in Markdown: what was answered,
how fast, what was refused, and how soon all is well again behind a burst. The gateway has a core of its own where
there are two. An addon takes a millisecond of CPU for each request, so that the clients' core can ask for several
times what the gateway's does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..processes import Process, free_port
from .load import request_of
from .measures import Spread, spread
from .open_loop import Answer, OpenLoop, Seen
from .proxies import PROXIES, Ports
from .scenarios import Scenario
from .usage import cpu_nanoseconds, spent

__all__ = ["Outcome", "main", "outcome", "recovery", "table"]

_SHARES = (0.5, 0.8, 1.0, 1.5, 2.0, 3.0)
_BURN = """
import time

def requestheaders(flow):
    until = time.thread_time() + {seconds}
    while time.thread_time() < until:
        pass
"""
_MORE = 1.5
"""Times the guess: so much is asked for when the capacity is measured."""
_BUCKET = 0.1
"""Seconds of answers that tell whether all is well."""
_FEW = 0.05
"""Share of refusals among them that is well still."""

_WORKS = {
    "small": Scenario("small", "600 B of JSON each way, answered at once"),
    "streamed": Scenario("streamed", "answers of two events in 0.2 s", connections=600, events=2, interval=0.1),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one rate. Counts are a second, times seconds."""

    share: float
    """Of the capacity."""
    asked: float
    goodput: float
    """Whole answers."""
    admitted: Spread | None
    """How long they took."""
    refused: float
    """Answers of 503."""
    refusals: Spread | None
    """How long those took."""
    other: float
    """Other answers, broken connections, and requests without an answer at the end."""
    behind: float
    """The clients' own lag at its worst."""
    core: float = 0.0
    """Share of a core that the gateway had: well below 1 it was waiting for work, or for its core."""
    recovered: float | None = None
    """Until all was well again behind it; `None` where it was not measured."""


def outcome(share: float, seen: Seen, cpu: float, recovered: float | None = None) -> Outcome:
    """Sum up a stretch, in which the gateway used so many seconds of CPU."""
    good = [answer.took for answer in seen.answers if answer.status == 200]
    refused = [answer.took for answer in seen.answers if answer.status == 503]
    others = len(seen.answers) - len(good) - len(refused) + seen.broken + seen.unanswered
    per = 1 / seen.window
    return Outcome(
        share, seen.sent * per, len(good) * per, spread(good), len(refused) * per, spread(refused), others * per,
        seen.behind, cpu * per, recovered,
    )  # fmt: skip


def recovery(seen: Seen, begun: float, usual: float) -> float:
    """Return how long after the end of a burst more than a few were refused, or half of the answers took longer than is
    usual, in a tenth of a second.

    *begun* is when the burst ended; requests that were due before it do not count. *usual* is the 99th percentile at
    half of the capacity.
    """
    buckets: dict[int, list[Answer]] = {}
    for answer in seen.answers:
        if answer.due >= begun:
            buckets.setdefault(int((answer.due - begun) / _BUCKET), []).append(answer)
    bad = [
        number
        for number, answers in buckets.items()
        if sum(answer.status != 200 for answer in answers) > _FEW * len(answers)
        or statistics.median(answer.took for answer in answers) > usual
    ]
    return _BUCKET * (max(bad) + 1) if bad else 0.0


def table(capacity: float, outcomes: Sequence[Outcome]) -> str:
    """Return a table in Markdown."""
    lines = [
        f"Capacity: {capacity:.0f} requests a second.",
        "",
        "| offered | asked, a second | answered, a second | p50 | p99 | refused, a second | p99 of a refusal | other | "
        "core | well again after |",
        "| --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for each in outcomes:
        cells = [
            f"{each.share:g} x", f"{each.asked:.0f}", f"{each.goodput:.0f}", *_times(each.admitted),
            f"{each.refused:.0f}", _times(each.refusals)[1], f"{each.other:.1f}", f"{100 * each.core:.0f} %",
            "" if each.recovered is None else f"{each.recovered:.2f} s",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _times(times: Spread | None) -> tuple[str, str]:
    return ("–", "–") if times is None else (f"{1e3 * times.p50:.1f} ms", f"{1e3 * times.p99:.1f} ms")


@contextlib.asynccontextmanager
async def _gateway(burn: int, more: Sequence[str]) -> AsyncIterator[tuple[int, int]]:
    """Run a gateway before a server that answers cheaply, each on its core, and yield its port and its process."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="overload-") as folder:
        async with Process([sys.executable, "-m", f"{__package__}.origin"]) as origin:
            port = int(await origin.printed(str.isdigit))
            ports = Ports(free_port(), port, free_port())
            command = [*PROXIES["mirrorgate"].command(Path(folder), ports, {}), *more]
            if burn:
                command += ["--set", f"scripts={_addon(Path(folder), burn)}"]
            async with Process(command) as process:
                await process.printed("gateway listening at", timeout=60.0)
                if len(cores) > 1:
                    _pin(process.pid, cores[0])
                    _pin(origin.pid, cores[-1])
                    _pin(os.getpid(), cores[-1])
                yield ports.own, process.pid


def _addon(folder: Path, burn: int) -> Path:
    """Write the addon that takes so many microseconds of CPU for each request."""
    path = folder / "burn.py"
    path.write_text(_BURN.format(seconds=burn / 1e6), encoding="utf-8")
    return path


def _pin(pid: int, core: int) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), {core})


async def _capacity(work: Scenario, window: float, burn: int) -> float:
    """Return how many requests a second a gateway answers that sheds nothing and has more to do.

    What clients that wait for their answers get is the guess: they ask in step with the gateway's rounds, which is
    cheaper than requests at random moments.
    """
    async with _gateway(burn, ["--set", "gateway_overload_lag=0"]) as (port, _):
        clients = OpenLoop(port, request_of(work, f"127.0.0.1:{port}"), connections=work.connections)
        await clients.closed(work.connections, window / 2)
        guess = await clients.closed(work.connections, window / 2)
        seen = await clients.stretch(_MORE * len(guess.answers) / guess.window, window)
        await clients.close()
    return sum(answer.status == 200 for answer in seen.answers) / seen.window


async def measured(
    work: Scenario, shares: Sequence[float], *, window: float, connections: int, burn: int, more: Sequence[str]
) -> tuple[float, list[Outcome]]:
    """Send parts and multiples of the capacity; behind what is all of it or more, half."""
    capacity = await _capacity(work, window, burn)
    async with _gateway(burn, more) as (port, pid):
        clients = OpenLoop(port, request_of(work, f"127.0.0.1:{port}"), connections=connections)
        await clients.connect(connections // 2)
        usual = 0.0
        outcomes = []
        for share in shares:
            await clients.stretch(capacity * share, window / 4)
            before = cpu_nanoseconds(pid)
            seen = await clients.stretch(capacity * share, window)
            cpu = spent(before, cpu_nanoseconds(pid)) / 1e9
            recovered = None
            if share >= 1:
                over = seen.answers[-1].due + seen.answers[-1].took
                recovered = recovery(await clients.stretch(capacity / 2, 2.0), over, usual)
            outcomes.append(outcome(share, seen, cpu, recovered))
            usual = usual or getattr(outcomes[0].admitted, "p99", 0.0)
            sys.stderr.write(f"{outcomes[-1]}\n")
            await clients.settle()
        await clients.close()
    return capacity, outcomes


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="overload", description=__doc__.partition("\n")[0])
    parser.add_argument("--work", choices=_WORKS, default="small")
    parser.add_argument("--share", action="append", type=float, help=f"of the capacity; may be repeated ({_SHARES})")
    parser.add_argument("--window", type=float, default=6.0, help="seconds (%(default)s)")
    parser.add_argument("--connections", type=int, default=512, help="of clients, at most (%(default)s)")
    parser.add_argument("--burn", type=int, default=1000, help="µs of an addon's for each request (%(default)s)")
    parser.add_argument("--set", action="append", default=[], help="an option of the gateway, NAME=VALUE")
    parsed = parser.parse_args(arguments)
    more = [word for pair in parsed.set for word in ("--set", pair)]
    capacity, outcomes = asyncio.run(
        measured(
            _WORKS[parsed.work],
            parsed.share or _SHARES,
            window=parsed.window,
            connections=parsed.connections,
            burn=parsed.burn,
            more=more,
        )
    )
    sys.stdout.write(table(capacity, outcomes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
