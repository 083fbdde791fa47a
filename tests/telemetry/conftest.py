"""A finished exchange to vary, and metrics in a registry of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from mirrorgate.events import ExchangeDone
from mirrorgate.telemetry.metrics import Metrics

CLUSTER = "httproute/default/chat/rule/0"

STREAMED = ExchangeDone(
    id="x-1",
    started=1_700_000_000.25,
    method="POST",
    path="/v1/chat/completions",
    authority="example.com",
    protocol="HTTP/1.1",
    status=200,
    flag="-",
    details="via_upstream",
    refusal="",
    bytes_received=120,
    bytes_sent=2048,
    duration=2.0,
    response_duration=0.2,
    queued=0.0,
    listener="default/gateway/http",
    route="default/chat",
    rule=0,
    cluster=CLUSTER,
    pool="default/llama",
    endpoint="127.0.0.1:18001",
    model="llama",
    target_model="llama-v1",
    request_id="r-1",
    user_agent="curl/8",
    forwarded_for="10.0.0.1",
    client="10.0.0.1:5000",
    streamed=True,
    ttft=0.3,
    itl=0.02,
    prompt_tokens=10,
    completion_tokens=18,
    mirrored=1,
)


@pytest.fixture
def done() -> Callable[..., ExchangeDone]:
    """A streamed chat completion, with whatever fields a test changes."""

    def make(**changes: Any) -> ExchangeDone:
        return replace(STREAMED, **changes)

    return make


@pytest.fixture
def metrics() -> Metrics:
    """Metrics whose clock stands at 1000."""
    return Metrics(CollectorRegistry(), mitmproxy="12.2.3", clock=lambda: 1000.0)


@pytest.fixture
def value(metrics: Metrics) -> Callable[..., float | None]:
    """Reads one sample from the registry, as a scraper would."""

    def read(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    return read
