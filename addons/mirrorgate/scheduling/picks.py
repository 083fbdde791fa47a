"""What a pick takes and gives: the request's side of it, the gateway's memory, and a result that explains itself."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .endpoints import EndpointView
from .prefixes import PrefixIndex, cache_blocks

__all__ = ["NoEndpoint", "NoEndpointReason", "Pick", "PickRequest", "PickState", "Scored", "Scoring"]


@dataclass(frozen=True, slots=True)
class PickRequest:
    """What a pick may know of a request."""

    model: str | None = None
    """The model that the server is asked for, after rewriting; `None` when the request names none."""
    prompt: bytes | None = None
    """The text that a server's prefix cache would see, as bytes: `prompt`, or the JSON of `messages`."""
    cache_salt: bytes = b""
    """The request's `cache_salt`: prompts with different salts share no cache (vLLM)."""
    critical: bool = False
    """Whether it is declared `Critical`, or has an objective of no negative priority: never shed, in either era."""
    priority: int = 0
    """Higher goes first; negative may be shed."""
    avoid: frozenset[str] = frozenset()
    """Endpoints that this request has already failed at; they are picked only when there is no other."""


class PickState:
    """What one destination's picks remember. One for each destination; it outlives a reload."""

    __slots__ = ("prefixes", "turn")

    def __init__(self, prefixes: PrefixIndex | None = None) -> None:
        self.prefixes = PrefixIndex() if prefixes is None else prefixes
        self.turn = 0
        """Round robin's place, counted on by each of its picks."""

    def sent(self, pick: Pick) -> None:
        """Remember the prompt's prefixes at the picked endpoint.

        To be called when the request is really sent there, and not for mirrors: a refused request warms no cache.
        """
        self.prefixes.observe(pick.endpoint, pick.prefixes, cache_blocks(pick.view.load))

    def retain(self, endpoints: Iterable[str]) -> None:
        """Forget endpoints that have left the destination."""
        self.prefixes.retain(endpoints)


@dataclass(frozen=True, slots=True)
class Scoring:
    """What a scorer sees beside the candidates."""

    request: PickRequest
    state: PickState
    prefixes: Sequence[int] = ()
    """The prompt's chain of hashes; empty when the profile or the request has none."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One candidate's scores."""

    endpoint: str
    total: float
    """The sum of weight times score."""
    parts: tuple[tuple[str, float, float], ...]
    """Scorer, score (0 to 1) and weight, of each scorer that had something to say."""


class NoEndpointReason(enum.StrEnum):
    EMPTY = "empty"
    """The destination has no endpoints: 503."""
    SATURATED = "saturated"
    """A filter turned every endpoint down because they are busy: 429 in the picker protocol."""


@dataclass(frozen=True, slots=True)
class NoEndpoint:
    """A pick that found nothing."""

    reason: NoEndpointReason
    profile: str


@dataclass(frozen=True, slots=True)
class Pick:
    """The picked endpoint, with what is needed to say why. The tables are put into words only when asked for."""

    view: EndpointView
    profile: str
    candidates: Sequence[EndpointView]
    """Those that the filters left, in order."""
    totals: Sequence[float] = ()
    """A total for each candidate; empty where the profile has no scorers."""
    columns: Sequence[tuple[str, float, Sequence[float]]] = ()
    """Scorer, weight, and a score for each candidate."""
    prefixes: Sequence[int] = field(default=(), repr=False)
    note: str = ""
    """How the picker chose."""
    dropped: int = 0
    """Candidates that the filters took out."""
    panic: bool = False
    """Whether every candidate was unhealthy, so that all were used."""

    @property
    def endpoint(self) -> str:
        """The endpoint's key, `host:port`."""
        return self.view.key

    @property
    def scores(self) -> tuple[Scored, ...]:
        """Every candidate's scores, best first; candidates of equal totals in their own order."""
        scored = (
            [
                Scored(view.key, total, tuple((name, column[row], weight) for name, weight, column in self.columns))
                for row, (view, total) in enumerate(zip(self.candidates, self.totals, strict=True))
            ]
            if self.totals
            else [Scored(view.key, 0.0, ()) for view in self.candidates]
        )
        scored.sort(key=lambda one: one.total, reverse=True)
        return tuple(scored)

    @property
    def reason(self) -> str:
        """One line for a person."""
        parts = [self.note]
        if self.panic:
            parts.append("every endpoint is unhealthy, so all were used")
        elif self.dropped:
            parts.append(f"{self.dropped} filtered out")
        return "; ".join(part for part in parts if part)
