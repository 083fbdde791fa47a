"""Who may see what on the admin port."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.proxy.admin.access import Access, host_name

LOCAL = {"host": "localhost:9901"}


def _status(access: Access, peer: str, headers: dict[str, str]) -> int:
    denial = access.may_read(peer, headers)
    return 200 if denial is None else denial.status


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("127.0.0.1", {"host": "localhost:9901"}, 200),
        ("127.0.0.1", {"host": "127.0.0.1"}, 200),
        ("127.9.9.9", {"host": "LOCALHOST."}, 200),
        ("::1", {"host": "[::1]:9901"}, 200),
        ("::ffff:127.0.0.1", {"host": "localhost"}, 200),
        ("127.0.0.1", {"host": "gateway.internal:9901"}, 200),
        ("10.0.0.5", {"host": "localhost"}, 401),
        ("::ffff:10.0.0.5", {"host": "localhost"}, 401),
        ("fe80::1%eth0", {"host": "localhost"}, 401),
        ("", {"host": "localhost"}, 401),
        ("not an address", {"host": "localhost"}, 401),
        ("127.0.0.1", {}, 403),
        ("127.0.0.1", {"host": ""}, 403),
        ("127.0.0.1", {"host": "evil.example"}, 403),
        ("127.0.0.1", {"host": "localhost.evil.example"}, 403),
        ("127.0.0.1", {"host": "localhost,evil.example"}, 403),
        ("127.0.0.1", {"host": "localhost:evil"}, 403),
        ("127.0.0.1", {"host": "[::1]evil"}, 403),
        ("127.0.0.1", {"host": "0.0.0.0"}, 403),
        ("127.0.0.1", LOCAL | {"x-forwarded-for": "10.0.0.5"}, 401),
        ("127.0.0.1", LOCAL | {"forwarded": "for=10.0.0.5"}, 401),
        ("127.0.0.1", LOCAL | {"sec-fetch-site": "same-origin"}, 200),
        ("127.0.0.1", LOCAL | {"sec-fetch-site": "none"}, 200),
        ("127.0.0.1", LOCAL | {"sec-fetch-site": "cross-site"}, 403),
        ("127.0.0.1", LOCAL | {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, 403),
        (
            "127.0.0.1",
            LOCAL | {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
            200,
        ),
        (
            "127.0.0.1",
            LOCAL | {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
            403,
        ),
    ],
)
def test_reading_without_a_token(peer: str, headers: dict[str, str], status: int) -> None:
    """Only a program or browser of this machine, on its own account, under a name of this machine."""
    assert _status(Access("", "gateway.internal"), peer, headers) == status
    assert _status(Access("secret", "gateway.internal"), peer, headers) == status


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer secret", 200),
        ("bearer  secret ", 200),
        ("Bearer secre", 401),
        ("Bearer secret2", 401),
        ("Bearer ", 401),
        ("Basic secret", 401),
        ("Basic YW55Ym9keTpzZWNyZXQ=", 200),  # anybody:secret
        ("basic OnNlY3JldA==", 200),  # :secret
        ("Basic c2VjcmV0", 401),  # secret
        ("Basic c2VjcmV0Og==", 401),  # secret:
        ("Basic YW55Ym9keTpzZWNyZXQ", 401),  # cut
        ("Basic \udce9", 401),
        ("secret", 401),
        ("Bearer sécret\udce9", 401),
    ],
)
def test_reading_with_a_token(authorization: str, status: int) -> None:
    """The token opens from anywhere; a wrong one opens nothing, not even from here."""
    access = Access("secret", "0.0.0.0")
    assert _status(access, "10.0.0.5", {"host": "evil.example", "authorization": authorization}) == status
    assert _status(access, "127.0.0.1", LOCAL | {"authorization": authorization}) == status


def test_without_a_token_none_is_right() -> None:
    """An empty token is not one that an empty header matches."""
    access = Access("", "127.0.0.1")
    for authorization in ("Bearer ", "Bearer", "Bearer x"):
        assert _status(access, "10.0.0.5", {"host": "localhost", "authorization": authorization}) == 401
        assert access.may_change({"host": "localhost", "authorization": authorization}) is not None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": "Bearer secret"}, 200),
        ({"authorization": "Bearer secret", "origin": "http://localhost:9901"}, 200),
        ({"authorization": "Bearer secret", "origin": "HTTPS://Localhost:9901"}, 200),
        ({"authorization": "Bearer secret", "origin": "http://localhost:8081"}, 403),
        ({"authorization": "Bearer secret", "origin": "http://evil.example"}, 403),
        ({"authorization": "Bearer secret", "origin": "null"}, 403),
        ({"authorization": "Bearer secret", "origin": ""}, 403),
        ({"authorization": "Bearer secret", "origin": "file://"}, 403),
        ({"authorization": "Bearer wrong"}, 401),
        ({}, 401),
    ],
)
def test_changing(headers: dict[str, str], status: int) -> None:
    """Every change needs the token, from this machine too, and no other origin."""
    denial = Access("secret", "127.0.0.1").may_change(LOCAL | headers)
    assert (200 if denial is None else denial.status) == status


def test_changes_are_off_without_a_token() -> None:
    """Not 401: no token would help."""
    denial = Access("", "127.0.0.1").may_change(LOCAL)
    assert denial is not None
    assert denial.status == 403


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("a", "a"),
        ("A.:80", "a"),
        ("[::1]", "::1"),
        ("[::1]:80", "::1"),
        ("[::1", ""),
        ("a:", ""),
        ("::1", ""),
        ("", ""),
    ],
)
def test_names_of_hosts(host: str, name: str) -> None:
    """Without port, brackets, final dot, in lower case; malformed ones are no name."""
    assert host_name(host) == name


@given(st.text(), st.dictionaries(st.sampled_from(["host", "origin", "authorization", "sec-fetch-site"]), st.text()))
def test_no_header_raises(peer: str, headers: dict[str, str]) -> None:
    """Whatever is sent, there is a decision."""
    access = Access("secret", "127.0.0.1")
    access.may_read(peer, headers)
    access.may_change(headers)
