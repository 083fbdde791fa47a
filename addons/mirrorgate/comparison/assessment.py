"""What is to be said of one answer by itself: whether it failed, broke off, refused, went in circles."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ..inference.completions import Broken, Choice, Completion, Shape
from ..inference.lenient_json import JsonError, decoded
from ..inference.requests import InferenceRequest
from .schemas import SchemaCheck, schema_check
from .tool_calls import CallCheck, check_calls, looks_unparsed

__all__ = ["Assessment", "assess", "is_empty", "is_refusal", "is_repetitive"]

_NOT_SCORED = ("client_left", "cancelled")
"""Outcomes that say nothing about the server."""
_HARMLESS = (Broken.NO, Broken.TRUNCATED, Broken.UNSUPPORTED_ENCODING)
"""What is broken on our side of the connection, or not at all."""
_MOST_SCHEMA_TEXT = 256 << 10
_REPETITION_TEXT = 16 << 10

_REFUSAL = re.compile(
    r"^\W*"
    r"(?:(?:sorry|apologies|unfortunately|i apologi[sz]e|i'?m (?:very |really |so )?sorry)\b[^.!?]{0,80}?\b)?"
    r"(?:i(?: simply| really)? (?:can(?:no|')?t|can not|won't|will not|must decline|am unable|am not able)\b"
    r"|i'm (?:unable|not able|afraid i can)"
    r"|as an ai\b[^.!?]{0,60}\b(?:can(?:no|')?t|unable|not able)\b"
    r"|(?:we|it) can(?:no|')?t (?:assist|help|provide|comply)"
    r"|against my (?:programming|guidelines))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Assessment:
    """One answer of one leg, reduced to what guardrails and people ask for."""

    status: int
    outcome: str
    scored: bool
    """False when the exchange ended for a reason that is not the server's, such as the client's leaving."""
    failed: bool
    """No usable answer: no head at all, or a status outside 2xx and 3xx."""
    broken: Broken
    """Why a successful head was not followed by a whole answer."""
    error: str
    """The server's message or the reason, empty when nothing went wrong."""
    readable: bool
    """Whether the answer is whole, so that its content can be judged."""
    finish_reason: str | None
    truncated: bool
    """Whether a choice was ended by the limit of tokens."""
    refused: bool
    empty: bool
    repetitive: bool
    calls: tuple[CallCheck, ...]
    unparsed_call: bool
    schema_valid: bool | None
    """Whether the text is the JSON that was asked for; `None` where none was, or it cannot be judged."""
    ttft: float | None
    itl_mean: float | None
    itl_p95: float | None
    e2e: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    characters: int
    """Of the text of all choices."""

    @property
    def ok(self) -> bool:
        """Whether a client could use the answer."""
        return not self.failed and self.broken in _HARMLESS

    @property
    def calls_valid(self) -> bool | None:
        """Whether every tool call is valid; `None` when none was made and none is hidden in the text."""
        if self.unparsed_call:
            return False
        return all(call.valid for call in self.calls) if self.calls else None


def assess(
    completion: Completion, request: InferenceRequest | None, schemas: Mapping[str, SchemaCheck | None] | None
) -> Assessment:
    """Assess one answer; `schemas` are those of the functions that the request declares."""
    failed = not 200 <= completion.status < 400 or completion.shape is Shape.ERROR
    readable = not failed and completion.broken is Broken.NO
    choices = completion.choices if readable else ()
    timing, usage = completion.timing, completion.usage
    return Assessment(
        status=completion.status,
        outcome=completion.outcome,
        scored=completion.outcome not in _NOT_SCORED,
        failed=failed,
        broken=Broken.NO if failed else completion.broken,
        error=_error(completion, failed),
        readable=readable,
        finish_reason=completion.finish_reason,
        truncated=any(choice.finish_reason == "length" for choice in choices),
        refused=any(is_refusal(choice) for choice in choices),
        empty=bool(choices) and all(is_empty(choice) for choice in choices),
        repetitive=any(is_repetitive(choice.text) for choice in choices),
        calls=tuple(check for choice in choices for check in check_calls(choice, schemas)),
        unparsed_call=bool(schemas) and any(looks_unparsed(choice) for choice in choices),
        schema_valid=_schema_valid(choices, request),
        ttft=timing.ttft,
        itl_mean=timing.itl_mean,
        itl_p95=timing.itl_p95,
        e2e=timing.e2e,
        prompt_tokens=None if usage is None else usage.prompt_tokens,
        completion_tokens=None if usage is None else usage.completion_tokens,
        characters=sum(len(choice.text) for choice in completion.choices),
    )


def _error(completion: Completion, failed: bool) -> str:
    if completion.errors:
        return completion.errors[0].message or completion.errors[0].type or "error"
    if completion.outcome != "complete":
        return completion.outcome
    if failed:
        return f"status {completion.status}"
    return "" if completion.broken in _HARMLESS else completion.broken.value


def is_refusal(choice: Choice) -> bool:
    """Tell a refusal by the API's own field, the content filter, or how refusals usually begin (in English)."""
    if choice.refusal or choice.finish_reason in ("content_filter", "refusal"):
        return True
    return not choice.tool_calls and _REFUSAL.match(choice.text[:300].replace("\u2019", "'")) is not None


def is_empty(choice: Choice) -> bool:
    """Tell whether there is nothing for the client in a choice: no text, no tool call, no refusal."""
    return not choice.text.strip() and not choice.tool_calls and not choice.refusal


def is_repetitive(text: str) -> bool:
    """Tell a text that goes in circles, as damaged weights make them: it packs too well, or repeats four words.

    The last 16 Ki characters are looked at, and texts under 40 words or 256 bytes never count. Prose packs to a half
    of its size, source code to a quarter; under an eighth is a loop. So is one sequence of four words that makes up
    three tenths of the text.
    """
    text = text[-_REPETITION_TEXT:]
    data = text.encode("utf-8", "replace")
    if len(data) >= 256 and len(zlib.compress(data, 6)) * 8 < len(data):
        return True
    words = text.split()
    if len(words) < 40:
        return False
    grams = Counter(zip(words, words[1:], words[2:], words[3:], strict=False))
    return grams.most_common(1)[0][1] * 4 >= 0.3 * len(words)


def _schema_valid(choices: tuple[Choice, ...], request: InferenceRequest | None) -> bool | None:
    if request is None or not request.json_mode or not choices:
        return None
    check = None if request.json_schema is None else schema_check(request.json_schema)
    judged = [_text_valid(choice.text, check) for choice in choices if not choice.tool_calls and not choice.refusal]
    if False in judged:
        return False
    return None if None in judged or not judged else True


def _text_valid(text: str, check: SchemaCheck | None) -> bool | None:
    if len(text) > _MOST_SCHEMA_TEXT:
        return None
    try:
        value = decoded(text)
    except JsonError:
        return False
    return check.valid(value) if check is not None else True
