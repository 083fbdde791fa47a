"""Tests of ReferenceGrant."""

from __future__ import annotations

from collections.abc import Callable

from mirrorgate.resources.loading import Loaded

Declare = Callable[..., Loaded]
Faults = Callable[..., dict[str, str]]


def test_a_grant_names_who_may_refer_to_what(declare: Declare) -> None:
    """Without a name, every object of the kind is meant."""
    body = """\
        spec:
          from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: a}]
          to: [{group: "", kind: Service}, {group: "", kind: Secret, name: s}]
    """
    for version in ("v1", "v1beta1"):
        loaded = declare("ReferenceGrant", body, f"gateway.networking.k8s.io/{version}")
        assert loaded.problems == ()
        spec = loaded.inventory.reference_grants["default", "x"].spec
        assert spec.from_[0].namespace == "a"
        assert [entry.name for entry in spec.to] == [None, "s"]


def test_a_grant_needs_both_sides(faults: Faults) -> None:
    """Neither side may be empty or missing."""
    assert set(faults("ReferenceGrant", "spec: {from: []}")) == {"spec.from", "spec.to"}
