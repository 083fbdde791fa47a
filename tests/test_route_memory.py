"""The memory of routes: what it knows is what matching would say, and nobody can fill it."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import msgspec
import pytest

from mirrorgate.director import Director
from mirrorgate.plans import Directed, RequestFacts
from mirrorgate.route_memory import _LONGEST, _MOST, RouteMemory
from mirrorgate.routing.table import Cors, HeaderMatch, Listener, Match, PathKind, PathMatch, RouteTable, Rule

RULE = Rule(("default", "r"), 0, None, "c")
MATCH = Match("", PathMatch(PathKind.PREFIX, "/"), None, (HeaderMatch("x-model", "a"),), (), RULE, 0)
TABLE = RouteTable((Listener(("default", "g"), "http", 80, "HTTP", "", (), (MATCH,)),))
FACTS = RequestFacts(80, b"GET", b"/a", b"host", ((b"X-Model", b"a"), (b"x-other", b"1")), "http", "192.0.2.1")
ANSWER = Directed(None, "listener", "route")


@pytest.mark.parametrize(
    "change",
    [
        {"port": 81},
        {"method": b"POST"},
        {"path": b"/b"},
        {"host": b"other"},
        {"scheme": "https"},
        {"local": "192.0.2.9"},
        {"server_name": "host"},
        {"fields": ((b"X-Model", b"b"),)},
        {"fields": ((b"X-Model", b"a"), (b"X-MODEL", b"a"))},
        {"fields": ()},
    ],
    ids=str,
)
def test_what_a_route_depends_on_is_told_apart(change: dict[str, Any]) -> None:
    """Each by itself."""
    memory = RouteMemory(TABLE)
    memory.keep(memory.key(FACTS), FACTS, ANSWER)
    assert memory.recall(memory.key(FACTS)) is ANSWER
    assert memory.recall(memory.key(msgspec.structs.replace(FACTS, **change))) is None


def test_where_a_rule_speaks_cors_the_origin_counts() -> None:
    """And elsewhere it does not."""
    rule = dataclasses.replace(RULE, cors=Cors())
    table = RouteTable(
        (Listener(("default", "g"), "http", 80, "HTTP", "", (), (dataclasses.replace(MATCH, rule=rule),)),)
    )
    other = msgspec.structs.replace(FACTS, fields=(*FACTS.fields, (b"Origin", b"https://a.example")))
    for memory, same in ((RouteMemory(TABLE), True), (RouteMemory(table), False)):
        assert (memory.key(other) == memory.key(FACTS)) is same
        assert (memory.visible(other) == memory.visible(FACTS)) is same


def test_what_is_not_remembered_by_cannot_be_seen() -> None:
    """So that no answer can depend on it."""
    seen = RouteMemory(TABLE).visible(FACTS)
    assert seen == msgspec.structs.replace(FACTS, client="", fields=FACTS.fields[:1])


def test_what_a_route_does_not_depend_on_makes_no_difference() -> None:
    """Who asks, and fields that no match looks at."""
    memory = RouteMemory(TABLE)
    memory.keep(memory.key(FACTS), FACTS, ANSWER)
    other = msgspec.structs.replace(FACTS, client="192.0.2.2", fields=(FACTS.fields[0], (b"x-new", b"2")))
    assert memory.recall(memory.key(other)) is ANSWER


def test_every_fact_has_been_thought_of() -> None:
    """One that is added to `RequestFacts` is added to the key, or here: a route must not depend on it."""
    known = {"port", "local", "server_name", "host", "method", "path", "scheme", "fields"}
    assert set(RequestFacts.__struct_fields__) == known | {"client", "content_type", "to_pool"}
    asked = msgspec.structs.replace(FACTS, client="10.0.0.9", content_type=b"text/plain", to_pool=False)
    seen = RouteMemory(TABLE).visible(asked)
    assert (seen.client, seen.content_type, seen.to_pool) == ("", None, True)


def test_it_is_bounded() -> None:
    """In number, and by what one entry may hold."""
    memory = RouteMemory(TABLE)
    for number in range(_MOST + 10):
        facts = msgspec.structs.replace(FACTS, path=b"/%d" % number)
        memory.keep(memory.key(facts), facts, ANSWER)
    assert memory.recall(memory.key(facts)) is ANSWER
    assert memory.recall(memory.key(msgspec.structs.replace(FACTS, path=b"/0"))) is None
    for change in ({"path": b"/" * (_LONGEST + 1)}, {"fields": ((b"x-model", b"a" * _LONGEST),)}):
        long = msgspec.structs.replace(FACTS, **change)
        assert memory.keep(memory.key(long), long, ANSWER) is ANSWER
        assert memory.recall(memory.key(long)) is None


def test_the_director_forgets_with_the_table(manifests: Any) -> None:
    """What it knew of one configuration says nothing of the next."""
    server = manifests.server("a", 7001)
    rules = f"[{{backendRefs: [{manifests.to_server('a')}]}}]"
    director = Director(manifests.snapshot(manifests.route(rules), server), dict, lambda: 0.0, random.Random(1))
    first = director.route(FACTS)
    assert first.match is not None
    assert director.route(FACTS) is first
    director.adopt(manifests.snapshot(manifests.route(rules), server))
    again = director.route(FACTS)
    assert again == first
    assert again is not first
