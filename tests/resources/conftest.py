"""Fixtures of the resources' tests: a spec becomes a manifest, a manifest becomes objects and problems."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import pytest

from mirrorgate.errors import Severity
from mirrorgate.resources.loading import Document, Loaded, load

API_VERSIONS = {
    "GatewayClass": "gateway.networking.k8s.io/v1",
    "Gateway": "gateway.networking.k8s.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "ReferenceGrant": "gateway.networking.k8s.io/v1beta1",
    "Service": "v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "Pod": "v1",
    "Secret": "v1",
    "Namespace": "v1",
    "InferencePool": "inference.networking.k8s.io/v1",
    "InferenceModel": "inference.networking.x-k8s.io/v1alpha2",
    "InferenceObjective": "inference.networking.x-k8s.io/v1alpha2",
    "InferenceModelRewrite": "llm-d.ai/v1alpha2",
    "BackendTrafficPolicy": "gateway.envoyproxy.io/v1alpha1",
    "Backend": "gateway.envoyproxy.io/v1alpha1",
    "EnvoyProxy": "gateway.envoyproxy.io/v1alpha1",
    "ShadowPolicy": "mirrorgate.dev/v1alpha1",
}

LoadText = Callable[[str], Loaded]
Declare = Callable[..., Loaded]
Faults = Callable[..., dict[str, str]]


@pytest.fixture
def load_text() -> LoadText:
    """Load one text as the file `m.yaml`."""

    def load_text(text: str) -> Loaded:
        return load([Document("m.yaml", textwrap.dedent(text))])

    return load_text


@pytest.fixture
def declare(load_text: LoadText) -> Declare:
    """Load an object named `x` of a kind with the given fields beside its metadata, as YAML."""

    def declare(kind: str, body: str, api_version: str = "") -> Loaded:
        head = f"apiVersion: {api_version or API_VERSIONS[kind]}\nkind: {kind}\nmetadata:\n  name: x\n"
        # Two blanks at the beginning go on with the metadata.
        return load_text(head + (textwrap.dedent(body) if body.startswith("    ") else body))

    return declare


@pytest.fixture
def faults(declare: Declare) -> Faults:
    """Return the errors of such an object, message by field path."""

    def faults(kind: str, body: str, api_version: str = "") -> dict[str, str]:
        found: dict[str, str] = {}
        for problem in declare(kind, body, api_version).problems:
            if problem.severity is Severity.ERROR:
                path = problem.path.partition(": ")[2]
                found[path] = f"{found[path]}; {problem.message}" if path in found else problem.message
        return found

    return faults
