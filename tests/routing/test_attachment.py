"""Attachment: what the golden pairs `httproute-attaches-*` leave open."""

from collections.abc import Callable

import pytest

from mirrorgate.resources.inventory import Inventory
from mirrorgate.routing.attachment import Attachment, attach, names_gateway
from mirrorgate.routing.conditions import Finding
from mirrorgate.routing.gateways import GatewayState, read_gateways
from mirrorgate.routing.references import References

Load = Callable[[str], Inventory]

TEXT = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: gateway, namespace: infra}}
spec:
  gatewayClassName: any
  listeners:
  - name: http
    port: 80
    protocol: HTTP
    hostname: "*.example.com"
    allowedRoutes: {{namespaces: {namespaces}}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: team, labels: {{tier: gold}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: route, namespace: team}}
spec:
  parentRefs: [{{name: gateway, namespace: infra}}]
  hostnames: [a.example.com, a.example.com, b.example.org]
"""


def attached(inventory: Inventory) -> list[tuple[str, ...]] | str:
    """Attach the one route to the one Gateway: hostnames by listener, or the reason."""
    states, _ = read_gateways(inventory, References(inventory), "any/controller", True)
    (state,) = states
    assert isinstance(state, GatewayState)
    (route,) = inventory.http_routes.values()
    found = attach(inventory, state, route, route.spec.parent_refs[0])
    if isinstance(found, Finding):
        return found.reason
    assert all(isinstance(entry, Attachment) for entry in found)
    return [entry.hostnames for entry in found]


@pytest.mark.parametrize(
    ("namespaces", "allowed"),
    [
        ("{from: All}", True),
        ("{from: Same}", False),
        ("{from: Selector}", False),
        ("{from: Selector, selector: {}}", True),
        ("{from: Selector, selector: {matchLabels: {tier: gold}}}", True),
        ("{from: Selector, selector: {matchLabels: {tier: iron}}}", False),
        ("{from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: team}}}", True),
        ("{from: Selector, selector: {matchExpressions: [{key: tier, operator: NotIn, values: [gold]}]}}", False),
    ],
)
def test_namespaces(inventory: Load, namespaces: str, allowed: bool) -> None:
    """A selector looks at the namespace's labels, among them its own name; none given selects none."""
    text = TEXT.format(namespaces=namespaces).replace("*.example.com", "*.example.com")
    expected = [("a.example.com",)] if allowed else "NotAllowedByListeners"
    assert attached(inventory(text)) == expected


def test_an_undeclared_namespace_has_its_name(inventory: Load) -> None:
    """Without a Namespace object the label with its name is there all the same."""
    text = TEXT.format(namespaces="{from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: other}}}")
    text = text.replace("*.example.com", "*.example.com").replace("namespace: team", "namespace: other")
    assert attached(inventory(text)) == [("a.example.com",)]


def test_parents(inventory: Load) -> None:
    """Only Gateways are parents."""
    (route,) = inventory("""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: route}
spec: {parentRefs: [{name: a}, {name: b, group: "", kind: Service}]}
""").http_routes.values()
    assert [names_gateway(ref) for ref in route.spec.parent_refs] == [True, False]
