"""Simulates picks of several replicas that each know the servers' loads from scrapes only, with the gateway's own code.

Servers run so many requests at a time and queue the rest; requests come at random to a random replica. What is asked is
how long requests wait at the servers, beside a picker that sees all queues as they are. `python -m
mirrorgate.testing.picking_simulation` writes the table and the picture of `docs/scaling.md`. The same seed gives the
same numbers.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
import re
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from ..resources.endpoints import Address
from ..scheduling.endpoints import EndpointHealth, Load
from ..scheduling.in_flight import InFlight
from ..scheduling.in_flight import Permit as Counted
from ..scheduling.picks import Pick, PickRequest, PickState
from ..scheduling.profiles import GAIE_V1, pick
from .picture_style import STYLE, save
from .processes import PROJECT

__all__ = ["Case", "Outcome", "main", "simulate", "table"]

_ASKED = PickRequest()
_BEGIN, _END = "<!-- simulated: begin -->", "<!-- simulated: end -->"


@dataclass(frozen=True, slots=True)
class Case:
    """What is simulated."""

    replicas: int
    interval: float
    """Seconds between two scrapes of a server by each replica."""
    corrected: bool = True
    """Whether a replica adds what it has sent since a scrape to what the scrape said."""
    informed: bool = False
    """Whether the picker sees every queue as it is, which none can: the least that waiting can be."""
    endpoints: int = 32
    slots: int = 16
    """Requests that a server runs at a time."""
    seconds: float = 2.0
    """Of a request's service, on average (exponential)."""
    load: float = 0.85
    """Of all slots together."""
    requests: int = 6000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    waited: float
    """Share of requests that waited at a server."""
    mean: float
    """Seconds of waiting, over all requests."""
    p99: float


@dataclass(slots=True)
class _Server:
    running: int = 0
    queue: deque[int] = field(default_factory=deque)


class _Replica:
    """One gateway: its scrapes, its counts, its picks."""

    def __init__(self, addresses: tuple[Address, ...]) -> None:
        self.addresses = addresses
        self.health: dict[str, EndpointHealth] = {}
        self.in_flight = InFlight()
        self.state = PickState()

    def scrape(self, servers: Sequence[_Server], slots: int, now: float) -> None:
        self.health = {
            str(address): EndpointHealth(
                Load(waiting=len(server.queue), running=server.running, kv_usage=0.9 * server.running / slots, at=now),
                at=now,
            )
            for address, server in zip(self.addresses, servers, strict=True)
        }

    def pick(self, rng: random.Random) -> str:
        views = self.state.views(self.addresses, self.health, self.in_flight)
        picked = pick(GAIE_V1, views, _ASKED, self.state, rng)
        assert isinstance(picked, Pick)
        self.state.sent(picked)
        return picked.endpoint


