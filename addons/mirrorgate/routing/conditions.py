"""Status conditions: what a controller says about an object, in the shape of `metav1.Condition`.

Types and reasons are those of Gateway API v1, the Inference Extension and Envoy Gateway's policies.
`lastTransitionTime` is added by whoever writes the status, since only it knows the time and the old one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Condition", "Finding", "Statuses", "documents", "false", "merge_messages", "true", "unknown"]

Statuses = dict[tuple[str, str, str], dict[str, object]]
"""Kind, namespace (empty for cluster-scoped kinds) and name to a `.status`, ready for JSON."""


@dataclass(frozen=True, slots=True)
class Condition:
    type: str
    status: str
    """`True`, `False` or `Unknown`."""
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Why something of an object is not as it was declared: the reason of a condition, and a message for people."""

    reason: str
    message: str


def true(kind: str, reason: str, message: str) -> Condition:
    return Condition(kind, "True", reason, message)


def false(kind: str, finding: Finding) -> Condition:
    return Condition(kind, "False", finding.reason, finding.message)


def unknown(kind: str, finding: Finding) -> Condition:
    return Condition(kind, "Unknown", finding.reason, finding.message)


def documents(conditions: Iterable[Condition], generation: int) -> list[dict[str, object]]:
    """Return conditions as the API has them; `generation` is that of the object they are about."""
    return [
        {
            "type": condition.type,
            "status": condition.status,
            "observedGeneration": generation,
            "reason": condition.reason,
            "message": condition.message,
        }
        for condition in conditions
    ]


def merge_messages(findings: Sequence[Finding]) -> Finding:
    """Return one finding for several: the first one's reason, and all messages, each once. At least one is needed."""
    return Finding(findings[0].reason, "; ".join(dict.fromkeys(finding.message for finding in findings)))
