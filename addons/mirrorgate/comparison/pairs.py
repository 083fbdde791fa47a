"""Two answers to one request, compared."""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable
from dataclasses import dataclass

from ..inference.completions import Broken, Choice, Completion, Shape
from ..inference.lenient_json import JsonError, decoded
from ..inference.requests import InferenceRequest
from .assessment import Assessment, assess
from .headers import HeaderDifference, compare_headers
from .logprobs import LogprobDivergence, compare_tokens, first_token_divergence
from .policy import ComparisonPolicy
from .structure import Difference, IgnoredPaths, Structure, compare_structure
from .texts import first_divergence, normalised, similarity
from .tool_calls import CallComparison, compare_calls, declared_schemas
from .vectors import mean_cosine

__all__ = ["Outcome", "PairComparison", "compare"]

Fields = Iterable[tuple[bytes, bytes]]

_SAME_COSINE = 1.0 - 1e-6
_SIMILAR_COSINE = 0.99
_MOST_BYTES = 1 << 20
_MOST_JSON = 1 << 20
_MOST_CHOICES = 16
"""Choices of an answer that are compared; the others count in its assessment only."""


class Outcome(enum.StrEnum):
    """The pair in one word."""

    SAME = "same"
    SIMILAR = "similar"
    DIFFERENT = "different"
    PRIMARY_FAILED = "primary_failed"
    CANDIDATE_FAILED = "candidate_failed"
    BOTH_FAILED = "both_failed"
    NOT_COMPARABLE = "not_comparable"


@dataclass(frozen=True, slots=True)
class PairComparison:
    """Everything that is known of a pair. What is `None` does not apply to it."""

    outcome: Outcome
    primary: Assessment
    candidate: Assessment
    similarity: float | None = None
    """From 0 to 1; the mean over text, tool calls, structure and vectors, whichever there are."""
    text_similarity: float | None = None
    exact: bool | None = None
    """Whether the texts are equal but for form: Unicode's composition and white space."""
    divergence_character: int | None = None
    """Where the first choices' texts part as they were written, `None` where they do not but for form."""
    divergence_token: int | None = None
    """The same in tokens, where both sides give log probabilities."""
    calls: CallComparison | None = None
    """Of the first choice that makes one on either side."""
    structure: Structure | None = None
    """Of JSON bodies, and of texts that are JSON on both sides where JSON was asked for."""
    headers: tuple[HeaderDifference, ...] = ()
    length_ratio: float | None = None
    """The candidate's tokens for each of the primary's; in characters where usage is missing."""
    logprobs: LogprobDivergence | None = None
    cosine: float | None = None

    @property
    def scored(self) -> bool:
        """Whether the pair says something about the candidate: neither side ended for reasons of the client's."""
        return self.primary.scored and self.candidate.scored

    @property
    def distance(self) -> float | None:
        """How far apart the answers are, from 0 to 1; 1 where one side failed, `None` where it cannot be said."""
        if self.outcome in (Outcome.PRIMARY_FAILED, Outcome.CANDIDATE_FAILED):
            return 1.0
        return None if self.similarity is None else 1.0 - self.similarity

    @property
    def structural_differences(self) -> tuple[Difference, ...]:
        """The differences of tool calls and structure together."""
        calls = () if self.calls is None else self.calls.differences
        return calls + (() if self.structure is None else self.structure.differences)


def compare(
    primary: Completion,
    candidate: Completion,
    request: InferenceRequest | None,
    policy: ComparisonPolicy,
    *,
    primary_headers: Fields = (),
    candidate_headers: Fields = (),
) -> PairComparison:
    """Compare two answers to one request. `request` is `None` where it is unknown or of no inference API.

    Symmetric in its measures. Bounded: texts to `policy.text_limit` characters for similarity, structures, schemas
    and patterns as their modules say.
    """
    schemas = declared_schemas(request)
    left, right = assess(primary, request, schemas), assess(candidate, request, schemas)
    headers = compare_headers(primary_headers, candidate_headers, policy.ignored_headers)
    failed = _failed_outcome(left, right)
    if Broken.UNSUPPORTED_ENCODING in (left.broken, right.broken) and primary.content != candidate.content:
        # What was encoded by means that we cannot undo may differ although it says the same.
        failed = failed or Outcome.NOT_COMPARABLE
    if failed is not None:
        return PairComparison(failed, left, right, headers=headers)
    if primary.shape is Shape.COMPLETION and candidate.shape is Shape.COMPLETION:
        return _compare_choices(primary, candidate, left, right, request, policy, headers)
    return _compare_bodies(primary, candidate, left, right, policy, headers)


def _failed_outcome(left: Assessment, right: Assessment) -> Outcome | None:
    """Settle the pairs whose content is not compared, `None` for the others."""
    if not (left.scored and right.scored):
        return Outcome.NOT_COMPARABLE
    if left.status == right.status and 400 <= left.status < 500 and left.status not in (408, 429):
        # Both refuse the same request of the client's: an agreement, whose bodies can be compared.
        return None
    if not left.ok or not right.ok:
        if left.ok:
            return Outcome.CANDIDATE_FAILED
        return Outcome.PRIMARY_FAILED if right.ok else Outcome.BOTH_FAILED
    if Broken.TRUNCATED in (left.broken, right.broken):
        return Outcome.NOT_COMPARABLE
    return None


