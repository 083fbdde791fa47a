"""The watch over endpoints' health: it lets ejections end by itself, and the log tells of what changes."""

from __future__ import annotations

import asyncio
import logging
import random
import time

import pytest

from mirrorgate.calls import Call
from mirrorgate.events import EndpointChanged, HealthChange
from mirrorgate.health import Health, Watched
from mirrorgate.resources.endpoints import Address
from mirrorgate.resources.traffic_health import HealthCheck, PassiveHealthCheck
from mirrorgate.wiring.health import HealthWatch


async def test_an_ejection_ends_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    """Told as a warning when it begins and as news when it is over; metrics have the cluster's figures."""
    health = Health(time.monotonic, random.Random(1))
    watch = HealthWatch(health, random.Random(1))
    back = asyncio.Event()

    def tell(change: EndpointChanged) -> None:
        watch.handle(change)
        if change.change is HealthChange.RETURNED:
            back.set()

    health.tell = tell
    passive = PassiveHealthCheck(
        consecutive_5xx_errors=1, max_ejection_percent=100, base_ejection_time=0.02, interval=0.01
    )
    health.adopt([Watched("c", (Address("a", 80),), HealthCheck(passive=passive))])
    watch.adopt()
    try:
        with caplog.at_level(logging.INFO, logger="mirrorgate"):
            call = health.clusters["c"].begin("a:80")
            assert isinstance(call, Call)
            call.answered(500)
            assert "mirrorgate_endpoint_out" in {sample.name for sample in watch.samples()}
            async with asyncio.timeout(20):
                await back.wait()
    finally:
        await watch.stop()
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "c: a:80 is ejected for 0.02 s: consecutive_5xx"),
        ("INFO", "c: a:80 is in again"),
    ]


@pytest.mark.parametrize(
    ("endpoint", "change", "level", "text"),
    [
        ("a:80", HealthChange.CHECK_FAILED, "WARNING", "c: a:80 is out: /health answers 500"),
        ("a:80", HealthChange.CHECK_PASSED, "INFO", "c: a:80 is in again"),
        ("a:80", HealthChange.BREAKER_OPEN, "WARNING", "c: a:80: the failure breaker opens"),
        ("", HealthChange.BREAKER_HALF_OPEN, "INFO", "c: the failure breaker is half-open"),
        ("", HealthChange.BREAKER_CLOSED, "INFO", "c: the failure breaker closes"),
        ("", HealthChange.BREAKER_FORCED_OPEN, "WARNING", "c: the circuit breaker is held open by hand"),
        ("", HealthChange.BREAKER_FORCED_CLOSED, "WARNING", "c: the failure breaker is held closed by hand"),
    ],
)
def test_each_change_has_words(
    caplog: pytest.LogCaptureFixture, endpoint: str, change: HealthChange, level: str, text: str
) -> None:
    """What keeps requests away, or failures from counting, is a warning."""
    watch = HealthWatch(Health(lambda: 0.0, random.Random(1)), random.Random(1))
    with caplog.at_level(logging.INFO, logger="mirrorgate"):
        watch.handle(EndpointChanged("c", endpoint, change, "/health answers 500", 0.0))
    assert [(record.levelname, record.message) for record in caplog.records] == [(level, text)]
