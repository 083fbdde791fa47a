"""Whether a destination has room, by what its model servers report; and the shedding that follows from it.

Inference Extension v0.5 to v1 (`saturationdetector`, `requestcontrol/director.go`): a pool is saturated unless at
least one endpoint has a short queue and a KV cache that is not nearly full, and then requests of negative priority
are dropped. Other requests go on, saturated or not.

Different on purpose: upstream takes an endpoint without fresh metrics for a full one. Here it says nothing, and a
destination of which nothing at all is known is not saturated, or every sheddable request to a server without metrics
(llama.cpp started without them) would be refused.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from .endpoints import EndpointView, Load
from .picks import PickRequest

__all__ = ["KV_CACHE_THRESHOLD", "QUEUE_THRESHOLD", "has_room", "room", "saturated", "shed_when_saturated"]

QUEUE_THRESHOLD = 5
"""Waiting requests up to which an endpoint has room (`SD_QUEUE_DEPTH_THRESHOLD`, v0.3 `QUEUE_THRESHOLD_CRITICAL`)."""
KV_CACHE_THRESHOLD = 0.8
"""Share of the KV cache up to which it has (`SD_KV_CACHE_UTIL_THRESHOLD`)."""


def has_room(load: Load) -> bool:
    """Tell whether a server that reports this can take more. Its own numbers count, not what was sent since: a request
    that was just sent runs as a rule, and does not wait."""
    return load.waiting <= QUEUE_THRESHOLD and (load.kv_usage is None or load.kv_usage <= KV_CACHE_THRESHOLD)


def saturated(candidates: Sequence[EndpointView]) -> bool:
    """Tell whether no candidate has room; false when none reports a load. One with room ends the search."""
    known = False
    for view in candidates:
        load = view.load
        if load is not None:
            if has_room(load):
                return False
            known = True
    return known


def shed_when_saturated(
    candidates: Sequence[EndpointView], request: PickRequest, rng: random.Random, /
) -> Sequence[EndpointView]:
    """Keep all candidates, or none for a request of negative priority when they are saturated."""
    return () if request.priority < 0 and saturated(candidates) else candidates


def room(candidates: Sequence[EndpointView]) -> int:
    """Tell how many more requests the servers could take before their queues are over the threshold, by their own
    numbers; as many as wait (-1) when none reports a load, or there is none to wait for."""
    known, free = False, 0
    for view in candidates:
        load = view.load
        if load is not None:
            known = True
            if has_room(load):
                free += QUEUE_THRESHOLD + 1 - load.waiting
    return free if known else -1
