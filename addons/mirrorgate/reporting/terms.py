"""What a reader of a journal asks for: which pairs, and by which terms they are judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ..comparison.steps import Basis
from ..comparison.verdict import VerdictPolicy
from .wording import when

__all__ = ["ALL", "DECLARED", "Selection", "Terms"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which pairs are looked at; by default all."""

    clusters: frozenset[str] = frozenset()
    """Of mirrors; empty for every one."""
    since: float | None = None
    """Unix time of the first request that counts."""
    until: float | None = None
    """Unix time before which a request counts."""

    def takes(self, cluster: str) -> bool:
        return not self.clusters or cluster in self.clusters

    def covers(self, at: float) -> bool:
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)

    def words(self) -> tuple[str, ...]:
        """Say what is chosen, nothing when everything is."""
        found = [f"cluster {name}" for name in sorted(self.clusters)]
        if self.since is not None:
            found.append(f"requests since {when(self.since)}")
        if self.until is not None:
            found.append(f"requests before {when(self.until)}")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Terms:
    """How the verdict's terms differ from those that were declared; by default not at all."""

    margins: Mapping[str, float] = field(default_factory=dict)
    alpha_promote: float | None = None
    alpha_reject: float | None = None
    min_pairs: int | None = None
    min_coverage: float | None = None

    @property
    def changed(self) -> bool:
        return bool(self.words())

    def policy(self, basis: Basis) -> VerdictPolicy:
        """Return the policy by which pairs of this basis are judged."""
        declared = basis.policy
        guardrails = tuple(
            dataclasses.replace(each, margin=self.margins.get(each.name, each.margin)) for each in declared.guardrails
        )
        numbers = {
            name: value
            for name in ("alpha_promote", "alpha_reject", "min_pairs", "min_coverage")
            if (value := getattr(self, name)) is not None
        }
        return dataclasses.replace(declared, guardrails=guardrails, **numbers)

    def words(self) -> tuple[str, ...]:
        """Say what is changed, nothing when nothing is."""
        found = [f"margin of {name} {margin:g}" for name, margin in sorted(self.margins.items())]
        for name in ("alpha_promote", "alpha_reject", "min_pairs", "min_coverage"):
            value: float | int | None = getattr(self, name)
            if value is not None:
                found.append(f"{name} {value:g}")
        return tuple(found)


ALL: Final = Selection()
DECLARED: Final = Terms()
