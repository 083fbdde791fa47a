"""Where a request goes that is sent again: another of its rule's backends, when all endpoints of the first failed.

Or the next endpoint of the list that a picker outside gave.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import msgspec

from .addressing import addressed
from .balancing import resteered, with_cookie
from .inference.rewriting import with_model
from .plans import Plan
from .resources.endpoints import Address
from .routing.splitting import choose_backend, resolve_model
from .routing.table import Backend
from .scheduling.endpoints import EndpointView

__all__ = ["at_choice", "at_next_choice", "moved"]


def moved(plan: Plan, tried: Collection[str], draw: Callable[[], float]) -> Plan:
    """Return the plan with the backend to try next, its own while one of its endpoints is left.

    A rule is one cluster to Envoy, whose retries draw among all of its backends anew; here a request stays with the
    model it was drawn for as long as that may answer.
    """
    rule, own = plan.rule, plan.destination
    if rule is None or own is None or len(rule.backends) < 2 or any(str(one) not in tried for one in own.endpoints):
        return plan
    others = tuple(backend for backend in rule.backends if backend.weight and _has_untried(backend, tried))
    backend = choose_backend(replace(rule, backends=others), draw()) if others else None
    if backend is None or backend.destination is None:
        return plan
    choice = resolve_model(backend.destination, plan.model, draw(), objective=None)
    if not choice.known:
        return plan
    body, target = plan.body, choice.target or plan.model
    if (
        body is not None
        and plan.model is not None
        and target is not None
        and target != (plan.target_model or plan.model)
    ):
        body = with_model(body, target)
    assert plan.directed is not None  # of a plan by a rule
    sent = addressed(rule, backend, plan.directed.path, plan.directed.cors)
    return msgspec.structs.replace(
        plan,
        pool=backend.destination.ref,
        destination=backend.destination,
        target_model=choice.target,
        wanted=resteered(
            msgspec.structs.replace(plan.wanted, model=choice.target), rule.traffic.balancer, backend.destination
        ),
        body=body,
        path=sent.path.encode(),
        host=sent.host,
        request_changes=sent.request_changes,
        response_changes=with_cookie(sent.response_changes, plan.cookie),
    )


def at_choice(plan: Plan, address: Address, by: str) -> Plan:
    """Return the plan with an endpoint that somebody else has picked."""
    pick = plan.pick
    if pick is not None:
        view = next((each for each in pick.candidates if each.address == address), None)
        pick = msgspec.structs.replace(
            pick,
            view=view or EndpointView(str(address), address),
            profile="external",
            totals=(),
            columns=(),
            rate=None,
            note=by,
            panic=False,
        )
    return msgspec.structs.replace(plan, address=address, pick=pick)


def at_next_choice(plan: Plan, tried: Collection[str], by: str = "") -> Plan:
    """Return the plan with the next endpoint of the list that the pool's own picker gave (endpoint picker protocol).

    Those that health or a failure breaker has put out come after all others: the picker may not know of it yet. At its
    end the list begins anew: which other would do is not for us to say.
    """
    choices: Sequence[Address] = plan.choices
    if plan.health is not None and plan.pick_state is not None and plan.destination is not None:
        out = plan.health.excluded(plan.pick_state.keys(plan.destination.endpoints))
        choices = sorted(choices, key=lambda each: str(each) in out) if out else choices
    address = next((each for each in choices if str(each) not in tried), choices[0])
    return at_choice(plan, address, by or ("" if plan.pick is None else plan.pick.note))


def _has_untried(backend: Backend, tried: Collection[str]) -> bool:
    destination = None if backend.redirect is not None else backend.destination
    return destination is not None and any(str(one) not in tried for one in destination.endpoints)
