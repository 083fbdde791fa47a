"""A destination that a configuration decides: the director routes, splits, rewrites and picks as in the gateway.

`route:PATH` sends where a rule's backendRefs lead, `mirror:PATH` where its RequestMirrors lead, each under its own
ShadowPolicy. InferencePools are picked by the loads that their servers tell, as live.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path

from ..director import Director, destinations_of, rules_of
from ..inference.requests import InferenceRequest
from ..legs import candidate_target, policy_bytes
from ..plans import Plan, Refused, RequestFacts
from ..records import Leg, Target
from ..resources.shadow_policy import ShadowPolicySpec
from ..routing.filters import apply
from ..routing.table import DestinationKind
from ..snapshot import Snapshot
from ..sources.files import FileSource
from ..sources.loads import LoadScraper
from ..wiring.configuring import compile_reading
from .aiming import UNBOUNDED, Aim, Rewrites, replayed_fields
from .captured import Captured, Skip

__all__ = ["RouteTarget", "compiled"]

_PORT = 80


def compiled(paths: Sequence[Path]) -> Snapshot:
    """Read manifests; raises ConfigProblems with every problem, and OSError when they cannot be read."""
    return compile_reading(FileSource(list(paths)).read(), 1).snapshot


class RouteTarget:
    """Sends every request where a configuration leads."""

    def __init__(
        self,
        snapshot: Snapshot,
        name: str,
        rewrites: Rewrites,
        policy: ShadowPolicySpec,
        encoded: bytes,
        rng: random.Random,
        *,
        mirrors: bool,
    ) -> None:
        """`policy` holds for `route:`; mirrors have their own. Raises ValueError when nothing can be reached."""
        ports = sorted({listener.port for listener in snapshot.table.listeners})
        if not ports:
            raise ValueError(f"{name}: the configuration has no listener")
        self._port = _PORT if _PORT in ports else ports[0]
        self._snapshot = snapshot
        self._scraper = LoadScraper(rng=rng)
        self._director = Director(snapshot, self._scraper.snapshot, time.monotonic, rng)
        self._rewrites = rewrites
        self._policy = policy
        self._encoded = encoded
        self._mirrors = mirrors
        self._policies: dict[str, bytes] = {}
        self.label = name

    async def start(self) -> None:
        """Begin to scrape the endpoints whose loads decide something."""
        pools = (
            destination
            for rule in rules_of(self._snapshot)
            for destination in destinations_of(rule)
            if destination.kind is DestinationKind.INFERENCE_POOL
        )
        self._scraper.update({str(address): address for pool in pools for address in pool.endpoints})
        self._scraper.start()

    async def stop(self) -> None:
        await self._scraper.stop()

    def aims(self, entry: Captured, request: InferenceRequest | None, leg: Leg) -> list[Aim] | Skip:
        """Route and plan the request; every leg counts as in flight at its endpoint until it is released."""
        fields, path = replayed_fields(entry, self._rewrites, leg, None)
        facts = RequestFacts(
            port=self._port,
            method=entry.method.encode("latin-1", "replace"),
            path=path.encode("latin-1", "replace"),
            host=entry.host.encode("latin-1", "replace"),
            fields=tuple(fields),
            scheme="http",
            client="127.0.0.1",
        )
        directed = self._director.route(facts)
        planned = directed.refused or self._director.plan(directed, facts, entry.body)
        if isinstance(planned, Refused):
            return Skip.NO_ROUTE
        fields = list(fields)
        for changes in planned.request_changes:
            fields = apply(changes, fields)
        if self._mirrors:
            return self._mirrored(planned, fields) or Skip.NO_MIRROR
        return [self._routed(planned, fields, leg, request)]

    def _routed(self, plan: Plan, fields: list[tuple[bytes, bytes]], leg: Leg, request: InferenceRequest | None) -> Aim:
        candidate = self._policy.candidate
        rewritten = plan.target_model if plan.target_model != plan.model else None
        target = Target(
            leg=leg,
            cluster=f"replay/{plan.cluster}",
            ref=plan.pool,
            host=plan.address.host,
            port=plan.address.port,
            head=fields,
            path=plan.path.decode("latin-1"),
            model=self._rewrites.model(request) or rewritten,
            timeout=candidate.timeout,
            connect_timeout=candidate.connect_timeout,
            idle_timeout=candidate.idle_timeout,
            max_parallel=UNBOUNDED,
            policy=self._encoded,
        )
        return Aim(target, self._director.started(plan).release)

    def _mirrored(self, plan: Plan, fields: list[tuple[bytes, bytes]]) -> list[Aim]:
        aims: list[Aim] = []
        for planned in plan.mirrors:
            if planned.address is None:
                continue
            cluster = planned.mirror.cluster
            if cluster not in self._policies:
                self._policies[cluster] = policy_bytes(planned.mirror.policy)
            target = candidate_target(planned, planned.address, plan, fields, self._policies[cluster])
            permit = self._director.in_flight_permit_at(planned.address.host, planned.address.port)
            aims.append(Aim(target, permit.release))
        return aims
