"""What is counted over the pairs of one candidate, in memory that does not grow with their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from ..comparison.ledger import LEGS
from ..comparison.sketches import LatencySketch
from .entries import Entry, Leg

__all__ = ["SIMILARITY_BINS", "Counts", "GroupTally", "LegTally", "PairTally"]

SIMILARITY_BINS: Final = 20

_MOST_WORDS: Final = 40
"""Different words that are counted apart, such as finish reasons: a server may invent as many as it likes."""
_MOST_GROUPS: Final = 200
_LONGEST_WORD: Final = 80


class Counts:
    """Counts by word; beyond a number of different words the rest is `other`."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, word: str, count: int = 1) -> None:
        word = word[:_LONGEST_WORD]
        self._counts[word if word in self._counts or len(self._counts) < _MOST_WORDS else "other"] += count

    def sorted(self) -> dict[str, int]:
        """Return the counts, highest first, then by word."""
        return dict(sorted(self._counts.items(), key=lambda item: (-item[1], item[0])))


class LegTally:
    """The answers of one leg."""

    def __init__(self) -> None:
        self.answers = 0
        self.statuses = Counts()
        self.finish_reasons = Counts()
        """Of every choice; `none` where it has none."""
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.models = Counts()

    def add(self, leg: Leg) -> None:
        self.answers += 1
        self.statuses.add(str(leg.status) if leg.status else leg.outcome or "none")
        if leg.model:
            self.models.add(leg.model)
        for choice in leg.choices:
            self.finish_reasons.add(choice.finish_reason or "none")
        if leg.usage is not None:
            self.prompt_tokens += max(0, leg.usage.prompt_tokens or 0)
            self.completion_tokens += max(0, leg.usage.completion_tokens or 0)


class GroupTally:
    """The pairs of one route and one model."""

    def __init__(self) -> None:
        self.pairs = 0
        self.outcomes = Counts()
        self.similarities = 0
        self.similarity = 0.0
        self.ttft = {leg: LatencySketch() for leg in LEGS[:2]}
        self.e2e = {leg: LatencySketch() for leg in LEGS[:2]}

    def add(self, entry: Entry) -> None:
        self.pairs += 1
        self.outcomes.add(entry.outcome)
        if entry.similarity is not None:
            self.similarities += 1
            self.similarity += entry.similarity
        for name, leg in (("primary", entry.primary), ("candidate", entry.candidate)):
            if leg.ttft is not None:
                self.ttft[name].add(leg.ttft)
            if leg.e2e is not None:
                self.e2e[name].add(leg.e2e)


class PairTally:
    """The pairs of one candidate under one identity."""

    def __init__(self) -> None:
        self.pairs = 0
        self.first: float | None = None
        self.last: float | None = None
        self.outcomes = Counts()
        self.legs = {leg: LegTally() for leg in LEGS}
        self.similarity = [0] * SIMILARITY_BINS
        """Pairs by the similarity of primary and candidate, from 0 to 1."""
        self.noise_floor = [0] * SIMILARITY_BINS
        """The same of the primary and the control."""
        self.exact = 0
        self.groups: dict[tuple[str, str], GroupTally] = {}
        """By the route's rule and the primary's model."""
        self.worse: Counter[str] = Counter()
        """Pairs in which the candidate lost by a guardrail."""
        self.better: Counter[str] = Counter()

    def add(self, entry: Entry) -> None:
        self.pairs += 1
        self.first = entry.started if self.first is None else min(self.first, entry.started)
        self.last = entry.started if self.last is None else max(self.last, entry.started)
        self.outcomes.add(entry.outcome)
        self.legs["primary"].add(entry.primary)
        self.legs["candidate"].add(entry.candidate)
        if entry.control is not None:
            self.legs["control"].add(entry.control)
        if entry.similarity is not None:
            self.similarity[_bin(entry.similarity)] += 1
        if entry.control_comparison is not None and entry.control_comparison.similarity is not None:
            self.noise_floor[_bin(entry.control_comparison.similarity)] += 1
        self.exact += entry.comparison.exact is True
        self._group(entry).add(entry)

    def judge(self, differences: Mapping[str, float]) -> None:
        """Count what a pair's step in the evidence says, by guardrail."""
        for name, difference in differences.items():
            if difference > 0.0:
                self.worse[name] += 1
            elif difference < 0.0:
                self.better[name] += 1

    def _group(self, entry: Entry) -> GroupTally:
        model = entry.request.target_model or entry.request.model or "–"
        key = (f"{entry.route}/{entry.rule}", model)
        if key not in self.groups and len(self.groups) >= _MOST_GROUPS:
            key = ("other", "other")
        found = self.groups.get(key)
        if found is None:
            found = self.groups[key] = GroupTally()
        return found


def _bin(similarity: float) -> int:
    """Return the bin of a similarity; 1 belongs to the last."""
    return min(SIMILARITY_BINS - 1, max(0, int(similarity * SIMILARITY_BINS)))
