"""Tests of a BackendTrafficPolicy's overrides, buffering and telemetry."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mirrorgate.resources.traffic_limits import RequestBuffer, ResponseOverride, TrafficTelemetry, body_commands


@pytest.mark.parametrize(
    ("shape", "raw"),
    [
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
        (ResponseOverride, {**OVERRIDE, "response": {"body": {"inline": "%REQ(x)%"}}}, r"%REQ\(x\)% is not known"),
        (
            ResponseOverride,
            {"match": {"responseHeaders": [{"name": "a", "value": {"type": "RegularExpression", "value": "("}}]}},
            "RE2 cannot read it",
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


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", [("", "")]),
        ("100% sure", [("100% sure", "")]),
        ("a%%b", [("a%b", "")]),
        ("%RESPONSE_CODE%%%%PROTOCOL%!", [("", "RESPONSE_CODE"), ("%", "PROTOCOL"), ("!", "")]),
        ("m=%REQ(:METHOD)%", [("m=", "REQ(:METHOD)"), ("", "")]),
        ("50% of 60%", [("50% of 60%", "")]),
    ],
)
def test_commands_in_a_body(text: str, parts: list[tuple[str, str]]) -> None:
    """What stands between percent signs in capitals; other percent signs stay."""
    assert list(body_commands(text)) == parts


def test_overrides_whose_body_is_not_at_hand() -> None:
    """Without ConfigMaps, only an inline body can be sent."""
    ref = {"type": "ValueRef", "valueRef": {"group": "", "kind": "ConfigMap", "name": "c"}}
    for body, doable in ((ref, False), ({"inline": "x"}, True)):
        raw = {**OVERRIDE, "response": {"body": body}}
        assert ResponseOverride.model_validate(raw, by_alias=True, by_name=False).doable is doable
