"""InferencePools of manifests that select no Pod: in a cluster Pods come and go, in files nobody brings them."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import Problem, Severity
from .inference_pool import InferencePool
from .inventory import Inventory

__all__ = ["empty_pools"]


def empty_pools(inventory: Inventory) -> Iterator[Problem]:
    """Yield a warning for each pool whose requests would all be answered 503, for want of a Pod."""
    for pool in inventory.inference_pools.values():
        labels = pool.spec.selector.match_labels
        if inventory.pods_labelled(pool.metadata.namespace, labels):
            continue
        at = pool.place.at(("spec", "selector"))
        wanted = ", ".join(f"{name}={value}" for name, value in labels.items())
        message = f"no Pod of namespace {pool.metadata.namespace} has the labels {wanted}; requests are answered 503"
        path, hint = f"{pool.title}: spec.selector", _hint(inventory, pool)
        yield Problem(message, at.file, at.line, path, hint, Severity.WARNING)


def _hint(inventory: Inventory, pool: InferencePool) -> str:
    """Name the Pod that fits best, with its labels; empty when no Pod is declared."""
    wanted = pool.spec.selector.match_labels.items()
    pods = [pod for pod in inventory.pods.values() if pod.metadata.namespace == pool.metadata.namespace]
    if not pods:
        return "declare a Pod for each model server"
    best = max(pods, key=lambda pod: len(wanted & pod.metadata.labels.items()))
    labels = ", ".join(f"{name}={value}" for name, value in best.metadata.labels.items())
    return f"Pod {best.metadata.name} has {labels or 'none'}"
