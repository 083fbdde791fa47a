"""The compiler: an inventory goes in; a route table, the status of every object and problems come out.

As in Envoy Gateway's translator, a fault of one object ends in its conditions, and the rest goes on working.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..errors import Problem
from ..resources.backend_traffic_policy import BackendTrafficPolicy
from ..resources.failure_breaker_policy import FailureBreakerPolicy
from ..resources.inventory import Inventory
from ..resources.shadow_policy import ShadowPolicy
from ..resources.token_rate_limit_policy import TokenRateLimitPolicy
from .attachment import Attachment
from .conditions import Statuses
from .gateways import GatewayState, class_statuses, gateway_status, read_gateways
from .models import model_statuses
from .notes import warning
from .policies import Policies, Scope
from .policy_merging import merge_policies
from .policy_targets import targets_of
from .pools import PoolUse, pool_problems, pools_of
from .precedence import Age, age_of, precedence
from .references import References
from .routes import RouteResult, compile_route
from .rules import CompiledRule
from .table import Listener, Match, RouteTable, Rule
from .traffic import (
    breaker_refs,
    deprecated,
    remark,
    shadow_refs,
    shadow_remark,
    token_refs,
    traffic_refs,
    with_policies,
)

__all__ = ["CompileOptions", "Compiled", "compile"]


@dataclass(frozen=True, slots=True)
class CompileOptions:
    controller_name: str = "mirrorgate.dev/gateway-controller"
    """Written into statuses; in a cluster, the GatewayClasses that are ours name it."""
    serve_all_classes: bool = True
    """Whether every Gateway is served whatever its class, as with manifests from files."""
    external_pickers: bool = False
    """Whether the endpoint pickers that InferencePools name are asked, instead of our own standing in for them."""


@dataclass(frozen=True, slots=True)
class Compiled:
    table: RouteTable
    statuses: Statuses
    problems: tuple[Problem, ...]
    """Warnings only: nothing that compiles is refused as a whole."""


def compile(inventory: Inventory, options: CompileOptions | None = None) -> Compiled:
    """Compile an inventory.

    Pure and deterministic: the same inventory in the same order gives an equal result. Where the specification
    breaks ties by `creationTimestamp` and there is none, the order of the inventory (of the files) stands in.
    """
    return _Compiler(inventory, options or CompileOptions()).run()


class _Compiler:
    """One run: the results of all parts so far."""

    def __init__(self, inventory: Inventory, options: CompileOptions) -> None:
        self._inventory = inventory
        self._options = options
        self._references = References(inventory, external_pickers=options.external_pickers)
        self._traffic: Policies[BackendTrafficPolicy] = Policies(merge_policies)
        self._shadow: Policies[ShadowPolicy] = Policies()
        self._breakers: Policies[FailureBreakerPolicy] = Policies()
        self._tokens: Policies[TokenRateLimitPolicy] = Policies()
        self._gateways: dict[tuple[str, str], GatewayState] = {}
        self._rules: dict[str, dict[str, Rule]] = {}
        self._uses = PoolUse()
        self._ancestors: dict[tuple[str, str], list[tuple[str, str]]] = {}
        self._statuses: Statuses = {}
        self._problems: list[Problem] = []

    def run(self) -> Compiled:
        self._read_gateways()
        self._attach_policies()
        for position, route in enumerate(self._inventory.http_routes.values()):
            every = self._options.serve_all_classes
            result = compile_route(self._inventory, self._gateways, route, self._references, every)
            age = age_of(route.metadata.creation_timestamp, position, *route.key)
            self._add_route(result, age)
        self._write_statuses()
        listeners = tuple(
            listener
            for state in self._gateways.values()
            if state.refusal is None
            for listener in _served_listeners(state)
        )
        return Compiled(RouteTable(listeners), self._statuses, tuple(self._problems))

    def _read_gateways(self) -> None:
        name, every = self._options.controller_name, self._options.serve_all_classes
        statuses, problems = class_statuses(self._inventory, name, every)
        states, more = read_gateways(self._inventory, self._references, name, every)
        self._statuses |= statuses
        self._problems += [*problems, *more]
        self._gateways = {state.key: state for state in states}

    def _attach_policies(self) -> None:
        inventory = self._inventory
        named = partial(targets_of, inventory, self._references)
        self._traffic.attach(
            inventory,
            inventory.backend_traffic_policies.values(),
            lambda policy: named(policy, traffic_refs(policy), policy.spec.target_selectors),
            frozenset({"Gateway", "HTTPRoute"}),
        )
        self._shadow.attach(
            inventory,
            inventory.shadow_policies.values(),
            lambda policy: named(policy, shadow_refs(policy), policy.spec.target_selectors),
            frozenset({"HTTPRoute"}),
        )
        self._breakers.attach(
            inventory,
            inventory.failure_breaker_policies.values(),
            lambda policy: named(policy, breaker_refs(policy), ()),
            frozenset({"HTTPRoute"}),
        )
        self._tokens.attach(
            inventory,
            inventory.token_rate_limit_policies.values(),
            lambda policy: named(policy, token_refs(policy), ()),
            frozenset({"Gateway", "HTTPRoute"}),
        )

    def _add_route(self, result: RouteResult, age: Age) -> None:
        """Put a route's matches into the listeners that took it, and note who uses what."""
        if result.parents or self._options.serve_all_classes:
            self._problems += result.notes.problems
        if result.parents:
            status = result.status(self._options.controller_name)
            self._statuses["HTTPRoute", *result.route.key] = status
        for attachments in result.attachments.values():
            for attachment in attachments:
                self._add_matches(attachment, result.rules, age)
        for gateway, is_accepted in result.gateways.items():
            self._ancestors.setdefault(result.route.key, []).append(gateway)
            for compiled in result.rules:
                for pool in pools_of(compiled.rule):
                    self._uses.note(pool, gateway, is_accepted)
            if self._inventory.backend_tls_policies:
                for named in self._references.named_by(result.route):
                    self._references.tls.note(*named, gateway)

    def _add_matches(self, attachment: Attachment, rules: Sequence[CompiledRule], age: Age) -> None:
        listener = attachment.listener
        for compiled in rules:
            rule = self._with_policies(compiled.rule, listener.gateway.key, listener.spec.name)
            for hostname in attachment.hostnames:
                for found in compiled.matches:
                    match = Match(hostname, found.path, found.method, found.headers, found.query, rule, found.index)
                    listener.matches.append((precedence(match, age), match))

    def _with_policies(self, rule: Rule, gateway: tuple[str, str], listener: str) -> Rule:
        """Return the rule as it is reached through a listener.

        A rule is one cluster and has one set of limits, unless Gateways or listeners give it different policies: then
        each further policy makes a cluster of its own, as Envoy Gateway does with a proxy for each Gateway.
        """
        traffic = self._traffic.for_rule(rule.route, rule.name, gateway, listener)
        tokens = self._tokens.for_rule(rule.route, rule.name, gateway, listener)
        source = "+".join(applied.source for applied in (traffic, tokens) if applied is not None)
        known = self._rules.setdefault(rule.cluster, {})
        if source in known:
            return known[source]
        shadow = self._shadow.for_rule(rule.route, rule.name, gateway, listener)
        result = with_policies(
            rule,
            None if traffic is None else traffic.policy,
            None if shadow is None else shadow.policy,
            None if tokens is None else tokens.policy,
        )
        breaker = self._breakers.for_rule(rule.route, rule.name, gateway, listener)
        if breaker is not None:
            result = replace(result, failure_breaker=breaker.policy.spec)
        if known:
            result = replace(result, cluster=f"{rule.cluster}@{source or 'default'}")
        known[source] = result
        return result

    def _write_statuses(self) -> None:
        name = self._options.controller_name
        for key, state in self._gateways.items():
            self._statuses["Gateway", *key] = gateway_status(state)
        self._statuses |= self._uses.statuses(self._inventory, name, external_pickers=self._options.external_pickers)
        self._statuses |= model_statuses(self._inventory, self._references.models)
        every = self._options.serve_all_classes
        self._statuses |= self._references.tls.statuses(name, every=every)
        self._problems += self._references.tls.problems(every=every)
        ours = None if self._options.serve_all_classes else self._gateways.keys()
        shared = Scope(name, self._ancestors, ours)
        own = Scope(name, self._ancestors)
        self._statuses |= self._traffic.statuses(shared, remark, deprecated)
        self._statuses |= self._shadow.statuses(own, shadow_remark)
        self._statuses |= self._breakers.statuses(own, lambda policy: "")
        self._statuses |= self._tokens.statuses(own, lambda policy: "")
        self._problems += [*self._traffic.problems(shared), *self._shadow.problems(own)]
        self._problems += [*self._breakers.problems(own), *self._tokens.problems(own)]
        self._warn()

    def _warn(self) -> None:
        """Add the problems that only the whole shows."""
        used = {
            rule.mirrors[0].policy_source for rules in self._rules.values() for rule in rules.values() if rule.mirrors
        }
        for policy in self._inventory.shadow_policies.values():
            if "/".join(policy.key) not in used:
                message = "no rule that the policy applies to has a RequestMirror, so that it does nothing"
                self._problems.append(warning(policy, "spec.targetRefs", message))
            self._problems += [warning(policy, f"spec.{path}", why) for path, why in policy.spec.idle]
        self._problems += pool_problems(self._inventory)
        for clashes in (pool.clashes for pool in self._references.models.values()):
            for model, holder in clashes:
                message = f"modelName {model.spec.model_name!r} is taken by {holder.title}, which is older"
                self._problems.append(warning(model, "spec.modelName", message))


def _served_listeners(state: GatewayState) -> list[Listener]:
    return [
        Listener(
            gateway=state.key,
            name=listener.spec.name,
            port=listener.spec.port,
            protocol=listener.spec.protocol,
            hostname=listener.hostname,
            addresses=state.addresses,
            matches=tuple(match for _, match in sorted(listener.matches, key=lambda pair: pair[0])),
            certificates=listener.certificates,
        )
        for listener in state.listeners
        if listener.is_served
    ]
