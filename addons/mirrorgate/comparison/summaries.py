"""A pair in one line for a person, and as the numbers and the details of a record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ..inference.completions import Broken
from .assessment import Assessment
from .pairs import Outcome, PairComparison
from .structure import Difference

__all__ = ["details_of", "numbers_of", "summary_of"]

_MOST_SHOWN = 20
_LONGEST_SHOWN = 500


def summary_of(comparison: PairComparison) -> str:
    """Say what a pair came to, such as `candidate different: similarity 0.83, tokens 24 vs 27`; primary first."""
    left, right = comparison.primary, comparison.candidate
    head = {
        Outcome.PRIMARY_FAILED: f"primary failed: {_short(left)}",
        Outcome.CANDIDATE_FAILED: f"candidate failed: {_short(right)}",
        Outcome.BOTH_FAILED: f"both failed: {_short(left)} and {_short(right)}",
        Outcome.NOT_COMPARABLE: f"not comparable: {_reason(left, right)}",
    }.get(comparison.outcome)
    if head is None:
        head = f"candidate {comparison.outcome}"
        if comparison.similarity is not None and comparison.outcome is not Outcome.SAME:
            head += f": similarity {comparison.similarity:.2f}"
        if left.failed:
            head += f" (both refuse with status {left.status})"
    facts = list(_facts(comparison))
    return f"{head}{', ' if ':' in head else ': '}{', '.join(facts)}" if facts else head


def _facts(comparison: PairComparison) -> Iterator[str]:
    left, right = comparison.primary, comparison.candidate
    if left.ok and right.ok:
        if comparison.calls is not None and not comparison.calls.same_arguments:
            what = "arguments" if comparison.calls.same_names else "functions"
            yield f"tool calls of other {what}"
        for name, verb in (("refused", "refuses"), ("empty", "is empty"), ("repetitive", "repeats itself")):
            if getattr(left, name) != getattr(right, name):
                yield f"{'primary' if getattr(left, name) else 'candidate'} {verb}"
        if right.calls_valid is False and left.calls_valid is not False:
            yield "candidate's tool call is invalid"
        if right.schema_valid is False and left.schema_valid is not False:
            yield "candidate's JSON is invalid"
        if left.finish_reason != right.finish_reason:
            yield f"finish {left.finish_reason} vs {right.finish_reason}"
        if left.completion_tokens is not None and right.completion_tokens is not None:
            yield f"tokens {left.completion_tokens} vs {right.completion_tokens}"
    if left.ttft is not None and right.ttft is not None:
        yield f"ttft {_milliseconds(left.ttft)} vs {_milliseconds(right.ttft)}"
    if left.e2e is not None and right.e2e is not None:
        yield f"e2e {_milliseconds(left.e2e)} vs {_milliseconds(right.e2e)}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _short(side: Assessment) -> str:
    """Name a failure by its status and kind; a server's message may hold content and is left to the details."""
    if side.failed:
        return f"status {side.status}" if side.status else side.outcome.replace("_", " ")
    return side.broken.value.replace("_", " ")


def _reason(left: Assessment, right: Assessment) -> str:
    for name, side in (("primary", left), ("candidate", right)):
        if not side.scored:
            return f"{name} {side.outcome.replace('_', ' ')}"
    if Broken.UNSUPPORTED_ENCODING in (left.broken, right.broken):
        return "an answer has a content encoding that is not read"
    return "an answer is larger than what is kept of it"


def numbers_of(comparison: PairComparison) -> dict[str, Any]:
    """Return what may be stored under every content policy: numbers, words of closed sets, names of header fields."""
    calls, structure, logprobs = comparison.calls, comparison.structure, comparison.logprobs
    return {
        "outcome": comparison.outcome.value,
        "scored": comparison.scored,
        "similarity": comparison.similarity,
        "text_similarity": comparison.text_similarity,
        "exact": comparison.exact,
        "divergence_character": comparison.divergence_character,
        "divergence_token": comparison.divergence_token,
        "length_ratio": comparison.length_ratio,
        "cosine": comparison.cosine,
        "logprobs": None if logprobs is None else msgspec.to_builtins(logprobs),
        "structure": None
        if structure is None
        else {
            "leaves": structure.leaves,
            "differing": structure.differing,
            "similarity": structure.similarity,
            "bounded": structure.bounded,
        },
        "calls": None
        if calls is None
        else {
            "same_names": calls.same_names,
            "same_arguments": calls.same_arguments,
            "similarity": calls.similarity,
            "differing": len(calls.differences),
        },
        "headers": [difference.name for difference in comparison.headers],
        "primary": _side(comparison.primary),
        "candidate": _side(comparison.candidate),
    }


def _side(side: Assessment) -> dict[str, Any]:
    return {
        "scored": side.scored,
        "failed": side.failed,
        "broken": side.broken.value,
        "truncated": side.truncated,
        "refused": side.refused,
        "empty": side.empty,
        "repetitive": side.repetitive,
        "tool_calls": len(side.calls),
        "tool_calls_valid": side.calls_valid,
        "unparsed_call": side.unparsed_call,
        "schema_valid": side.schema_valid,
    }


def details_of(comparison: PairComparison) -> dict[str, Any]:
    """Return what holds content of clients and models: paths, values, names of functions, messages, header values."""
    calls, structure = comparison.calls, comparison.structure
    return {
        "errors": {"primary": comparison.primary.error, "candidate": comparison.candidate.error},
        "calls": [] if calls is None else _shown(calls.differences),
        "functions": None
        if calls is None
        else {"primary": [call.name for call in calls.primary], "candidate": [call.name for call in calls.candidate]},
        "structure": [] if structure is None else _shown(structure.differences),
        "headers": [msgspec.to_builtins(difference) for difference in comparison.headers],
    }


def _shown(differences: tuple[Difference, ...]) -> list[dict[str, Any]]:
    return [
        {
            "path": each.path,
            "change": each.change.value,
            "primary": _cut(each.primary),
            "candidate": _cut(each.candidate),
        }
        for each in differences[:_MOST_SHOWN]
    ]


def _cut(value: Any) -> Any:
    """Return a value short enough to be shown."""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_SHOWN else value[:_LONGEST_SHOWN] + "…"
    if isinstance(value, dict | list):
        return f"{'object' if isinstance(value, dict) else 'array'} of {len(value)}"
    return value
