"""Tests of a BackendTrafficPolicy's rate limits."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mirrorgate.resources.traffic_rate_limits import RATE_LIMIT_UNITS, RateLimit, RateLimitCost

LIMIT = {"requests": 10, "unit": "Second"}
METADATA = {"from": "Metadata", "metadata": {"namespace": "io.envoy.ai_gateway", "key": "llm_total_token"}}


def parsed(raw: dict[str, Any]) -> RateLimit:
    return RateLimit.model_validate(raw, by_alias=True, by_name=False)


def selected(**selector: Any) -> dict[str, Any]:
    return {"local": {"rules": [{"limit": LIMIT, "clientSelectors": [selector]}]}}


def test_what_the_crd_allows() -> None:
    """The CRD's own field names are known."""
    selector = {
        "headers": [{"name": "x", "type": "Distinct"}],
        "methods": [{"value": "POST", "invert": True}],
        "path": {"value": "/v1"},
        "sourceCIDR": {"value": "10.0.0.0/8"},
        "queryParams": [{"name": "q", "value": "v"}],
    }
    cost = {"request": {"from": "Number", "number": 0}, "response": METADATA}
    rule = {"clientSelectors": [selector], "limit": LIMIT, "cost": cost, "shared": True}
    found = parsed({"type": "Global", "global": {"rules": [rule]}})
    assert found.global_ is not None
    assert (found.global_.rules[0].doable, found.beyond) == (True, [])
    assert parsed({"local": {"rules": [{"limit": LIMIT}]}}).local is not None


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"local": {"rules": [{"limit": {"requests": 1, "unit": "Decade"}}]}}, "Input should be"),
        (selected(), "at least one of headers, methods, path, sourceCIDR or queryParams"),
        (
            {"local": {"rules": [{"limit": LIMIT, "cost": {"response": {"from": "Number"}}}]}},
            "response cost is not supported for Local Rate Limits",
        ),
        (
            {"local": {"rules": [{"limit": {**LIMIT, "fromMetadata": {"namespace": "n", "key": "k"}}}]}},
            "limit fromMetadata is not supported",
        ),
        (
            {"global": {"rules": [{"limit": LIMIT, "cost": {"request": {**METADATA, "number": 1}}}]}},
            "only one of number or metadata",
        ),
        ({"local": {"rules": [{"limit": LIMIT}, {"limit": LIMIT}]}}, "more than one rule without clientSelectors"),
        (selected(headers=[{"name": "x"}]), "value must be set for type Exact"),
        (selected(headers=[{"name": "x", "type": "Distinct", "value": "v"}]), "not applicable for type Distinct"),
        (selected(headers=[{"name": "x", "type": "Distinct", "invert": True}]), "not applicable for type Distinct"),
        (selected(queryParams=[{"name": "x", "type": "RegularExpression", "value": "("}]), "RE2 cannot read it"),
        (selected(path={"type": "RegularExpression", "value": "(?=a)"}), "RE2 cannot read it"),
        (selected(sourceCIDR={"value": "10.0.0.0/33"}), "must be a network"),
    ],
)
def test_what_the_crd_refuses(raw: dict[str, Any], words: str) -> None:
    """Each rule is checked in the CRD's words, and what Envoy Gateway cannot translate in its own."""
    with pytest.raises(ValidationError, match=words):
        parsed(raw)


@pytest.mark.parametrize(
    ("cost", "taken", "charged"),
    [
        ({}, 1, "Nothing"),
        ({"request": {"from": "Number", "number": 0}, "response": METADATA}, 0, "Total"),
        ({"request": METADATA}, None, "Nothing"),
        ({"response": {"from": "Number", "number": 3}}, 1, None),
        ({"response": {"from": "Metadata", "metadata": {"namespace": "mine", "key": "llm_total_token"}}}, 1, None),
    ],
)
def test_costs(cost: dict[str, Any], taken: int | None, charged: str | None) -> None:
    """A number, and the tokens under the names that Envoy AI Gateway gives them; a rule of any other cost is told."""
    shape = RateLimitCost.model_validate(cost, by_alias=True, by_name=False)
    assert (shape.taken, shape.charged) == (taken, charged)
    limit = parsed({"global": {"rules": [{"limit": LIMIT}, {"limit": LIMIT, "cost": cost}]}})
    assert limit.beyond == ([] if taken is not None and charged is not None else ["global.rules[1]"])


def test_units() -> None:
    """As long as in Envoy Gateway: a month has 30 days."""
    assert RATE_LIMIT_UNITS["Month"] == 30 * RATE_LIMIT_UNITS["Day"]
    assert RATE_LIMIT_UNITS["Year"] == 365 * RATE_LIMIT_UNITS["Day"]
