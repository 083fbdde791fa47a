"""Notes: problems with their place."""

from collections.abc import Callable

from mirrorgate.errors import Severity
from mirrorgate.resources.inventory import Inventory
from mirrorgate.routing.conditions import Finding
from mirrorgate.routing.notes import Notes

TEXT = """apiVersion: v1
kind: Service
metadata:
  name: server
spec:
  ports:
  - port: 80
"""


def test_a_problem_has_its_place(inventory: Callable[[str], Inventory]) -> None:
    """File, line and field path lead to what is meant; the compiler only warns."""
    service = inventory(TEXT).services["default", "server"]
    notes = Notes(service)
    notes.warn("spec.ports[0].port", "odd", "change it")
    notes.unresolve("spec", Finding("BackendNotFound", "gone"))
    notes.invalidate(2, "spec", Finding("UnsupportedValue", "first"))
    notes.invalidate(2, "spec", Finding("UnsupportedValue", "second"))
    first = notes.problems[0]
    assert (first.file, first.line, first.severity) == ("test.yaml", 7, Severity.WARNING)
    assert first.path == "Service default/server: spec.ports[0].port"
    assert [problem.message for problem in notes.problems] == ["odd", "gone", "first", "second"]
    assert notes.unresolved == [Finding("BackendNotFound", "gone")]
    assert notes.invalid[2].message == "first"
