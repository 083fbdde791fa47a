"""What a pick takes and gives: the request's side of it, the gateway's memory, and a result that explains itself."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import msgspec

from ..resources.endpoints import Address
from .board import Board, largest_block
from .endpoints import EndpointHealth, EndpointView, view_of
from .in_flight import InFlight
from .maglev import MaglevTable
from .prefixes import PrefixIndex, cache_blocks
from .standings import Standings, Weights

__all__ = [
    "Affinity",
    "Column",
    "NoEndpoint",
    "NoEndpointReason",
    "Pick",
    "PickRequest",
    "PickState",
    "Scored",
    "Scoring",
    "Tables",
]

Column = tuple[str, float, Sequence[float]]
"""Scorer, weight, and a score for each candidate."""

Tables = tuple[Sequence[float], Sequence[Column]]
"""A total for each candidate, and what it is made of."""


@dataclass(frozen=True, slots=True)
class Affinity:
    """A hashed key, and the table that leads it to an endpoint."""

    key: int
    table: MaglevTable = field(repr=False)


class PickRequest(msgspec.Struct, frozen=True):
    """What a pick may know of a request."""

    model: str | None = None
    """The model that the server is asked for, after rewriting; `None` when the request names none."""
    prompt: Callable[[], bytes] | None = None
    """Finds the text that a server's prefix cache would see, as bytes: `prompt`, or the JSON of `messages`. It costs
    the more the longer it is, so that only a pick that looks at it asks."""
    cache_salt: bytes = b""
    """The request's `cache_salt`: prompts with different salts share no cache (vLLM)."""
    critical: bool = False
    """Whether it is declared `Critical`, or has an objective of no negative priority: never shed, in either era."""
    priority: int = 0
    """Higher goes first; negative may be shed."""
    avoid: frozenset[str] = frozenset()
    """Endpoints that this request has already failed at; they are picked only when there is no other."""
    named: tuple[str, ...] = ()
    """Endpoints that the request names, the best first; the first that is a candidate is picked."""
    affinity: Affinity | None = None
    """The key that the request is hashed by; `None` where it has none, or nothing is hashed."""


class _Sight:
    """One destination's endpoints as one cluster sees them."""

    __slots__ = ("board", "standings")

    def __init__(self, addresses: Sequence[Address]) -> None:
        self.board = Board(addresses)
        self.standings: tuple[Weights, Standings] | None = None

    def views(
        self, health: Mapping[str, EndpointHealth], in_flight: InFlight, ejected: frozenset[str]
    ) -> Sequence[EndpointView]:
        board = self.board
        changed = board.refresh(health, in_flight, ejected)
        if board.unhealthy == len(board.views):
            self.standings = None  # there is nobody to be measured
        if self.standings is not None:
            standings = self.standings[1]
            if changed is None:
                standings.renew(board.views)
            else:
                standings.mend(board.views, changed)
        return board.shown()


