"""The fake API server is as particular as the real one."""

from __future__ import annotations

import pytest

from mirrorgate.testing.api_store import ApiStore, Conflict, Gone, Missing, selects
from mirrorgate.testing.manifests import gateway, http_route, reference

ROUTES = ("gateway.networking.k8s.io", "httproutes")


def test_generations_count_specs_and_versions_count_everything() -> None:
    """A status is a version, and no generation."""
    store = ApiStore()
    store.apply(http_route("r", reference("b")))
    first = dict(store.get("HTTPRoute", "r")["metadata"])
    written = store.replace(ROUTES, ("default", "r"), {"status": {"parents": []}, "spec": {}}, status=True)
    assert written["metadata"]["generation"] == first["generation"] == 1
    assert int(written["metadata"]["resourceVersion"]) > int(first["resourceVersion"])
    assert written["spec"]["rules"], "a status write changes no spec"
    store.apply(http_route("r", reference("c")))
    assert store.get("HTTPRoute", "r")["metadata"]["generation"] == 2
    assert store.get("HTTPRoute", "r")["status"] == {"parents": []}


def test_an_older_version_conflicts() -> None:
    """And what is not there is missing, and what is there already cannot be created."""
    store = ApiStore()
    store.apply(http_route("r", reference("b")))
    stale = {"metadata": {"resourceVersion": store.get("HTTPRoute", "r")["metadata"]["resourceVersion"]}, "status": {}}
    store.apply(http_route("r", reference("c")))
    with pytest.raises(Conflict):
        store.replace(ROUTES, ("default", "r"), stale, status=True)
    with pytest.raises(Missing):
        store.replace(ROUTES, ("default", "x"), stale, status=True)
    with pytest.raises(Conflict):
        store.create(ROUTES, http_route("r", reference("b")) | {"metadata": {"name": "r", "namespace": "default"}})


def test_history_ends_at_a_compaction() -> None:
    """Events since a version come in their order; from before it there is nothing but 410."""
    store = ApiStore()
    start = store.version
    store.apply(*gateway(80), http_route("r", reference("b")))
    store.remove("HTTPRoute", "r")
    assert [event.type for event in store.since(ROUTES, start)] == ["ADDED", "DELETED"]
    store.compact()
    with pytest.raises(Gone):
        store.since(ROUTES, start)
    assert list(store.since(ROUTES, store.version)) == []


def test_field_selectors() -> None:
    """Both signs, several terms, and fields that are not there."""
    running = selects("status.phase!=Succeeded,status.phase!=Failed")
    assert running({})
    assert running({"status": {"phase": "Running"}})
    assert not running({"status": {"phase": "Failed"}})
    assert selects("type=a")({"type": "a"})
    assert not selects("type=a")({})
