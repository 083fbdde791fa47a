"""What a pick costs by the number of endpoints: `pytest tests/benchmarks/bench_pick.py`.

Not collected otherwise. Between two picks a request begins and one ends, and a scrape comes in for one endpoint, as it
is in a busy gateway; `gaie-v1` hashes a prompt of 36 blocks. The aim is 200 us for 1,000 endpoints.
"""

from __future__ import annotations

import functools
import random
import time
from collections import deque
from typing import Any

import pytest

from mirrorgate.picking import Picking
from mirrorgate.resources.endpoints import Address
from mirrorgate.routing.table import Destination, DestinationKind, TrafficPolicy
from mirrorgate.scheduling.endpoints import EndpointHealth, Load
from mirrorgate.scheduling.picks import Pick, PickRequest


@pytest.mark.parametrize("endpoints", [2, 100, 1_000])
@pytest.mark.parametrize("profile", ["gaie-v1", "gaie-v0.3", "least-request"])
def test_pick(benchmark: Any, profile: str, endpoints: int) -> None:
    """A pool with adapters, seeded; three models, twenty prompts."""
    rng = random.Random(1)
    addresses = tuple(Address(f"10.0.{n // 250}.{n % 250}", 8000) for n in range(endpoints))

    def scraped(now: float) -> EndpointHealth:
        adapters = frozenset(rng.sample("abcdef", 2))
        load = Load(
            waiting=rng.randrange(5), running=3, kv_usage=rng.random(), max_lora=4, active_adapters=adapters,
            block_size=16, num_blocks=4000, at=now,
        )  # fmt: skip
        return EndpointHealth(load)

    health = {str(address): scraped(1.0) for address in addresses}
    picking = Picking(lambda: health, time.perf_counter, random.Random(2))
    destination = Destination(DestinationKind.INFERENCE_POOL, "default", "p", None, addresses, profile=profile)
    texts = [b"You are a helpful assistant. " * 80 + str(number).encode() * 64 for number in range(20)]
    prompts = [functools.partial(bytes, text) for text in texts]
    under_way = deque(picking.in_flight.acquire(str(rng.choice(addresses)), 2.0) for _ in range(50))
    traffic, clock = TrafficPolicy(), iter(range(3, 10**9))

    def between() -> tuple[tuple[Destination, TrafficPolicy, PickRequest], dict[str, Any]]:
        now = float(next(clock))
        health[str(rng.choice(addresses))] = scraped(now)
        under_way.popleft().release()
        request = PickRequest(rng.choice(("a", "b", "base")), rng.choice(prompts), critical=True)
        under_way.append(picking.in_flight.acquire(str(rng.choice(addresses)), now + 0.5))
        return (destination, traffic, request), {}

    found, state, _ = benchmark.pedantic(picking.pick, setup=between, rounds=500, warmup_rounds=20)
    assert isinstance(found, Pick)
    state.sent(found)
