"""The decision tree of the Inference Extension v0.1 to v0.3, from the time of InferenceModels with a criticality.

    critical?
    +- yes: any endpoint with waiting < 128 ?
    |       +- yes: of those: LoRA affinity -> least queue -> least KV cache
    |       +- no:  of all: least queue -> LoRA affinity -> least KV cache
    +- no:  any endpoint with waiting <= 5 and KV usage <= 0.8 ?
            +- yes: of those: least queue -> LoRA affinity -> least KV cache
            +- no:  none: the request is shed (429)

What is left is drawn from, all alike. Source: IE v0.3.0 `pkg/epp/scheduling/{scheduler,filter}.go`. Critical is what
is declared so: `Standard`, `Sheddable` and nothing declared are all shed in this tree.

An endpoint without a load counts as idle with an empty cache, as upstream's does before its first scrape. Where queues
are compared with each other, what this gateway has sent since the scrape is added (see `in_flight`); where they are
compared with a threshold, the server's own number counts.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from .endpoints import EndpointView
from .picks import PickRequest
from .saturation import has_room

__all__ = ["criticality_tree", "least_kv_cache", "least_queue", "lora_affinity"]

QUEUING_THRESHOLD_LORA = 128
"""Waiting requests from which on an endpoint's adapters no longer make up for its queue."""
LORA_AFFINITY_THRESHOLD = 0.999
"""Share of requests that go where their adapter is active already; the rest spread it."""

_Views = Sequence[EndpointView]


def criticality_tree(candidates: _Views, request: PickRequest, rng: random.Random, /) -> _Views:
    """Keep the endpoints that the tree leads to; none means that the request is shed."""
    model = request.model
    if request.critical:
        short = [view for view in candidates if view.load is None or view.load.waiting < QUEUING_THRESHOLD_LORA]
        if short:
            return least_kv_cache(least_queue(lora_affinity(short, model, rng)))
        left = candidates
    else:
        left = [view for view in candidates if view.load is None or has_room(view.load)]
        if not left:
            return ()
    return least_kv_cache(lora_affinity(least_queue(left), model, rng))


def least_queue(views: _Views) -> _Views:
    """Keep those whose queue is in the first of n equal parts of the span from shortest to longest, n being how many
    endpoints there are; the division rounds down, as upstream's of integers."""
    depths = [view.unseen if view.load is None else view.load.waiting + view.unseen for view in views]
    least = min(depths)
    bound = least + (max(depths) - least) // len(views)
    return [view for view, depth in zip(views, depths, strict=True) if depth <= bound]


def least_kv_cache(views: _Views) -> _Views:
    """Keep those whose KV usage is in the first of n equal parts of the span from least to most."""
    usages = [0.0 if view.load is None else view.load.kv_usage or 0.0 for view in views]
    least = min(usages)
    bound = least + (max(usages) - least) / len(views)
    return [view for view, usage in zip(views, usages, strict=True) if usage <= bound]


def lora_affinity(views: _Views, model: str | None, rng: random.Random) -> _Views:
    """Keep those where the model is an active adapter or, seldom, those with room for one more; all when neither is.

    Running and waiting adapters are both active in v0.3. Nothing is drawn where only one of the groups has members.
    """
    active: list[EndpointView] = []
    room: list[EndpointView] = []
    for view in views:
        load = view.load
        if load is None or not load.max_lora:
            continue
        if model in load.active_adapters or model in load.waiting_adapters:
            active.append(view)
        elif len(load.active_adapters | load.waiting_adapters) < load.max_lora:
            room.append(view)
    if active and room:
        return active if rng.random() < LORA_AFFINITY_THRESHOLD else room
    return active or room or views
