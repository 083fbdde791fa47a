"""Diffy's published rule, on answers that are already assembled.

Read in opendiffy/diffy (`DifferenceAnalyzer`, `JoinedDifferences`, `Difference`, `HttpLifter`, `Settings`): a response
is lifted to `{status: {content: JSON}}` and compared by field, strings by equality only; the elements of arrays of
equal length share their field. For each field the requests in which candidate and primary differ (raw) are counted,
and those in which secondary and primary differ (noise). A field is flagged when raw > noise,
|raw - noise| / (raw + noise) is over 20 % and |raw - noise| / requests is over 0.03 %, the defaults.

Diffy reads no event streams: to it such a body is one string that differs every time. Here it gets the answer as the
JSON that the server would have sent without streaming, which flatters it. Header fields are left out, as with
`excludeHttpHeadersComparison`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Set
from typing import Any

from ...inference.completions import Choice, Completion

__all__ = ["Diffy", "differing_fields"]

_RELATIVE = 20.0
_ABSOLUTE = 0.03
"""Both in percent."""


class Diffy:
    """The counters of one endpoint."""

    def __init__(self) -> None:
        self.requests = 0
        self._raw: Counter[str] = Counter()
        self._noise: Counter[str] = Counter()

    def observe(self, raw: Set[str], noise: Set[str]) -> None:
        """Count the fields in which candidate (raw) and secondary (noise) differ from the primary."""
        self.requests += 1
        self._raw.update(raw)
        self._noise.update(noise)

    def flagged(self) -> list[str]:
        """Return the fields that are flagged now."""
        return [field for field, raw in self._raw.items() if self._flags(raw, self._noise[field])]

    def _flags(self, raw: int, noise: int) -> bool:
        excess = raw - noise
        return excess > 0 and excess * 100 / (raw + noise) > _RELATIVE and excess * 100 / self.requests > _ABSOLUTE


def differing_fields(left: Completion, right: Completion) -> frozenset[str]:
    """Return the fields in which two answers differ, named by path and kind of difference."""
    return frozenset(_differences(_lifted(left), _lifted(right)))


def _lifted(answer: Completion) -> dict[str, Any]:
    """Return what Diffy compares; ids and times of creation differ every time on both sides and never count."""
    if answer.value is not None and not answer.choices:
        content = answer.value
    else:
        usage = answer.usage
        content = {
            "model": answer.model,
            "choices": [_choice(choice) for choice in answer.choices],
            "usage": None
            if usage is None
            else {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens},
        }
    return {str(answer.status): {"content": content}}


def _choice(choice: Choice) -> dict[str, Any]:
    calls = [{"function": {"name": call.name, "arguments": call.arguments}} for call in choice.tool_calls]
    message = {"content": choice.text or None, "refusal": choice.refusal or None, "tool_calls": calls}
    return {"index": choice.index, "message": message, "finish_reason": choice.finish_reason}


def _differences(left: Any, right: Any) -> Iterator[str]:
    left, right = _unwrapped(left), _unwrapped(right)
    if left == right:
        return
    if isinstance(left, dict) and isinstance(right, dict):
        for name in left.keys() | right.keys():
            if name not in right:
                yield f"{name}.MissingField"
            elif name not in left:
                yield f"{name}.ExtraField"
            else:
                yield from (f"{name}.{path}" for path in _differences(left[name], right[name]))
    elif isinstance(left, list) and isinstance(right, list):
        if len(left) != len(right):
            yield "SeqSizeDifference"
        for first, second in zip(left, right, strict=False) if len(left) == len(right) else ():
            yield from _differences(first, second)
    else:
        yield "PrimitiveDifference" if type(left) is type(right) else "TypeDifference"


def _unwrapped(value: Any) -> Any:
    """Return the JSON value of a string that is one, as Diffy's lifter of strings does."""
    if isinstance(value, str) and value[:1] in '{["':
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value
