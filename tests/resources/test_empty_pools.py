"""Pools of manifests that nobody serves."""

import pytest

from mirrorgate.errors import Severity
from mirrorgate.resources.loading import Document, load

POOL = """
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: p}
spec:
  selector: {matchLabels: {app: vllm, tier: big}}
  targetPorts: [{number: 8000}]
---
"""


def pod(name: str, **metadata: object) -> str:
    """Return a Pod's text."""
    return f"apiVersion: v1\nkind: Pod\nmetadata: {dict(metadata, name=name)}\nstatus: {{podIP: 127.0.0.1}}\n---\n"


@pytest.mark.parametrize(
    ("pods", "hint"),
    [
        ("", "declare a Pod for each model server"),
        (pod("a", labels={"app": "vllm", "tier": "big"}, namespace="other"), "declare a Pod for each model server"),
        (pod("a", labels={"app": "x"}) + pod("b", labels={"app": "vllm", "tier": "bg"}), "Pod b has app=vllm, tier=bg"),
        (pod("a"), "Pod a has none"),
    ],
)
def test_a_pool_that_selects_nobody_is_told(pods: str, hint: str) -> None:
    """With its line, and the Pod that comes nearest."""
    loaded = load([Document("a.yaml", POOL + pods)])
    [problem] = loaded.problems
    assert (problem.severity, problem.line, problem.hint) == (Severity.WARNING, 6, hint)
    assert "app=vllm, tier=big" in problem.message


@pytest.mark.parametrize("phase", ["Running", "Failed"])
def test_a_pool_with_a_pod_is_not(phase: str) -> None:
    """Whether it serves now is another matter."""
    labels = {"app": "vllm", "tier": "big", "more": "x"}
    text = POOL + pod("a", labels=labels).replace("podIP:", f"phase: {phase}, podIP:")
    assert load([Document("a.yaml", text)]).problems == ()
