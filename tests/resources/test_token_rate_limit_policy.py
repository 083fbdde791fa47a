"""Tests of TokenRateLimitPolicy."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mirrorgate.resources.token_rate_limit_policy import TokenRateLimitPolicySpec

GATEWAY = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "g"}
LIMIT = {"tokens": 10, "unit": "Minute"}


def parsed(**spec: Any) -> TokenRateLimitPolicySpec:
    return TokenRateLimitPolicySpec.model_validate({"targetRefs": [GATEWAY], **spec}, by_alias=True, by_name=False)


def test_what_is_not_said() -> None:
    """All tokens of all requests, refused, and each rule for itself."""
    spec = parsed(limits=[LIMIT])
    [limit] = spec.limits
    assert (limit.count, limit.client_selectors, limit.shadow_mode, spec.shared) == ("Total", (), False, False)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"limits": []}, "at least 1 item"),
        ({"limits": [{"tokens": 1}]}, "Field required"),
        ({"limits": [{**LIMIT, "count": "Words"}]}, "Input should be"),
        ({"limits": [{**LIMIT, "clientSelectors": [{}]}]}, "at least one of headers"),
        ({"limits": [LIMIT], "targetRefs": [{**GATEWAY, "kind": "GRPCRoute"}]}, "a Gateway or an HTTPRoute"),
        ({"limits": [LIMIT], "targetRefs": []}, "at least 1 item"),
    ],
)
def test_what_is_refused(spec: dict[str, Any], words: str) -> None:
    """As the CRD refuses it."""
    with pytest.raises(ValidationError, match=words):
        parsed(**spec)
