"""Scorers: each rates every candidate from 0 to 1, where 1 is best. Formulas of the Inference Extension v1.

A scorer returns `None` when it has nothing to say about this request, which is the same to every candidate and leaves
its weight out of the totals. Where it knows about some candidates and not about others (no scrape yet, stale, no such
gauge), those get the mean of the known scores: an endpoint is then neither sought nor shunned for being unknown.
Upstream rates a fresh endpoint as idle, which sends it everything until its first scrape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .adapters import affinity
from .endpoints import EndpointView
from .picks import Scoring

__all__ = ["Scorer", "kv_cache", "lora_affinity", "prefix_cache", "queue"]


class Scorer(Protocol):
    """Rate the candidates, in their order; `None` when the scorer abstains."""

    def __call__(self, candidates: Sequence[EndpointView], scoring: Scoring, /) -> list[float] | None: ...


def queue(candidates: Sequence[EndpointView], scoring: Scoring, /) -> list[float] | None:
    """Rate by effective waiting requests, `(max - q) / (max - min)`; all equal is 1.

        q = load.waiting + unseen

    where `unseen` are the gateway's own requests that the load is too old to count (see `in_flight`). Where no
    candidate has a load, `q` is the gateway's requests in flight.
    """
    depths: list[int | None] = [
        None if (load := view.load) is None else load.waiting + view.unseen for view in candidates
    ]
    known: list[int] = [depth for depth in depths if depth is not None]
    if not known:
        known = [view.in_flight for view in candidates]
        depths = [*known]
    most = max(known)
    spread = most - min(known)
    if not spread:
        return [1.0] * len(candidates)
    if len(known) == len(depths):
        return [(most - depth) / spread for depth in known]
    mean = (most - sum(known) / len(known)) / spread
    return [mean if depth is None else (most - depth) / spread for depth in depths]


def kv_cache(candidates: Sequence[EndpointView], scoring: Scoring, /) -> list[float] | None:
    """Rate by the free share of the KV cache, `1 - usage`."""
    free: list[float | None] = [
        None if (load := view.load) is None or load.kv_usage is None else 1.0 - load.kv_usage for view in candidates
    ]
    known: list[float] = [share for share in free if share is not None]
    if not known:
        return None
    if len(known) == len(free):
        return known
    mean = sum(known) / len(known)
    return [mean if share is None else share for share in free]


def prefix_cache(candidates: Sequence[EndpointView], scoring: Scoring, /) -> list[float] | None:
    """Rate by the share of the prompt's blocks that the endpoint was sent before, `matched / total`."""
    matched, blocks = scoring.matched, scoring.blocks
    if not matched:
        return None
    get = matched.get
    return [get(view.key, 0) / blocks for view in candidates]


def lora_affinity(candidates: Sequence[EndpointView], scoring: Scoring, /) -> list[float] | None:
    """Rate by whether the asked model's adapter is, or can be, active (see `adapters`); abstains where none is told."""
    model = scoring.model
    if model is None:
        return None
    loads = [view.load for view in candidates]
    if not any(load.max_lora for load in loads if load is not None):
        return None
    return [affinity(load, model) for load in loads]
