"""A certificate authority for tests: Secrets for the gateway, contexts for the clients that trust it."""

from __future__ import annotations

import ssl
from base64 import b64encode

import trustme

from .manifests import Object

__all__ = ["Authority"]


class Authority:
    """Issues certificates that only its own clients trust."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    @property
    def certificate(self) -> bytes:
        """The authority's own certificate, in PEM."""
        return self._ca.cert_pem.bytes()

    def issue(self, *hosts: str, rsa: bool = False) -> tuple[bytes, bytes]:
        """Return a chain and its private key for these names, in PEM; ECDSA unless `rsa`."""
        kind = trustme.KeyType.RSA if rsa else trustme.KeyType.ECDSA
        leaf = self._ca.issue_cert(*hosts, key_type=kind)
        return b"".join(blob.bytes() for blob in leaf.cert_chain_pems), leaf.private_key_pem.bytes()

    def secret(self, name: str, *hosts: str, namespace: str = "default", rsa: bool = False) -> Object:
        """Return a Secret with a fresh certificate for these names."""
        chain, key = self.issue(*hosts, rsa=rsa)
        data = {"tls.crt": b64encode(chain).decode(), "tls.key": b64encode(key).decode()}
        metadata = {"name": name, "namespace": namespace}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "data": data}

    def server(self, *hosts: str, protocols: tuple[str, ...] = ()) -> ssl.SSLContext:
        """Return a context for a server with a fresh certificate for these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*hosts).configure_cert(context)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context

    def config_map(self, name: str) -> Object:
        """Return a ConfigMap with the authority's own certificate."""
        data = {"ca.crt": self.certificate.decode()}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}

    def client(self, *protocols: str) -> ssl.SSLContext:
        """Return a context for clients that trust the authority; `protocols` are offered by ALPN."""
        context = ssl.create_default_context()
        self._ca.configure_trust(context)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context