def _compare_choices(
    primary: Completion,
    candidate: Completion,
    left: Assessment,
    right: Assessment,
    request: InferenceRequest | None,
    policy: ComparisonPolicy,
    headers: tuple[HeaderDifference, ...],
) -> PairComparison:
    ignored = _ignored(policy.ignored_paths)
    ours, theirs = _by_index(primary), _by_index(candidate)
    pairs = [(ours.get(index, Choice(index)), theirs.get(index, Choice(index))) for index in sorted({*ours, *theirs})]
    schemas = declared_schemas(request)
    called = [found for a, b in pairs if (found := compare_calls(a, b, schemas, ignored)) is not None]
    texts = [(_said(a), _said(b)) for a, b in pairs if _said(a) or _said(b) or not (a.tool_calls or b.tool_calls)]
    plain = [(normalised(a), normalised(b)) for a, b in texts]
    exact = all(a == b for a, b in plain)
    text = _mean([similarity(a, b, policy.text_limit) for a, b in plain])
    alike = [value for value in (text, _mean([each.similarity for each in called])) if value is not None]
    first, second = pairs[0]
    total = _mean(alike)
    same = exact and len(ours) == len(theirs) and all(each.same_arguments for each in called)
    same = same and all(a.finish_reason == b.finish_reason for a, b in pairs)
    close = total is not None and total >= policy.similar_at and all(each.same_names for each in called)
    close = close and (left.refused, left.empty, left.truncated) == (right.refused, right.empty, right.truncated)
    return PairComparison(
        outcome=Outcome.SAME if same else Outcome.SIMILAR if close else Outcome.DIFFERENT,
        primary=left,
        candidate=right,
        similarity=total,
        text_similarity=text,
        exact=exact,
        divergence_character=None if exact else first_divergence(_said(first), _said(second)),
        divergence_token=first_token_divergence(first.tokens, second.tokens),
        calls=called[0] if called else None,
        structure=_text_structure(first, second, request, ignored),
        headers=headers,
        length_ratio=_length_ratio(left, right),
        logprobs=compare_tokens(first.tokens, second.tokens),
    )


def _compare_bodies(
    primary: Completion,
    candidate: Completion,
    left: Assessment,
    right: Assessment,
    policy: ComparisonPolicy,
    headers: tuple[HeaderDifference, ...],
) -> PairComparison:
    """Compare answers that are no completions on both sides: embeddings, JSON, bytes, errors, or a mixture."""
    if primary.embeddings and candidate.embeddings:
        cosine = mean_cosine(primary.embeddings, candidate.embeddings)
        outcome = Outcome.DIFFERENT
        if cosine is not None and cosine >= _SIMILAR_COSINE:
            outcome = Outcome.SAME if cosine >= _SAME_COSINE else Outcome.SIMILAR
        alike = None if cosine is None else max(0.0, cosine)
        return PairComparison(outcome, left, right, alike, headers=headers, cosine=cosine)
    if primary.value is not None and candidate.value is not None:
        structure = compare_structure(primary.value, candidate.value, _ignored(policy.ignored_paths))
        total = structure.similarity
        same = structure.same
        return PairComparison(
            _graded(same, total, policy), left, right, total, exact=same, structure=structure, headers=headers
        )
    ours, theirs = primary.content, candidate.content
    if primary.shape is not candidate.shape:
        return PairComparison(Outcome.DIFFERENT, left, right, 0.0, exact=False, headers=headers)
    same = ours == theirs
    first, second = (body[:_MOST_BYTES].decode("latin-1") for body in (ours, theirs))
    total = 1.0 if same else similarity(first, second, policy.text_limit)
    return PairComparison(
        _graded(same, total, policy),
        left,
        right,
        total,
        text_similarity=total,
        exact=same,
        divergence_character=first_divergence(first, second),
        headers=headers,
    )


def _graded(same: bool, total: float, policy: ComparisonPolicy) -> Outcome:
    if same:
        return Outcome.SAME
    return Outcome.SIMILAR if total >= policy.similar_at else Outcome.DIFFERENT


@functools.lru_cache(maxsize=64)
def _ignored(patterns: tuple[str, ...]) -> IgnoredPaths:
    return IgnoredPaths(patterns)


def _by_index(completion: Completion) -> dict[int, Choice]:
    return {choice.index: choice for choice in completion.choices[:_MOST_CHOICES]}


def _said(choice: Choice) -> str:
    """Return what a choice says: its text, its refusal, or where both are missing the reasoning that it got to."""
    return choice.text or choice.refusal or ("" if choice.tool_calls else choice.reasoning)


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _text_structure(
    first: Choice, second: Choice, request: InferenceRequest | None, ignored: IgnoredPaths
) -> Structure | None:
    if request is None or not request.json_mode or len(first.text) + len(second.text) > _MOST_JSON:
        return None
    try:
        return compare_structure(decoded(first.text), decoded(second.text), ignored)
    except JsonError:
        return None


def _length_ratio(left: Assessment, right: Assessment) -> float | None:
    if left.completion_tokens and right.completion_tokens is not None:
        return right.completion_tokens / left.completion_tokens
    return right.characters / left.characters if left.characters else None
