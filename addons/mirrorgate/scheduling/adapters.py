"""How well an endpoint is prepared for a model that may be a LoRA adapter: the formula of `lora-affinity-scorer`."""

from __future__ import annotations

from .endpoints import Load

__all__ = ["affinity"]

ACTIVE = 1.0
ROOM = 0.8
WAITING = 0.6
UNKNOWN = 0.5
FULL = 0.0


def affinity(load: Load | None, model: str) -> float:
    """Rate by whether the model's adapter is, or can be, active.

    Active 1, room for one more 0.8, waited for 0.6, none of these 0. An endpoint that reports no adapters gets 0.5:
    it may have to load one, or have no room (a server reports them only once one was loaded). One that serves the
    asked model as its base needs no adapter and gets 1. An adapter that is listed both as active and as waited for
    (vLLM does so, measured) takes one place; upstream counts it twice.
    """
    if load is None:
        return UNKNOWN
    if model in load.active_adapters or model in load.models:
        return ACTIVE
    if not load.max_lora:
        return UNKNOWN
    if len(load.active_adapters | load.waiting_adapters) < load.max_lora:
        return ROOM
    return WAITING if model in load.waiting_adapters else FULL
