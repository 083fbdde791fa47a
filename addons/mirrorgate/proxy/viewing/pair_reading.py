"""A pair read back from its two flows, for a person who looks: both answers assembled and compared once more.

The flows are what the person sees and may have edited; times, which flows do not keep, come from the numbers that the
shadow process sent. Nothing here raises on what a flow may hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mitmproxy import flow, http

from ...comparison.guardrails import Slo
from ...comparison.losses import losses_of
from ...comparison.pairs import PairComparison, compare
from ...comparison.policy import ComparisonPolicy
from ...inference.apis import api_of
from ...inference.assembling import assemble
from ...inference.completions import Completion, Timing
from ...inference.requests import InferenceRequest, parse_request
from ...resources.shadow_policy import ShadowPolicySpec
from .flow_pairs import LEG, MIRROR, PRIMARY, SHADOWS, TRUNCATED, LegNumbers, PairNumbers, numbers_in

__all__ = ["PairOfFlows", "Reading", "pairs_of", "read"]

Lookup = Callable[[str], flow.Flow | None]
"""From a flow's id to the flow, `None` when it is gone."""

_MOST_SHADOWS = 16


@dataclass(frozen=True, slots=True)
class PairOfFlows:
    """A primary's flow and one shadow's; `None` where it is gone."""

    mirror: str
    leg: str
    primary: http.HTTPFlow | None
    shadow: http.HTTPFlow | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What two flows say."""

    pair: PairOfFlows
    numbers: PairNumbers | None
    primary: Completion | None
    """`None` where the answer was not kept, or its flow is gone."""
    shadow: Completion | None
    comparison: PairComparison | None
    losses: dict[str, float]
    """Candidate minus primary, by guardrail; empty where the pair cannot be compared."""


def pairs_of(held: flow.Flow, lookup: Lookup) -> list[PairOfFlows]:
    """List the pairs that a flow belongs to, those with a candidate first; empty for one that was not mirrored."""
    if not isinstance(held, http.HTTPFlow):
        return []
    metadata = held.metadata
    leg, primary = metadata.get(LEG), metadata.get(PRIMARY)
    if isinstance(leg, str) and isinstance(primary, str):
        found = lookup(primary)
        other = found if isinstance(found, http.HTTPFlow) else None
        return [PairOfFlows(str(metadata.get(MIRROR, "")), leg, other, held)]
    pairs = list(_shadows(held, metadata.get(SHADOWS), lookup))
    return sorted(pairs, key=lambda pair: pair.leg != "candidate")


def _shadows(held: http.HTTPFlow, ids: object, lookup: Lookup) -> Iterator[PairOfFlows]:
    for id in ids[:_MOST_SHADOWS] if isinstance(ids, list) else ():
        shadow = lookup(id) if isinstance(id, str) else None
        if isinstance(shadow, http.HTTPFlow):
            metadata = shadow.metadata
            yield PairOfFlows(str(metadata.get(MIRROR, "")), str(metadata.get(LEG, "")), held, shadow)


def read(pair: PairOfFlows, policy: ShadowPolicySpec | None) -> Reading:
    """Assemble and compare. `policy` is the mirror's, `None` when the configuration has it no more."""
    held = pair.primary or pair.shadow
    numbers = None if pair.primary is None else numbers_in(pair.primary, pair.mirror)
    known = numbers or PairNumbers()
    leg = known.control if pair.leg == "control" else known.candidate
    primary = None if pair.primary is None else _completion(pair.primary, known.primary)
    shadow = None if pair.shadow is None else _completion(pair.shadow, leg or LegNumbers())
    if held is None or primary is None or shadow is None:
        return Reading(pair, numbers, primary, shadow, None, {})
    request = _request(held.request)
    rules, slo = ComparisonPolicy(), Slo()
    if policy is not None:
        rules = rules.ignoring(policy.ignore.json_paths, policy.ignore.headers)
        if policy.slo is not None:
            slo = Slo(policy.slo.ttft, policy.slo.itl, policy.slo.e2e)
    assert pair.primary is not None
    assert pair.shadow is not None
    comparison = compare(
        primary,
        shadow,
        request,
        rules,
        primary_headers=_fields(pair.primary),
        candidate_headers=_fields(pair.shadow),
    )
    return Reading(pair, numbers, primary, shadow, comparison, losses_of(comparison, slo))


def _completion(held: http.HTTPFlow, numbers: LegNumbers) -> Completion | None:
    """Assemble a flow's answer; `None` for one whose body was not kept."""
    response = held.response
    api = api_of(held.request.path)
    outcome = numbers.outcome or ("complete" if held.error is None else "cut")
    if response is None:
        return assemble(api, 0, None, None, [], [], 0.0, outcome=outcome)
    body = response.raw_content
    if body is None:
        return None
    completion = assemble(
        api,
        response.status_code,
        response.headers.get("content-type"),
        response.headers.get("content-encoding"),
        [body] if body else [],
        [0.0] if body else [],
        0.0,
        outcome="complete" if outcome == "too_large" else outcome,
        truncated=numbers.truncated or bool(held.metadata.get(TRUNCATED)),
    )
    timing = Timing(numbers.ttft, (), numbers.itl_mean, numbers.itl_p95, numbers.e2e)
    return dataclasses.replace(completion, timing=timing)


def _request(request: http.Request) -> InferenceRequest | None:
    body = request.raw_content
    if body is None:
        return None
    parsed = parse_request(request.method, request.path, request.headers.get("content-type"), body)
    return parsed if isinstance(parsed, InferenceRequest) else None


def _fields(held: http.HTTPFlow) -> list[tuple[bytes, bytes]]:
    return [] if held.response is None else list(held.response.headers.fields)
