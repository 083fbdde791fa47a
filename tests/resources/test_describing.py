"""Tests of showing objects."""

from __future__ import annotations

import json
from collections.abc import Callable

from mirrorgate.resources.describing import REDACTED, to_document
from mirrorgate.resources.inference_pool import InferencePool
from mirrorgate.resources.loading import Loaded
from mirrorgate.resources.objects import Resource

Declare = Callable[..., Loaded]


def only(loaded: Loaded) -> Resource:
    (obj,) = loaded.inventory
    return obj


def test_an_object_with_its_status(declare: Declare) -> None:
    """Names are the API's, defaults are filled in, what is empty is left out."""
    body = "  creationTimestamp: 2025-04-21T08:00:00Z\nspec: {rules: [{timeouts: {request: 90s}}]}"
    document = to_document(only(declare("HTTPRoute", body)), {"parents": []})
    assert document == {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "x", "namespace": "default", "creationTimestamp": "2025-04-21T08:00:00Z"},
        "spec": {
            "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "timeouts": {"request": "1m30s"}}]
        },
        "status": {"parents": []},
    }
    json.dumps(document)


def test_what_is_shown_can_be_loaded_again(declare: Declare) -> None:
    """For objects without secrets, nothing is lost."""
    body = "spec: {selector: {app: a}, targetPortNumber: 8, extensionRef: {name: e, failureMode: FailOpen}}"
    pool = only(declare("InferencePool", body, "inference.networking.x-k8s.io/v1alpha2"))
    document = to_document(pool)
    assert document["spec"] == {
        "selector": {"app": "a"},
        "targetPortNumber": 8,
        "extensionRef": {"group": "", "kind": "Service", "name": "e", "portNumber": 9002, "failureMode": "FailOpen"},
    }
    again = declare("InferencePool", f"spec: {json.dumps(document['spec'])}", pool.api_version)
    assert only(again) == pool
    other = "spec: {selector: {app: a}, targetPortNumber: 8, extensionRef: {kind: Other, name: e}}"
    shown = to_document(only(declare("InferencePool", other, pool.api_version)))
    assert "portNumber" not in json.dumps(shown)
    assert isinstance(pool, InferencePool)
    bare = pool.model_copy(update={"spec": pool.spec.model_copy(update={"endpoint_picker_ref": None})})
    assert to_document(bare)["spec"] == {"selector": {"app": "a"}, "targetPortNumber": 8}


def test_a_v1_pool_is_shown_as_v1(declare: Declare) -> None:
    """The shape follows the apiVersion."""
    body = "spec: {selector: {matchLabels: {app: a}}, targetPorts: [{number: 8}]}"
    spec = to_document(only(declare("InferencePool", body)))["spec"]
    assert spec == {"selector": {"matchLabels": {"app": "a"}}, "targetPorts": [{"number": 8}], "appProtocol": "http"}


def test_secrets_are_not_shown(declare: Declare) -> None:
    """Only the keys are; bytes that are no text are no trouble."""
    body = "data: {tls.key: '/////w=='}\nstringData: {password: hush}\ntype: kubernetes.io/tls"
    document = to_document(only(declare("Secret", body)))
    assert document["data"] == {"tls.key": REDACTED}
    assert document["stringData"] == {"password": REDACTED}
    assert document["type"] == "kubernetes.io/tls"
    assert "hush" not in json.dumps(document)
    assert "data" not in to_document(only(declare("Secret", "")))


def test_kubectls_copy_and_bookkeeping_are_not_shown(declare: Declare) -> None:
    """The copy of a Secret would hold its content."""
    body = (
        "  annotations: {kubectl.kubernetes.io/last-applied-configuration: hush, a: b}\n"
        "  generation: 2\n  managedFields: [{manager: m}]"
    )
    metadata = to_document(only(declare("Secret", body)))["metadata"]
    assert metadata == {
        "name": "x",
        "namespace": "default",
        "generation": 2,
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": REDACTED, "a": "b"},
    }


def test_credentials_in_header_modifiers_are_not_shown(declare: Declare) -> None:
    """A route that adds an API key keeps it to itself."""
    modifier = "{set: [{name: Authorization, value: Bearer hush}, {name: X-Team, value: a}]}"
    body = f"spec: {{rules: [{{filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {modifier}}}]}}]}}"
    text = json.dumps(to_document(only(declare("HTTPRoute", body))))
    assert "hush" not in text
    assert '{"name": "X-Team", "value": "a"}' in text


def test_a_pod_has_its_own_status_unless_another_is_given(declare: Declare) -> None:
    """Pods are the only objects that bring one."""
    pod = only(declare("Pod", "status: {podIP: 127.0.0.1}"))
    assert to_document(pod)["status"] == {"podIP": "127.0.0.1"}
    assert to_document(pod, {"phase": "Running"})["status"] == {"phase": "Running"}
