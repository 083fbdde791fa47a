"""The proxy's knowledge of the verdicts: what the shadow process last said of each candidate, and what it must be told.

The shadow process judges. Here its documents are kept for `/verdict` and the metrics, its state for a process that
is started in its place, and what never reached it, or was lost with it, is counted and passed on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from ..comparison.verdict import Decision
from ..comparison.verdict_document import VERDICT_SCHEMA
from ..events import Event, MirrorDropped, MirrorDropReason, MirrorSent
from ..legs import policy_bytes, subject_bytes
from ..records import Compared, Leg, MirrorsDropped, RestoreVerdicts, ShadowDropped, ToShadow, VerdictChanged
from ..routing.table import Rule
from ..shadow.basis import judging_of
from ..telemetry.samples import Sample

__all__ = ["Verdicts"]

logger = logging.getLogger("mirrorgate")

_FLUSH_SECONDS = 1.0
_LOST = frozenset(
    (
        MirrorDropReason.QUEUE_FULL,
        MirrorDropReason.NO_ENDPOINTS,
        MirrorDropReason.PROCESS_DOWN,
        MirrorDropReason.BODY_TOO_LARGE,
        MirrorDropReason.OVERLOAD,
    )
)
"""What lowers the coverage. The rest is intended, or the shadow process counts it itself."""
_COLLECTING = "no pair has been compared yet"


class _Standing(msgspec.Struct, frozen=True):
    name: str
    margin: float
    mean: float | None
    low: float
    high: float
    log_ni: float
    log_rej: float


class _Coverage(msgspec.Struct, frozen=True):
    share: float


class _Gist(msgspec.Struct, frozen=True):
    """What the proxy reads of a `comparison.verdict_document.VerdictDocument`."""

    verdict: Decision
    reason: str
    identity: str
    pairs: int
    pairs_needed: int | None
    coverage: _Coverage
    standings: tuple[_Standing, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    gist: _Gist
    document: bytes
    state: bytes


class Verdicts:
    """What is known of the candidates that the configuration declares."""

    kinds: ClassVar[tuple[type[Event], ...]] = (
        MirrorSent,
        MirrorDropped,
        Compared,
        ShadowDropped,
    )
    """The events that it is told of."""

    def __init__(self, send: Callable[[ToShadow], bool]) -> None:
        """`send` hands a frame to the shadow process, and says whether it took it."""
        self._send = send
        self._declared: dict[str, str] = {}
        """What each mirror's pairs are evidence about, by cluster."""
        self._known: dict[str, _Known] = {}
        self._lost: dict[str, Counter[str]] = {}
        self._under_way: Counter[str] = Counter()
        """Mirrored exchanges that the shadow process has, by cluster."""
        self._flushing: asyncio.TimerHandle | None = None

    def adopt(self, rules: Iterable[Rule]) -> None:
        """Take the rules of a configuration that takes effect.

        Forgets the mirrors that left and the verdicts about what is not compared any more: a PROMOTE of the former
        candidate must not be read as one of the next.
        """
        self._declared = {
            mirror.cluster: judging_of(
                mirror.cluster, policy_bytes(mirror.policy), subject_bytes(rule, mirror)
            ).identity
            for rule in rules
            for mirror in rule.mirrors
        }
        for cluster in [cluster for cluster, known in self._known.items() if not self._is_about(cluster, known.gist)]:
            del self._known[cluster]
        self._lost = {cluster: lost for cluster, lost in self._lost.items() if cluster in self._declared}
        for cluster in [cluster for cluster in self._under_way if cluster not in self._declared]:
            del self._under_way[cluster]

    # From and to the shadow process

    def take(self, changed: VerdictChanged) -> None:
        """Take the shadow process's word, and log it when the decision changed."""
        try:
            gist = msgspec.json.decode(changed.document, type=_Gist)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            logger.exception("the verdict of %s cannot be read", changed.cluster)
            return
        if not self._is_about(changed.cluster, gist):
            return
        before = self._known.get(changed.cluster)
        self._known[changed.cluster] = _Known(gist, changed.document, changed.state)
        if gist.verdict is not (Decision.HOLD if before is None else before.gist.verdict):
            level = logging.WARNING if gist.verdict is Decision.REJECT else logging.INFO
            logger.log(level, "verdict of %s: %s: %s", changed.cluster, gist.verdict.value, gist.reason)

    def greeting(self) -> list[ToShadow]:
        """Return what a shadow process is told when it starts: what the one before knew and kept nowhere else."""
        states = [known.state for known in self._known.values() if known.state]
        return [RestoreVerdicts(states)] if states else []

    def handle(self, event: Event) -> None:
        """Count what is not compared."""
        if isinstance(event, MirrorSent):
            self._under_way[event.cluster] += 1
        elif isinstance(event, MirrorDropped):
            if event.reason in _LOST:
                self._lose(event.cluster, event.reason.value, 1)
        elif isinstance(event, Compared) or (isinstance(event, ShadowDropped) and event.leg is Leg.CANDIDATE):
            self._under_way[event.cluster] -= 1

    def process_gone(self) -> None:
        """Count what the shadow process had and did not report as lost with it."""
        under_way, self._under_way = self._under_way, Counter()
        for cluster, count in under_way.items():
            if count > 0:
                self._lose(cluster, "process_died", count)

    def close(self) -> None:
        """Count nothing any more."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None

    def _is_about(self, cluster: str, gist: _Gist) -> bool:
        """Tell whether a verdict is about what the configuration declares now."""
        return self._declared.get(cluster) == gist.identity

    def _lose(self, cluster: str, reason: str, count: int) -> None:
        if cluster not in self._declared:
            return
        self._lost.setdefault(cluster, Counter())[reason] += count
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        """Tell the shadow process; while there is none, what is lost is kept."""
        self._flushing = None
        if not self._lost:
            return
        if self._send(MirrorsDropped({cluster: dict(reasons) for cluster, reasons in self._lost.items()})):
            self._lost = {}
        else:
            self._flushing = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self._flush)

    # Views

    def view(self) -> object:
        """Return what `/verdict` answers: REJECT when any candidate is rejected, PROMOTE when all are promoted."""
        decision, reason = self._overall()
        shadows = [self.document(cluster) for cluster in self._declared]
        return {"verdict": decision, "reason": reason, "shadows": shadows}

    def document(self, cluster: str) -> object | None:
        """Return what `/verdict?cluster=` answers, `None` for a mirror that is not declared."""
        known = self._known.get(cluster)
        if known is not None:
            return msgspec.Raw(known.document)
        if cluster not in self._declared:
            return None
        return {
            "schema": VERDICT_SCHEMA,
            "cluster": cluster,
            "verdict": Decision.HOLD,
            "promote": 0,
            "hold": 1,
            "reject": 0,
            "reason": _COLLECTING,
            "guardrail": None,
            "pairs": 0,
            "pairs_needed": None,
        }

    def decision(self, cluster: str) -> tuple[Decision, str] | None:
        """Return the decision and its reason, over all candidates without a cluster; `None` for an unknown one."""
        if not cluster:
            return self._overall()
        if cluster not in self._declared:
            return None
        known = self._known.get(cluster)
        return (Decision.HOLD, _COLLECTING) if known is None else (known.gist.verdict, known.gist.reason)

    def _overall(self) -> tuple[Decision, str]:
        if not self._declared:
            return Decision.HOLD, "the configuration has no mirror"
        found = {cluster: self.decision(cluster) or (Decision.HOLD, _COLLECTING) for cluster in self._declared}
        for decision in (Decision.REJECT, Decision.HOLD):
            for cluster, (theirs, reason) in found.items():
                if theirs is decision:
                    return decision, reason if len(found) == 1 else f"{cluster}: {reason}"
        first = next(iter(found.values()))[1]
        return Decision.PROMOTE, first if len(found) == 1 else f"all {len(found)} candidates: {first}"

    def samples(self) -> Iterator[Sample]:
        """Yield the gauges that are read at scrape time."""
        for cluster in self._declared:
            known = self._known.get(cluster)
            verdict = Decision.HOLD if known is None else known.gist.verdict
            for decision in Decision:
                labels = {"cluster": cluster, "state": decision.value}
                yield Sample("mirrorgate_verdict", float(verdict is decision), labels)
            if known is not None:
                yield from _samples_of(cluster, known.gist)


def _samples_of(cluster: str, gist: _Gist) -> Iterator[Sample]:
    # Infinity says that PROMOTE is not to be expected, and is over every threshold of an alert.
    needed = float("inf") if gist.pairs_needed is None else float(gist.pairs_needed)
    yield Sample("mirrorgate_pairs_needed", needed, {"cluster": cluster})
    yield Sample("mirrorgate_verdict_pairs", gist.pairs, {"cluster": cluster})
    yield Sample("mirrorgate_verdict_coverage", gist.coverage.share, {"cluster": cluster})
    for standing in gist.standings:
        labels = {"cluster": cluster, "guardrail": standing.name}
        if standing.mean is not None:
            yield Sample("mirrorgate_guardrail_diff", standing.mean, labels)
        yield Sample("mirrorgate_guardrail_diff_low", standing.low, labels)
        yield Sample("mirrorgate_guardrail_diff_high", standing.high, labels)
        yield Sample("mirrorgate_guardrail_margin", standing.margin, labels)
        yield Sample("mirrorgate_log_evidence", standing.log_ni, labels | {"side": "promote"})
        yield Sample("mirrorgate_log_evidence", standing.log_rej, labels | {"side": "reject"})
