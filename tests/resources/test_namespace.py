"""Tests of Namespace."""

from __future__ import annotations

from collections.abc import Callable

from mirrorgate.resources.loading import Loaded


def test_a_namespace_has_a_label_with_its_name(declare: Callable[..., Loaded]) -> None:
    """The API server adds it, so a selector may rely on it."""
    loaded = declare("Namespace", "  labels: {team: a}\nspec: {finalizers: [kubernetes]}")
    assert loaded.problems == ()
    assert loaded.inventory.namespaces["", "x"].labels == {"kubernetes.io/metadata.name": "x", "team": "a"}
