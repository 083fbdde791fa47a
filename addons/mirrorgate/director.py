"""Directs one exchange: route, split, model, pick, mirrors. Every decision comes from the pure floors below.

What it is told comes as arguments: the snapshot, the loads, the clock, the draw. What it remembers is in `picking`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import msgspec

from .addressing import Addressed, addressed
from .admission.limits import Limits
from .balancing import steered, with_cookie
from .effective import ENVOY_REQUEST_TIMEOUT, KnownTerms
from .errors import Refusal
from .health import Health, watched
from .identifiers import new_id
from .inference.apis import api_of
from .inference.pool_headers import PoolHeaders, pool_headers
from .inference.requests import BadRequest, InferenceRequest, NotInference, parse_request
from .inference.rewriting import with_model
from .inference.streaming_usage import usage_of
from .last_picks import LastPick, LastPicks
from .picking import Picking, dropped, pick_request, refusal_of
from .plans import Directed, Effective, Held, MirrorPlan, Plan, Refused, RequestFacts
from .replanning import at_next_choice, moved
from .resources.endpoints import Address
from .route_memory import RouteMemory
from .routing.paths import normalize
from .routing.splitting import choose_backend, mirrors_of, resolve_model, sampling_draw
from .routing.table import (
    Backend,
    Destination,
    DestinationKind,
    Mirror,
    Rule,
    TrafficPolicy,
)
from .rule_answers import answered_by_rule, cors_changes, find_match, redirected
from .scheduling.endpoints import EndpointHealth
from .scheduling.in_flight import Permit
from .scheduling.picks import NoEndpoint, Pick, PickRequest
from .snapshot import Snapshot, destinations_of, distinct_destinations, rules_of

__all__ = [
    "Director",
    "destinations_of",
    "needs_body",
    "rules_of",
]

_PLAIN = TrafficPolicy()
"""How a mirror's endpoint is picked: the rule's policy is about the primary's."""

type _Mirrored = tuple[tuple[MirrorPlan, ...], tuple[Mirror, ...], Address | None]

_NO_HEADERS = PoolHeaders()
_UNMIRRORED: _Mirrored = ((), (), None)


