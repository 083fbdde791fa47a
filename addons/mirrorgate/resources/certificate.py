"""A server's certificate and its private key: PEM texts, read and checked once."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

__all__ = ["ServerCertificate", "read_authorities", "read_certificate"]

_LEAST_RSA = 2048
"""Bits; OpenSSL's default security level takes no fewer."""

_PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A certificate that a listener may show. Neither the chain nor the key is ever printed."""

    source: str
    """`namespace/name` of the Secret."""
    algorithm: str
    """Of the key: a client that knows several gets the listener's certificate of the one it prefers."""
    names: tuple[str, ...]
    """DNS names and IP addresses of the subject's alternative names, lower case."""
    fingerprint: str
    """SHA-256 of the chain and the public key: equal for what is the same to a client."""
    chain: bytes = field(repr=False)
    """PEM, the server's certificate first."""
    key: bytes = field(repr=False)
    """PEM, not encrypted."""

    def fits(self, host: str) -> int:
        """Tell how well the certificate fits a host in lower case: 2 by name, 1 by a wildcard, 0 not at all.

        A wildcard stands for exactly one label (RFC 6125, 6.4.3), other than in a listener's hostname.
        """
        if host in self.names:
            return 2
        _, dot, parent = host.partition(".")
        return 1 if dot and f"*.{parent}" in self.names else 0


def read_certificate(source: str, chain: bytes, key: bytes) -> ServerCertificate | str:
    """Read `tls.crt` and `tls.key` of a Secret. What is wrong with them is told as text, which never quotes them."""
    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except ValueError:
        return "tls.crt holds no certificate in PEM"
    private = _private_key(key)
    if isinstance(private, str):
        return private
    leaf = certificates[0]
    try:
        public = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        names = _names(leaf)
    except (ValueError, UnsupportedAlgorithm):
        return "tls.crt holds a certificate that cannot be read"
    if public != private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
        return "tls.key is not the key of the first certificate in tls.crt"
    digest = hashes.Hash(hashes.SHA256())
    for certificate in certificates:
        digest.update(certificate.public_bytes(Encoding.DER))
    return ServerCertificate(
        source,
        type(private).__name__.removesuffix("PrivateKey"),
        names,
        digest.finalize().hex(),
        b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates),
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def read_authorities(text: bytes) -> str | None:
    """Read the certificates of authorities in PEM, and return them rewritten; `None` when there are none."""
    try:
        certificates = x509.load_pem_x509_certificates(text)
        return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates) or None
    except ValueError:
        return None


def _private_key(key: bytes) -> _PrivateKey | str:
    try:
        private = load_pem_private_key(key, None)
    except TypeError:
        return "tls.key is encrypted; a listener needs it without a password"
    except (ValueError, UnsupportedAlgorithm):
        return "tls.key holds no private key in PEM"
    if not isinstance(private, _PrivateKey):
        return "tls.key is of a kind that servers do not use; use RSA, ECDSA or EdDSA"
    if isinstance(private, RSAPrivateKey) and private.key_size < _LEAST_RSA:
        return f"tls.key is an RSA key of {private.key_size} bits; {_LEAST_RSA} are the least"
    return private


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    hosts = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    return (*hosts, *map(str, names.get_values_for_type(x509.IPAddress)))
