"""Statuses with what only the running gateway knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mirrorgate.resources.inventory import Inventory
from mirrorgate.resources.loading import add_object, parse_object
from mirrorgate.resources.places import Place
from mirrorgate.snapshot import Snapshot
from mirrorgate.testing.manifests import gateway
from mirrorgate.wiring.kubernetes import ClusterSettings, compile_cluster
from mirrorgate.wiring.kubernetes_statuses import FEATURES, completed

SHOWN = {
    "Gateway": ("test_listeners", "gateway-with-attached-routes"),
    "GatewayHTTPListenerIsolation": ("test_listeners", "gateway-http-listener-isolation"),
    "GatewayHTTPSListenerDetectMisdirectedRequests": (
        "test_https",
        "httproute-https-listener-detect-misdirected-requests",
    ),
    "GatewayPort8080": ("test_filters", "httproute-redirect-port-and-scheme"),
    "GatewayStaticAddresses": ("test_listeners", "gateway-static-addresses"),
    "HTTPRoute": ("test_matching", "httproute-matching"),
    "HTTPRoute303RedirectStatusCode": ("test_filters", "httproute-303/307/308-redirect"),
    "HTTPRoute307RedirectStatusCode": ("test_filters", "httproute-303/307/308-redirect"),
    "HTTPRoute308RedirectStatusCode": ("test_filters", "httproute-303/307/308-redirect"),
    "HTTPRouteBackendProtocolWebSocket": ("test_retries", "httproute-backend-protocol-websocket"),
    "HTTPRouteBackendRequestHeaderModification": ("test_filters", "httproute-request-header-modifier-backend-weights"),
    "HTTPRouteBackendRequestRedirect": ("test_filters", "httproute-backend-request-redirect"),
    "HTTPRouteBackendTimeout": ("test_filters", "httproute-timeout-backend-request"),
    "HTTPRouteBackendURLRewrite": ("test_filters", "httproute-backend-url-rewrite"),
    "HTTPRouteCORS": ("test_cors", "httproute-cors"),
    "HTTPRouteHostRewrite": ("test_filters", "httproute-rewrite-host"),
    "HTTPRouteMethodMatching": ("test_matching", "httproute-method-matching"),
    "HTTPRouteNamedRouteRule": ("test_matching", "httproute-named-rule"),
    "HTTPRouteParentRefPort": ("test_listeners", "httproute-listener-port-matching"),
    "HTTPRoutePathRedirect": ("test_filters", "httproute-redirect-*"),
    "HTTPRoutePathRewrite": ("test_filters", "httproute-rewrite-path"),
    "HTTPRoutePortRedirect": ("test_filters", "httproute-redirect-*"),
    "HTTPRouteQueryParamMatching": ("test_matching", "httproute-query-param-matching"),
    "HTTPRouteRequestMirror": ("test_filters", "httproute-request-mirror"),
    "HTTPRouteRequestMultipleMirrors": ("test_filters", "httproute-request-multiple-mirrors"),
    "HTTPRouteRequestPercentageMirror": ("test_filters", "httproute-request-percentage-mirror"),
    "HTTPRouteRequestTimeout": ("test_filters", "httproute-timeout-request"),
    "HTTPRouteResponseHeaderModification": ("test_filters", "httproute-response-header-modifier"),
    "HTTPRouteRetry": ("test_retries", "HTTPRouteRetry:"),
    "HTTPRouteRetryBackendTimeout": ("test_retries", "HTTPRouteRetryBackendTimeout:"),
    "HTTPRouteRetryConnectionError": ("test_retries", "HTTPRouteRetryConnectionError:"),
    "HTTPRouteSchemeRedirect": ("test_filters", "httproute-redirect-*"),
    "ReferenceGrant": ("test_references", "httproute-reference-grant"),
    "SupportInferencePool": ("test_inference_pools", "inferencepool_accepted"),
}
"""The file of `tests/conformance` that shows a feature, and the suite's test, or the feature, by its name there."""


def compiled(*ports: int, offset: int = 0) -> Snapshot:
    """Compile a Gateway with listeners of these ports."""
    inventory = Inventory()
    for each in gateway(*ports):
        found = parse_object(each, Place()).object
        assert found is not None
        add_object(inventory, found)
    return compile_cluster(inventory, 1, ClusterSettings(port_offset=offset)).snapshot


def programmed(entry: Any) -> str:
    """Return the status and reason of the condition Programmed."""
    return next(f"{each['status']} {each['reason']}" for each in entry["conditions"] if each["type"] == "Programmed")


def test_features_and_addresses_are_told() -> None:
    """Features sorted, as the API wants them; an address that is no IP is a host name."""
    statuses = completed(compiled(80), ["10.0.0.1", "gw.example.com"], "0.0.0.0", {})
    assert statuses["GatewayClass", "", "mirrorgate"]["supportedFeatures"] == [{"name": name} for name in FEATURES]
    assert sorted(FEATURES) == list(FEATURES)
    assert statuses["Gateway", "default", "gateway"]["addresses"] == [
        {"type": "IPAddress", "value": "10.0.0.1"},
        {"type": "Hostname", "value": "gw.example.com"},
    ]


def test_a_listener_that_cannot_be_bound_is_not_programmed() -> None:
    """One of two costs itself alone; all of them cost the Gateway, and its addresses."""
    errors = {"gateway:80@0.0.0.0:8080": "address in use"}
    status: Any = completed(compiled(80, 81), ["10.0.0.1"], "0.0.0.0", errors)["Gateway", "default", "gateway"]
    assert [programmed(entry) for entry in status["listeners"]] == ["False Invalid", "True Programmed"]
    assert programmed(status) == "True Programmed"
    status = completed(compiled(80), ["10.0.0.1"], "0.0.0.0", errors)["Gateway", "default", "gateway"]
    assert programmed(status) == "False AddressNotUsable"
    assert status["addresses"] == []


def test_a_port_that_the_offset_moves_out_of_range_is_not_programmed() -> None:
    """It is no listener of the table, and the status says so."""
    status: Any = completed(compiled(80, 60000, offset=8000), [], "0.0.0.0", {})["Gateway", "default", "gateway"]
    assert [programmed(entry) for entry in status["listeners"]] == ["True Programmed", "False Invalid"]


def test_every_feature_that_is_claimed_is_shown() -> None:
    """By a conformance test of a name that says so; nothing is shown that is not claimed."""
    assert tuple(SHOWN) == FEATURES
    folder = Path(__file__).parent.parent / "conformance"
    for feature, (file, name) in SHOWN.items():
        assert name in (folder / f"{file}.py").read_text("utf-8"), feature
