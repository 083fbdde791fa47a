"""Profiles: filters, weighted scorers and a picker put together under a name, and the one function that runs them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from . import filters, pickers, scorers
from .endpoints import EndpointView
from .filter_tree import criticality_tree
from .filters import Filter
from .pickers import Picker
from .picks import Column, NoEndpoint, NoEndpointReason, Pick, PickRequest, PickState, Scoring, Tables
from .saturation import shed_when_saturated
from .scorers import Scorer
from .standings import Weights

__all__ = ["BALANCERS", "GAIE_V03", "GAIE_V1", "PROFILES", "Profile", "WeightedScorer", "pick"]


@dataclass(frozen=True, slots=True)
class WeightedScorer:
    name: str
    weight: float
    score: Scorer


@dataclass(frozen=True, slots=True)
class Profile:
    """How endpoints are picked. Filters run in order, then every scorer, then the picker."""

    name: str
    picker: Picker
    scorers: tuple[WeightedScorer, ...] = ()
    filters: tuple[Filter, ...] = (filters.healthy, filters.untried, filters.named)
    prefixes: bool = False
    """Whether prompts are hashed for the prefix index; it is most of a pick's cost for a long prompt."""
    weights: Weights | None = None
    """Of `standings`, where scorers and picker are those that it stands for."""


GAIE_V1 = Profile(
    name="gaie-v1",
    scorers=(
        WeightedScorer("queue", 2.0, scorers.queue),
        WeightedScorer("kv-cache", 2.0, scorers.kv_cache),
        WeightedScorer("prefix-cache", 3.0, scorers.prefix_cache),
        WeightedScorer("lora-affinity", 1.0, scorers.lora_affinity),
    ),
    picker=pickers.max_score,
    filters=(filters.healthy, filters.untried, filters.named, shed_when_saturated),
    prefixes=True,
    weights=(2.0, 2.0, 3.0, 1.0),
)
"""The Inference Extension's default since v1.2, with LoRA affinity where a server reports adapters."""

GAIE_V03 = Profile(
    name="gaie-v0.3",
    picker=pickers.random_choice,
    filters=(filters.healthy, filters.untried, filters.named, criticality_tree),
)
"""What the Inference Extension did up to v0.3, when InferenceModels had a criticality."""

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            GAIE_V1,
            GAIE_V03,
            Profile(name="least-request", picker=pickers.least_request),
            Profile(name="round-robin", picker=pickers.round_robin),
            Profile(name="random", picker=pickers.random_choice),
        )
    }
)
"""Every profile by name; an InferencePool may ask for any of them (`resources.inference_pool.SchedulingProfile`)."""

BALANCERS: Mapping[str, Profile] = MappingProxyType(
    {
        "LeastRequest": PROFILES["least-request"],
        "RoundRobin": PROFILES["round-robin"],
        "Random": PROFILES["random"],
        "ConsistentHash": Profile(
            name="consistent-hash",
            picker=pickers.random_choice,
            filters=(filters.healthy, filters.untried, filters.named, filters.affine),
        ),
    }
)
"""The profile for each `loadBalancer.type` of a BackendTrafficPolicy, for destinations that are no InferencePool."""


def pick(
    profile: Profile,
    candidates: Sequence[EndpointView],
    request: PickRequest,
    state: PickState,
    rng: random.Random,
) -> Pick | NoEndpoint:
    """Pick an endpoint for a request.

    Nothing is remembered of it but round robin's turn: call `PickState.sent` once the request is sent.
    """
    if not candidates:
        return NoEndpoint(NoEndpointReason.EMPTY, profile.name)
    left: Sequence[EndpointView] = candidates
    for keep in profile.filters:
        left = keep(left, request, rng)
        if not left:
            return NoEndpoint(NoEndpointReason.SATURATED, profile.name)

    chain: Sequence[int] = ()
    matched: Mapping[str, int] = {}
    if profile.prefixes and request.prompt is not None and len(candidates) > 1:
        block_size = state.block_size(candidates)
        chain = state.prefixes.chain(request.model, request.prompt(), request.cache_salt, block_size)
        matched = state.prefixes.match(chain)
    scoring = Scoring(request.model, len(chain), matched)
    standings = None
    if len(left) == 1:
        return Pick(
            view=left[0],
            profile=profile.name,
            candidates=left,
            rate=partial(_rate, profile.scorers, left, scoring),
            prefixes=chain,
            note="the only candidate",
            dropped=len(candidates) - 1,
            panic=not left[0].healthy,
        )
    if profile.weights is not None and not request.avoid:
        standings = state.standings(profile.weights, candidates, len(left))
    totals: Sequence[float] = ()
    columns: Sequence[Column] = ()
    rate = None
    if standings is not None:
        best, ties = standings.best(request.model, state.matched_rows(matched), len(chain))
        row, note = pickers.draw_best(ties, best, rng)
        view = candidates[row]
        rate = partial(_rate, profile.scorers, left, scoring)
    else:
        totals, columns = _rate(profile.scorers, left, scoring)
        row, note = profile.picker(left, totals, state, rng)
        view = left[row]
    return Pick(
        view=view,
        profile=profile.name,
        candidates=left,
        totals=totals,
        columns=columns,
        rate=rate,
        prefixes=chain,
        note=note,
        dropped=len(candidates) - len(left),
        panic=not view.healthy,
    )


def _rate(weighted: Sequence[WeightedScorer], candidates: Sequence[EndpointView], scoring: Scoring) -> Tables:
    """Let every scorer rate the candidates."""
    columns: list[Column] = []
    totals: list[float] = [0.0] * len(candidates) if weighted else []
    for scorer in weighted:
        column = scorer.score(candidates, scoring)
        if column is not None:
            weight = scorer.weight
            columns.append((scorer.name, weight, column))
            totals = [total + weight * score for total, score in zip(totals, column, strict=True)]
    return totals, columns
