"""Tests of a BackendTrafficPolicy's load balancing and connections."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mirrorgate.resources.traffic_balancing import Connection, Dns, Http2, LoadBalancer, TcpKeepalive


@pytest.mark.parametrize(
    ("shape", "raw"),
    [
        (LoadBalancer, {"type": "LeastRequest", "slowStart": {"window": "1m"}}),
        (LoadBalancer, {"type": "ConsistentHash", "consistentHash": {"type": "Header", "header": {"name": "a"}}}),
        (LoadBalancer, {"type": "ConsistentHash", "consistentHash": {"type": "Headers", "headers": [{"name": "a"}]}}),
        (LoadBalancer, {"type": "ConsistentHash", "consistentHash": {"type": "Cookie", "cookie": {"name": "c"}}}),
        (
            LoadBalancer,
            {"type": "ConsistentHash", "consistentHash": {"type": "QueryParams", "queryParams": [{"name": "q"}]}},
        ),
        (LoadBalancer, {"type": "BackendUtilization", "backendUtilization": {"outOfBand": {"port": 1}}}),
        (LoadBalancer, {"type": "DynamicModule", "dynamicModule": {"name": "m"}}),
        (LoadBalancer, {"type": "Random", "endpointOverride": {"extractFrom": [{"header": "x"}]}}),
        (Connection, {"bufferLimit": "32Ki", "preconnect": {"perEndpointPercent": 150}}),
        (Http2, {"initialStreamWindowSize": 65536, "connectionKeepalive": {"interval": "1s"}}),
        (TcpKeepalive, {"probes": 9, "idleTime": "2h", "interval": "75s"}),
        (Dns, {"dnsRefreshRate": "30s", "respectDnsTtl": True, "lookupFamily": "IPv4"}),
    ],
)
def test_what_the_crd_allows(shape: Any, raw: dict[str, object]) -> None:
    """The CRD's own field names are known."""
    shape.model_validate(raw, by_alias=True, by_name=False)


@pytest.mark.parametrize(
    ("shape", "raw", "words"),
    [
        (LoadBalancer, {}, "Field required"),
        (LoadBalancer, {"type": "ConsistentHash"}, "consistentHash field needs to be set"),
        (LoadBalancer, {"type": "BackendUtilization"}, "backendUtilization field needs to be set"),
        (LoadBalancer, {"type": "DynamicModule"}, "dynamicModule field needs to be set"),
        (LoadBalancer, {"type": "Random", "slowStart": {"window": "1m"}}, "SlowStart is only supported for"),
        (
            LoadBalancer,
            {"type": "ConsistentHash", "consistentHash": {"type": "Header"}},
            "If consistent hash type is header, the header field must be set",
        ),
        (Connection, {"bufferLimit": "much"}, "must be a quantity"),
        (Connection, {"bufferLimit": True}, "must be an integer or a string"),
        (Connection, {"preconnect": {"perEndpointPercent": 99}}, "greater than or equal to 100"),
    ],
)
def test_what_the_crd_refuses(shape: Any, raw: dict[str, object], words: str) -> None:
    """Each rule is checked in the CRD's words."""
    with pytest.raises(ValidationError, match=words):
        shape.model_validate(raw, by_alias=True, by_name=False)
