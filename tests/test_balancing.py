"""What a load balancer reads of a request."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mirrorgate.balancing import steered
from mirrorgate.plans import RequestFacts
from mirrorgate.resources.endpoints import Address
from mirrorgate.resources.traffic_balancing import LoadBalancer
from mirrorgate.routing.table import Destination, DestinationKind
from mirrorgate.scheduling.picks import PickRequest

ENDPOINTS = tuple(Address("10.0.0.1", port) for port in range(8000, 8010))
SERVICE = Destination(DestinationKind.BACKEND, "default", "b", None, ENDPOINTS)
POOL = Destination(DestinationKind.INFERENCE_POOL, "default", "p", None, ENDPOINTS)
USABLE = frozenset(map(str, ENDPOINTS))


def facts(path: str = "/", client: str = "1.2.3.4", **headers: str) -> RequestFacts:
    fields = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())
    return RequestFacts(80, b"GET", path.encode(), b"h", fields, "http", client)


def hashed(kind: str, **more: Any) -> LoadBalancer:
    return LoadBalancer.model_validate(
        {"type": "ConsistentHash", "consistentHash": {"type": kind, "tableSize": 1009, **more}}
    )


def target(balancer: LoadBalancer, request: RequestFacts) -> str | None:
    """Return where a request's key leads, `None` without a key."""
    asked, _ = steered(PickRequest(), balancer, SERVICE, request, random.Random(1))
    return None if asked.affinity is None else asked.affinity.table.endpoint(asked.affinity.key, USABLE)


@pytest.mark.parametrize(
    ("balancer", "same", "other", "without"),
    [
        (hashed("SourceIP"), [facts(), facts("/x", a="b")], [facts(client=f"9.9.9.{n}") for n in range(9)], None),
        (
            hashed("Header", header={"name": "X-User"}),
            [facts(x_user="a"), facts("/x", "9.9.9.9", x_user="a")],
            [facts(x_user=str(n)) for n in range(9)],
            facts(x_other="a"),
        ),
        (
            hashed("Headers", headers=[{"name": "x-user"}, {"name": "x-team"}]),
            [facts(x_user="a", x_team="b"), facts(x_team="b", x_user="a")],
            [facts(x_user="a", x_team=str(n)) for n in range(9)],
            facts(),
        ),
        (
            hashed("QueryParams", queryParams=[{"name": "user"}]),
            [facts("/?user=a&b=c"), facts("/x?b=d&user=a")],
            [facts(f"/?user={n}") for n in range(9)],
            facts("/?users=a"),
        ),
        (
            hashed("Cookie", cookie={"name": "sid"}),
            [facts(cookie="sid=a"), facts(cookie='x=y; sid="a"')],
            [facts(cookie=f"sid={n}") for n in range(9)],
            facts(cookie="xsid=a"),
        ),
    ],
)
def test_the_same_key_leads_to_the_same_endpoint(
    balancer: LoadBalancer, same: list[RequestFacts], other: list[RequestFacts], without: RequestFacts | None
) -> None:
    """Whatever else the request says; other keys lead elsewhere, too, and without a key nothing is led."""
    [led] = {target(balancer, request) for request in same}
    assert led in USABLE
    assert {target(balancer, request) for request in other} - {led}
    if without is not None:
        assert target(balancer, without) is None


def test_a_cookie_is_made_where_there_is_none() -> None:
    """With its attributes and a path of the whole site; the client that brings it back is led to the same endpoint."""
    balancer = hashed("Cookie", cookie={"name": "sid", "ttl": "1h", "attributes": {"SameSite": "Strict", "Secure": ""}})
    asked, changes = steered(PickRequest(), balancer, SERVICE, facts(), random.Random(1))
    [(name, text)] = changes.add
    value = text.partition('"')[2].partition('"')[0]
    assert name == "set-cookie"
    assert text == f'sid="{value}"; Max-Age=3600; Path=/; SameSite=Strict; Secure; HttpOnly'
    assert len(value) == 32
    again, unchanged = steered(PickRequest(), balancer, SERVICE, facts(cookie=f"sid={value}"), random.Random(2))
    assert asked.affinity is not None
    assert again.affinity is not None
    assert again.affinity.key == asked.affinity.key
    assert not unchanged


def test_a_named_endpoint_wins_and_a_pool_is_not_hashed() -> None:
    """The first header that there is, in its order; a pool has its own profile."""
    named = LoadBalancer.model_validate(
        {"type": "Random", "endpointOverride": {"extractFrom": [{"header": "x-one"}, {"header": "X-Two"}]}}
    )
    asked, _ = steered(PickRequest(), named, POOL, facts(x_two="10.0.0.1:8003, 10.0.0.1:8001"), random.Random(1))
    assert asked.named == ("10.0.0.1:8003", "10.0.0.1:8001")
    plain = PickRequest("m")
    assert steered(plain, named, POOL, facts(), random.Random(1)) == (plain, None)
    assert steered(plain, hashed("SourceIP"), POOL, facts(), random.Random(1))[0] is plain
    assert steered(plain, None, SERVICE, facts(), random.Random(1)) == (plain, None)
