"""Target selectors: what a policy may ask for."""

from collections.abc import Callable

import pytest

Faults = Callable[[str, str], dict[str, str]]


def policy(selector: str) -> str:
    return f"spec: {{targetSelectors: [{selector}]}}"


@pytest.mark.parametrize(
    ("selector", "fault"),
    [
        ("{kind: HTTPRoute}", ""),
        ("{kind: HTTPRoute, namespaces: {from: All}}", ""),
        ("{kind: HTTPRoute, namespaces: {from: Selector, selector: {}}}", ""),
        ("{kind: HTTPRoute, namespaces: {from: Selector}}", "selector must be specified when from is Selector"),
        ("{kind: HTTPRoute, group: example.com}", "group must be gateway.networking.k8s.io"),
    ],
)
@pytest.mark.parametrize("kind", ["BackendTrafficPolicy", "ShadowPolicy"])
def test_selectors(faults: Faults, kind: str, selector: str, fault: str) -> None:
    """Namespaces by a selector need one; only the Gateway API's kinds are selected."""
    assert list(faults(kind, policy(selector)).values()) == ([fault] if fault else [])


def test_a_shadow_policy_selects_routes_only(faults: Faults) -> None:
    """It says what happens to a RequestMirror, which only HTTPRoutes have."""
    found = faults("ShadowPolicy", policy("{kind: Gateway}"))
    assert found == {"spec.targetSelectors[0].kind": "this policy can only select HTTPRoutes"}


def test_a_shadow_policy_needs_a_target(faults: Faults) -> None:
    """By name or by labels."""
    assert faults("ShadowPolicy", "spec: {mode: equivalence}") == {
        "spec": "targetRefs or targetSelectors must be specified"
    }
