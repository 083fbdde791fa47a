"""Tests of a BackendTrafficPolicy's retry, health checks, admission control and faults."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mirrorgate.resources.traffic_health import AdmissionControl, FaultInjection, HealthCheck, TrafficRetry


@pytest.mark.parametrize(
    ("shape", "raw"),
    [
        (
            TrafficRetry,
            {
                "numRetries": 0,
                "numAttemptsPerPriority": 1,
                "retryOn": {"triggers": ["5xx", "unavailable"], "httpStatusCodes": [503]},
                "perRetry": {"timeout": "1s", "backOff": {"baseInterval": "25ms", "maxInterval": "1s"}},
            },
        ),
        (
            HealthCheck,
            {
                "active": {
                    "type": "HTTP",
                    "http": {"path": "/health", "method": "POST", "requestBody": {"type": "Text", "text": "a"}},
                    "overrides": {"port": 1},
                },
                "passive": {"consecutive5XxErrors": 3, "alwaysEjectOneEndpoint": True},
                "panicThreshold": 0,
            },
        ),
        (HealthCheck, {"active": {"type": "TCP", "tcp": {}}}),
        (HealthCheck, {"active": {"type": "GRPC", "grpc": {"service": "s"}}}),
        (AdmissionControl, {"samplingWindow": "1s", "successCriteria": {"http": {"statusCodes": [200]}}}),
        (FaultInjection, {"delay": {"fixedDelay": "1s"}, "abort": {"httpStatus": 503, "percentage": 0.5}}),
        (FaultInjection, {"abort": {"grpcStatus": 14}}),
    ],
)
def test_what_the_crd_allows(shape: Any, raw: dict[str, object]) -> None:
    """The CRD's own field names are known."""
    shape.model_validate(raw, by_alias=True, by_name=False)


def test_defaults_are_the_crds() -> None:
    """Retries 2, checks each 3 s, ejection after 5 errors for 30 s."""
    assert TrafficRetry().num_retries == 2
    check = HealthCheck.model_validate({"active": {"type": "TCP", "tcp": {}}, "passive": {}})
    assert check.active is not None
    assert check.passive is not None
    assert (check.active.timeout, check.active.interval, check.active.unhealthy_threshold) == (1.0, 3.0, 3)
    assert (check.passive.consecutive_5xx_errors, check.passive.base_ejection_time) == (5, 30.0)
    assert check.passive.max_ejection_percent == 10


@pytest.mark.parametrize(
    ("shape", "raw", "words"),
    [
        (TrafficRetry, {"numRetries": -1}, "greater than or equal to 0"),
        (TrafficRetry, {"retryOn": {"triggers": ["sometimes"]}}, "Input should be"),
        (HealthCheck, {"active": {"type": "HTTP"}}, "http field needs to be set"),
        (HealthCheck, {"active": {"type": "TCP"}}, "tcp field needs to be set"),
        (HealthCheck, {"active": {"type": "TCP", "tcp": {}, "grpc": {}}}, "grpc field can only be set"),
        (
            HealthCheck,
            {"active": {"type": "HTTP", "http": {"path": "/", "requestBody": {"type": "Text", "text": ""}}}},
            "requestBody field can only be set when method is POST or PUT",
        ),
        (
            HealthCheck,
            {"active": {"type": "HTTP", "http": {"path": "/", "expectedResponse": {"type": "Text"}}}},
            "text field needs to be set",
        ),
        (
            HealthCheck,
            {"active": {"type": "HTTP", "http": {"path": "/", "expectedResponse": {"type": "Binary"}}}},
            "binary field needs to be set",
        ),
        (AdmissionControl, {"samplingWindow": "999ms"}, "samplingWindow must be at least 1s"),
        (FaultInjection, {}, "set at least one"),
        (FaultInjection, {"abort": {}}, "httpStatus and grpcStatus are set at least one"),
        (FaultInjection, {"abort": {"httpStatus": 500, "grpcStatus": 1}}, "cannot be simultaneously defined"),
    ],
)
def test_what_the_crd_refuses(shape: Any, raw: dict[str, object], words: str) -> None:
    """Each rule is checked in the CRD's words."""
    with pytest.raises(ValidationError, match=words):
        shape.model_validate(raw, by_alias=True, by_name=False)
