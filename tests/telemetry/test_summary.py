"""The figures of the dashboard."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from mirrorgate.events import ExchangeDone, MirrorDropped, MirrorDropReason, MirrorSent
from mirrorgate.records import Compared
from mirrorgate.telemetry.metrics import Metrics
from mirrorgate.telemetry.summary import quantile, summarise

Done = Callable[..., ExchangeDone]


def test_nothing_happened_yet(metrics: Metrics) -> None:
    """A fresh gateway has a summary too, without a division by zero."""
    summary = summarise(metrics)
    assert summary["legs"]["primary"]["requests"] == 0
    assert summary["legs"]["primary"]["ttft"] == {"p50": None, "p95": None, "p99": None}
    assert summary["drops"] == []


def test_the_summary_says_what_happened(metrics: Metrics, done: Done) -> None:
    """Counts by leg, status, flag, reason; and it can be written as JSON."""
    metrics.introduce_mirror("m")
    metrics.handle(done())
    metrics.handle(done(status=503, flag="UO", refusal="pending_overflow"))
    metrics.handle(done(status=0, flag="DC", refusal="client_left"))
    metrics.handle(MirrorSent("x", "m", "127.0.0.1:1"))
    metrics.handle(MirrorDropped("x", "m", MirrorDropReason.SAMPLED_OUT))
    metrics.handle(Compared("x", "m", "same", 1.0, "", b"{}"))
    summary = summarise(metrics)
    assert summary["legs"]["primary"]["requests"] == 3
    assert summary["legs"]["primary"]["errors"] == 1
    assert summary["codes"] == {"200": 1, "503": 1, "0": 1}
    assert summary["flags"] == {"-": 1, "UO": 1, "DC": 1}
    assert summary["local_replies"] == {"pending_overflow": 1, "client_left": 1}
    assert summary["rejected"] == {"pending_overflow": 1}
    assert summary["mirrors_sent"] == 1
    assert summary["drops"] == [
        {"cluster": "m", "leg": "candidate", "at": "proxy", "reason": "sampled_out", "count": 1}
    ]
    assert summary["pairs"] == {"m": {"same": 1}}
    msgspec.json.encode(summary)


def test_quantiles_interpolate(metrics: Metrics) -> None:
    """As PromQL does: within the bucket, and at most the last bound."""
    spread = metrics.distribution("mirrorgate_ttft_seconds")
    assert quantile(spread, 0.5, {"leg": "primary"}) is None
    for value in (0.3, 0.4):
        spread.observe(("primary", "c", "m"), value)
    spread.observe(("candidate", "c", "m"), 9.0)
    assert quantile(spread, 0.5, {"leg": "primary"}) == pytest.approx(0.325)
    assert quantile(spread, 1.0, {"leg": "primary"}) == pytest.approx(0.4)
    spread.observe(("control", "c", "m"), 10_000.0)
    assert quantile(spread, 0.99, {"leg": "control"}) == 600.0
