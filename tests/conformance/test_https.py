"""HTTPS listeners over a real gateway, after the Gateway API's conformance tests: names, certificates, redirects."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from mirrorgate.testing.certificates import Authority
from mirrorgate.testing.clients import Answer, Client
from mirrorgate.testing.conformance import Conformance, conditions
from mirrorgate.testing.manifests import Object

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

API, ADDRESS = "gateway.networking.k8s.io/v1", "127.0.1.41"
AWAY = {
    "type": "RequestRedirect",
    "requestRedirect": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/there"}},
}


def listener(name: str, hostname: str) -> Object:
    """Return a listener on port 443 with the Secret of its name."""
    tls = {"certificateRefs": [{"name": name}]}
    return {"name": name, "port": 443, "protocol": "HTTPS", "hostname": hostname, "tls": tls}


def route(name: str, section: str, rule: Object, *hosts: str) -> Object:
    parents = [{"name": "https", "sectionName": section}]
    spec = {"parentRefs": parents, "hostnames": list(hosts), "rules": [rule]}
    return {"apiVersion": API, "kind": "HTTPRoute", "metadata": {"name": name, "namespace": "infra"}, "spec": spec}


def to(service: str) -> dict[str, Any]:
    return {"backendRefs": [{"name": service, "port": 8080}]}


@dataclass(frozen=True, slots=True)
class Secure:
    conformance: Conformance
    trust: ssl.SSLContext

    async def ask(self, server_name: str, host: str, path: str = "/") -> Answer:
        """Ask over a connection that names one server in its handshake and another one in its Host."""
        port = 443 + self.conformance.offset
        async with await Client.connect(port, ADDRESS, tls=self.trust, server_name=server_name) as client:
            return await client.request("GET", path, [("host", host)])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def secure(conformance: Conformance) -> AsyncIterator[Secure]:
    """Have a Gateway with HTTPS listeners on one port: three with certificates of their own, and one without."""
    authority = Authority()
    spec = {
        "gatewayClassName": "mirrorgate",
        "addresses": [{"type": "IPAddress", "value": ADDRESS}],
        "listeners": [
            listener("one", "example.org"),
            listener("second", "second-example.org"),
            listener("wild", "*.wildcard.org"),
            listener("absent", "absent.org"),
        ],
    }
    objects: list[Object] = [
        {"apiVersion": API, "kind": "Gateway", "metadata": {"name": "https", "namespace": "infra"}, "spec": spec},
        authority.secret("one", "example.org", namespace="infra"),
        authority.secret("second", "second-example.org", namespace="infra"),
        authority.secret("wild", "*.wildcard.org", namespace="infra"),
        route("https-one", "one", to("v1")),
        route("https-second", "second", to("v2")),
        route("https-wild", "wild", to("v3"), "a.wildcard.org"),
        route("https-away", "one", {"filters": [AWAY], "matches": [{"path": {"value": "/away"}}]}),
    ]
    async with conformance.changed("https.yaml", objects):
        yield Secure(conformance, authority.client())


@pytest.mark.parametrize(
    ("host", "service"), [("example.org", "v1"), ("second-example.org", "v2"), ("a.wildcard.org", "v3")]
)
async def test_names_and_certificates(secure: Secure, host: str, service: str) -> None:
    """httproute-https-listener: each name has its certificate and its routes."""
    answer = await secure.ask(host, host)
    assert (answer.status, answer.json()["service"]) == (200, service)
    assert answer.json()["headers"]["x-forwarded-proto"] == ["https"]


@pytest.mark.parametrize(
    ("server_name", "host", "status"),
    [
        ("example.org", "second-example.org", 421),
        ("example.org", "a.wildcard.org", 421),
        ("a.wildcard.org", "example.org", 421),
        ("a.wildcard.org", "b.wildcard.org", 404),
        ("example.org", "unknown.org", 404),
    ],
)
async def test_misdirected_requests(secure: Secure, server_name: str, host: str, status: int) -> None:
    """httproute-https-listener-detect-misdirected-requests: another listener's Host is none of this connection's."""
    assert (await secure.ask(server_name, host)).status == status


async def test_a_redirect_stays_on_https(secure: Secure) -> None:
    """httproute-redirect-port-and-scheme: scheme and logical port are the listener's, and 443 is not named."""
    answer = await secure.ask("example.org", "example.org", "/away")
    assert (answer.status, answer.head.header("location")) == (302, "https://example.org/there")


async def test_a_listener_without_its_certificate(secure: Secure) -> None:
    """gateway-invalid-tls-configuration: it is not programmed and says why; the others are served."""
    found = conditions(await secure.conformance.listener("https", "absent"))
    assert found["ResolvedRefs"] == ("False", "InvalidCertificateRef")
    assert found["Programmed"][0] == "False"
    assert conditions(await secure.conformance.listener("https", "one"))["Programmed"] == ("True", "Programmed")
    with pytest.raises(ssl.SSLError):
        await secure.ask("absent.org", "absent.org")
