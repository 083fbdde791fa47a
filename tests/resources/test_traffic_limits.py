"""Tests of a BackendTrafficPolicy's rate limits, overrides, buffering and telemetry."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mirrorgate.resources.traffic_limits import RateLimit, RequestBuffer, ResponseOverride, TrafficTelemetry

LIMIT = {"requests": 10, "unit": "Second"}


@pytest.mark.parametrize(
    ("shape", "raw"),
    [
        (
            RateLimit,
            {
                "type": "Global",
                "global": {
                    "rules": [
                        {
                            "clientSelectors": [
                                {
                                    "headers": [{"name": "x", "type": "Distinct"}],
                                    "methods": [{"value": "POST", "invert": True}],
                                    "path": {"value": "/v1"},
                                    "sourceCIDR": {"value": "10.0.0.0/8"},
                                    "queryParams": [{"name": "q", "value": "v"}],
                                }
                            ],
                            "limit": LIMIT,
                            "cost": {
                                "request": {"from": "Number", "number": 0},
                                "response": {"from": "Metadata", "metadata": {"namespace": "n", "key": "k"}},
                            },
                            "shared": True,
                        }
                    ]
                },
            },
        ),
        (RateLimit, {"local": {"rules": [{"limit": LIMIT}]}}),
        (
            ResponseOverride,
            {
                "match": {"statusCodes": [{"value": 503}, {"type": "Range", "range": {"start": 500, "end": 599}}]},
                "response": {
                    "contentType": "application/json",
                    "statusCode": 503,
                    "header": {"set": [{"name": "a", "value": "b"}]},
                    "body": {"type": "ValueRef", "valueRef": {"group": "", "kind": "ConfigMap", "name": "c"}},
                },
                "source": "Local",
            },
        ),
        (
            ResponseOverride,
            {
                "match": {"responseHeaders": [{"name": "a", "value": {"type": "Prefix", "value": "b"}}]},
                "redirect": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/"}, "statusCode": 302},
            },
        ),
        (RequestBuffer, {"limit": "1Mi"}),
        (
            TrafficTelemetry,
            {
                "tracing": {"samplingFraction": {"numerator": 1}, "spanName": {"client": "a", "server": "b"}},
                "metrics": {"routeStatName": "r"},
            },
        ),
    ],
)
def test_what_the_crd_allows(shape: Any, raw: dict[str, object]) -> None:
    """The CRD's own field names are known."""
    shape.model_validate(raw, by_alias=True, by_name=False)


OVERRIDE = {"match": {"statusCodes": [{"value": 503}]}}


@pytest.mark.parametrize(
    ("shape", "raw", "words"),
    [
        (RateLimit, {"local": {"rules": [{"limit": {"requests": 1, "unit": "Decade"}}]}}, "Input should be"),
        (
            RateLimit,
            {"local": {"rules": [{"limit": LIMIT, "clientSelectors": [{}]}]}},
            "at least one of headers, methods, path, sourceCIDR or queryParams",
        ),
        (
            RateLimit,
            {"local": {"rules": [{"limit": LIMIT, "cost": {"response": {"from": "Number"}}}]}},
            "response cost is not supported for Local Rate Limits",
        ),
        (
            RateLimit,
            {"local": {"rules": [{"limit": {**LIMIT, "fromMetadata": {"namespace": "n", "key": "k"}}}]}},
            "limit fromMetadata is not supported",
        ),
        (
            RateLimit,
            {
                "global": {
                    "rules": [
                        {
                            "limit": LIMIT,
                            "cost": {
                                "request": {
                                    "from": "Number",
                                    "number": 1,
                                    "metadata": {"namespace": "n", "key": "k"},
                                }
                            },
                        }
                    ]
                }
            },
            "only one of number or metadata",
        ),
        (ResponseOverride, OVERRIDE, "exactly one of response or redirect"),
        (ResponseOverride, {"match": {}, "response": {}}, "at least one of statusCodes or responseHeaders"),
        (ResponseOverride, {"match": {"statusCodes": [{}]}, "response": {}}, "value must be set for type Value"),
        (
            ResponseOverride,
            {"match": {"statusCodes": [{"type": "Range"}]}, "response": {}},
            "range must be set for type Range",
        ),
        (
            ResponseOverride,
            {"match": {"statusCodes": [{"type": "Range", "range": {"start": 500, "end": 500}}]}, "response": {}},
            "end must be greater than start",
        ),
        (ResponseOverride, {**OVERRIDE, "response": {"body": {}}}, "inline must be set for type Inline"),
        (ResponseOverride, {**OVERRIDE, "response": {"body": {"type": "ValueRef"}}}, "valueRef must be set"),
        (
            ResponseOverride,
            {
                **OVERRIDE,
                "response": {"body": {"type": "ValueRef", "valueRef": {"group": "", "kind": "Secret", "name": "s"}}},
            },
            "only ConfigMap is supported for ValueRef",
        ),
        (
            ResponseOverride,
            {**OVERRIDE, "redirect": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}},
            "only ReplaceFullPath is supported",
        ),
    ],
)
def test_what_the_crd_refuses(shape: Any, raw: dict[str, object], words: str) -> None:
    """Each rule is checked in the CRD's words."""
    with pytest.raises(ValidationError, match=words):
        shape.model_validate(raw, by_alias=True, by_name=False)
