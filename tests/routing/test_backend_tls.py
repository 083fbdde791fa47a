"""TLS towards servers: which policy applies, what cannot be had, and what the statuses say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mirrorgate.resources.server_tls import ServerTls
from mirrorgate.routing.backend_tls import INVALID, TlsPolicies
from mirrorgate.routing.compiling import Compiled
from mirrorgate.routing.conditions import Finding
from mirrorgate.routing.table import DestinationKind
from mirrorgate.testing.certificates import Authority
from mirrorgate.testing.manifests import Object, as_yaml, backend, backend_tls_policy, gateway, http_route, reference

AUTHORITY = Authority()
SERVICE: Object = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "model"},
    "spec": {"selector": {"app": "m"}, "ports": [{"name": "https", "port": 443}, {"name": "other", "port": 8443}]},
}


@pytest.fixture
def tls(inventory: Any) -> Callable[..., TlsPolicies]:
    """Return a function from objects to what is declared of TLS, beside a Service and an authority."""
    return lambda *objects: TlsPolicies(inventory(as_yaml([AUTHORITY.config_map("ca"), SERVICE, *objects])))


def of_service(policies: TlsPolicies, *names: str) -> ServerTls | Finding | None:
    return policies.of(DestinationKind.SERVICE, "default", "model", names)


def for_service(name: str, hostname: str, *authorities: str, section: str = "", **more: Any) -> Object:
    policy = backend_tls_policy(name, hostname, *authorities, kind="Service", target="model", **more)
    if section:
        policy["spec"]["targetRefs"][0]["sectionName"] = section
    return policy


def test_a_port_wins_over_its_service(tls: Any) -> None:
    """And a port without a policy has the Service's."""
    found = tls(for_service("whole", "a.test", "ca"), for_service("port", "b.test", "ca", section="https"))
    assert of_service(found, "https").server_name == "b.test"
    assert of_service(found, "other").server_name == "a.test"


def test_nothing_declared_is_clear_text(tls: Any) -> None:
    """Neither a policy nor a Backend's own settings."""
    assert of_service(tls(), "https") is None


@pytest.mark.parametrize(
    ("policy", "accepted", "resolved"),
    [
        (for_service("p", "a.test", "ca"), "Accepted", "ResolvedRefs"),
        (for_service("p", "a.test", "ca", "nobody"), "Accepted", "InvalidCACertificateRef"),
        (for_service("p", "a.test", "nobody"), "NoValidCACertificate", "InvalidCACertificateRef"),
        (
            for_service("p", "a.test", caCertificateRefs=[{"group": "", "kind": "Pod", "name": "ca"}]),
            "NoValidCACertificate",
            "InvalidKind",
        ),
        (for_service("p", "a.test", wellKnownCACertificates="acme.example/all"), "Invalid", "ResolvedRefs"),
        (for_service("p", "a.test", wellKnownCACertificates="System"), "Accepted", "ResolvedRefs"),
        (for_service("p", "a.test", "ca", section="nothing"), "TargetNotFound", "ResolvedRefs"),
    ],
)
def test_conditions(tls: Any, policy: Object, accepted: str, resolved: str) -> None:
    """In the Gateway API's words; what has no authorities is not spoken to at all."""
    policies = tls(policy)
    [entry] = policies.statuses("any/controller", every=True)["BackendTLSPolicy", "default", "p"]["ancestors"]
    assert [condition["reason"] for condition in entry["conditions"]] == [accepted, resolved]
    found = of_service(policies)
    if accepted in ("Invalid", "NoValidCACertificate"):
        assert isinstance(found, Finding)
        assert found.reason == INVALID
    assert bool(policies.problems(every=True)) == ((accepted, resolved) != ("Accepted", "ResolvedRefs"))


def test_the_oldest_wins(tls: Any) -> None:
    """The other one is `Conflicted`, and its status is told to the same Gateways."""
    young, old = for_service("a", "young.test", "ca"), for_service("b", "old.test", "ca")
    young["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"
    old["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    policies = tls(young, old)
    assert of_service(policies).server_name == "old.test"
    policies.note(DestinationKind.SERVICE, "default", "model", ("default", "gateway"))
    statuses = policies.statuses("any/controller", every=False)
    [entry] = statuses["BackendTLSPolicy", "default", "a"]["ancestors"]
    assert entry["ancestorRef"]["kind"] == "Gateway"
    assert entry["conditions"][0]["reason"] == "Conflicted"


def test_a_secret_and_alternative_names(tls: Any) -> None:
    """Authorities from a Secret; names and URIs stand instead of the hostname."""
    secret = AUTHORITY.secret("s", "a.test")
    secret["stringData"] = {"ca.crt": AUTHORITY.certificate.decode()}
    sans = [{"type": "Hostname", "hostname": "b.test"}, {"type": "URI", "uri": "spiffe://a/b"}]
    refs = [{"group": "", "kind": "Secret", "name": "s"}]
    found = of_service(tls(secret, for_service("p", "a.test", caCertificateRefs=refs, subjectAltNames=sans)))
    assert isinstance(found, ServerTls)
    assert (found.server_name, found.names, found.uris) == ("a.test", ("b.test",), ("spiffe://a/b",))
    assert found.authorities.count("BEGIN CERTIFICATE") == 1


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({"insecureSkipVerify": True}, ServerTls(verify=False, source="Backend default/b")),
        ({"wellKnownCACertificates": "System", "sni": "a.test"}, ServerTls("a.test", source="Backend default/b")),
        (
            {"wellKnownCACertificates": "System", "minVersion": "1.3"},
            ServerTls(minimum="1.3", source="Backend default/b"),
        ),
        ({"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "nobody"}]}, None),
        ({"wellKnownCACertificates": "System", "minVersion": "1.3", "maxVersion": "1.2"}, None),
    ],
)
def test_a_backends_own_settings(tls: Any, declared: Object, expected: ServerTls | None) -> None:
    """Where no policy applies; what cannot be had is a finding."""
    own = backend("b", 443)
    own["spec"]["tls"] = declared
    found = tls(own).of(DestinationKind.BACKEND, "default", "b")
    assert (found if isinstance(found, ServerTls) else None) == expected
    assert found is not None
    policed = tls(own, backend_tls_policy("b", "policy.test", "ca")).of(DestinationKind.BACKEND, "default", "b")
    assert policed.server_name == "policy.test"


def test_a_route_to_what_cannot_be_had(compiled: Callable[[str], Compiled]) -> None:
    """Its share is answered 500, and its `ResolvedRefs` says why."""
    objects = [
        *gateway(80),
        backend("b", 443),
        http_route("r", reference("b")),
        backend_tls_policy("b", "a.test", "no"),
    ]
    result = compiled(as_yaml(objects))
    [match] = result.table.listeners[0].matches
    assert match.rule.backends[0].destination is None
    assert match.rule.backends[0].invalid == INVALID
    assert INVALID in str(result.statuses["HTTPRoute", "default", "r"])