def simulate(case: Case, seed: int = 1) -> Outcome:
    """Run one case to its last answer; the first fifth of the requests warms up and does not count."""
    rng = random.Random(seed)
    addresses = tuple(Address(f"10.0.{n // 250}.{n % 250 + 1}", 8000) for n in range(case.endpoints))
    rows = {str(address): row for row, address in enumerate(addresses)}
    servers = [_Server() for _ in addresses]
    replicas = [_Replica(addresses) for _ in range(case.replicas)]
    rate = case.load * case.endpoints * case.slots / case.seconds
    order = itertools.count()
    events: list[tuple[float, int, str, int]] = []

    def at(time: float, kind: str, number: int) -> None:
        heapq.heappush(events, (time, next(order), kind, number))

    for number, replica in enumerate(replicas):
        replica.scrape(servers, case.slots, 0.0)
        at(rng.random() * case.interval, "scrape", number)
    came = list(itertools.accumulate(rng.expovariate(rate) for _ in range(case.requests)))
    for number, time in enumerate(came):
        at(time, "request", number)
    where, counted = [0] * case.requests, dict[int, Counted]()
    waits, done = [0.0] * case.requests, 0

    def run(number: int, now: float) -> None:
        servers[where[number]].running += 1
        waits[number] = now - came[number]
        at(now + rng.expovariate(1 / case.seconds), "end", number)

    while done < case.requests:
        now, _, kind, number = heapq.heappop(events)
        if kind == "scrape":
            replicas[number].scrape(servers, case.slots, now)
            at(now + case.interval, "scrape", number)
        elif kind == "request":
            replica = replicas[rng.randrange(case.replicas)]
            if case.informed:
                row = min(
                    range(case.endpoints), key=lambda n: (servers[n].running + len(servers[n].queue), rng.random())
                )
            else:
                row = rows[replica.pick(rng)]
                if case.corrected:
                    counted[number] = replica.in_flight.acquire(str(addresses[row]), now)
            where[number] = row
            if servers[row].running < case.slots:
                run(number, now)
            else:
                servers[row].queue.append(number)
        else:
            done += 1
            if (permit := counted.pop(number, None)) is not None:
                permit.release()
            server = servers[where[number]]
            server.running -= 1
            if server.queue:
                run(server.queue.popleft(), now)
    kept = sorted(waits[case.requests // 5 :])
    return Outcome(sum(wait > 0 for wait in kept) / len(kept), sum(kept) / len(kept), kept[int(0.99 * len(kept))])


_REPLICAS, _INTERVALS = (1, 4, 16), (0.1, 0.5, 2.0)


def cases() -> list[Case]:
    """Return what the document shows."""
    grid = itertools.product(_REPLICAS, _INTERVALS, (True, False))
    return [Case(1, 0.5, informed=True), *(Case(r, interval, corrected) for r, interval, corrected in grid)]


def table(outcomes: Sequence[tuple[Case, Outcome]]) -> str:
    """Return the outcomes in Markdown."""
    lines = [
        "| replicas | scraped every | in-flight correction | waited | mean wait | p99 |",
        "| --: | --: | --- | --: | --: | --: |",
    ]
    for case, outcome in outcomes:
        who = (
            ("–", "–", "every queue as it is")
            if case.informed
            else (str(case.replicas), f"{1000 * case.interval:.0f} ms", "on" if case.corrected else "off")
        )
        figures = f"{100 * outcome.waited:.0f} % | {1000 * outcome.mean:.0f} ms | {1000 * outcome.p99:.0f} ms"
        lines.append(f"| {who[0]} | {who[1]} | {who[2]} | {figures} |")
    return "\n".join(lines) + "\n"


def draw(outcomes: Sequence[tuple[Case, Outcome]], path: Path) -> None:
    """Draw the 99th percentile of the wait against the scrape interval."""
    with mpl.rc_context(STYLE):
        drawn = Figure(figsize=(7.0, 3.4), layout="constrained")
        axes = drawn.add_subplot()
        for replicas, colour in zip(_REPLICAS, ("#93c5fd", "#3b82f6", "#1e3a8a"), strict=True):
            for corrected in (True, False):
                found = [
                    (c.interval, o.p99)
                    for c, o in outcomes
                    if not c.informed and c.replicas == replicas and c.corrected is corrected
                ]
                axes.plot(
                    [x for x, _ in found],
                    [y for _, y in found],
                    "o-" if corrected else "o--",
                    color=colour,
                    label=f"{replicas} replicas, correction {'on' if corrected else 'off'}",
                )
        axes.set_xscale("log")
        axes.set_yscale("symlog", linthresh=0.1)
        axes.set_xlabel("seconds between scrapes")
        axes.set_ylabel("p99 of the wait, s")
        axes.legend(fontsize=7)
        save(drawn, path)


def main(arguments: list[str] | None = None) -> int:
    """Run every case and write the document's table and picture."""
    parser = argparse.ArgumentParser(prog="simulate_picking", description="Simulate picks of several replicas.")
    parser.add_argument("--output", type=Path, default=PROJECT / "docs", metavar="FOLDER", help="(docs)")
    parsed = parser.parse_args(arguments)
    outcomes = []
    for case in cases():
        outcomes.append((case, simulate(case)))
        sys.stderr.write(f"{outcomes[-1]}\n")
    document = parsed.output / "scaling.md"
    text = document.read_text("utf-8")
    fresh = f"{_BEGIN}\n\n{table(outcomes)}\n{_END}"
    document.write_text(re.sub(f"{_BEGIN}.*{_END}", lambda _: fresh, text, flags=re.DOTALL), encoding="utf-8")
    (parsed.output / "images").mkdir(exist_ok=True)
    draw(outcomes, parsed.output / "images" / "scaling-picks.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
