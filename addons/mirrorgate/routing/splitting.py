"""The weighted draws of a request: a backendRef, a target model, and which mirrors get a copy.

Draws come in as numbers in [0, 1), so that the same draw always decides the same way. Gateway API v1,
`HTTPBackendRef.weight` and `HTTPRequestMirrorFilter`; Inference Extension v1alpha2, `InferenceModel.targetModels` and
`InferenceModelRewrite`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from .table import Backend, Destination, Mirror, ModelTarget, PoolModel, Rule

__all__ = ["ModelChoice", "choose_backend", "mirrors_of", "resolve_model", "sampling_draw"]


_PRIORITIES: Mapping[str | None, int] = {"Critical": 1, "Sheddable": -1}
"""What a criticality is as a priority; `Standard` and none declared are 0."""


class ModelChoice(msgspec.Struct, frozen=True):
    """Which model a request asks of a destination, and how much it matters."""

    target: str | None
    """What is written into the body's `model`; `None` when the request names none."""
    criticality: str | None = None
    """`Critical`, `Standard`, `Sheddable`, or `None` when none is declared."""
    priority: int = 0
    """Of the InferenceObjective that the request names, else by criticality; negative may be shed."""
    critical: bool = False
    """Whether it is never shed in the era of criticalities: `Critical`, or an objective without negative priority."""
    known: bool = True
    """False when the pool declares its models and this is none of them: a 404."""
    source: str = ""
    """What decided: an object's kind and name, `header` for an override, empty for the client's own name."""


def choose_backend(rule: Rule, draw: float) -> Backend | None:
    """Return the backendRef that a draw in [0, 1) falls on, `None` when no weight is left to draw from (a 500).

    An invalid backendRef keeps its share, as `HTTPRouteRule.backendRefs` asks; the caller answers 500 for it.
    """
    backends = rule.backends
    if len(backends) == 1 and backends[0].weight > 0:
        return backends[0]
    index = _weighted([backend.weight for backend in backends], draw)
    return None if index is None else backends[index]


def resolve_model(
    destination: Destination,
    model: str | None,
    draw: float,
    override: str | None = None,
    objective: str | None = None,
) -> ModelChoice:
    """Resolve the model that a request names into the one that the server is asked for.

    `model` is the body's (`None` when it names none), `override` a target that the request sets by header and that
    wins over declared targets, `objective` the name of an InferenceObjective that the request sets by header.
    Unknown objectives count as none.
    """
    if not (destination.models or override or objective):
        return ModelChoice(model, known=model is None or not destination.closed_models)  # nothing is declared
    declared = None
    if model is not None and destination.models:
        declared = next((entry for entry in destination.models if entry.name is None or entry.name == model), None)
    criticality = None if declared is None else declared.criticality
    target, source = model, ""
    if override:
        target, source = override, "header"
    elif declared is not None:
        target, source = _target(declared, draw) or model, declared.source
    named = destination.objectives.get(objective) if objective is not None else None
    return ModelChoice(
        target,
        criticality,
        priority=named if named is not None else _PRIORITIES.get(criticality, 0),
        critical=criticality == "Critical" if named is None else named >= 0,
        known=model is None or declared is not None or not destination.closed_models,
        source=source,
    )


def _target(declared: PoolModel, draw: float) -> str | None:
    """Draw a target model: evenly when none has a weight, else by weight, and never one without."""
    targets: Sequence[ModelTarget] = declared.targets
    if not targets:
        return None
    index = _weighted([target.weight for target in targets], draw)
    return targets[int(draw * len(targets)) if index is None else index].name


def _weighted(weights: Sequence[int], draw: float) -> int | None:
    total = sum(weights)
    if total <= 0:
        return None
    point = draw * total
    for index, weight in enumerate(weights):
        if point < weight:
            return index
        point -= weight
    return max(index for index, weight in enumerate(weights) if weight)


def mirrors_of(rule: Rule, backend: Backend, draw: float) -> tuple[tuple[Mirror, ...], tuple[Mirror, ...]]:
    """Return the mirrors that get a copy of a request to a backend, and those that it is sampled out of.

    All are decided by one draw in [0, 1). The samples are nested, as Envoy's are (measured): every request in a 20 %
    mirror is also in an 80 % one.
    """
    concerned = [mirror for mirror in rule.mirrors if mirror.backend in (None, backend.index)]
    chosen = tuple(mirror for mirror in concerned if draw < mirror.fraction)
    return chosen, tuple(mirror for mirror in concerned if draw >= mirror.fraction)


def sampling_draw(key: bytes) -> float:
    """Return a draw in [0, 1) that depends on the key only, for sampling that sticks to a user or conversation."""
    digest = hashlib.blake2b(key, digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / (1 << 53)
