"""The certificates of HTTPS listeners: found, permitted, and fit to be shown.

Gateway API v1, `ListenerTLSConfig.certificateRefs`. A listener with at least one good certificate is served; every
reference that leads to none is told in its `ResolvedRefs`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..resources.certificate import ServerCertificate, read_certificate
from ..resources.gateway import Gateway
from ..resources.gateway import Listener as ListenerSpec
from ..resources.inventory import Inventory
from ..resources.reference import GATEWAY_GROUP, SecretObjectReference
from .conditions import Finding
from .notes import Notes
from .references import References

__all__ = ["certificates_for", "certificates_of"]


def certificates_of(
    inventory: Inventory, references: References, gateway: Gateway, spec: ListenerSpec, path: str, notes: Notes
) -> tuple[tuple[ServerCertificate, ...], Finding | None]:
    """Return the certificates of an HTTPS listener, and why `ResolvedRefs` is False. `path` is the listener's."""
    if spec.tls is None or not spec.tls.certificate_refs:
        return (), Finding("InvalidCertificateRef", "an HTTPS listener needs tls.certificateRefs")
    for option in spec.tls.options:
        notes.warn(f"{path}.tls.options", f"the option {option} is not known and changes nothing")
    certificates: list[ServerCertificate] = []
    unresolved: Finding | None = None
    for index, ref in enumerate(spec.tls.certificate_refs):
        found = _certificate(inventory, references, ref, gateway.metadata.namespace)
        if isinstance(found, ServerCertificate):
            certificates.append(found)
        else:
            unresolved = unresolved or found
            notes.warn(f"{path}.tls.certificateRefs[{index}]", found.message)
    return tuple(certificates), unresolved


def certificates_for(certificates: Sequence[ServerCertificate], host: str) -> tuple[ServerCertificate, ...]:
    """Choose what a client that asks for `host` (empty for none) may be shown: one certificate for each kind of key.

    Those with the name come before those with a wildcard, and where none fits, the first that were declared stand in.
    """
    ranked = sorted(certificates, key=lambda certificate: -certificate.fits(host))
    best = ranked[0].fits(host) if ranked else 0
    chosen: dict[str, ServerCertificate] = {}
    for certificate in ranked:
        if certificate.fits(host) == best:
            chosen.setdefault(certificate.algorithm, certificate)
    return tuple(chosen.values())


def _certificate(
    inventory: Inventory, references: References, ref: SecretObjectReference, namespace: str
) -> ServerCertificate | Finding:
    key = (ref.namespace or namespace, ref.name)
    title = f"{key[0]}/{key[1]}"
    if (ref.group, ref.kind) != ("", "Secret"):
        return Finding("InvalidCertificateRef", f"a certificate comes from a Secret, not from a {ref.kind}")
    if not references.permits((GATEWAY_GROUP, "Gateway", namespace), ("", "Secret", *key)):
        return Finding("RefNotPermitted", f"no ReferenceGrant permits the reference to Secret {title}")
    secret = inventory.secrets.get(key)
    if secret is None:
        return Finding("InvalidCertificateRef", f"Secret {title} does not exist")
    chain, private = secret.value("tls.crt"), secret.value("tls.key")
    if chain is None or private is None:
        return Finding("InvalidCertificateRef", f"Secret {title} has no tls.crt and tls.key")
    found = read_certificate(title, chain, private)
    return found if isinstance(found, ServerCertificate) else Finding("InvalidCertificateRef", f"{title}: {found}")
