"""Annotations under our own prefix, and those that only look like one of them."""

import pytest

from mirrorgate.errors import Severity
from mirrorgate.resources.loading import Document, load

POD = """
apiVersion: v1
kind: {kind}
metadata:
  name: a
  annotations:
    example.com/mirrorgate.dev: other
    {name}: "8001"
"""


@pytest.mark.parametrize(
    ("kind", "name", "hint"),
    [
        ("Pod", "mirrorgate.dev/targetport", "did you mean mirrorgate.dev/target-port?"),
        ("Pod", "mirrorgate.dev/Target-Port", "did you mean mirrorgate.dev/target-port?"),
        ("Pod", "mirrorgate.dev/scheduling-profile", ""),
        ("Service", "mirrorgate.dev/target-port", ""),
    ],
)
def test_one_that_means_nothing_is_told(kind: str, name: str, hint: str) -> None:
    """With its line and what may have been meant; the object is there all the same."""
    spec = "" if kind == "Pod" else "spec: {ports: [{port: 80}]}\n"
    loaded = load([Document("a.yaml", POD.format(kind=kind, name=name) + spec)])
    [problem] = loaded.problems
    assert (problem.severity, problem.line, problem.hint) == (Severity.WARNING, 8, hint)
    assert name in problem.message
    assert len(list(loaded.inventory)) == 1


def test_ours_and_those_of_others_are_not_told() -> None:
    """Only our prefix is ours."""
    loaded = load([Document("a.yaml", POD.format(kind="Pod", name="mirrorgate.dev/target-port"))])
    assert loaded.problems == ()
