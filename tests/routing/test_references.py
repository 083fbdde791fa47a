"""References: permission, kinds, and what a destination carries."""

from collections.abc import Callable

import pytest

from mirrorgate.resources.inventory import Inventory
from mirrorgate.resources.reference import BackendObjectReference
from mirrorgate.routing.references import References
from mirrorgate.routing.table import DestinationKind

Load = Callable[[str], Inventory]

GRANT = """
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: grant, namespace: models}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}]
  to:
  - {group: "", kind: Service, name: named}
  - {group: inference.networking.k8s.io, kind: InferencePool}
"""
ROUTE = ("gateway.networking.k8s.io", "HTTPRoute", "default")


@pytest.mark.parametrize(
    ("source", "target", "permitted"),
    [
        (ROUTE, ("", "Service", "default", "any"), True),
        (ROUTE, ("", "Service", "models", "named"), True),
        (ROUTE, ("", "Service", "models", "other"), False),
        (ROUTE, ("", "Secret", "models", "named"), False),
        (ROUTE, ("", "Service", "elsewhere", "named"), False),
        (ROUTE, ("inference.networking.x-k8s.io", "InferencePool", "models", "any"), True),
        (ROUTE, ("inference.networking.k8s.io", "InferencePool", "models", "any"), True),
        (ROUTE, ("example.com", "InferencePool", "models", "any"), False),
        ((ROUTE[0], "GRPCRoute", "default"), ("", "Service", "models", "named"), False),
        ((ROUTE[0], "HTTPRoute", "elsewhere"), ("", "Service", "models", "named"), False),
    ],
)
def test_permits(
    inventory: Load, source: tuple[str, str, str], target: tuple[str, str, str, str], permitted: bool
) -> None:
    """A grant covers exactly its sources and targets; a pool's two groups are one; one's own namespace needs none."""
    assert References(inventory(GRANT)).permits(source, target) is permitted


def test_an_absent_backend_of_a_closed_namespace_is_not_told(inventory: Load) -> None:
    """Permission is looked at before existence."""
    ref = BackendObjectReference(name="other", namespace="models", port=80)
    resolved = References(inventory(GRANT)).backend(ref, "default")
    assert resolved.finding is not None
    assert resolved.finding.reason == "RefNotPermitted"


@pytest.mark.parametrize(
    ("group", "kind", "reason"),
    [
        ("example.com", "InferencePool", "InvalidKind"),
        ("", "Pod", "InvalidKind"),
        ("gateway.envoyproxy.io", "Backend", "BackendNotFound"),
        ("inference.networking.k8s.io", "InferencePool", "BackendNotFound"),
        ("inference.networking.x-k8s.io", "InferencePool", "BackendNotFound"),
        ("", "Service", "BackendNotFound"),
    ],
)
def test_reasons(inventory: Load, group: str, kind: str, reason: str) -> None:
    """An unknown kind and an absent object are told apart."""
    ref = BackendObjectReference(group=group, kind=kind, name="nobody", port=80)
    resolved = References(inventory("")).backend(ref, "default")
    assert resolved.destination is None
    assert resolved.finding is not None
    assert resolved.finding.reason == reason


def test_a_destination_is_resolved_once(inventory: Load) -> None:
    """Everyone who refers to an object shares its destination, and a pool's port is not looked at."""
    references = References(
        inventory("""
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: pool}
spec: {selector: {matchLabels: {app: pool}}, targetPorts: [{number: 8000}], appProtocol: kubernetes.io/h2c}
""")
    )
    found = [
        references.backend(
            BackendObjectReference(group=group, kind="InferencePool", name="pool", port=port), "default"
        ).destination
        for group, port in (("inference.networking.k8s.io", None), ("inference.networking.x-k8s.io", 9))
    ]
    assert found[0] is found[1]
    assert found[0] is not None
    assert (found[0].kind, found[0].port) == (DestinationKind.INFERENCE_POOL, None)
    assert found[0].app_protocol == "kubernetes.io/h2c"
