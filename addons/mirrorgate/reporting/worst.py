"""The pairs that a person should look at first: a few of each kind of harm, so that one kind does not hide the others."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ..comparison.guardrails import GuardrailName
from .entries import Choice, Entry, Leg

__all__ = ["Answer", "PathDifference", "WorstPair", "WorstPairs"]

_PER_KIND: Final = 6
_MOST_KINDS: Final = 80
_TEXT_LIMIT: Final = 12_000
"""Characters of one text that are kept; memory and the page stay small whatever the journal holds."""
_MOST_DIFFERENCES: Final = 20
_KINDS: Final = (
    GuardrailName.ERRORS,
    GuardrailName.BROKEN_STREAMS,
    GuardrailName.TOOL_CALLS,
    GuardrailName.JSON_SCHEMA,
    GuardrailName.REFUSAL,
    GuardrailName.EMPTINESS,
    GuardrailName.TRUNCATION,
    GuardrailName.REPETITION,
)
"""Most harmful first; the user's scorers come behind them, then other text, then latency."""
_LATENCIES: Final = (GuardrailName.TTFT_SLO, GuardrailName.ITL_SLO, GuardrailName.E2E_SLO)
_OTHER_TEXT: Final = GuardrailName.DIVERGENCE.value


@dataclass(frozen=True, slots=True)
class Answer:
    """One leg's answer as it is shown."""

    model: str | None
    status: int
    outcome: str
    broken: str
    finish_reason: str | None
    completion_tokens: int | None
    ttft: float | None
    e2e: float | None
    text: str | None
    """What was said, tool calls and errors included; `None` where the journal keeps no content."""


@dataclass(frozen=True, slots=True)
class PathDifference:
    path: str
    change: str
    primary: str
    candidate: str


@dataclass(frozen=True, slots=True)
class WorstPair:
    id: str
    started: float
    """Unix time."""
    route: str
    kind: str
    """The guardrail by which the candidate loses, `divergence` where it says something else."""
    outcome: str
    similarity: float | None
    summary: str
    prompt: str | None
    """The last message of the request; `None` where the journal keeps no content."""
    primary: Answer
    candidate: Answer
    control: Answer | None
    differences: tuple[PathDifference, ...]
    """Of structures and tool calls, where content is kept."""


class WorstPairs:
    """Keeps the worst of each kind."""

    def __init__(self, *, texts: bool = True) -> None:
        """With `texts` off, nothing that a client or a model wrote is kept."""
        self._texts = texts
        self._kinds: dict[str, list[tuple[tuple[float, float, float], str, WorstPair]]] = {}

    def add(self, entry: Entry, differences: Mapping[str, float]) -> None:
        kind = _kind(entry, differences)
        if kind is None or (kind not in self._kinds and len(self._kinds) >= _MOST_KINDS):
            return
        held = self._kinds.setdefault(kind, [])
        # The id makes the order total, hence the same for every order of the journals.
        badness = (differences.get(kind, 0.0), 1.0 - (entry.similarity or 0.0), _slowness(entry))
        if len(held) < _PER_KIND:
            heapq.heappush(held, (badness, entry.id, self._shown(entry, kind)))
        elif (badness, entry.id) > held[0][:2]:
            heapq.heapreplace(held, (badness, entry.id, self._shown(entry, kind)))

    def top(self, limit: int) -> tuple[WorstPair, ...]:
        """Return at most `limit` pairs: the worst of each kind, then the second worst, and so on."""
        ranked = {kind: [pair for *_, pair in sorted(held, reverse=True)] for kind, held in self._kinds.items()}
        order = sorted(ranked, key=_severity)
        rounds = [ranked[kind][place] for place in range(_PER_KIND) for kind in order if place < len(ranked[kind])]
        return tuple(rounds[:limit])

    def _shown(self, entry: Entry, kind: str) -> WorstPair:
        texts = self._texts and entry.policy.content != "none"
        return WorstPair(
            id=entry.id,
            started=entry.started,
            route=f"{entry.route}/{entry.rule}",
            kind=kind,
            outcome=entry.outcome,
            similarity=entry.similarity,
            summary=entry.summary,
            prompt=_prompt(entry.request.body) if texts else None,
            primary=_answer(entry.primary, texts),
            candidate=_answer(entry.candidate, texts),
            control=None if entry.control is None else _answer(entry.control, texts),
            differences=_differences(entry.comparison.details) if texts else (),
        )


