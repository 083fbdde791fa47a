"""Certificates of listeners: what a reference may lead to, and which certificate a client is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from mirrorgate.resources.certificate import ServerCertificate
from mirrorgate.resources.inventory import Inventory
from mirrorgate.routing.certificates import certificates_for
from mirrorgate.routing.gateways import read_gateways
from mirrorgate.routing.listeners import ListenerState
from mirrorgate.routing.references import References
from mirrorgate.testing.certificates import Authority
from mirrorgate.testing.manifests import Object, as_yaml, https_gateway

Load = Callable[[str], Inventory]

GRANT = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "ReferenceGrant",
    "metadata": {"name": "grant", "namespace": "granted"},
    "spec": {
        "from": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "default"}],
        "to": [{"group": "", "kind": "Secret", "name": "whole"}],
    },
}


@pytest.fixture(scope="module")
def secrets() -> list[Object]:
    """Good and bad Secrets: whole (also in another namespace), half, malformed, and with another's key."""
    authority = Authority()
    whole = authority.secret("whole", "one.test")
    half = authority.secret("half", "one.test")
    del half["data"]["tls.key"]
    malformed = authority.secret("malformed", "one.test")
    malformed["data"]["tls.crt"] = "SGVsbG8="
    mixed = authority.secret("mixed", "one.test")
    mixed["data"]["tls.key"] = whole["data"]["tls.key"]
    return [whole, half, malformed, mixed, authority.secret("whole", "one.test", namespace="granted")]


def read(inventory: Load, secrets: Sequence[Object], refs: list[Object]) -> tuple[ListenerState, list[str]]:
    documents = https_gateway(443, {"": []})
    documents[1]["spec"]["listeners"][0]["tls"] = {"certificateRefs": refs}
    loaded = inventory(as_yaml([*documents, *secrets, GRANT]))
    states, problems = read_gateways(loaded, References(loaded), "any/controller", True)
    [listener] = states[0].listeners
    return listener, [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("refs", "reason", "says", "served"),
    [
        ([{"name": "whole"}], None, "", True),
        ([{"name": "whole"}, {"name": "nobody"}], "InvalidCertificateRef", "does not exist", True),
        ([{"name": "half"}], "InvalidCertificateRef", "has no tls.crt and tls.key", False),
        ([{"name": "malformed"}], "InvalidCertificateRef", "holds no certificate in PEM", False),
        ([{"name": "mixed"}], "InvalidCertificateRef", "is not the key of", False),
        ([{"kind": "ConfigMap", "name": "whole"}], "InvalidCertificateRef", "not from a ConfigMap", False),
        ([{"name": "whole", "namespace": "granted"}], None, "", True),
        ([{"name": "other", "namespace": "granted"}], "RefNotPermitted", "no ReferenceGrant", False),
    ],
)
def test_references(
    inventory: Load, secrets: Sequence[Object], refs: list[Object], reason: str | None, says: str, served: bool
) -> None:
    """A certificate is a whole Secret that the Gateway may refer to; with one good one the listener is served."""
    listener, problems = read(inventory, secrets, refs)
    assert (listener.unresolved.reason if listener.unresolved else None) == reason
    assert says in (listener.unresolved.message if listener.unresolved else "")
    assert any(says in problem for problem in problems) or reason is None
    assert listener.is_served == served


@pytest.mark.parametrize("refs", [[{"name": "mixed"}], [{"name": "whole"}]])
def test_keys_are_never_shown(inventory: Load, secrets: Sequence[Object], refs: list[Object]) -> None:
    """Neither a problem nor a status nor a printed certificate has any of the key."""
    listener, problems = read(inventory, secrets, refs)
    shown = f"{problems} {listener.status(1, None)} {listener.certificates}"
    assert "PRIVATE" not in shown
    assert "BEGIN" not in shown


def certificate(source: str, *names: str, algorithm: str = "EC") -> ServerCertificate:
    return ServerCertificate(source, algorithm, names, source, b"", b"")


@pytest.mark.parametrize(
    ("host", "chosen"),
    [
        ("a.test", ["exact"]),
        ("b.test", ["wild", "wild-rsa"]),
        ("deep.b.test", ["wild"]),
        ("", ["wild"]),
    ],
)
def test_choice(host: str, chosen: list[str]) -> None:
    """Exact names come before wildcards, which stand for one label; one certificate for each kind of key."""
    certificates = [
        certificate("wild", "*.test"),
        certificate("wild-rsa", "*.test", algorithm="RSA"),
        certificate("second", "*.test"),
        certificate("exact", "a.test"),
    ]
    found = [each.source for each in certificates_for(certificates, host)]
    assert found[: len(chosen)] == chosen
