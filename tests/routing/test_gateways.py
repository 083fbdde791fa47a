"""Gateways: what the golden pairs `gateway-*` leave open."""

from collections.abc import Callable
from typing import Any

import pytest

from mirrorgate.routing.compiling import Compiled, CompileOptions

Compile = Callable[..., Compiled]

CLASS = """
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: ours}
spec:
  controllerName: mirrorgate.dev/gateway-controller
  parametersRef: {group: gateway.envoyproxy.io, kind: EnvoyProxy, name: proxy, namespace: default}
---
"""
PROXY = """
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyProxy
metadata: {name: proxy}
---
"""
GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway, generation: 7}
spec:
  gatewayClassName: ours
  listeners: [{name: http, port: 80, protocol: HTTP}]
"""


def test_an_envoy_proxy_is_recognised(compiled: Compile) -> None:
    """A class that refers to an EnvoyProxy is accepted when that exists."""
    cluster = CompileOptions(serve_all_classes=False)
    assert len(compiled(CLASS + PROXY + GATEWAY, cluster).table.listeners) == 1
    refused = compiled(CLASS + GATEWAY, cluster)
    assert refused.table.listeners == ()
    assert [problem.path for problem in refused.problems] == ["GatewayClass ours: spec.parametersRef"]


def test_conditions_carry_the_generation(compiled: Compile) -> None:
    """Every condition of a Gateway and its listeners has the Gateway's generation."""
    status: Any = compiled(GATEWAY).statuses["Gateway", "default", "gateway"]
    (listener,) = status["listeners"]
    conditions = [*status["conditions"], *listener["conditions"]]
    assert {condition["observedGeneration"] for condition in conditions} == {7}


@pytest.mark.parametrize(
    "field",
    [
        "allowedListeners: {namespaces: {from: All}}",
        "tls: {backend: {clientCertificateRef: {name: secret}}}",
        "defaultScope: All",
    ],
)
def test_unsupported_fields_are_told(compiled: Compile, field: str) -> None:
    """A field that is set to no effect is a warning."""
    name = field.partition(":")[0]
    problems = compiled(GATEWAY + f"  {field}\n").problems
    assert [problem.path for problem in problems if name in problem.path] == [f"Gateway default/gateway: spec.{name}"]
