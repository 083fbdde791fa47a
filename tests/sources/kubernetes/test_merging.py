"""Merging statuses: ours are written, others' stay, and nothing is written twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.sources.kubernetes.merging import Writer, merge

US = Writer("us/controller", [("default", "gateway")])
GATEWAY = {"group": "gateway.networking.k8s.io", "kind": "Gateway"}


def condition(kind: str, status: str = "True", *, generation: int = 1, since: str = "") -> dict[str, Any]:
    """Return a condition, with a time where it is one that was written."""
    fields = {"type": kind, "status": status, "observedGeneration": generation, "reason": kind, "message": ""}
    return fields | ({"lastTransitionTime": since} if since else {})


def parent(name: str, *conditions: dict[str, Any], controller: str = "us/controller", **ref: Any) -> dict[str, Any]:
    """Return an entry of a route's status."""
    return {"parentRef": {"name": name, **ref}, "controllerName": controller, "conditions": list(conditions)}


def test_the_time_changes_with_the_status_only() -> None:
    """Another reason or message keeps it."""
    old = {"conditions": [condition("Accepted", since="old"), condition("Programmed", since="old")]}
    wanted = {"conditions": [condition("Accepted") | {"message": "new"}, condition("Programmed", "False")]}
    merged = merge(old, wanted, US, "default", "now")
    assert merged is not None
    assert [entry["lastTransitionTime"] for entry in merged["conditions"]] == ["old", "now"]
    assert merged["conditions"][0]["message"] == "new"


def test_types_that_are_not_ours_stay() -> None:
    """And one of ours that no longer holds goes."""
    old = {"conditions": [condition("Theirs", since="old"), condition("Overridden", since="old")], "else": 1}
    merged = merge(old, {"conditions": [condition("Accepted")]}, US, "default", "now")
    assert merged is not None
    assert [entry["type"] for entry in merged["conditions"]] == ["Theirs", "Accepted"]
    assert merged["else"] == 1


@pytest.mark.parametrize("kind", ["Aggregated", "Merged", "Overridden", "PartiallyInvalid", "Warning"])
def test_what_is_said_of_a_policy_goes_when_it_no_longer_holds(kind: str) -> None:
    """A policy that was merged into another one is not told to be for ever."""
    ancestor = {"ancestorRef": {"name": "gateway", **GATEWAY}, "controllerName": "us/controller"}
    old = {
        "ancestors": [{**ancestor, "conditions": [condition("Accepted", since="old"), condition(kind, since="old")]}]
    }
    merged = merge(old, {"ancestors": [{**ancestor, "conditions": [condition("Accepted")]}]}, US, "default", "now")
    assert merged is not None
    assert [entry["type"] for entry in merged["ancestors"][0]["conditions"]] == ["Accepted"]


def test_a_newer_observation_is_not_overwritten() -> None:
    """Somebody has seen a newer object than the configuration that is compiled here."""
    old = {"conditions": [condition("Accepted", "False", generation=3, since="old")]}
    assert merge(old, {"conditions": [condition("Accepted", generation=2)]}, US, "default", "now") is None


def test_other_controllers_entries_are_never_touched() -> None:
    """Not even when they name the same Gateway; ours are found again whatever defaults are written out."""
    theirs = parent("gateway", condition("Accepted", since="old"), controller="them/controller")
    ours = parent("gateway", condition("Accepted", since="old"), namespace="default", **GATEWAY)
    gone = parent("gone", condition("Accepted", since="old"))
    wanted = {"parents": [parent("gateway", condition("Accepted")), parent("new", condition("Accepted"))]}
    merged = merge({"parents": [gone, theirs, ours]}, wanted, US, "default", "now")
    assert merged is not None
    assert merged["parents"][0] == theirs
    assert [entry["parentRef"]["name"] for entry in merged["parents"]] == ["gateway", "gateway", "new"]
    times = [entry["conditions"][0]["lastTransitionTime"] for entry in merged["parents"]]
    assert times == ["old", "old", "now"]


def test_sections_and_ports_tell_entries_apart() -> None:
    """As one route may name one Gateway several times."""
    old = {"parents": [parent("gateway", condition("Accepted", since="old"), sectionName="a")]}
    wanted = {"parents": [parent("gateway", condition("Accepted"), sectionName="b")]}
    merged = merge(old, wanted, US, "default", "now")
    assert merged is not None
    assert [entry["parentRef"]["sectionName"] for entry in merged["parents"]] == ["b"]
    assert merged["parents"][0]["conditions"][0]["lastTransitionTime"] == "now"


def test_entries_of_the_older_pool_are_told_by_their_parent() -> None:
    """They have no controllerName."""
    ours = {"parentRef": {**GATEWAY, "name": "gateway"}, "conditions": [condition("Accepted", since="old")]}
    theirs = {"parentRef": {**GATEWAY, "name": "theirs"}, "conditions": [condition("Accepted", since="old")]}
    merged = merge({"parent": [ours, theirs]}, {"parent": []}, US, "default", "now")
    assert merged == {"parent": [theirs]}


def test_nothing_is_written_over_its_limit() -> None:
    """Others' entries are never cut for ours."""
    full = [parent(str(number), controller="them/controller") for number in range(32)]
    assert merge({"parents": full}, {"parents": [parent("x", condition("Accepted"))]}, US, "d", "now") is None


def test_malformed_statuses_are_survived() -> None:
    """Whatever stands there, ours is written beside it."""
    for old in ({"parents": None}, {"parents": "x"}, {"parents": [1, None]}, {"parents": [{"parentRef": 3}]}):
        merged = merge(old, {"parents": [parent("g", condition("Accepted"))]}, US, "default", "now")
        assert merged is not None
        assert merged["parents"][-1]["parentRef"] == {"name": "g"}


_CONDITIONS = st.lists(
    st.sampled_from(("Accepted", "Programmed", "ResolvedRefs", "Theirs")), unique=True, max_size=4
).flatmap(
    lambda kinds: st.tuples(
        *(st.builds(condition, st.just(kind), st.sampled_from(("True", "False"))) for kind in kinds)
    )
)
_PARENTS = st.lists(
    st.builds(
        lambda name, conditions, controller: parent(name, *conditions, controller=controller),
        st.sampled_from("abc"),
        _CONDITIONS,
        st.sampled_from(("us/controller", "them/controller")),
    ),
    max_size=5,
    unique_by=lambda entry: (entry["parentRef"]["name"], entry["controllerName"]),
)


@given(_PARENTS, _PARENTS)
def test_what_is_merged_is_settled(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    """A second merge finds nothing to write, and others' entries are as they were, in their order."""
    wanted = {"parents": [entry for entry in new if entry["controllerName"] == "us/controller"]}
    first = merge({"parents": old}, wanted, US, "default", "now")
    settled = {"parents": old} if first is None else first
    assert merge(settled, wanted, US, "default", "later") is None
    theirs = [entry for entry in old if entry["controllerName"] != "us/controller"]
    assert [entry for entry in settled["parents"] if entry["controllerName"] != "us/controller"] == theirs
