"""What the benchmark found, as it is kept beside the document: the tables and pictures are made from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

__all__ = ["HealthyRow", "ModeRow", "PairsRow", "RaceRow", "Races", "RateRow", "Results", "SpeedRow", "load", "save"]


@dataclass(frozen=True, slots=True)
class RateRow:
    """How often simulated runs came to a decision."""

    name: str
    guardrails: int
    """That decide."""
    runs: int
    pairs: int
    rejected: int
    promoted: int
    within: bool
    """Whether a REJECT is wrong."""
    beyond: bool
    """Whether a PROMOTE is wrong."""
    rejected_at_most: float
    """Upper end of the exact 95 % interval of the rate."""
    promoted_at_most: float
    median_promoted: float | None


@dataclass(frozen=True, slots=True)
class PairsRow:
    """How many pairs one guardrail takes, beside the fixed grid of bets."""

    name: str
    inferior: bool
    grid: int
    """The published median."""
    middle: float | None
    """Ours; `None` where half of the runs did not get there."""
    most: float | None
    """The 90th percentile."""


@dataclass(frozen=True, slots=True)
class ModeRow:
    """How the verdict fared with one candidate in one mode."""

    mode: str
    promoted: int
    held: int
    rejected: int
    guardrails: dict[str, int]
    """Which rejected, how often."""
    middle: float | None
    """Pairs until the decision that most runs came to; `None` for HOLD."""
    most: float | None


@dataclass(frozen=True, slots=True)
class RaceRow:
    """One candidate and all rules."""

    name: str
    runs: int
    modes: tuple[ModeRow, ...]
    diffy_first: float | None
    """Median of the first pair after which Diffy's rule flags a field."""
    diffy_flagged: float
    """Share of runs in which a field is flagged when one looks once."""
    argo: float | None
    """Median pairs until roll-back; `None` where most runs are not rolled back. So is Flagger's."""
    argo_share: float
    flagger: float | None
    flagger_share: float


@dataclass(frozen=True, slots=True)
class Races:
    """One set of candidates on one set of requests."""

    requests: int
    """That were made and measured; runs draw from them with replacement."""
    most: int
    """Pairs of a run at most."""
    rival_pairs: int
    """Pairs that the other rules see."""
    look: int
    """The pair after which Diffy's fields are looked at once."""
    slo: tuple[float | None, float | None, float | None]
    """TTFT, ITL and E2E, seconds."""
    slowest: float
    """The fixed thresholds' bound of the 99th percentile, seconds."""
    rows: tuple[RaceRow, ...]


@dataclass(frozen=True, slots=True)
class HealthyRow:
    """How often a rule turned a sound candidate away."""

    name: str
    turned_away: int
    runs: int


@dataclass(frozen=True, slots=True)
class SpeedRow:
    name: str
    pairs_per_second: float


@dataclass(slots=True)
class Results:
    """Everything; a part that has not been run is empty."""

    seed: int = 0
    rates: list[RateRow] = field(default_factory=list)
    pairs: list[PairsRow] = field(default_factory=list)
    races: Races | None = None
    false_alarms: list[HealthyRow] = field(default_factory=list)
    real: Races | None = None
    speed: list[SpeedRow] = field(default_factory=list)
    machine: str = ""
    """Where the speed was measured."""


def load(path: Path) -> Results:
    """Read results, empty ones where there are none."""
    return msgspec.json.decode(path.read_bytes(), type=Results) if path.exists() else Results()


def save(results: Results, path: Path) -> None:
    """Write results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
