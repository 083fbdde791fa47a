"""Keeps the metrics' label values to those of the running configuration."""

from __future__ import annotations

from collections.abc import Iterable

from ..director import destinations_of
from ..routing.table import Rule
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
        clusters: set[str] = set()
        endpoints: set[str] = set()
        models: set[str] = set()
        for rule in rules:
            clusters.add(rule.cluster)
            self._metrics.introduce_cluster(rule.cluster)
            for mirror in rule.mirrors:
                clusters.add(mirror.cluster)
                self._metrics.introduce_mirror(mirror.cluster)
                if mirror.policy.candidate.model_name:
                    models.add(mirror.policy.candidate.model_name)
            for destination in destinations_of(rule):
                endpoints.update(map(str, destination.endpoints))
                for model in destination.models:
                    models.update(target.name for target in model.targets)
                    models.update(filter(None, (model.name,)))
        self._metrics.models.declare(sorted(models))
        for cluster in self._clusters - clusters:
            self._metrics.forget_cluster(cluster)
        for endpoint in self._endpoints - endpoints:
            self._metrics.forget_endpoint(endpoint)
        self._clusters, self._endpoints = clusters, endpoints
