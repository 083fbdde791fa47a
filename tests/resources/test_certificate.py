"""Certificates and keys in PEM: what is read of them, and how what is wrong is told."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.resources.certificate import ServerCertificate, read_certificate
from mirrorgate.testing.certificates import Authority


def pem(key: object, encryption: KeySerializationEncryption | None = None) -> bytes:
    data: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())  # type: ignore[attr-defined]
    return data


@pytest.fixture(scope="module")
def chain_and_key() -> tuple[bytes, bytes]:
    return Authority().issue("One.test", "*.two.test", "127.0.0.1")


def test_names_and_chain(chain_and_key: tuple[bytes, bytes]) -> None:
    """Names come in lower case, addresses too; text around the certificates is left out."""
    chain, key = chain_and_key
    found = read_certificate("default/one", b"subject=CN\n" + chain, key)
    assert isinstance(found, ServerCertificate)
    assert (found.source, found.algorithm) == ("default/one", "EC")
    assert set(found.names) == {"one.test", "*.two.test", "127.0.0.1"}
    assert found.chain.startswith(b"-----BEGIN CERTIFICATE-----")
    assert [found.fits(host) for host in ("one.test", "a.two.test", "b.a.two.test", "two.test", "")] == [2, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (b"", "no private key in PEM"),
        (b"secret words", "no private key in PEM"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "not the key of the first certificate"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "not the key of the first certificate"),
        (pem(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"word")), "is encrypted"),
        (pem(rsa.generate_private_key(65537, 1024)), "1024 bits"),
        (pem(dsa.generate_private_key(2048)), "of a kind that servers do not use"),
    ],
)
def test_keys_that_do_not_fit(chain_and_key: tuple[bytes, bytes], key: bytes, says: str) -> None:
    """What is wrong with a key is told, and nothing of it."""
    found = read_certificate("default/one", chain_and_key[0], key)
    assert isinstance(found, str)
    assert says in found
    assert "secret words" not in found


@given(st.binary(max_size=200))
def test_noise_is_no_certificate(noise: bytes) -> None:
    """Bytes that are no certificate are told as such, whatever they are."""
    chain, key = noise, b""
    assert isinstance(read_certificate("default/one", chain, key), str)
    wrapped = b"-----BEGIN CERTIFICATE-----\n" + noise + b"\n-----END CERTIFICATE-----\n"
    assert isinstance(read_certificate("default/one", wrapped, key), str)
