"""Tool calls: is each one well-formed, and do two answers call the same functions with the same arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..inference.completions import Choice, ToolCall
from ..inference.lenient_json import JsonError, decoded
from ..inference.requests import InferenceRequest
from .schemas import SchemaCheck, schema_check
from .structure import Difference, IgnoredPaths, compare_structure

__all__ = ["CallCheck", "CallComparison", "check_calls", "compare_calls", "declared_schemas", "looks_unparsed"]

_MOST_CALLS = 128
_MOST_ARGUMENTS = 256 << 10
_MARKUP = re.compile(r"<tool_call>|<\|tool_call|\[TOOL_CALLS\]|<\|python_tag\|>|<function=|<｜tool▁call|<tools?_use>")


@dataclass(frozen=True, slots=True)
class CallCheck:
    """What is to be said of one tool call by itself."""

    name: str
    known: bool | None
    """Whether the request declares the function; `None` where the request is unknown."""
    parsed: bool
    """Whether the arguments are a JSON object."""
    schema_valid: bool | None
    """Whether they are valid against the declared schema; `None` where there is none or it cannot be judged."""

    @property
    def valid(self) -> bool:
        return self.parsed and self.known is not False and self.schema_valid is not False


@dataclass(frozen=True, slots=True)
class CallComparison:
    """The calls of two answers, matched in the order in which they were made."""

    primary: tuple[CallCheck, ...]
    candidate: tuple[CallCheck, ...]
    same_names: bool
    same_arguments: bool
    """Whether names and arguments are the same, blind to formatting and ignored paths."""
    similarity: float
    """Mean over the calls of both: 0 for another function or a missing call, else the share of equal arguments."""
    differences: tuple[Difference, ...]
    """Paths begin with the call's index, such as `$[0].city`."""


def check_calls(choice: Choice, schemas: Mapping[str, SchemaCheck | None] | None) -> tuple[CallCheck, ...]:
    """Check the calls of a choice; `schemas` has the declared functions, `None` where the request is unknown."""
    checks: list[CallCheck] = []
    for call in choice.tool_calls[:_MOST_CALLS]:
        arguments = _arguments(call)
        known = None if schemas is None else call.name in schemas
        check = schemas.get(call.name) if schemas is not None else None
        valid = check.valid(arguments) if check is not None and arguments is not None else None
        checks.append(CallCheck(call.name, known, arguments is not None, valid))
    return tuple(checks)


def declared_schemas(request: InferenceRequest | None) -> dict[str, SchemaCheck | None] | None:
    """Compile the schemas of the functions that a request declares, `None` for an unknown request."""
    if request is None:
        return None
    return {tool.name: None if tool.schema is None else schema_check(tool.schema) for tool in request.tools}


def looks_unparsed(choice: Choice) -> bool:
    """Tell whether a text holds a tool call in a model's raw markup, as when the server's parser is off."""
    return not choice.tool_calls and _MARKUP.search(choice.text) is not None


def compare_calls(
    primary: Choice,
    candidate: Choice,
    schemas: Mapping[str, SchemaCheck | None] | None,
    ignored: IgnoredPaths,
) -> CallComparison | None:
    """Compare the calls of two choices, `None` when neither makes one."""
    left, right = primary.tool_calls[:_MOST_CALLS], candidate.tool_calls[:_MOST_CALLS]
    if not left and not right:
        return None
    names = [call.name for call in left] == [call.name for call in right]
    scores: list[float] = []
    differences: list[Difference] = []
    for index in range(max(len(left), len(right))):
        if index >= len(left) or index >= len(right) or left[index].name != right[index].name:
            scores.append(0.0)
            continue
        score, found = _compare(left[index], right[index], ignored)
        scores.append(score)
        differences += (
            Difference(f"$[{index}]{each.path[1:]}", each.change, each.primary, each.candidate) for each in found
        )
    return CallComparison(
        primary=check_calls(primary, schemas),
        candidate=check_calls(candidate, schemas),
        same_names=names,
        same_arguments=names and not differences and all(score == 1.0 for score in scores),
        similarity=sum(scores) / len(scores),
        differences=tuple(differences[:100]),
    )


def _compare(left: ToolCall, right: ToolCall, ignored: IgnoredPaths) -> tuple[float, Sequence[Difference]]:
    ours, theirs = _arguments(left), _arguments(right)
    if ours is None or theirs is None:
        return float(left.arguments == right.arguments), ()
    structure = compare_structure(ours, theirs, ignored)
    return structure.similarity, structure.differences


def _arguments(call: ToolCall) -> dict[str, Any] | None:
    """Decode the arguments, `None` when they are no JSON object; no arguments at all count as an empty one."""
    if len(call.arguments) > _MOST_ARGUMENTS:
        return None
    try:
        value = decoded(call.arguments or "{}")
    except JsonError:
        return None
    return value if isinstance(value, dict) else None