class PickState:
    """What one destination's picks remember. One for each destination; it outlives a reload."""

    __slots__ = ("_sight", "_sights", "prefixes", "turn")

    def __init__(self, prefixes: PrefixIndex | None = None) -> None:
        self.prefixes = PrefixIndex() if prefixes is None else prefixes
        self.turn = 0
        """Round robin's place, counted on by each of its picks."""
        self._sights: dict[str, _Sight] = {}
        """By who looks: rules that share the destination may have ejected different endpoints."""
        self._sight: _Sight | None = None
        """The one that was looked at last."""

    def keys(self, addresses: Sequence[Address]) -> Collection[str]:
        """Return the names of the destination's endpoints."""
        return self._look("", addresses).board.rows

    def views(
        self,
        addresses: Sequence[Address],
        health: Mapping[str, EndpointHealth],
        in_flight: InFlight,
        ejected: frozenset[str] = frozenset(),
        by: str = "",
    ) -> Sequence[EndpointView]:
        """Return the destination's endpoints as they are now; equal to `endpoint_views`, and much cheaper.

        `ejected` are unhealthy to the cluster `by`, and to no other. Where all endpoints would be unhealthy by it, the
        ejected are left out, so that no pick takes them for want of others.
        """
        if len(addresses) == 1 and not ejected:
            [address], self._sight = addresses, None
            return (view_of(str(address), address, health.get(str(address)), in_flight),)  # nothing to be kept
        if not ejected:
            sight = self._sight = self._look("", addresses)
            return sight.views(health, in_flight, ejected)
        sight = self._sight = self._look(by, addresses)
        found = sight.views(health, in_flight, ejected)
        if sight.board.unhealthy < len(found):
            return found
        return [view for view in found if view.key not in ejected]

    def _look(self, by: str, addresses: Sequence[Address]) -> _Sight:
        sight = self._sights.get(by)
        if sight is None or sight.board.addresses is not addresses:
            sight = self._sights[by] = _Sight(addresses)
        return sight

    def standings(self, weights: Weights, candidates: Sequence[EndpointView], left: int) -> Standings | None:
        """Return the candidates' standings where they are the views that were given last, and the healthy ones of
        them are left, by their number."""
        sight = self._sight
        if sight is None or candidates is not sight.board.views or len(candidates) - sight.board.unhealthy != left:
            return None
        if sight.standings is None or sight.standings[0] is not weights:
            sight.standings = (weights, Standings(weights, candidates))
        return sight.standings[1]

    def block_size(self, candidates: Sequence[EndpointView]) -> int:
        """Return the largest block that a candidate reports, 0 when none does."""
        sight = self._sight
        if sight is not None and candidates is sight.board.views:
            return sight.board.block_size
        return largest_block(candidates)

    def matched_rows(self, matched: Mapping[str, int]) -> dict[int, int]:
        """Return what matches by the rows of the views instead of by endpoint; departed endpoints are left out."""
        assert self._sight is not None
        rows = self._sight.board.rows
        return {row: run for key, run in matched.items() if (row := rows.get(key)) is not None}

    def sent(self, pick: Pick) -> None:
        """Remember the prompt's prefixes at the picked endpoint.

        To be called when the request is really sent there, and not for mirrors: a refused request warms no cache.
        """
        self.prefixes.observe(pick.endpoint, pick.prefixes, cache_blocks(pick.view.load))

    def retain(self, endpoints: Iterable[str]) -> None:
        """Forget endpoints that have left the destination, and who looked at it."""
        self.prefixes.retain(endpoints)
        self._sights.clear()
        self._sight = None


class Scoring(msgspec.Struct, frozen=True):
    """What a scorer sees beside the candidates. Picks are kept, and this with them: nothing of the request's body is
    in it."""

    model: str | None
    """The model that the server is asked for."""
    blocks: int = 0
    """Blocks of the prompt that are looked for."""
    matched: Mapping[str, int] = MappingProxyType({})
    """Endpoints that hold some of them, and how many."""


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


class Pick(msgspec.Struct, frozen=True):
    """The picked endpoint, with what is needed to say why. The tables are put into words only when asked for."""

    view: EndpointView
    profile: str
    candidates: Sequence[EndpointView]
    """Those that the filters left, in order."""
    totals: Sequence[float] = ()
    """A total for each candidate; empty where the profile has no scorers."""
    columns: Sequence[Column] = ()
    """Scorer, weight, and a score for each candidate."""
    rate: Callable[[], Tables] | None = None
    """Works out totals and columns when they are asked for, where the pick did not need them all."""
    prefixes: Sequence[int] = ()
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
        totals, columns = (self.totals, self.columns) if self.rate is None else self.rate()
        scored = (
            [
                Scored(view.key, total, tuple((name, column[row], weight) for name, weight, column in columns))
                for row, (view, total) in enumerate(zip(self.candidates, totals, strict=True))
            ]
            if totals
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
