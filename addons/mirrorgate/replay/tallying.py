"""What a replay has done so far, for the progress bar and the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import msgspec

from .captured import Skip
from .pacing import Lateness

__all__ = ["Standing", "Tally"]

_FAILED = ("candidate_failed", "both_failed")


class Standing(msgspec.Struct):
    """What the verdict's document says so far."""

    verdict: str
    reason: str = ""
    pairs: int = 0
    pairs_needed: int | None = None


@dataclass(slots=True)
class Tally:
    """Counts of one run."""

    read: int = 0
    """Exchanges of the captures, those that are not sent included."""
    sent: int = 0
    """Requests to the candidate."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """Compared pairs by outcome."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Sent, or to be sent, and not compared, by reason."""
    passed: Counter[Skip] = field(default_factory=Counter)
    """Not sent, by reason."""
    details: list[str] = field(default_factory=list)
    """Of damage, the first few."""
    lateness: Lateness = field(default_factory=Lateness)
    verdicts: dict[str, Standing] = field(default_factory=dict)
    """By the candidate's cluster."""
    journal_lost: int = 0
    """Records that the disk did not take."""

    @property
    def compared(self) -> int:
        return self.outcomes.total()

    @property
    def errors(self) -> int:
        """Pairs whose candidate failed."""
        return sum(self.outcomes[word] for word in _FAILED)

    def take_verdict(self, cluster: str, document: bytes) -> None:
        """Take what `VerdictChanged` tells."""
        self.verdicts[cluster] = msgspec.json.decode(document, type=Standing)
