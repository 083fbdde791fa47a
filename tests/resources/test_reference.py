"""Tests of references."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mirrorgate.resources.reference import (
    BackendObjectReference,
    LocalPolicyTargetReferenceWithSectionName,
    ParentReference,
    SecretObjectReference,
)


def test_defaults_are_those_of_the_api() -> None:
    """A parent is a Gateway, a backend a Service, a certificate a Secret."""
    parent = ParentReference(name="g")
    assert (parent.group, parent.kind, parent.namespace) == ("gateway.networking.k8s.io", "Gateway", None)
    backend = BackendObjectReference(name="s", port=80)
    assert (backend.group, backend.kind, backend.namespace) == ("", "Service", None)
    assert SecretObjectReference(name="s").kind == "Secret"


def test_a_service_needs_a_port_and_others_do_not() -> None:
    """The port is the Service's own; an InferencePool has its target ports."""
    with pytest.raises(ValidationError, match="must have a port"):
        BackendObjectReference(name="s")
    pool = BackendObjectReference(group="inference.networking.k8s.io", kind="InferencePool", name="p")
    assert pool.port is None


def test_a_target_of_a_policy_names_group_and_kind() -> None:
    """Neither has a default, so that no policy applies by accident."""
    with pytest.raises(ValidationError) as caught:
        LocalPolicyTargetReferenceWithSectionName.model_validate({"name": "r"})
    assert {error["loc"] for error in caught.value.errors()} == {("group",), ("kind",)}
