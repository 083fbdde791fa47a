"""What is asked of every proxy."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["SCENARIOS", "Scenario", "Unit"]


class Unit(enum.StrEnum):
    """What a scenario's cost is counted by."""

    REQUEST = "request"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of work: what clients send, and what the server answers."""

    name: str
    title: str
    unit: Unit = Unit.REQUEST
    connections: int = 32
    """Clients at once, each with one request under way."""
    body_bytes: int = 600
    """Of the request."""
    answer_bytes: int = 600
    events: int = 0
    """Of the streamed answer; 0 is a JSON answer of `answer_bytes`."""
    interval: float = 0.0
    """Seconds between events; 0 is as fast as they are read."""
    fresh: bool = False
    """Whether every request has a connection of its own."""
    rate: float = 0.0
    """Requests a second, sent whatever the server does; 0 sends the next one when the last one is answered."""
    ramp: float = 0.0
    """Seconds over which the clients begin; as long as a stream, so that beginnings stay spread."""


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("small", "600 B of JSON each way, 32 clients"),
        Scenario("fresh", "the same, each request on a new connection", fresh=True),
        Scenario("prompt", "a prompt of 8 KB, 32 clients", body_bytes=8192),
        Scenario("upload", "a body of 1 MB, 4 clients", connections=4, body_bytes=1_000_000),
        Scenario("download", "an answer of 10 MB, 4 clients", connections=4, answer_bytes=10_000_000),
        Scenario("stream", "64 streams, 100 events a second each", Unit.EVENT, 64, events=200, interval=0.01, ramp=1.0),
        Scenario("torrent", "16 streams, events as fast as they are read", Unit.EVENT, 16, events=200),
        Scenario("paced", "256 streams, 20 events a second each", Unit.EVENT, 256, events=60, interval=0.05, ramp=3.0),
        Scenario("rate", "50 small requests a second, whatever happens", connections=256, rate=50.0),
    )
}
"""By name, in the order in which they are measured."""
