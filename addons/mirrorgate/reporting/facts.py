"""What has to be said with every report: what is compared, what was read, and what the verdict does not say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .report import Reading
from .wording import count

__all__ = ["READER_FACTS", "reading_facts", "subject_words"]

READER_FACTS: Final = (
    "PROMOTE says that the candidate is worse by less than the margin in every guardrail that decides; REJECT that it "
    "is worse by more in the one that is named; HOLD that neither is shown yet. The chances are those of being wrong "
    "even once, however often one looks.",
    "What is assumed: the requests that were mirrored are like those to come, and the candidate was asked under a load "
    "like production's.",
    "In conversations the candidate answers the primary's history: the verdict is about turns, not about whole "
    "conversations led by the candidate.",
    "Without a scorer, and without equivalence mode and its control arm, nothing here says that the answers are as "
    "good: PROMOTE then means that the candidate is operationally safe.",
)


def subject_words(subject: Mapping[str, Any]) -> str:
    """Return what is compared as it is declared: `InferencePool default/a → Service default/b`, empty when unknown."""
    primary, candidate = subject.get("primary"), _side(subject.get("candidate"))
    sides = [_side(each) for each in primary] if isinstance(primary, list) else []
    known = ", ".join(side for side in sides if side)
    return f"{known} → {candidate}" if known and candidate else known or candidate


def _side(side: object) -> str:
    if not isinstance(side, dict):
        return ""
    return " ".join(side[name] for name in ("ref", "model") if isinstance(side.get(name), str))


def reading_facts(reading: Reading) -> list[str]:
    """Return sentences about what the report was made of."""
    facts = [
        f"{count(reading.exchanges)} exchanges and {count(reading.steps)} steps of evidence in {count(reading.files)} "
        f"files of {', '.join(reading.journals)}."
    ]
    if reading.carried:
        facts.append(
            f"{count(reading.carried)} earlier steps are not in these files any more; their evidence is, as a sum. "
            "Plots and lists show what is there."
        )
    if reading.filters:
        facts.append(
            f"Chosen: {count(reading.chosen)} exchanges, by {', '.join(reading.filters)}. The stated chances hold if "
            "this choice was made before its results were seen."
        )
    if reading.changes:
        facts.append(
            f"Judged by other terms than were declared: {', '.join(reading.changes)}. The stated chances hold if they "
            "were chosen before the results were seen."
        )
    if reading.missing:
        facts.append(
            f"{count(reading.missing)} steps that were taken live are missing here: the verdict may differ from the "
            "one that was shown then."
        )
    if reading.damaged or reading.unreadable:
        facts.append(f"{count(reading.damaged + reading.unreadable)} places cannot be read and are left out.")
    return facts
