"""Shaping: what a BackendTrafficPolicy's fields compile to."""

from __future__ import annotations

from typing import Any

from mirrorgate.resources.backend_traffic_policy import BackendTrafficPolicySpec
from mirrorgate.resources.token_rate_limit_policy import TokenRateLimitPolicySpec
from mirrorgate.routing.matching import Question
from mirrorgate.routing.rate_limits import Charge
from mirrorgate.routing.shaping import Shaping, meters_of, shaping_of, with_token_limits

TARGET = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "r"}


def shaping(**spec: Any) -> Shaping | None:
    raw = {"targetRefs": [TARGET], **spec}
    return shaping_of(BackendTrafficPolicySpec.model_validate(raw, by_alias=True, by_name=False), "ns/policy", "c")


def test_nothing_declared_is_nothing_to_do() -> None:
    """So that the request path asks once."""
    assert shaping() is None
    assert shaping(circuitBreaker={}) is None
    assert shaping(rateLimit={"local": {}}) is None
    assert meters_of(None) == []


def test_local_rules() -> None:
    """The slowest to fill comes first, the rule without selectors is the default, a shared one is one in all routes."""
    slow = {"limit": {"requests": 5, "unit": "Hour"}, "clientSelectors": [{"methods": [{"value": "GET"}]}]}
    fast = {**slow, "limit": {"requests": 5, "unit": "Minute"}, "shared": True, "shadowMode": True}
    default = {"limit": {"requests": 9, "unit": "Day"}, "xRateLimitHeaders": "Off"}
    found = shaping(rateLimit={"local": {"rules": [fast, default, slow]}})
    assert found is not None
    assert found.limits is not None
    assert [limit.meter for limit in found.limits.local] == [
        ("ns/policy/local/2 c", 5, 3600.0),
        ("ns/policy/local/0", 5, 60.0),
    ]
    assert [limit.shadow for limit in found.limits.local] == [False, True]
    assert found.limits.default is not None
    assert (found.limits.default.meter, found.limits.default.told) == (("ns/policy/local/1 c", 9, 86400.0), False)
    assert len(meters_of(found)) == 3


def test_global_rules_with_a_cost_in_tokens() -> None:
    """Tokens that Envoy AI Gateway names are charged; a rule whose cost cannot be known limits nothing."""
    metadata = {"namespace": "io.envoy.ai_gateway", "key": "llm_output_token"}
    cost = {
        "request": {"from": "Number", "number": 0},
        "response": {"from": "Metadata", "metadata": metadata},
    }
    limit = {"requests": 1000, "unit": "Hour"}
    other = {"limit": limit, "cost": {"request": {"from": "Metadata", "metadata": metadata}}}
    found = shaping(rateLimit={"global": {"rules": [{"limit": limit, "cost": cost}, other]}})
    assert found is not None
    assert found.limits is not None
    [every] = found.limits.every
    assert (every.cost, every.charge, every.meter) == (0, Charge.OUTPUT, ("ns/policy/global/0 c", 1000, 3600.0))
    assert shaping(rateLimit={"global": {"rules": [other]}}) is None


def test_all_selectors_of_a_rule_hold_together() -> None:
    """Those of several entries too, and of all their methods one is enough (Envoy Gateway)."""
    selectors = [
        {"headers": [{"name": "X-User", "type": "Distinct"}], "methods": [{"value": "GET"}]},
        {
            "methods": [{"value": "POST"}],
            "path": {"type": "RegularExpression", "value": "/v1/.*"},
            "queryParams": [{"name": "Q", "type": "RegularExpression", "value": "[0-9]+"}],
            "sourceCIDR": {"value": "10.0.0.9/8", "type": "Distinct"},
        },
    ]
    limit = {"limit": {"requests": 1, "unit": "Second"}, "clientSelectors": selectors}
    found = shaping(rateLimit={"local": {"rules": [limit]}})
    assert found is not None
    assert found.limits is not None
    [local] = found.limits.local
    user = [(b"x-user", b"ann")]
    assert local.key(Question("POST", "/v1/chat?Q=1", user), "10.0.0.1") == ("ann", "10.0.0.1")
    assert local.key(Question("GET", "/v1/chat?Q=1", user), "10.0.0.1") is not None
    assert local.key(Question("PUT", "/v1/chat?Q=1", user), "10.0.0.1") is None
    assert local.key(Question("POST", "/v1/chat?Q=1", []), "10.0.0.1") is None
    assert local.key(Question("POST", "/v1/chat?Q=x", user), "10.0.0.1") is None
    assert local.key(Question("POST", "/v2/chat?Q=1", user), "10.0.0.1") is None
    assert local.key(Question("POST", "/v1/chat?Q=1", user), "11.0.0.1") is None


def test_a_policy_of_tokens() -> None:
    """Its limits join those of the traffic policy, and are limits where there is none; shared ones name no cluster."""
    spec: dict[str, Any] = {
        "targetRefs": [TARGET],
        "limits": [{"tokens": 5, "unit": "Hour"}, {"tokens": 6, "unit": "Day", "count": "Input", "shadowMode": True}],
    }
    parsed = TokenRateLimitPolicySpec.model_validate(spec, by_alias=True, by_name=False)
    alone = with_token_limits(None, parsed, "ns/tokens", "c")
    assert meters_of(alone) == [("ns/tokens/tokens/0 c", 5, 3600.0), ("ns/tokens/tokens/1 c", 6, 86400.0)]
    assert alone is not None
    assert alone.limits is not None
    assert [(one.cost, one.charge, one.shadow) for one in alone.limits.every] == [
        (0, Charge.TOTAL, False),
        (0, Charge.INPUT, True),
    ]
    shared = TokenRateLimitPolicySpec.model_validate({**spec, "shared": True}, by_alias=True, by_name=False)
    traffic = shaping(rateLimit={"local": {"rules": [{"limit": {"requests": 1, "unit": "Second"}}]}})
    both = meters_of(with_token_limits(traffic, shared, "ns/tokens", "c"))
    assert [meter[0] for meter in both] == ["ns/policy/local/0 c", "ns/tokens/tokens/0", "ns/tokens/tokens/1"]
