"""Contexts of OpenSSL: certificates are loaded without a file of any name, and forgotten with their listener."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from mirrorgate.proxy.tls_contexts import Handshake, TlsContexts, load_certificate
from mirrorgate.resources.loading import Document, load
from mirrorgate.routing.compiling import compile
from mirrorgate.routing.matching import Router
from mirrorgate.testing.certificates import Authority
from mirrorgate.testing.manifests import as_yaml, https_gateway


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.mark.parametrize("memory", [True, False])
def test_no_file_is_left(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: bool) -> None:
    """Where there are files in memory they are used, elsewhere one without a name; nothing stays behind or open."""
    if not memory:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = len(os.listdir("/dev/fd"))
    load_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), *authority.issue("one.test"))
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/dev/fd")) == before


def shake_hands(contexts: TlsContexts, authority: Authority, name: str) -> tuple[Handshake, ssl.SSLObject]:
    """Carry a handshake between two pairs of buffers."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = contexts.handshake(up, down, 443, None)
    client = authority.client("h2", "http/1.1").wrap_bio(down, up, server_hostname=name)
    waiting: list[ssl.SSLObject] = [client, server]
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
    return server, client


def router(authority: Authority, name: str) -> Router:
    documents = [*https_gateway(443, {"": ["secret"]}), authority.secret("secret", name)]
    return Router(compile(load([Document("test.yaml", as_yaml(documents))]).inventory).table)


def test_context_is_made_once_and_forgotten(authority: Authority) -> None:
    """A context is kept for the next handshake, until no listener shows its certificate."""
    routers = [router(authority, "one.test")]
    contexts = TlsContexts(lambda: routers[-1], ("http/1.1",))
    first, client = shake_hands(contexts, authority, "one.test")
    second, _ = shake_hands(contexts, authority, "one.test")
    assert first.context is second.context
    assert first.server_name == "one.test"
    assert client.selected_alpn_protocol() == "http/1.1"
    routers.append(router(authority, "one.test"))
    contexts.forget(routers[-1])
    third, _ = shake_hands(contexts, authority, "one.test")
    assert third.context is not first.context
    assert len(contexts._kept) == 1
