"""Rate limits: which requests they apply to, and which requests share a bucket."""

from __future__ import annotations

import ipaddress

import pytest

from mirrorgate.routing.matching import Question
from mirrorgate.routing.rate_limits import (
    AddressSelector,
    Limit,
    MethodSelector,
    PathSelector,
    RateLimits,
    Selector,
    ValueSelector,
    applying,
)
from mirrorgate.routing.regexes import Regex

QUESTION = Question("POST", "/v1/chat?user=u%31&q=", [(b"X-User", b"ann"), (b"x-many", b"a"), (b"x-many", b"b")])
NETWORK = ipaddress.ip_network("10.0.0.0/8")


@pytest.mark.parametrize(
    ("selector", "key"),
    [
        (ValueSelector("x-user"), "ann"),
        (ValueSelector("x-many"), "a,b"),
        (ValueSelector("x-none"), None),
        (ValueSelector("x-user", value="ann"), ""),
        (ValueSelector("x-user", value="bob"), None),
        (ValueSelector("x-user", value="bob", invert=True), ""),
        (ValueSelector("x-none", value="bob", invert=True), ""),
        (ValueSelector("x-user", value="a.*", regex=Regex("a.*")), ""),
        (ValueSelector("x-user", value="a", regex=Regex("a")), None),
        (ValueSelector("user", query=True), "u1"),
        (ValueSelector("q", query=True), ""),
        (ValueSelector("user", query=True, value="u1"), ""),
        (ValueSelector("USER", query=True), None),
        (MethodSelector((("GET", False), ("POST", False))), ""),
        (MethodSelector((("GET", False),)), None),
        (MethodSelector((("GET", True),)), ""),
        (PathSelector("/v1/chat"), ""),
        (PathSelector("/v1"), None),
        (PathSelector("/v1", prefix=True), ""),
        (PathSelector("/v", prefix=True), None),
        (PathSelector("/v", prefix=True, invert=True), ""),
        (PathSelector("", regex=Regex("/v[0-9]/.*")), ""),
        (AddressSelector(NETWORK), ""),
        (AddressSelector(NETWORK, distinct=True), "10.1.2.3"),
        (AddressSelector(NETWORK, invert=True), None),
        (AddressSelector(ipaddress.ip_network("192.168.0.0/16"), invert=True), ""),
        (AddressSelector(ipaddress.ip_network("::/0")), None),
    ],
)
def test_selectors(selector: Selector, key: str | None) -> None:
    """`None` does not fit, empty fits, anything else tells buckets apart."""
    assert selector.key(QUESTION, "10.1.2.3") == key


@pytest.mark.parametrize("client", ["::ffff:10.1.2.3", "10.1.2.3"])
def test_an_ipv4_client_of_an_ipv6_socket(client: str) -> None:
    """It is in the networks of its IPv4 address."""
    assert AddressSelector(NETWORK, distinct=True).key(QUESTION, client) == "10.1.2.3"


def test_a_client_without_an_address() -> None:
    """It is in no network, and outside of none."""
    assert AddressSelector(NETWORK, invert=True).key(QUESTION, "unix") is None
    assert AddressSelector(ipaddress.ip_network("fe80::/10")).key(QUESTION, "fe80::1%eth0") == ""


def test_long_keys_are_kept_as_digests() -> None:
    """So that what clients send cannot fill the memory; two that differ at their ends only stay two."""
    limit = Limit(("limit", 1, 1.0), (ValueSelector("x-user"),))
    users = ["u" * 60_000 + end for end in "aab"]
    keys = [limit.key(Question("GET", "/", [(b"x-user", user.encode())]), "") for user in users]
    assert keys[0] == keys[1] != keys[2]
    assert all(key is not None and len(key[0]) == 128 for key in keys)


def test_the_default_is_for_what_no_rule_selects() -> None:
    """A request takes from each rule that selects it; from the default only where none does; always from `every`."""
    ann = Limit(("ann", 1, 1.0), (ValueSelector("x-user", value="ann"),))
    post = Limit(("post", 1, 1.0), (MethodSelector((("POST", False),)), ValueSelector("x-user")))
    default, every = Limit(("default", 1, 1.0)), Limit(("every", 1, 1.0))
    limits = RateLimits((ann, post), default, (every,))
    assert applying(limits, QUESTION, "10.1.2.3") == [(ann, ()), (post, ("ann",)), (every, ())]
    assert applying(limits, Question("GET", "/", []), "10.1.2.3") == [(default, ()), (every, ())]
    assert applying(RateLimits((ann,)), Question("GET", "/", []), "10.1.2.3") == []
