"""Tests of the table of kinds."""

from __future__ import annotations

import pytest

from mirrorgate.resources.kinds import is_foreign, suggestion, versions


@pytest.mark.parametrize(
    ("api_version", "kind", "foreign"),
    [
        ("apps/v1", "Deployment", True),
        ("apps/v1beta1", "Deployment", True),
        ("v1", "ConfigMap", False),
        ("v1", "ServiceAccount", True),
        ("autoscaling/v2", "HorizontalPodAutoscaler", True),
        ("monitoring.coreos.com/v1", "ServiceMonitor", True),
        ("v1", "Deployment", False),
        ("example.com/v1", "ConfigMap", False),
        ("v1", "Pod", False),
    ],
)
def test_kinds_that_we_leave_alone(api_version: str, kind: str, foreign: bool) -> None:
    """The group counts, the version does not."""
    assert is_foreign(api_version, kind) is foreign


def test_the_versions_of_a_kind_in_its_group() -> None:
    """Another group is another kind."""
    assert versions("gateway.networking.k8s.io/v9", "Gateway") == (
        "gateway.networking.k8s.io/v1",
        "gateway.networking.k8s.io/v1beta1",
    )
    assert versions("v2", "Pod") == ("v1",)
    assert versions("v1", "Gateway") == ()
    assert versions("example.com/v1", "Pod") == ()


@pytest.mark.parametrize(
    ("api_version", "kind", "hint"),
    [
        ("gateway.networking.k8s.oi/v1", "HTTPRoute", "did you mean apiVersion: gateway.networking.k8s.io/v1?"),
        ("v1", "Gateway", "did you mean apiVersion:"),
        ("gateway.networking.k8s.io/v1", "HttpRoute", "did you mean kind: HTTPRoute?"),
        ("v1", "Endpoints", "EndpointSlices"),
        ("example.com/v1", "Whatever", ""),
    ],
)
def test_hints_for_what_we_do_not_know(api_version: str, kind: str, hint: str) -> None:
    """A typing error is met with what was meant."""
    found = suggestion(api_version, kind)
    assert found.startswith(hint) if hint.startswith("did") else hint in found
    assert bool(found) == bool(hint)