def _kind(entry: Entry, differences: Mapping[str, float]) -> str | None:
    """Return the most harmful thing about a pair, `None` when there is nothing to see."""
    lost = {name for name, difference in differences.items() if difference > 0.0}
    for name in _KINDS:
        if name.value in lost:
            return name.value
    own = sorted(lost.difference(GuardrailName))
    if own:
        return own[0]
    if entry.outcome in ("different", "similar") and entry.comparison.exact is not True:
        return _OTHER_TEXT
    return next((name.value for name in _LATENCIES if name.value in lost), None)


def _severity(kind: str) -> tuple[int, str]:
    if kind in _KINDS:
        return list(_KINDS).index(GuardrailName(kind)), ""
    if kind in _LATENCIES:
        return len(_KINDS) + 2, kind
    return len(_KINDS) + (1 if kind == _OTHER_TEXT else 0), kind


def _slowness(entry: Entry) -> float:
    if entry.primary.e2e is None or entry.candidate.e2e is None:
        return 0.0
    return entry.candidate.e2e - entry.primary.e2e


def _answer(leg: Leg, texts: bool) -> Answer:
    return Answer(
        model=leg.model,
        status=leg.status,
        outcome=leg.outcome,
        broken=leg.broken,
        finish_reason=leg.choices[0].finish_reason if leg.choices else None,
        completion_tokens=None if leg.usage is None else leg.usage.completion_tokens,
        ttft=leg.ttft,
        e2e=leg.e2e,
        text=_cut(_said(leg)) if texts else None,
    )


def _said(leg: Leg) -> str:
    """Return everything that an answer says, as one text."""
    parts = [_choice(choice) for choice in leg.choices]
    if leg.choices and not any(parts) and not leg.errors:
        return ""
    parts += [f"error {error.type or ''}: {error.message or ''}".replace(" :", ":") for error in leg.errors]
    if not any(parts) and leg.value is not None:
        parts.append(_json(leg.value))
    if not any(parts):
        parts += [leg.content or "", leg.detail or ""]
    return "\n\n".join(part for part in parts if part)


def _choice(choice: Choice) -> str:
    parts = [choice.text or "", choice.refusal or ""]
    parts += [f"{call.name or '?'}({call.arguments or ''})" for call in choice.calls]
    if not any(parts) and choice.reasoning:
        parts.append(f"[reasoning only] {choice.reasoning}")
    return "\n".join(part for part in parts if part)


def _prompt(body: Any) -> str | None:
    """Return what was asked: the last message, the prompt, or the input; else the body."""
    if not isinstance(body, dict):
        return None if body is None else _cut(body if isinstance(body, str) else _json(body))
    for field in ("messages", "input", "prompt"):
        value = body.get(field)
        if isinstance(value, list) and value and isinstance(value[-1], dict):
            value = value[-1].get("content")
            if isinstance(value, list):
                value = "\n".join(str(part.get("text", "")) for part in value if isinstance(part, dict))
        if isinstance(value, str) and value:
            return _cut(value)
    return _cut(_json(body))


def _differences(details: Mapping[str, Any]) -> tuple[PathDifference, ...]:
    found: list[PathDifference] = []
    for field in ("calls", "structure"):
        listed = details.get(field)
        for each in listed if isinstance(listed, list) else ():
            if isinstance(each, dict) and len(found) < _MOST_DIFFERENCES:
                found.append(
                    PathDifference(
                        _cut(str(each.get("path", "")), 200),
                        str(each.get("change", ""))[:40],
                        _cut(_json(each.get("primary")), 300),
                        _cut(_json(each.get("candidate")), 300),
                    )
                )
    return tuple(found)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _cut(text: str, limit: int = _TEXT_LIMIT) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
