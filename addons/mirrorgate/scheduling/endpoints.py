"""Endpoints as the picker sees them: what the server last reported, what the gateway has sent, whether it answers.

Every time here is a second of one clock, the caller's; only differences and order matter. The scraper that fills
`Load.at` and the caller of `InFlight.acquire` must read the same clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import msgspec

from ..resources.endpoints import Address
from .in_flight import InFlight

__all__ = ["EndpointHealth", "EndpointView", "Load", "endpoint_views", "view_of"]


@dataclass(frozen=True, slots=True)
class Load:
    """What a model server reported of itself, in the terms of the model server protocol (proposal 003)."""

    waiting: int = 0
    """Requests in the server's own queue, summed over its engines."""
    running: int = 0
    """Requests that generate now, summed over its engines."""
    kv_usage: float | None = None
    """Share of the KV cache in use, 0 to 1, the fullest engine's; `None` when the server does not say (llama.cpp)."""
    max_lora: int = 0
    """Adapters that can be active at once; 0 when the server reports no adapters."""
    active_adapters: frozenset[str] = frozenset()
    waiting_adapters: frozenset[str] = frozenset()
    """Adapters that queued requests wait for; vLLM lists running ones here as well (measured)."""
    models: frozenset[str] = frozenset()
    """Base models by the name the server gives them in its series; empty when it does not say."""
    block_size: int | None = None
    """Tokens in a block of the KV cache."""
    num_blocks: int | None = None
    """Blocks in the KV cache, summed over its engines."""
    at: float = 0.0
    """When the question was sent: requests sent later are not in these numbers."""


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """The latest knowledge about one endpoint, replaced as a whole after every scrape."""

    load: Load | None = None
    """`None` before the first scrape, when the server offers no metrics, and when the last good ones are stale."""
    healthy: bool = True
    failures: int = 0
    """Failed scrapes in a row."""
    last_error: str = ""
    """Why there is no fresh load, empty after a good scrape."""
    at: float | None = None
    """When the last scrape ended, well or not; `None` before the first."""


class EndpointView(msgspec.Struct, frozen=True, gc=False):
    """One candidate of a pick. A struct, not a dataclass: a pool of 1,000 makes 1,000 of these for every request."""

    key: str
    """`host:port`, as `str(Address)` writes it."""
    address: Address
    load: Load | None = None
    in_flight: int = 0
    """Requests that this gateway has under way there, mirrors included."""
    healthy: bool = True
    unseen: int = 0
    """Those of them that were sent after `load.at`, so that the load does not count them; all, when there is none."""


def endpoint_views(
    targets: Mapping[str, Address],
    health: Mapping[str, EndpointHealth],
    in_flight: InFlight,
    ejected: Collection[str] = frozenset(),
) -> list[EndpointView]:
    """Put together what is known of a destination's endpoints, in the order of `targets`.

    An endpoint without an entry in `health` is healthy and has no load. One among `ejected` (the outlier detector's)
    is unhealthy.
    """
    return [view_of(key, address, health.get(key), in_flight, ejected) for key, address in targets.items()]


def view_of(
    key: str,
    address: Address,
    known: EndpointHealth | None,
    in_flight: InFlight,
    ejected: Collection[str] = frozenset(),
) -> EndpointView:
    """Put together what is known of one endpoint; `None` is healthy and has no load."""
    load = None if known is None else known.load
    count = in_flight.count(key)
    unseen = count if load is None or not count else in_flight.unseen(key, load.at)
    healthy = (known is None or known.healthy) and key not in ejected
    return EndpointView(key, address, load, count, healthy, unseen)
