"""Tests of what every object has."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirrorgate.resources.loading import Loaded
from mirrorgate.resources.objects import LabelSelector
from mirrorgate.resources.places import Place

Declare = Callable[..., Loaded]
LoadText = Callable[[str], Loaded]
Faults = Callable[..., dict[str, str]]


def test_metadata_has_the_api_servers_defaults(declare: Declare) -> None:
    """The namespace is `default`, everything else empty."""
    pod = declare("Pod", "").inventory.pods["default", "x"]
    assert (pod.metadata.namespace, pod.metadata.labels, pod.metadata.generation) == ("default", {}, 0)
    assert pod.metadata.creation_timestamp is None
    assert (pod.title, pod.group, pod.key) == ("Pod default/x", "", ("default", "x"))


def test_cluster_scoped_objects_have_no_namespace(declare: Declare) -> None:
    """Their title has none either."""
    namespace = declare("Namespace", "").inventory.namespaces["", "x"]
    assert namespace.title == "Namespace x"


def test_objects_of_the_api_load_with_all_their_metadata(load_text: LoadText) -> None:
    """What the API server adds is known, and `null` is a field that is not given."""
    loaded = load_text("""\
        apiVersion: gateway.networking.k8s.io/v1
        kind: GatewayClass
        metadata:
          name: x
          generation: 3
          uid: a-b
          resourceVersion: "17"
          creationTimestamp: 2025-04-21T08:00:00Z
          deletionTimestamp: null
          labels: null
          ownerReferences: [{kind: X}]
          managedFields: [{manager: kubectl}]
          finalizers: [a/b]
        spec: {controllerName: a.b/c}
        status: {conditions: []}
    """)
    assert loaded.problems == ()
    metadata = loaded.inventory.gateway_classes["", "x"].metadata
    assert (metadata.generation, metadata.uid, metadata.resource_version) == (3, "a-b", "17")
    assert metadata.creation_timestamp is not None
    assert metadata.creation_timestamp.year == 2025


@pytest.mark.parametrize(
    ("metadata", "path"),
    [
        ("{}", "metadata.name"),
        ("{name: A}", "metadata.name"),
        ("{name: a_b}", "metadata.name"),
        ("{name: 7}", "metadata.name"),
        ("{name: x, namespace: a.b}", "metadata.namespace"),
        ("{name: x, labels: {a: 1}}", "metadata.labels.a"),
        ("{name: x, labels: {a: -}}", "metadata.labels.a"),
        ("{name: x, labels: [a]}", "metadata.labels"),
        ("{name: x, annotations: {a.b/c: true}}", 'metadata.annotations["a.b/c"]'),
        ("{name: x, creationTimestamp: now}", "metadata.creationTimestamp"),
        ("[]", "metadata"),
    ],
)
def test_metadata_that_the_api_server_refuses(load_text: LoadText, metadata: str, path: str) -> None:
    """Names and labels are held to the API's syntax."""
    (problem,) = load_text(f"apiVersion: v1\nkind: Pod\nmetadata: {metadata}\n").problems
    assert problem.path.endswith(f": {path}")
    assert problem.line == 3


def test_equality_leaves_the_place_out(declare: Declare) -> None:
    """The same declaration in two places is the same object; another kind or content is not."""
    one = declare("Pod", "spec: {}").inventory.pods["default", "x"]
    two = declare("Pod", "\nspec: {}").inventory.pods["default", "x"]
    two.placed(Place("elsewhere", 3))
    assert one == two
    assert one != declare("Pod", "spec: {containers: [{}]}").inventory.pods["default", "x"]
    assert one != declare("Service", "").inventory.services["default", "x"]


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        ({}, {}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "2"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, {"a": "2"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {"a": "1"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
    ],
)
def test_label_selectors(selector: dict[str, object], labels: dict[str, str], expected: bool) -> None:
    """Labels and expressions must all hold."""
    assert LabelSelector.model_validate(selector).matches(labels) is expected


def test_an_operator_that_does_not_exist_is_an_error(faults: Faults) -> None:
    """A selector with it would select by accident."""
    selector = "{matchExpressions: [{key: a, operator: Has}]}"
    body = (
        "spec: {gatewayClassName: c, listeners: [{name: a, port: 1, protocol: HTTP, "
        f"allowedRoutes: {{namespaces: {{from: Selector, selector: {selector}}}}}}}]}}"
    )
    path = "spec.listeners[0].allowedRoutes.namespaces.selector.matchExpressions[0].operator"
    assert list(faults("Gateway", body)) == [path]
