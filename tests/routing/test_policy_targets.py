"""Targets of policies: what the golden pairs `*policy-selects-*` leave open."""

from collections.abc import Callable

from mirrorgate.resources.inventory import Inventory
from mirrorgate.routing.policy_targets import targets_of
from mirrorgate.routing.references import References
from mirrorgate.routing.traffic import traffic_refs

ROUTES = "".join(
    f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, labels: {{tier: gold}}{created}}}
spec: {{rules: [{{backendRefs: [{{name: s, port: 80}}]}}]}}
---
"""
    for name, created in (
        ("unaged", ""),
        ("young", ", creationTimestamp: 2026-01-02T00:00:00Z"),
        ("old", ", creationTimestamp: 2026-01-01T00:00:00Z"),
    )
)
POLICY = """
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: p}
spec:
  targetSelectors:
  - {kind: HTTPRoute, matchLabels: {tier: gold}}
  - {kind: HTTPRoute}
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: young, sectionName: r}]
"""


def test_selected_objects_come_oldest_first_and_once(inventory: Callable[[str], Inventory]) -> None:
    """Then what is named; a selector without labels takes everything of its kind."""
    loaded = inventory(ROUTES + POLICY)
    policy = loaded.backend_traffic_policies["default", "p"]
    found = targets_of(loaded, References(loaded), policy, traffic_refs(policy), policy.spec.target_selectors)
    assert [(path, target[2:]) for path, _, target in found] == [
        ("spec.targetSelectors[0]", ("old", "")),
        ("spec.targetSelectors[0]", ("young", "")),
        ("spec.targetSelectors[0]", ("unaged", "")),
        ("spec.targetRefs[0]", ("young", "r")),
    ]
