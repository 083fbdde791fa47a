"""The worst pairs, kept for people: a few of each kind, from the journal's records, with what content they hold.

A record holds what the content policy lets through, so nothing more can be shown here. The choice depends on the
pairs alone and not on the order in which they are seen: the live page and the report show the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from .differences import Span, word_spans

__all__ = ["PairSide", "WorstPair", "WorstPairs", "badness_of", "worst_pair_of"]

_OF_A_KIND: Final = 3
_MOST: Final = 12
_EXCERPT: Final = 1200
"""Characters of a text that are shown."""
_WORDS: Final = 600

Spans = list[tuple[str, bool]]
"""A text in stretches, each with whether the other side does not have it. Joined they are the text."""


class PairSide(msgspec.Struct, frozen=True):
    """One leg of a pair in few words."""

    endpoint: str
    model: str | None
    status: int
    outcome: str
    broken: str
    finish_reason: str | None
    ttft: float | None
    e2e: float | None
    completion_tokens: int | None
    spans: Spans | None = None
    """What it said, `None` where no content is kept."""


class WorstPair(msgspec.Struct, frozen=True):
    """A pair that speaks against the candidate."""

    badness: float
    kind: str
    """The guardrail that it loses most by, or `different`."""
    at: float
    id: str
    route: str
    outcome: str
    similarity: float | None
    summary: str
    losses: dict[str, float]
    """Those that are not 0."""
    primary: PairSide
    candidate: PairSide
    prompt: str | None = None
    """The end of what was asked, `None` where no content is kept."""


def badness_of(losses: Mapping[str, float], similarity: float | None) -> tuple[float, str]:
    """Return how much a pair speaks against the candidate, from 0 to 2, and by which guardrail most.

    That is its greatest loss and how far apart the answers are; 0 for a pair that speaks for it or not at all.
    """
    name, worst = max(losses.items(), key=lambda item: (item[1], item[0]), default=("", 0.0))
    worst = max(0.0, worst)
    distance = (1.0 if worst >= 1.0 else 0.0) if similarity is None else min(max(1.0 - similarity, 0.0), 1.0)
    return worst + distance, name if worst > 0.0 else "different"


def worst_pair_of(record: Mapping[str, Any], losses: Mapping[str, float]) -> WorstPair | None:
    """Read a journal's record; `None` for one that does not have what a record has."""
    try:
        similarity = record["similarity"]
        badness, kind = badness_of(losses, similarity)
        first, second = _said(record["primary"]), _said(record["candidate"])
        left, right = (None, None) if first is None or second is None else word_spans(first, second, _WORDS)
        return msgspec.convert(
            {
                "badness": badness,
                "kind": kind,
                "at": record["started"],
                "id": record["id"],
                "route": record["route"],
                "outcome": record["outcome"],
                "similarity": similarity,
                "summary": record["summary"],
                "losses": {name: value for name, value in losses.items() if value},
                "primary": _side(record["primary"], left),
                "candidate": _side(record["candidate"], right),
                "prompt": _prompt(record["request"].get("body")),
            },
            WorstPair,
        )
    except (KeyError, TypeError, AttributeError, ValueError, msgspec.ValidationError):
        return None


class WorstPairs:
    """The worst few of each kind."""

    def __init__(self, pairs: Iterable[WorstPair] = ()) -> None:
        self._kinds: dict[str, list[WorstPair]] = {}
        for pair in pairs:
            self.take(pair)

    def wants(self, losses: Mapping[str, float], similarity: float | None) -> bool:
        """Tell whether a pair would be kept if it were shown: most need not be read any further."""
        badness, kind = badness_of(losses, similarity)
        held = self._kinds.get(kind, ())
        return badness > 0.0 and (len(held) < _OF_A_KIND or badness >= held[-1].badness)

    def take(self, pair: WorstPair) -> None:
        """Keep a pair if it is among the worst of its kind; of equally bad ones the latest count."""
        held = self._kinds.setdefault(pair.kind, [])
        if any(each.id == pair.id for each in held):
            return
        held.append(pair)
        held.sort(key=_order, reverse=True)
        del held[_OF_A_KIND:]

    def all(self) -> list[WorstPair]:
        """Return everything that is kept, the worst first: what a checkpoint holds."""
        return sorted((pair for held in self._kinds.values() for pair in held), key=_order, reverse=True)

    def shown(self) -> list[WorstPair]:
        """Return the worst of all kinds, the worst first."""
        return self.all()[:_MOST]


def _order(pair: WorstPair) -> tuple[float, float, str]:
    return pair.badness, pair.at, pair.id


def _side(leg: Mapping[str, Any], spans: tuple[Span, ...] | None) -> dict[str, Any]:
    choices, usage = leg.get("choices") or [{}], leg.get("usage") or {}
    return {
        "endpoint": leg["endpoint"],
        "model": leg["model"],
        "status": leg["status"],
        "outcome": leg["outcome"],
        "broken": leg["broken"],
        "finish_reason": choices[0].get("finish_reason"),
        "ttft": leg["ttft"],
        "e2e": leg["e2e"],
        "completion_tokens": usage.get("completion_tokens"),
        "spans": None if spans is None else [(span.text, span.differs) for span in spans],
    }


def _said(leg: Mapping[str, Any]) -> str | None:
    """Return the beginning of what a leg said, `None` where it is not kept; empty for one that said nothing."""
    choices = leg.get("choices") or []
    if choices:
        choice = choices[0]
        if "text" not in choice:
            return None
        calls = "".join(f"{call['name']}({call['arguments']})\n" for call in choice.get("calls") or ())
        return _cut((choice["text"] or choice.get("refusal") or choice.get("reasoning") or "") + calls)
    if "detail" not in leg:
        return None
    messages = "\n".join(error.get("message") or "" for error in leg.get("errors") or ())
    return _cut(messages or leg.get("content") or _written(leg.get("value")) or leg["detail"] or "")


def _prompt(body: Any) -> str | None:
    """Return the end of the last thing that was asked."""
    if not isinstance(body, dict):
        return None
    asked: Any = body.get("messages") or body.get("prompt") or body.get("input")
    if isinstance(asked, list) and asked:
        asked = asked[-1]
    if isinstance(asked, dict):
        asked = asked.get("content")
    if isinstance(asked, list):
        asked = "\n".join(
            part["text"] for part in asked if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    text = asked if isinstance(asked, str) else _written(asked)
    return text if len(text) <= _EXCERPT else "…" + text[-_EXCERPT:]


def _written(value: Any) -> str:
    return "" if value is None else msgspec.json.encode(value).decode()


def _cut(text: str) -> str:
    return text if len(text) <= _EXCERPT else text[:_EXCERPT] + "…"
