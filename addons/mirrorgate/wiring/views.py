"""What the admin server and the metrics show of the running parts, as plain values."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

import msgspec

from ..admission.gauges import Gauges
from ..director import Director, destinations_of, rules_of
from ..effective import limits_of
from ..events import Event
from ..picking import profile_of
from ..proxy.admin.sources import ClusterView
from ..proxy.admin.views import endpoint_rows, failure_breaker_view, limit_views, pick_view, queue_view
from ..proxy.dataplane import Dataplane
from ..records import Compared, ShadowCounts
from ..resources.describing import to_document
from ..routing.rendering import render
from ..routing.table import Destination, Rule
from ..scheduling.endpoints import EndpointHealth, EndpointView, endpoint_views
from ..shadow.channel import ShadowChannel
from ..telemetry.samples import Sample
from ..telemetry.state_samples import (
    cluster_samples,
    endpoint_inflight_samples,
    flow_samples,
    limit_samples,
    pool_samples,
)

__all__ = ["Exchanges", "Views"]

_LATEST = 200


class Exchanges:
    """The latest comparisons."""

    kinds: ClassVar[tuple[type[Event], ...]] = (Compared,)
    """The events that it is told of."""

    def __init__(self) -> None:
        self._latest: deque[dict[str, object]] = deque(maxlen=_LATEST)

    def handle(self, event: Event) -> None:
        if isinstance(event, Compared):
            self._latest.appendleft(
                {
                    "id": event.id,
                    "at": time.time(),
                    "cluster": event.cluster,
                    "outcome": event.outcome,
                    "similarity": event.similarity,
                    "summary": event.summary,
                    "record": msgspec.Raw(event.record) if event.record else None,
                }
            )

    def view(self) -> object:
        return {"exchanges": list(self._latest)}


class Views:
    """Reads the parts when asked."""

    def __init__(
        self, plane: Dataplane, channel: ShadowChannel, loads: Callable[[], Mapping[str, EndpointHealth]]
    ) -> None:
        self._plane = plane
        self._director: Director = plane.director
        self._channel = channel
        self._loads = loads
        self.shadow_counts: ShadowCounts | None = None
        """The shadow process's latest, `None` before the first."""

    def resources(self) -> object:
        snapshot = self._director.snapshot
        return {
            "generation": snapshot.generation,
            "problems": [str(problem) for problem in snapshot.problems],
            "resources": [
                to_document(obj, snapshot.statuses.get((obj.kind, obj.metadata.namespace, obj.metadata.name)))
                for obj in snapshot.inventory
            ],
        }

    def routes(self) -> object:
        return render(self._director.snapshot.table)

    def clusters(self) -> object:
        views: list[ClusterView] = []
        for rule in rules_of(self._director.snapshot):
            views.append(self._rule(rule))
            views += [self._cluster(mirror.cluster, "mirror", [mirror.destination]) for mirror in rule.mirrors]
        return {"clusters": views}

    def samples(self) -> Iterable[Sample]:
        """Yield the gauges that are read at scrape time."""
        now = time.monotonic()
        for name, pool in self._plane.pools.items():
            cluster = pool.cluster
            yield from cluster_samples(name, cluster.gauges, cluster.counters, cluster.retries.counters)
        yield from limit_samples(self._plane.meters)
        seen: set[str] = set()
        for rule in rules_of(self._director.snapshot):
            for destination in destinations_of(rule):
                if destination.ref not in seen:
                    seen.add(destination.ref)
                    yield from pool_samples(destination.ref, self._endpoints(destination), now)
        for ref, queue in self._plane.flow_control.queues():
            yield from flow_samples(ref, queue)
        yield from endpoint_inflight_samples("all", self._director.in_flight.counts().items())
        stats = self._channel.stats()
        yield Sample("mirrorgate_shadow_queue_bytes", stats.queued + stats.reserved)
        yield Sample("mirrorgate_shadow_queue_limit_bytes", stats.limit)
        counts = self.shadow_counts
        if counts is not None:
            yield Sample("mirrorgate_shadow_exchanges", counts.exchanges)
            yield Sample("mirrorgate_shadow_held_bytes", counts.held_bytes)
            yield Sample("mirrorgate_shadow_judge_errors_total", counts.failed)
            yield Sample("mirrorgate_shadow_contents_dropped_total", counts.contents_dropped)
            yield Sample("mirrorgate_journal_records_total", counts.journal_written, {"result": "written"})
            yield Sample("mirrorgate_journal_records_total", counts.journal_lost, {"result": "lost"})
        mirroring = self._plane.mirroring
        yield Sample("mirrorgate_shadow_paused", float(mirroring is not None and mirroring.paused))
        yield Sample("mirrorgate_tls_handshake_failures_total", self._plane.tls_failures)
        for reason, count in self._plane.door.refused.items():
            yield Sample("mirrorgate_downstream_connections_refused_total", count, {"reason": reason})
        yield Sample("mirrorgate_buffered_body_bytes", self._plane.bodies.held)
        active = sum(client.active for client in self._plane.connections)
        yield Sample("mirrorgate_downstream_connections", len(self._plane.connections), {"listener": "all"})
        yield Sample("mirrorgate_downstream_requests_active", active, {"listener": "all"})

    def _endpoints(self, destination: Destination) -> list[EndpointView]:
        targets = {str(address): address for address in destination.endpoints}
        return endpoint_views(targets, self._loads(), self._director.in_flight)

    def _rule(self, rule: Rule) -> ClusterView:
        destinations = [backend.destination for backend in rule.backends if backend.destination is not None]
        view = self._cluster(rule.cluster, "rule", destinations)
        pool = self._plane.pools.get(rule.cluster)
        view["limits"] = limit_views(
            pool.cluster.gauges if pool is not None else Gauges(0, 0, 0, limits_of(rule.traffic))
        )
        view["connecting"] = pool.cluster.connecting if pool is not None else 0
        view["profiles"] = [profile_of(destination, rule.traffic).name for destination in destinations]
        health = self._director.health.of(rule.cluster)
        if health is not None and health.breakers is not None:
            view["failure_breaker"] = failure_breaker_view(health.breakers, time.monotonic())
        refs = {destination.ref for destination in destinations}
        view["queues"] = [queue_view(ref, queue) for ref, queue in self._plane.flow_control.queues() if ref in refs]
        picks = self._director.last_picks.of(rule.cluster)
        view["picks"] = [pick_view(last.at, last.model, last.pick) for last in picks]
        return view

    def _cluster(self, name: str, kind: str, destinations: list[Destination]) -> ClusterView:
        views = [view for destination in destinations for view in self._endpoints(destination)]
        health = self._director.health.of(name)
        return {
            "name": name,
            "kind": kind,
            "destinations": [destination.ref for destination in destinations],
            "endpoints": endpoint_rows(views, dict(self._loads()), time.monotonic(), health),
        }
