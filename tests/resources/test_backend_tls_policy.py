"""BackendTLSPolicy: the rules of its CRD."""

from __future__ import annotations

from typing import Any

import pytest

from mirrorgate.testing.manifests import as_yaml, backend_tls_policy

REFS = [{"group": "", "kind": "ConfigMap", "name": "ca"}]


def told(load_text: Any, validation: dict[str, Any]) -> str:
    document = backend_tls_policy("p", "model.test")
    document["spec"]["validation"] = validation
    return "\n".join(map(str, load_text(as_yaml([document])).problems))


@pytest.mark.parametrize(
    ("validation", "says"),
    [
        ({"hostname": "a.test", "caCertificateRefs": REFS}, ""),
        ({"hostname": "a.test", "wellKnownCACertificates": "System"}, ""),
        ({"hostname": "a.test"}, "must specify either"),
        (
            {"hostname": "a.test", "caCertificateRefs": REFS, "wellKnownCACertificates": "System"},
            "must not contain both",
        ),
        ({"caCertificateRefs": REFS}, "hostname"),
        ({"hostname": "*.test", "caCertificateRefs": REFS}, "hostname"),
        (
            {"hostname": "a.test", "caCertificateRefs": REFS, "subjectAltNames": [{"type": "URI", "hostname": "a"}]},
            "if, and only if",
        ),
    ],
)
def test_rules(load_text: Any, validation: dict[str, Any], says: str) -> None:
    """One source of authorities, a hostname without wildcards, alternative names of the type that they say."""
    found = told(load_text, validation)
    assert says in found
    assert bool(found) == bool(says)


def test_the_same_target_twice(load_text: Any) -> None:
    """A target is named once."""
    document = backend_tls_policy("p", "model.test", "ca")
    document["spec"]["targetRefs"] *= 2
    assert "is the same as another one" in "\n".join(map(str, load_text(as_yaml([document])).problems))
