"""What a FailureBreakerPolicy may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mirrorgate.resources.failure_breaker_policy import FailureBreakerPolicySpec

ROUTE = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "route"}


def spec(**fields: Any) -> FailureBreakerPolicySpec:
    return FailureBreakerPolicySpec.model_validate({"targetRefs": [ROUTE], **fields})


def test_the_defaults_are_enough() -> None:
    """Half of a hundred calls, twenty at least; nothing is slow; 30 s and five probes."""
    plain = spec()
    assert (plain.mode, plain.scope, plain.window.type, plain.window.calls) == (
        "Enforce", "EndpointAndCluster", "Count", 100,
    )  # fmt: skip
    assert (plain.minimum_calls, plain.failure_rate_percent, plain.slow_call) == (20, 50, None)
    assert (plain.open_duration, plain.permitted_probes) == (30.0, 5)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"minimumCalls": 101}, "the breaker would never open"),
        ({"slowCall": {"ratePercent": 10}}, "at least one of timeToFirstToken and duration"),
        ({"window": {"type": "Time", "duration": "500ms"}}, "at least 1s"),
        ({"openDuration": "0s"}, "more than 0s"),
        ({"targetRefs": [{**ROUTE, "kind": "Gateway"}]}, "only target an HTTPRoute"),
        ({"targetRefs": []}, "at least 1 item"),
        ({"failureRatePercent": 0}, "greater than or equal to 1"),
        ({"mode": "Observe"}, "'Enforce' or 'MetricsOnly'"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], complaint: str) -> None:
    """With the reason."""
    with pytest.raises(ValidationError, match=complaint):
        spec(**fields)
