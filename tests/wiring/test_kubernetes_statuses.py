"""Statuses with what only the running gateway knows."""

from __future__ import annotations

from typing import Any

from mirrorgate.resources.inventory import Inventory
from mirrorgate.resources.loading import add_object, parse_object
from mirrorgate.resources.places import Place
from mirrorgate.snapshot import Snapshot
from mirrorgate.testing.manifests import gateway
from mirrorgate.wiring.kubernetes import ClusterSettings, compile_cluster
from mirrorgate.wiring.kubernetes_statuses import FEATURES, completed


def compiled(*ports: int, offset: int = 0) -> Snapshot:
    """Compile a Gateway with listeners of these ports."""
    inventory = Inventory()
    for each in gateway(*ports):
        found = parse_object(each, Place()).object
        assert found is not None
        add_object(inventory, found)
    return compile_cluster(inventory, 1, ClusterSettings(port_offset=offset)).snapshot


def programmed(entry: Any) -> str:
    """Return the status and reason of the condition Programmed."""
    return next(f"{each['status']} {each['reason']}" for each in entry["conditions"] if each["type"] == "Programmed")


def test_features_and_addresses_are_told() -> None:
    """Features sorted, as the API wants them; an address that is no IP is a host name."""
    statuses = completed(compiled(80), ["10.0.0.1", "gw.example.com"], "0.0.0.0", {})
    assert statuses["GatewayClass", "", "mirrorgate"]["supportedFeatures"] == [{"name": name} for name in FEATURES]
    assert sorted(FEATURES) == list(FEATURES)
    assert statuses["Gateway", "default", "gateway"]["addresses"] == [
        {"type": "IPAddress", "value": "10.0.0.1"},
        {"type": "Hostname", "value": "gw.example.com"},
    ]


def test_a_listener_that_cannot_be_bound_is_not_programmed() -> None:
    """One of two costs itself alone; all of them cost the Gateway, and its addresses."""
    errors = {"gateway:80@0.0.0.0:8080": "address in use"}
    status: Any = completed(compiled(80, 81), ["10.0.0.1"], "0.0.0.0", errors)["Gateway", "default", "gateway"]
    assert [programmed(entry) for entry in status["listeners"]] == ["False Invalid", "True Programmed"]
    assert programmed(status) == "True Programmed"
    status = completed(compiled(80), ["10.0.0.1"], "0.0.0.0", errors)["Gateway", "default", "gateway"]
    assert programmed(status) == "False AddressNotUsable"
    assert status["addresses"] == []


def test_a_port_that_the_offset_moves_out_of_range_is_not_programmed() -> None:
    """It is no listener of the table, and the status says so."""
    status: Any = completed(compiled(80, 60000, offset=8000), [], "0.0.0.0", {})["Gateway", "default", "gateway"]
    assert [programmed(entry) for entry in status["listeners"]] == ["True Programmed", "False Invalid"]
