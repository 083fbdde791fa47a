"""Races on the same pairs: after how many of them each rule raises its hand.

A run is a stream of samples of a pool. From a large pool they are drawn with replacement, so that every run is another
stream of the same traffic and may be longer than the pool. A small pool must not be: what chance brought into it once
would be repeated until it is evidence. Its runs are the pool in other orders. The verdict is looked at after every
pair, and so is Diffy's rule; the fixed thresholds have their own clock.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from ...comparison.guardrails import GuardrailName, guardrails_of
from ...comparison.judging import Judge
from ...comparison.verdict import Decision, VerdictPolicy
from .diffy import Diffy
from .pool import SLO, Sample
from .thresholds import FixedThresholds

__all__ = [
    "ARGO",
    "EQUIVALENCE",
    "FLAGGER",
    "MODES",
    "REPLACEMENT",
    "Finish",
    "Mode",
    "Rivals",
    "finish_of",
    "rivals_of",
]

ARGO, FLAGGER = 1, 5
"""Failed checks that end a rollout: Argo's `failureLimit: 0`, and the `threshold` of Flagger's examples."""


@dataclass(frozen=True, slots=True)
class Mode:
    """How the verdict is asked for."""

    name: str
    equivalence: bool
    control: float
    """The share of pairs whose primary is asked again."""
    margins: tuple[tuple[str, float], ...] = ()
    """Where they are not the default ones."""

    def policy(self) -> VerdictPolicy:
        """Return what the judge is asked for: all that there is, with an SLO for every latency."""
        control, margins = self.control > 0, dict(self.margins)
        found = guardrails_of(equivalence=self.equivalence, slo=SLO, control=control, margins=margins)
        return VerdictPolicy(found, quality=self.equivalence)


EQUIVALENCE = Mode("equivalence, control on 20 %", True, 0.2)
REPLACEMENT = Mode("replacement", False, 0.0)
MODES = (EQUIVALENCE, Mode("equivalence, control on every pair", True, 1.0), REPLACEMENT)


@dataclass(frozen=True, slots=True)
class Finish:
    """Where the verdict stood at the end of a run."""

    decision: Decision
    pairs: int
    """Pairs until the decision, or all of them for HOLD."""
    guardrail: str | None


@dataclass(frozen=True, slots=True)
class Rivals:
    """What the other rules did in a run. `None`: never, within the pairs of the run."""

    diffy_first: int | None
    """The first pair after which a field was flagged."""
    diffy_at_look: bool
    """Whether a field is flagged when one looks just once."""
    argo: int | None
    flagger: int | None


def drawn(samples: Sequence[Sample], rng: random.Random, most: int) -> Iterator[Sample]:
    """Draw so many samples with replacement."""
    for _ in range(most):
        yield samples[rng.randrange(len(samples))]


def shuffled(samples: Sequence[Sample], rng: random.Random) -> Iterator[Sample]:
    """Return every sample once, in another order."""
    return iter(rng.sample(samples, len(samples)))


def finish_of(stream: Iterable[Sample], mode: Mode, rng: random.Random) -> Finish:
    """Let the judge see pairs until it decides; `rng` draws which of them have a control."""
    judge = Judge(mode.policy(), "benchmark")
    pair = 0
    for pair, sample in enumerate(stream, 1):
        losses = dict(sample.losses)
        if rng.random() >= mode.control:
            losses.pop(GuardrailName.DIVERGENCE.value, None)
        judge.observe(losses, float(pair))
        decision, guardrail = judge.decision
        if decision is not Decision.HOLD:
            return Finish(decision, pair, guardrail)
    return Finish(Decision.HOLD, pair, None)


def rivals_of(stream: Iterable[Sample], slowest: float, look: int) -> Rivals:
    """Let the other rules see pairs; `look` is the pair after which Diffy's fields are looked at just once."""
    diffy, argo, flagger = Diffy(), FixedThresholds(slowest, ARGO), FixedThresholds(slowest, FLAGGER)
    first: int | None = None
    looked = False
    rolled_back: dict[int, int] = {}
    for pair, sample in enumerate(stream, 1):
        diffy.observe(sample.raw, sample.noise)
        if first is None or pair == look:
            flagged = bool(diffy.flagged())
            first = pair if flagged and first is None else first
            looked = flagged if pair == look else looked
        for rule in (argo, flagger):
            if rule.observe(sample.status, sample.seconds):
                rolled_back.setdefault(rule.failures, pair)
    return Rivals(first, looked, rolled_back.get(ARGO), rolled_back.get(FLAGGER))


def middle(values: Sequence[int | None]) -> float | None:
    """Return the median of numbers of pairs, `None` where half of the runs never got there."""
    reached = median(float("inf") if value is None else float(value) for value in values) if values else float("inf")
    return None if reached == float("inf") else reached