class Director:
    """Decides about requests. `snapshot` is replaced when another configuration takes effect."""

    def __init__(
        self,
        snapshot: Snapshot,
        loads: Callable[[], Mapping[str, EndpointHealth]],
        clock: Callable[[], float],
        rng: random.Random,
        calm: Callable[[str], bool] = lambda cluster: False,
    ) -> None:
        """`clock` is monotonic, in seconds, the one that loads are stamped with; `calm` tells whether a cluster has
        no queue and is under half of its limits, so that a control request does it no harm."""
        self.snapshot = snapshot
        self.picking = Picking(loads, clock, rng)
        self.in_flight = self.picking.in_flight
        self.must_wait: Callable[[Destination], bool] | None = None
        """Whether requests for a pool wait instead of being refused or sent on; `None`: none ever does."""
        self.last_picks = LastPicks()
        self.health = Health(clock, rng)
        self._clock = clock
        self._rng = rng
        self._calm = calm
        self._memory = RouteMemory(snapshot.table)
        self._terms = KnownTerms()

    def adopt(self, snapshot: Snapshot) -> None:
        """Take another configuration; requests that are under way keep theirs."""
        self.snapshot = snapshot
        self._terms.forget()
        rules = rules_of(snapshot)
        self.picking.retain(distinct_destinations(rules))
        self.last_picks.retain({rule.cluster for rule in rules})
        self.health.adopt(map(watched, rules))

    # Route

    def route(self, facts: RequestFacts) -> Directed:
        """Find the listener and the rule that a request belongs to."""
        memory = self._memory
        if memory.table is not self.snapshot.table:
            memory = self._memory = RouteMemory(self.snapshot.table)
        key = memory.key(facts)
        known = memory.recall(key)
        if known is not None:
            return known
        facts = memory.visible(facts)
        return memory.keep(key, facts, self._match(facts))

    def _match(self, facts: RequestFacts) -> Directed:
        router = self.snapshot.router
        host = facts.host.decode("latin-1")
        target = normalize(facts.path.decode("latin-1")) if facts.path != b"*" else "*"
        if target is None:
            return Directed(Refused(Refusal.BAD_REQUEST, "the request path is malformed"))
        listener = router.listener_for(facts.port, host, facts.local, facts.server_name)
        if isinstance(listener, Refusal):
            return Directed(Refused(listener))
        name = f"{listener.gateway[0]}/{listener.gateway[1]}/{listener.name}"
        match, preflight = find_match(router, listener, facts, host, target)
        if match is None:
            return Directed(Refused(Refusal.NO_ROUTE), listener=name)
        rule = match.rule
        return Directed(
            preflight or answered_by_rule(rule, facts, target),
            listener=name,
            route=f"{rule.route[0]}/{rule.route[1]}",
            rule_index=rule.index,
            cluster=rule.cluster,
            path=target,
            match=match,
            needs_body=needs_body(rule),
            cors=None if preflight is not None else cors_changes(rule, facts),
        )

    def new_id(self) -> str:
        """Name an exchange."""
        return new_id(self._rng)

    def direct(self, host: str, port: int) -> Directed:
        """Go where an addon wants to go, in a cluster of that address alone."""
        address = Address(host, port)
        return Directed(None, cluster=f"direct/{address}", direct=address)

    def draw(self) -> float:
        """Draw from [0, 1)."""
        return self._rng.random()

    # Plan

    def plan(
        self, directed: Directed, facts: RequestFacts, body: bytes | None, held: Held | None = None
    ) -> Plan | Refused:
        """Decide how a routed request is sent on; `body` is `None` when it is streamed, `held` what was drawn for it
        before it had to wait."""
        if directed.direct is not None:
            return self._plan_direct(directed, directed.direct, facts, body)
        match = directed.match
        assert match is not None
        rule = match.rule
        backend = choose_backend(rule, self._rng.random()) if held is None else held.backend
        if backend is None or backend.destination is None:
            return Refused(Refusal.INVALID_BACKEND)
        if backend.redirect is not None:
            return redirected(backend.redirect, facts, directed.path)
        destination = backend.destination
        terms, cors = self._terms.of(rule, backend), directed.cors
        plain = terms.plain and cors is None
        sent = Addressed(directed.path) if plain else addressed(rule, backend, directed.path, cors)
        path = sent.path
        request = self._read(facts, path, body)
        pool = destination.kind is DestinationKind.INFERENCE_POOL
        if isinstance(request, BadRequest):
            if pool:
                code = request.openai_code
                return Refused(Refusal.BAD_INFERENCE_REQUEST, request.message, param=request.param, code=code)
            request = None
        model = request.model if request is not None else None
        asked = pool_headers(facts.fields) if pool and facts.to_pool else _NO_HEADERS
        if held is None:
            choice = resolve_model(destination, model, self._rng.random(), asked.target, asked.objective)
        else:
            choice = held.choice
        if not choice.known:
            message = f"The model `{model}` does not exist."
            return Refused(Refusal.UNKNOWN_MODEL, message, param="model", code="model_not_found", model=model)
        if pool and held is None and body is not None and self.must_wait is not None and self.must_wait(destination):
            held = Held(backend, destination, choice, asked.fairness, model)
            return dropped("rejected-saturated", model, held)
        if body is not None and model is not None and choice.target is not None and choice.target != model:
            body = with_model(body, choice.target)
        wanted = pick_request(request, choice)
        wanted, cookie = steered(wanted, rule.traffic.balancer, destination, facts, self._rng)
        health = self.health.of(rule.cluster)
        picked, state, seconds = self.picking.pick(destination, rule.traffic, wanted, health)
        if isinstance(picked, NoEndpoint):
            return refusal_of(picked, destination, model, health)
        mirrors, sampled_out, control = (
            self._mirrors(rule, backend, facts, request, wanted, picked) if rule.mirrors else _UNMIRRORED
        )
        return Plan(
            address=picked.view.address,
            cluster=rule.cluster,
            pool=destination.ref,
            path=path.encode(),
            host=sent.host,
            body=body,
            request_id=new_id(self._rng),
            limits=terms.limits,
            timeouts=terms.timeouts,
            request_changes=sent.request_changes,
            response_changes=with_cookie(sent.response_changes, cookie),
            directed=directed,
            retry=rule.retry,
            rule=rule,
            destination=destination,
            inference=request,
            model=model,
            target_model=choice.target,
            priority=choice.priority,
            wanted=wanted,
            pick=picked,
            pick_state=state,
            pick_seconds=seconds,
            mirrors=mirrors,
            sampled_out=sampled_out,
            control=control,
            cookie=cookie,
            health=health,
        )

    def again(self, plan: Plan, tried: frozenset[str]) -> Plan | Refused:
        """Pick anew for a request that failed where it was tried: elsewhere, if there is such a place."""
        if plan.choices:
            return at_next_choice(plan, tried)
        plan = moved(plan, tried, self.draw)
        rule, destination = plan.rule, plan.destination
        assert rule is not None
        assert destination is not None
        picked, state, seconds = self.picking.pick(
            destination, rule.traffic, msgspec.structs.replace(plan.wanted, avoid=tried), plan.health
        )
        if isinstance(picked, NoEndpoint):
            return refusal_of(picked, destination, plan.model, plan.health)
        return msgspec.structs.replace(
            plan, address=picked.view.address, pick=picked, pick_state=state, pick_seconds=seconds
        )

    def started(self, plan: Plan) -> Permit:
        """Take note that a request is really sent; the permit ends its being in flight."""
        if plan.pick is not None and plan.pick_state is not None:
            plan.pick_state.sent(plan.pick)
        return self.in_flight.acquire(str(plan.address), self._clock())

    def in_flight_permit_at(self, host: str, port: int) -> Permit:
        """Count a request, or a mirror, as under way at an endpoint until the permit is released."""
        return self.in_flight.acquire(str(Address(host, port)), self._clock())

    def note_pick(self, plan: Plan, exchange: str, at: float) -> None:
        """Keep a pick for `/clusters`."""
        if plan.pick is not None:
            self.last_picks.note(plan.cluster, LastPick(at, exchange, plan.model or "", plan.pick))

    def speaks_openai(self, path: str) -> bool:
        """Tell whether errors on a path are expected in the shape of the OpenAI API."""
        return api_of(path) is not None

    def usage(self, tail: bytes) -> tuple[int | None, int | None] | None:
        """Read prompt and completion tokens from the end of an answer, `None` when it does not tell."""
        usage = usage_of(tail)
        return None if usage is None else (usage.prompt_tokens, usage.completion_tokens)

    def _plan_direct(self, directed: Directed, address: Address, facts: RequestFacts, body: bytes | None) -> Plan:
        return Plan(
            address=address,
            cluster=directed.cluster,
            pool=directed.cluster,
            path=facts.path,
            host=None,
            body=body,
            request_id=new_id(self._rng),
            limits=Limits(),
            # As for a rule: a limit in total would cut the streams of a model.
            timeouts=Effective(
                request=0.0 if self.speaks_openai(facts.path.decode("latin-1")) else ENVOY_REQUEST_TIMEOUT
            ),
            health=self.health.of(directed.cluster),
        )

    def _read(self, facts: RequestFacts, path: str, body: bytes | None) -> InferenceRequest | BadRequest | None:
        """Read a body by the path that the server gets: one that hides its API from us could hide its model, too."""
        if body is None:
            return None
        content_type = facts.content_type
        if content_type is None:
            content_type = facts.header(b"content-type")
        request = parse_request(
            facts.method.decode("latin-1"), path, None if content_type is None else content_type.decode("latin-1"), body
        )
        return None if isinstance(request, NotInference) else request

    def _mirrors(
        self,
        rule: Rule,
        backend: Backend,
        facts: RequestFacts,
        request: InferenceRequest | None,
        wanted: PickRequest,
        picked: Pick,
    ) -> _Mirrored:
        chosen, sampled_out = mirrors_of(rule, backend, self._draw(rule, facts, request))
        plans = []
        for mirror in chosen:
            # The copy is of what the primary gets, whose model may have been rewritten.
            model = mirror.policy.candidate.model_name or wanted.model
            asked = wanted if model == wanted.model else msgspec.structs.replace(wanted, model=model)
            found, _, _ = self.picking.pick(mirror.destination, _PLAIN, asked)
            plans.append(MirrorPlan(mirror, None if isinstance(found, NoEndpoint) else found.view.address))
        primary = backend.destination if chosen else None
        control = None if primary is None else self._control(rule, primary, wanted, picked)
        return tuple(plans), sampled_out, control

    def _draw(self, rule: Rule, facts: RequestFacts, request: InferenceRequest | None) -> float:
        """Draw once for all mirrors of a request: at random, or by what the policy says sticks together."""
        sampling = rule.mirrors[0].policy.sampling
        key: bytes | None = None
        if sampling.by == "Header" and sampling.header is not None:
            key = facts.header(sampling.header.lower().encode())
        elif sampling.by == "Conversation" and request is not None and request.conversation is not None:
            key = request.conversation.encode()
        return self._rng.random() if key is None else sampling_draw(key)

    def _control(self, rule: Rule, primary: Destination, wanted: PickRequest, picked: Pick) -> Address | None:
        percent = max((mirror.policy.control.percent for mirror in rule.mirrors), default=0)
        if not percent or self._rng.random() * 100 >= percent or not self._calm(rule.cluster):
            return None
        elsewhere = msgspec.structs.replace(wanted, avoid=frozenset((picked.endpoint,)))
        again, _, _ = self.picking.pick(primary, rule.traffic, elsewhere, self.health.of(rule.cluster))
        return None if isinstance(again, NoEndpoint) else again.view.address


def needs_body(rule: Rule) -> bool:
    """Tell whether a rule can only be followed once the body is read: for its model, or what a mirror does with it."""
    return rule.inference or any(
        mirror.destination.kind is DestinationKind.INFERENCE_POOL or mirror.policy_source for mirror in rule.mirrors
    )
