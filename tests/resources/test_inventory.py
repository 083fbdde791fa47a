"""Tests of the inventory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

from mirrorgate.resources.inventory import Inventory
from mirrorgate.resources.kinds import KINDS
from mirrorgate.resources.loading import Loaded

LoadText = Callable[[str], Loaded]

TEXT = """\
apiVersion: v1
kind: Pod
metadata:
  name: b
---
apiVersion: v1
kind: Pod
metadata:
  name: a
  labels:
    x: y
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: c}
spec: {controllerName: a.b/c}
"""


def test_every_kind_has_its_collection() -> None:
    """The table of kinds and the inventory agree."""
    assert {kind.collection for kind in KINDS.values()} == {field.name for field in fields(Inventory) if field.init}


def test_objects_keep_the_order_of_their_declaration(load_text: LoadText) -> None:
    """It stands in for their age."""
    inventory = load_text(TEXT).inventory
    assert list(inventory.pods) == [("default", "b"), ("default", "a")]
    assert [obj.title for obj in inventory] == ["GatewayClass c", "Pod default/b", "Pod default/a"]
    assert len(inventory) == 3


def test_the_place_of_an_object_and_of_its_fields(load_text: LoadText) -> None:
    """Semantic problems that are found later can name a line."""
    inventory = load_text(TEXT).inventory
    pod = inventory.pods["default", "a"]
    assert (pod.place.file, pod.place.line) == ("m.yaml", 6)
    assert inventory.place_of(pod).line == 6
    assert inventory.place_of(pod, "metadata.labels.x").line == 11
    assert inventory.place_of(pod, "spec.containers[0]").line == 6


def test_slices_by_service(load_text: LoadText) -> None:
    """A Service without slices has none."""
    text = (
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n"
        "metadata: {name: e, labels: {kubernetes.io/service-name: s}}\n"
    )
    inventory = load_text(text).inventory
    assert [entry.metadata.name for entry in inventory.slices_of("default", "s")] == ["e"]
    assert inventory.slices_of("default", "t") == []
    assert Inventory().slices_of("default", "s") == []
