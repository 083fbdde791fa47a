"""What is kept of an object: enough to route and to write a status, and no more."""

from __future__ import annotations

from mirrorgate.sources.kubernetes.held import hold, key_of
from mirrorgate.sources.kubernetes.kinds import WATCHED
from mirrorgate.testing.manifests import Object, http_route, reference

ROUTE = next(each for each in WATCHED if each.kind == "HTTPRoute")


def route(version: str = "1", **metadata: object) -> Object:
    """Return a route as the API has it."""
    result = http_route("r", reference("b"))
    result["metadata"] |= {"namespace": "default", "uid": "u", "resourceVersion": version, **metadata}
    return result


def test_a_known_version_is_not_read_again() -> None:
    """The very same is returned, whatever the rest says."""
    known = hold(route(), ROUTE, "v1")
    assert hold(route(labels={"a": "b"}), ROUTE, "v1", known) is known
    assert hold(route("2"), ROUTE, "v1", known) is not known
    assert hold(route(uid="other"), ROUTE, "v1", known) is not known


def test_bookkeeping_means_nothing() -> None:
    """Versions, managed fields, kubectl's annotation and the status; labels do."""
    known = hold(route(), ROUTE, "v1")
    noise = route("2", managedFields=[{"manager": "x"}], ownerReferences=[{"name": "x"}])
    noise["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    noise["status"] = {"parents": []}
    held = hold(noise, ROUTE, "v1", known)
    assert held.means(known)
    assert held.status == {"parents": []}
    assert not hold(route("3", labels={"a": "b"}), ROUTE, "v1").means(known)


def test_what_cannot_be_read_is_held_with_its_reason() -> None:
    """Malformed in any way: no exception, no resource."""
    for raw in ({}, {"metadata": None}, {"metadata": [1], "spec": 3}, {**route(), "spec": {"parentRefs": [1, {}]}}):
        held = hold(raw, ROUTE, "v1")
        assert held.resource is None
        assert held.refusal is not None
        assert held.refusal.message
        assert key_of(raw) in (("", ""), ("default", "r"))
