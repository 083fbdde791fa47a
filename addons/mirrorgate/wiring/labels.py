"""Keeps the metrics' label values to those of the running configuration."""

from __future__ import annotations

from collections.abc import Iterable

from ..routing.table import Rule
from ..snapshot import distinct_destinations
from ..telemetry.metrics import Metrics

__all__ = ["Labels"]


class Labels:
    """What the metrics know by name: what is declared shows as 0 before it happens, what left is forgotten."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._clusters: set[str] = set()
        self._endpoints: set[str] = set()

    def adopt(self, rules: Iterable[Rule]) -> None:
        """Take the rules of a configuration that takes effect."""
        rules = list(rules)
        clusters: set[str] = set()
        mirrors: set[str] = set()
        models: set[str] = set()
        for rule in rules:
            clusters.add(rule.cluster)
            for mirror in rule.mirrors:
                mirrors.add(mirror.cluster)
                if mirror.policy.candidate.model_name:
                    models.add(mirror.policy.candidate.model_name)
        endpoints: set[str] = set()
        for destination in distinct_destinations(rules):
            endpoints.update(map(str, destination.endpoints))
            for model in destination.models:
                models.update(target.name for target in model.targets)
                models.update(filter(None, (model.name,)))
        self._metrics.models.declare(sorted(models))
        # What stays is not touched: of thousands of rules, a change concerns a few.
        for cluster in clusters - self._clusters:
            self._metrics.introduce_cluster(cluster)
        for cluster in mirrors - self._clusters:
            self._metrics.introduce_mirror(cluster)
        if gone := self._clusters - clusters - mirrors:
            self._metrics.forget_clusters(gone)
        if left := self._endpoints - endpoints:
            self._metrics.forget_endpoints(left)
        self._clusters, self._endpoints = clusters | mirrors, endpoints
