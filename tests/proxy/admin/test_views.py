"""The gateway's state in the shapes of /clusters."""

from __future__ import annotations

import msgspec

from mirrorgate.admission.flow_queue import FlowQueue, QueueLimits
from mirrorgate.admission.gauges import Gauges
from mirrorgate.admission.limits import UNLIMITED, Limits
from mirrorgate.proxy.admin.views import endpoint_rows, limit_views, pick_view, queue_view
from mirrorgate.resources.endpoints import Address
from mirrorgate.scheduling.endpoints import EndpointHealth, EndpointView, Load
from mirrorgate.scheduling.picks import Pick

LOADED = EndpointView(
    "127.0.0.1:1", Address("127.0.0.1", 1, "ns/a"), Load(waiting=2, running=3, kv_usage=0.25, at=9.0), in_flight=4
)
DOWN = EndpointView("127.0.0.1:2", Address("127.0.0.1", 2), healthy=False)


def test_limits() -> None:
    """A limit that is none has no number."""
    views = limit_views(Gauges(active=1, pending=0, connections=3, limits=Limits(2, 0, UNLIMITED)))
    assert views == {
        "connections": {"used": 3, "limit": 2, "open": True},
        "pending": {"used": 0, "limit": 0, "open": True},
        "parallel": {"used": 1, "limit": None, "open": False},
        "retries": {"used": 0, "limit": 1024, "open": False},
    }


def test_endpoints() -> None:
    """What is not known is null, and why."""
    rows = endpoint_rows([LOADED, DOWN], {"127.0.0.1:2": EndpointHealth(healthy=False, last_error="refused")}, 10.0)
    assert rows == [
        {"address": "127.0.0.1:1", "name": "ns/a", "healthy": True, "in_flight": 4, "error": "",
         "load": {"waiting": 2, "running": 3, "age": 1.0, "kv_usage": 0.25}},
        {"address": "127.0.0.1:2", "name": "", "healthy": False, "in_flight": 0, "error": "refused", "load": None},
    ]  # fmt: skip


def test_picks_explain_themselves() -> None:
    """Every candidate best first, with each scorer's weighted share."""
    pick = Pick(
        view=LOADED, profile="gaie-v1", candidates=[DOWN, LOADED], totals=[1.0, 3.5],
        columns=[("queue", 2.0, [0.5, 1.0]), ("kv-cache", 2.0, [0.0, 0.75])], note="highest score",
    )  # fmt: skip
    view = pick_view(2.0, "llama", pick)
    assert view == {
        "at": 2.0, "endpoint": "127.0.0.1:1", "profile": "gaie-v1", "reason": "highest score", "model": "llama",
        "scores": [
            {"endpoint": "127.0.0.1:1", "total": 3.5, "parts": {"queue": 2.0, "kv-cache": 1.5}},
            {"endpoint": "127.0.0.1:2", "total": 1.0, "parts": {"queue": 1.0, "kv-cache": 0.0}},
        ],
    }  # fmt: skip
    msgspec.json.encode(view)


def test_who_waits_is_counted() -> None:
    """Over all priorities, with the bytes of their bodies."""
    queue: FlowQueue[str] = FlowQueue()
    for waiter, priority, size in (("a", 0, 10), ("b", 0, 5), ("c", 7, 1)):
        assert queue.join(waiter, QueueLimits(requests=9), priority=priority, size=size, now=0.0)
    assert queue_view("p", queue) == {"pool": "p", "waiting": 3, "bytes": 16}
