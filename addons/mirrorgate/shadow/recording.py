"""The journal record of one judged pair: its schema, and what of it the content policy lets through.

The record is built from what is allowed, never by removing what is not: with content `none` there are numbers, words
of closed sets, names of the configuration and keyed hashes, and nothing that a client or a model wrote.
`docs/journal.md` documents every field; a change that a reader could stumble over gets a new schema name.
"""

from __future__ import annotations

import functools
import hashlib
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from ..inference.completions import Choice, Completion
from ..inference.requests import InferenceRequest
from ..records import ExchangeStarted
from .pairing import Pair
from .policy import ContentPolicy, Policy
from .redacting import Redactor

__all__ = ["SCHEMA", "Content", "LegView", "RecordParts", "closed_word", "record_of"]

SCHEMA: Final = "mirrorgate.exchange/v1"

_TEXT_LIMIT: Final = 256 * 1024
"""Characters of one text that are stored."""
_BODY_LIMIT: Final = 1024 * 1024
"""Bytes of a request body that are stored; a larger one is left out."""


class Content:
    """What the content policy makes of a text: itself, a redacted form, or nothing. And its hash, always."""

    def __init__(self, policy: Policy, key: bytes) -> None:
        """`key` makes the hashes useless to whoever has the journal only and guesses at short prompts."""
        self.kind = policy.journal.content
        self._redactor = _redactor(policy.journal.redact_patterns) if self.kind is ContentPolicy.REDACTED else None
        self._key = key

    @property
    def kept(self) -> bool:
        return self.kind is not ContentPolicy.NONE

    def hash(self, data: bytes | str) -> str:
        """Return a keyed BLAKE2b of 128 bits as hexadecimal digits; equal content has equal hashes in one journal."""
        raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        return hashlib.blake2b(raw, key=self._key, digest_size=16).hexdigest()

    def text(self, text: str) -> str | None:
        """Return what is stored of a text, `None` for nothing."""
        if not self.kept:
            return None
        shown = text[:_TEXT_LIMIT].encode("utf-8", "replace").decode()
        if self._redactor is not None:
            shown = self._redactor.text(shown)
        return shown if len(text) <= _TEXT_LIMIT else shown + "…"

    def value(self, value: Any) -> Any:
        """Return what is stored of a JSON value, `None` for nothing."""
        if not self.kept:
            return None
        return value if self._redactor is None else self._redactor.value(value)

    def body(self, body: bytes | None) -> Any:
        """Return what is stored of a request body: its JSON value, or its text. One that is too large is left out."""
        if not self.kept or body is None or len(body) > _BODY_LIMIT:
            return None
        try:
            return self.value(msgspec.json.decode(body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self.text(body.decode("utf-8", "replace"))


@functools.lru_cache(maxsize=64)
def _redactor(patterns: tuple[str, ...]) -> Redactor:
    return Redactor(patterns)


class LegView(msgspec.Struct, frozen=True):
    """One answer with what belongs to its leg rather than to its body."""

    completion: Completion
    endpoint: str
    ref: str
    model: str | None
    """The model that was asked for."""
    outcome: str
    truncated: bool
    bytes: int
    connect: float | None
    """Seconds until the request was written; `None` where it is not measured."""
    head: float | None
    """Seconds from the request to the answer's head; `None` when none came."""
    flag: str = "-"
    detail: str = ""


class RecordParts(msgspec.Struct, frozen=True):
    """What a record is made of."""

    pair: Pair
    request: InferenceRequest | None
    primary: LegView
    candidate: LegView
    control: LegView | None
    outcome: str
    similarity: float | None
    summary: str
    comparison: dict[str, Any]
    """The comparison's fields that hold no content."""
    details: dict[str, Any]
    """Those that hold content; stored through the content policy."""
    control_comparison: dict[str, Any] | None
    conversation: str | None = None
    """What ties the turns of a conversation together."""
    identity: str = ""
    """What the pair is evidence about."""
    losses: dict[str, float] = {}
    """Differences of losses by guardrail, those of scorers left out, which come later."""


def record_of(parts: RecordParts, policy: Policy, content: Content, run: str) -> bytes:
    """Return the record as one line of JSON, without a line break in it or behind it."""
    started = parts.pair.started
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "run": run,
        "sequence": parts.pair.sequence,
        "id": started.id,
        "time": datetime.fromtimestamp(started.started, UTC).isoformat(timespec="milliseconds"),
        "started": started.started,
        "route": started.route,
        "rule": started.rule,
        "cluster": started.cluster,
        "mirror": parts.pair.target.cluster,
        "conversation": parts.conversation,
        "outcome": parts.outcome,
        "similarity": parts.similarity,
        "summary": parts.summary,
        "policy": {
            "mode": policy.mode,
            "content": policy.journal.content.value,
            "hash": hashlib.blake2b(parts.pair.target.policy, digest_size=8).hexdigest(),
        },
        "identity": parts.identity,
        "losses": parts.losses,
        "request": _request(started, parts.request, content),
        "primary": _leg(parts.primary, content),
        "candidate": _leg(parts.candidate, content),
        "control": None if parts.control is None else _leg(parts.control, content),
        "comparison": parts.comparison | ({"details": content.value(parts.details)} if content.kept else {}),
        "control_comparison": parts.control_comparison,
    }
    return msgspec.json.encode(record)


def _request(started: ExchangeStarted, request: InferenceRequest | None, content: Content) -> dict[str, Any]:
    body = started.body
    fields: dict[str, Any] = {
        "method": started.method,
        "host": started.host,
        "path": started.path.partition("?")[0],
        "model": started.model,
        "target_model": started.target_model,
        "bytes": None if body is None else len(body),
        "hash": None if body is None else content.hash(body),
    }
    if request is not None:
        fields |= {
            "api": request.api.value,
            "stream": request.stream,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "n": request.n,
            "tools": bool(request.tools_json),
            "json_mode": request.json_mode,
        }
    if content.kept:
        fields["body"] = content.body(body)
    return fields


def _leg(leg: LegView, content: Content) -> dict[str, Any]:
    completion = leg.completion
    timing, usage = completion.timing, completion.usage
    fields: dict[str, Any] = {
        "endpoint": leg.endpoint,
        "ref": leg.ref,
        "model": leg.model,
        "status": completion.status,
        "outcome": leg.outcome,
        "flag": leg.flag,
        "shape": completion.shape.value,
        "streamed": completion.streamed,
        "broken": completion.broken.value,
        "truncated": leg.truncated,
        "bytes": leg.bytes,
        "events": completion.events,
        "connect": leg.connect,
        "head": leg.head,
        "ttft": timing.ttft,
        "itl_mean": timing.itl_mean,
        "itl_p95": timing.itl_p95,
        "e2e": timing.e2e,
        "usage": None if usage is None else msgspec.to_builtins(usage),
        "choices": [_choice(choice, content) for choice in completion.choices],
        "errors": [{"type": closed_word(error.type), "code": closed_word(error.code)} for error in completion.errors],
        "hash": _hash(completion, content),
    }
    if content.kept:
        fields["detail"] = content.text(leg.detail)
        for shown, error in zip(fields["errors"], completion.errors, strict=True):
            shown["message"] = content.text(error.message)
        if not completion.choices and not completion.embeddings:
            fields["value"] = content.value(completion.value) if completion.value is not None else None
            fields["content"] = content.text(completion.content.decode("utf-8", "replace"))
    return fields


def _choice(choice: Choice, content: Content) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "index": choice.index,
        "finish_reason": closed_word(choice.finish_reason),
        "characters": len(choice.text),
        "reasoning_characters": len(choice.reasoning),
        "refused": bool(choice.refusal),
        "tool_calls": len(choice.tool_calls),
        "tokens": len(choice.tokens),
    }
    if content.kept:
        fields |= {
            "text": content.text(choice.text),
            "reasoning": content.text(choice.reasoning),
            "refusal": content.text(choice.refusal),
            "calls": [
                {"name": content.text(call.name), "arguments": content.text(call.arguments)}
                for call in choice.tool_calls
            ],
        }
    return fields


def _hash(completion: Completion, content: Content) -> str:
    """Hash what was said, blind to ids and times, so that equal answers have equal hashes."""
    if completion.choices:
        said: Any = [
            (choice.text, choice.reasoning, choice.refusal, [(call.name, call.arguments) for call in choice.tool_calls])
            for choice in completion.choices
        ]
        return content.hash(repr(said))
    if completion.embeddings:
        return content.hash(repr(completion.embeddings))
    return content.hash(completion.content if completion.value is None else repr(completion.value))


def closed_word(text: str | None) -> str | None:
    """Return a server's word, such as a finish reason; what is not one short word could be content, and is not kept."""
    if text is None or (len(text) <= 64 and text.replace("_", "").replace("-", "").isalnum() and text.isascii()):
        return text
    return "other"
