"""Listeners: certificates and conflicts that the golden pairs leave open."""

from collections.abc import Callable

import pytest

from mirrorgate.resources.inventory import Inventory
from mirrorgate.routing.gateways import read_gateways
from mirrorgate.routing.listeners import ListenerState
from mirrorgate.routing.references import References

Load = Callable[[str], Inventory]


def gateway(name: str, listeners: str, addresses: str = "[]") -> str:
    return f"""
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec: {{gatewayClassName: any, addresses: {addresses}, listeners: {listeners}}}
"""


def read(inventory: Inventory) -> list[ListenerState]:
    states, _ = read_gateways(inventory, References(inventory), "any/controller", True)
    return [listener for state in states for listener in state.listeners]


ONE = "[{name: http, port: 80, protocol: HTTP}]"


@pytest.mark.parametrize(
    ("first", "second", "conflict"),
    [
        ("[]", "[]", True),
        ("[{value: 127.0.0.2}]", "[{value: 127.0.0.3}]", False),
        ("[{value: 127.0.0.2}, {value: 127.0.0.3}]", "[{value: 127.0.0.3}]", True),
        ("[]", "[{value: 127.0.0.3}]", False),
    ],
)
def test_gateways_conflict_on_one_address(inventory: Load, first: str, second: str, conflict: bool) -> None:
    """Two Gateways may have one port as long as they have no address in common; the older one keeps it."""
    older, younger = read(inventory(gateway("older", ONE, first) + gateway("younger", ONE, second)))
    assert older.conflicted is None
    assert (younger.conflicted is not None) is conflict


def test_a_listener_that_is_refused_is_in_nobodys_way(inventory: Load) -> None:
    """A protocol that is not served does not take the port from one that is."""
    text = gateway("older", "[{name: tcp, port: 80, protocol: TCP}]") + gateway("younger", ONE)
    assert [listener.is_served for listener in read(inventory(text))] == [False, True]


def test_hostnames_share_a_port(inventory: Load) -> None:
    """Listeners of different hostnames live on one port, of one Gateway or several."""
    hosts = "[{name: a, port: 80, protocol: HTTP, hostname: a.com}, {name: b, port: 80, protocol: HTTP}]"
    more = "[{name: c, port: 80, protocol: HTTP, hostname: '*.a.com'}]"
    assert all(listener.is_served for listener in read(inventory(gateway("one", hosts) + gateway("two", more))))


def test_the_third_of_a_kind_conflicts_once(inventory: Load) -> None:
    """Of three Gateways on one port the first serves; the others conflict with it."""
    text = "".join(gateway(name, ONE) for name in ("a", "b", "c"))
    first, *others = read(inventory(text))
    assert first.is_served
    assert all(other.conflicted and "default/a" in other.conflicted.message for other in others)


def test_a_protocol_in_small_letters_gets_the_right_name(inventory: Load) -> None:
    """A listener that is left out for its letters is easily overlooked."""
    (listener,) = read(inventory(gateway("one", "[{name: http, port: 80, protocol: http}]")))
    assert listener.refused is not None
    assert "did you mean HTTP?" in listener.refused.message
