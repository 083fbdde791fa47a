"""A configuration as requests see it."""

import dataclasses
from typing import Any

import pytest

from mirrorgate.resources.inventory import Inventory
from mirrorgate.resources.loading import Document, load
from mirrorgate.routing.compiling import CompileOptions
from mirrorgate.snapshot import Snapshot, distinct_destinations, rules_of

TEXT = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: g}
spec: {gatewayClassName: c, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec: {parentRefs: [{name: g}], rules: [{backendRefs: [{name: missing, port: 80}]}]}
"""


def test_an_inventory_becomes_a_configuration() -> None:
    """Table, router and status are of one compilation."""
    inventory = load([Document("a.yaml", TEXT)]).inventory
    snapshot = Snapshot.of(inventory, 3)
    assert (snapshot.generation, snapshot.inventory) == (3, inventory)
    [listener] = snapshot.table.listeners
    assert snapshot.router.select_listener(80, "any") is listener
    [match] = listener.matches
    assert snapshot.router.match(listener, "GET", "any", "/", ()) is match
    assert any("missing" in problem.message for problem in snapshot.problems)
    assert snapshot.statuses


def test_options_reach_the_compilation() -> None:
    """A controller that serves other classes leaves this Gateway alone."""
    inventory = load([Document("a.yaml", TEXT)]).inventory
    assert Snapshot.of(inventory, 1, CompileOptions(serve_all_classes=False)).table.listeners == ()


def test_the_empty_configuration_serves_nothing() -> None:
    """It is what a process begins with."""
    snapshot = Snapshot.of(Inventory(), 0)
    assert snapshot.table.listeners == ()
    assert snapshot.router.select_listener(80, "any") is None
    assert snapshot.problems == ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        snapshot.generation = 1  # type: ignore[misc]


def test_destinations_are_listed_once(manifests: Any) -> None:
    """Thousands of rules may lead to one pool, whose endpoints are looked at once."""
    texts = [manifests.pool("pool", 9001, 9002), manifests.route(f"[{{backendRefs: [{manifests.to_pool('pool')}]}}]")]
    rules = rules_of(manifests.snapshot(*texts))
    again = [dataclasses.replace(rule, cluster=f"{rule.cluster}-{number}") for rule in rules for number in range(3)]
    [destination] = distinct_destinations(again)
    assert destination.name == "pool"
    assert list(distinct_destinations([])) == []
