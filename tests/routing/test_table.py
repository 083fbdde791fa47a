"""The route table: what its values say of themselves."""

import pytest

from mirrorgate.routing.table import Backend, Destination, DestinationKind, HeaderChanges, Rule

POOL = Destination(DestinationKind.INFERENCE_POOL, "default", "pool", None, ())
SERVICE = Destination(DestinationKind.SERVICE, "default", "server", 8000, ())


def test_ref() -> None:
    """A destination is named by kind, namespace, name and a Service's port."""
    assert POOL.ref == "InferencePool default/pool"
    assert SERVICE.ref == "Service default/server:8000"


@pytest.mark.parametrize(("destination", "expected"), [(POOL, True), (SERVICE, False), (None, False)])
def test_inference(destination: Destination | None, expected: bool) -> None:
    """A rule is about inference when one of its backends is a pool."""
    backends = (Backend(1, "x", None), Backend(1, "x", destination))
    assert Rule(("default", "r"), 0, None, "c", backends).inference is expected


def test_title() -> None:
    """A rule is named by its route, its index and its name."""
    assert Rule(("default", "r"), 1, None, "c").title == "default/r rule 1"
    assert Rule(("default", "r"), 1, "chat", "c").title == "default/r rule 1 (chat)"


def test_changes_are_true_when_there_are_any() -> None:
    """An empty header modifier is false."""
    assert not HeaderChanges()
    assert HeaderChanges(remove=("x",))
