"""What the admin server and the metrics show of the running parts, as plain values."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from ..director import Director, LastPick, destinations_of, profile_of, rules_of
from ..events import Event
from ..proxy.admin_sources import BreakerView, ClusterView, EndpointView, PickView, ScoreView
from ..proxy.dataplane import Dataplane
from ..records import Compared
from ..resources.describing import to_document
from ..routing.rendering import render
from ..routing.table import Destination, Rule
from ..scheduling.endpoints import EndpointHealth, endpoint_views
from ..shadow.channel import ShadowChannel
from ..telemetry.samples import Sample
from ..telemetry.state_samples import cluster_samples, endpoint_inflight_samples, pool_samples

__all__ = ["Exchanges", "Views"]

_LATEST = 200


class Exchanges:
    """The latest comparisons."""

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

    def __init__(self, plane: Dataplane, channel: ShadowChannel, loads: Callable[[], object]) -> None:
        self._plane = plane
        self._director: Director = plane.director
        self._channel = channel
        self._loads = loads

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
        views = []
        for rule in rules_of(self._director.snapshot):
            views.append(self._rule_cluster(rule))
            views += [self._cluster(mirror.cluster, "mirror", [mirror.destination], []) for mirror in rule.mirrors]
        return {"clusters": views}

    def samples(self) -> Iterable[Sample]:
        """Yield the gauges that are read at scrape time."""
        now = time.monotonic()
        for name, pool in self._plane.pools.items():
            yield from cluster_samples(name, pool.cluster.gauges, pool.cluster.counters)
        seen: set[str] = set()
        for rule in rules_of(self._director.snapshot):
            for destination in destinations_of(rule):
                if destination.ref not in seen:
                    seen.add(destination.ref)
                    yield from pool_samples(destination.ref, self._endpoints(destination), now)
        yield from endpoint_inflight_samples("all", self._director.in_flight.counts().items())
        stats = self._channel.stats()
        yield Sample("mirrorgate_shadow_queue_bytes", stats.queued)
        yield Sample("mirrorgate_shadow_up", float(stats.up))

    def _endpoints(self, destination: Destination) -> list:  # type: ignore[type-arg]
        targets = {str(address): address for address in destination.endpoints}
        return endpoint_views(targets, self._health(), self._director.in_flight)

    def _health(self) -> dict[str, EndpointHealth]:
        return self._loads()  # type: ignore[return-value]

    def _rule_cluster(self, rule: Rule) -> ClusterView:
        destinations = [b.destination for b in rule.backends if b.destination is not None]
        view = self._cluster(rule.cluster, "rule", destinations, list(self._director.last_picks.get(rule.cluster, ())))
        pool = self._plane.pools.get(rule.cluster)
        traffic = rule.traffic
        active, pending, connections = (0, 0, 0)
        if pool is not None:
            gauges = pool.cluster.gauges
            active, pending, connections = gauges.active, gauges.pending, gauges.connections
        view["limits"] = {
            "connections": _limit(connections, max(1, traffic.max_connections)),
            "pending": _limit(pending, traffic.max_pending_requests),
            "parallel": _limit(active, traffic.max_parallel_requests),
        }
        view["profiles"] = [profile_of(d, traffic).name for d in destinations]  # type: ignore[typeddict-unknown-key]
        return view

    def _cluster(self, name: str, kind: str, destinations: list[Destination], picks: list[LastPick]) -> ClusterView:
        now = time.monotonic()
        health = self._health()
        endpoints: list[EndpointView] = []
        for destination in destinations:
            for view in self._endpoints(destination):
                known = health.get(view.key)
                load = view.load
                endpoints.append(
                    {
                        "address": view.key,
                        "name": view.address.name,
                        "healthy": view.healthy,
                        "in_flight": view.in_flight,
                        "load": None
                        if load is None
                        else {
                            "waiting": load.waiting,
                            "running": load.running,
                            "kv_usage": load.kv_usage or 0.0,
                            "age": max(0.0, now - load.at),
                        },
                        "error": "" if known is None or known.healthy else known.last_error,
                    }
                )
        return {
            "name": name,
            "kind": kind,
            "destinations": [destination.ref for destination in destinations],
            "endpoints": endpoints,
            "picks": [_pick(pick) for pick in reversed(picks)],
        }


def _limit(used: int, limit: int) -> BreakerView:
    return {"used": used, "limit": limit, "open": used >= limit}


def _pick(last: LastPick) -> PickView:
    scores: list[ScoreView] = [
        {
            "endpoint": scored.endpoint,
            "total": scored.total,
            "parts": {name: score * weight for name, score, weight in scored.parts},
        }
        for scored in last.pick.scores
    ]
    return {
        "at": last.at,
        "endpoint": last.pick.endpoint,
        "profile": last.pick.profile,
        "reason": last.pick.reason,
        "scores": scores,
    }
