"""What a policy's load balancer reads of a request: the key that it is hashed by, and the endpoint that it names.

Envoy Gateway, `BackendTrafficPolicy.spec.loadBalancer`. What is absent hashes to nothing, and the pick is by lot, as in
Envoy; a cookie with a `ttl` is then made and given to the client.
"""

from __future__ import annotations

import random
from dataclasses import replace
from urllib.parse import parse_qsl

import msgspec

from .plans import RequestFacts
from .resources.traffic_balancing import ConsistentHash, EndpointOverride, HashCookie, LoadBalancer
from .routing.table import Destination, DestinationKind, HeaderChanges, RouteTable
from .scheduling.maglev import hash_of, table_of
from .scheduling.picks import Affinity, PickRequest

__all__ = ["prepare", "resteered", "steered", "with_cookie"]


def prepare(table: RouteTable) -> None:
    """Fill the tables that requests will look up: it takes too long while one of them waits."""
    for rule in {match.rule.cluster: match.rule for listener in table.listeners for match in listener.matches}.values():
        balancer = rule.traffic.balancer
        if balancer is not None and balancer.consistent_hash is not None and balancer.type == "ConsistentHash":
            for backend in rule.backends:
                if backend.destination is not None and backend.destination.kind is not DestinationKind.INFERENCE_POOL:
                    table_of(_keys(backend.destination), balancer.consistent_hash.table_size)


def steered(
    asked: PickRequest, balancer: LoadBalancer | None, destination: Destination, facts: RequestFacts, rng: random.Random
) -> tuple[PickRequest, HeaderChanges | None]:
    """Add to what a pick may know, and say what the answer's head gets by it, `None` for nothing."""
    changes = None
    if balancer is None:
        return asked, changes
    if balancer.endpoint_override is not None:
        asked = msgspec.structs.replace(asked, named=_named(balancer.endpoint_override, facts))
    declared = balancer.consistent_hash
    if balancer.type != "ConsistentHash" or declared is None or destination.kind is DestinationKind.INFERENCE_POOL:
        return asked, changes
    parts = _parts(declared, facts)
    if not parts and declared.type == "Cookie" and declared.cookie is not None and declared.cookie.ttl is not None:
        value = f"{rng.getrandbits(128):032x}"
        changes = HeaderChanges(add=(("set-cookie", _set_cookie(declared.cookie, declared.cookie.ttl, value)),))
        parts = [value.encode()]
    if parts:
        table = table_of(_keys(destination), declared.table_size)
        asked = msgspec.structs.replace(asked, affinity=Affinity(hash_of(parts), table))
    return asked, changes


def resteered(asked: PickRequest, balancer: LoadBalancer | None, destination: Destination) -> PickRequest:
    """Lead the key that a request has already to the endpoints of another destination."""
    affinity = asked.affinity
    if affinity is None:
        return asked
    declared = None if balancer is None else balancer.consistent_hash
    if declared is None or destination.kind is DestinationKind.INFERENCE_POOL:
        return msgspec.structs.replace(asked, affinity=None)
    return msgspec.structs.replace(
        asked, affinity=replace(affinity, table=table_of(_keys(destination), declared.table_size))
    )


def with_cookie(changes: tuple[HeaderChanges, ...], cookie: HeaderChanges | None) -> tuple[HeaderChanges, ...]:
    """Return an answer's changes with the cookie of a session that begins."""
    return changes if cookie is None else (*changes, cookie)


def _keys(destination: Destination) -> tuple[str, ...]:
    """Name a destination's endpoints as picks do."""
    return tuple(map(str, destination.endpoints))


def _named(override: EndpointOverride, facts: RequestFacts) -> tuple[str, ...]:
    """Return the endpoints of the first header that there is, in its order."""
    for source in override.extract_from:
        value = None if source.header is None else facts.header(source.header.lower().encode())
        if value:
            return tuple(part.strip() for part in value.decode("latin-1").split(","))
    return ()


def _parts(declared: ConsistentHash, facts: RequestFacts) -> list[bytes]:
    """Return what is hashed; empty where the request has nothing of it."""
    match declared.type:
        case "SourceIP":
            return [facts.client.encode()]
        case "Header" | "Headers":
            names = [] if declared.header is None else [declared.header.name]
            names = names if declared.type == "Header" else [header.name for header in declared.headers]
            return [value for name in names if (value := facts.header(name.lower().encode())) is not None]
        case "QueryParams":
            query = facts.path.partition(b"?")[2].decode("latin-1")
            given = dict(reversed(parse_qsl(query, keep_blank_values=True, encoding="latin-1")))
            wanted = [parameter.name for parameter in declared.query_params]
            return [given[name].encode("latin-1") for name in wanted if name in given]
        case "Cookie":
            value = None if declared.cookie is None else _cookie(declared.cookie.name, facts)
            return [] if not value else [value]


def _cookie(name: str, facts: RequestFacts) -> bytes | None:
    """Return the value of a cookie (RFC 6265, 5.4), `None` without one."""
    wanted = name.encode()
    for key, value in facts.fields:
        if key.lower() == b"cookie":
            for pair in value.split(b";"):
                found, _, content = pair.strip().partition(b"=")
                if found == wanted:
                    return content.strip(b'"')
    return None


def _set_cookie(cookie: HashCookie, ttl: float, value: str) -> str:
    """Write Set-Cookie; a ttl of 0 lasts for the client's session, and the path is the whole site unless declared."""
    attributes = [f"Max-Age={ttl:.0f}"] if ttl else []
    if not any(name.lower() == "path" for name in cookie.attributes):
        attributes.append("Path=/")
    attributes += [f"{name}={text}" if text else name for name, text in cookie.attributes.items()]
    return "; ".join([f'{cookie.name}="{value}"', *attributes, "HttpOnly"])
