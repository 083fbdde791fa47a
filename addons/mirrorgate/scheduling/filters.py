"""Filters: they take candidates out before any is scored.

A filter keeps the order and returns the sequence it was given when it takes nothing out. It gets the `rng` because
the tree of the Inference Extension's v0.3 draws inside a filter.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from operator import attrgetter
from typing import Protocol

from .endpoints import EndpointView
from .picks import PickRequest

__all__ = ["Filter", "affine", "healthy", "named", "untried"]

_HEALTHY = attrgetter("healthy")


class Filter(Protocol):
    """Keep some of the candidates. Returning none means that the busy ones were all turned down."""

    def __call__(
        self, candidates: Sequence[EndpointView], request: PickRequest, rng: random.Random, /
    ) -> Sequence[EndpointView]: ...


def healthy(candidates: Sequence[EndpointView], request: PickRequest, rng: random.Random, /) -> Sequence[EndpointView]:
    """Keep the healthy candidates, or all of them when none is.

    Using all is Envoy's panic mode at a threshold of nothing healthy: when everything looks dead, it is as likely
    that the looking is broken, and an answer that may fail is better than a refusal.
    """
    if all(map(_HEALTHY, candidates)):
        return candidates  # nearly always
    return [view for view in candidates if view.healthy] or candidates


def untried(candidates: Sequence[EndpointView], request: PickRequest, rng: random.Random, /) -> Sequence[EndpointView]:
    """Keep the candidates that this request has not failed at, or all of them when there is no other."""
    avoid = request.avoid
    if not avoid:
        return candidates
    kept = [view for view in candidates if view.key not in avoid]
    return kept if 0 < len(kept) < len(candidates) else candidates


def named(candidates: Sequence[EndpointView], request: PickRequest, rng: random.Random, /) -> Sequence[EndpointView]:
    """Keep the first endpoint that the request names and that is a candidate, or all where it names none (Envoy's
    override host)."""
    for key in request.named:
        kept = [view for view in candidates if view.key == key]
        if kept:
            return kept
    return candidates


def affine(candidates: Sequence[EndpointView], request: PickRequest, rng: random.Random, /) -> Sequence[EndpointView]:
    """Keep the endpoint that the request's key leads to, or all where it has no key."""
    affinity = request.affinity
    if affinity is None:
        return candidates
    key = affinity.table.endpoint(affinity.key, {view.key for view in candidates})
    return candidates if key is None else [view for view in candidates if view.key == key]
