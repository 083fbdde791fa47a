"""What the compiler notes about one object while it reads it: problems for people, findings for conditions."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import Problem, Severity
from ..resources.objects import Resource
from .conditions import Finding

__all__ = ["Notes", "warning"]


def warning(resource: Resource, path: str, message: str, hint: str = "") -> Problem:
    """Return a warning at a field of an object.

    The compiler's problems are warnings: what cannot be honoured ends in a condition and fails closed for its own
    requests, while the rest of the configuration goes on working (Gateway API, partially invalid specs).
    """
    place = resource.place.at(path)
    return Problem(message, place.file, place.line, f"{resource.title}: {path}", hint, Severity.WARNING)


@dataclass(slots=True)
class Notes:
    resource: Resource
    problems: list[Problem] = field(default_factory=list)
    unresolved: list[Finding] = field(default_factory=list)
    """References that lead nowhere: `ResolvedRefs` is False."""
    invalid: dict[int, Finding] = field(default_factory=dict)
    """Rules, by index, whose requests are answered 500 because of what they declare."""

    partial: list[Finding] = field(default_factory=list)
    """Parts of rules, such as a backendRef, whose share of requests is answered 500."""

    def warn(self, path: str, message: str, hint: str = "") -> None:
        self.problems.append(warning(self.resource, path, message, hint))

    def unresolve(self, path: str, finding: Finding, hint: str = "") -> None:
        self.unresolved.append(finding)
        self.warn(path, finding.message, hint)

    def invalidate(self, rule: int, path: str, finding: Finding, hint: str = "") -> None:
        self.invalid.setdefault(rule, finding)
        self.warn(path, finding.message, hint)
