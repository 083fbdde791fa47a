"""The shadow's legs: what is sent to a candidate, or to the primary again, and what is left out of it."""

from __future__ import annotations

from typing import Any

import msgspec

from .credentials import without_credentials, without_query_credentials
from .plans import MirrorPlan, Plan
from .records import Leg, Target
from .resources.endpoints import Address
from .resources.shadow_policy import Candidate, ShadowPolicySpec
from .routing.filters import apply
from .routing.table import Destination, HeaderChanges, Mirror, Rule

__all__ = [
    "LEG_HEADER",
    "candidate_target",
    "control_target",
    "policy_bytes",
    "subject_bytes",
]

Fields = list[tuple[bytes, bytes]]

LEG_HEADER = b"x-mirrorgate-leg"
"""Marks a request as a shadow's, so that a gateway behind does not mirror it again: `candidate` or `control`."""

_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect"))
_INTERNAL = b"x-envoy-internal"
_OURS = _FRAMING | {LEG_HEADER, _INTERNAL}


def candidate_target(
    planned: MirrorPlan, address: Address, plan: Plan, sent: Fields, policy: bytes, subject: bytes = b""
) -> Target:
    """Describe a candidate's leg; `sent` are the fields that the primary gets, framing included."""
    mirror = planned.mirror
    candidate = mirror.policy.candidate
    path = plan.path.decode("latin-1")
    fields = sent if candidate.keep_credentials else without_credentials(sent)
    # The policy may give the candidate credentials of its own, but never another framing or mark.
    fields = _unmarked(apply(_header_changes(mirror), fields))
    fields += [(LEG_HEADER, Leg.CANDIDATE.value.encode()), (_INTERNAL, b"true")]
    return Target(
        leg=Leg.CANDIDATE,
        cluster=mirror.cluster,
        ref=mirror.destination.ref,
        host=address.host,
        port=address.port,
        head=fields,
        path=path if candidate.keep_credentials else without_query_credentials(path),
        model=candidate.model_name,
        timeout=_timeout(candidate, plan),
        connect_timeout=candidate.connect_timeout,
        idle_timeout=candidate.idle_timeout,
        max_parallel=candidate.max_parallel_requests,
        policy=policy,
        tls=mirror.destination.tls,
        http2=mirror.destination.http2,
        subject=subject,
        length=None if plan.body is not None else _declared_length(sent),
    )


def control_target(address: Address, plan: Plan, mirror: Mirror, sent: Fields, policy: bytes) -> Target:
    """Describe the control's leg: the primary's request once more, credentials included, since it goes to the same
    servers that had them."""
    fields = _unmarked(sent)
    fields.append((LEG_HEADER, Leg.CONTROL.value.encode()))
    candidate = mirror.policy.candidate
    return Target(
        leg=Leg.CONTROL,
        cluster=plan.cluster,
        ref=plan.pool,
        host=address.host,
        port=address.port,
        head=fields,
        path=plan.path.decode("latin-1"),
        model=None if plan.target_model == plan.model else plan.target_model,
        timeout=_timeout(candidate, plan),
        connect_timeout=candidate.connect_timeout,
        idle_timeout=candidate.idle_timeout,
        max_parallel=candidate.max_parallel_requests,
        policy=policy,
        tls=plan.tls,
        http2=plan.http2,
        length=None if plan.body is not None else _declared_length(sent),
    )


def policy_bytes(policy: ShadowPolicySpec) -> bytes:
    """Encode a policy for the shadow process. Costly: once a policy, not once a request."""
    return msgspec.json.encode(policy.model_dump(mode="json", by_alias=True, exclude_none=True))


def subject_bytes(rule: Rule, mirror: Mirror) -> bytes:
    """Describe what a mirror's pairs compare, as it is declared: the same until a model or a destination changes.

    Neither endpoints, which come and go, nor the shares of a split are in it. Costly: once a rule.
    """
    candidate = _side(mirror.destination)
    if mirror.policy.candidate.model_name is not None:
        candidate["model"] = mirror.policy.candidate.model_name
    live = {b.destination.ref: _side(b.destination) for b in rule.backends if b.destination is not None and b.weight}
    subject = {
        "route": f"{rule.route[0]}/{rule.route[1]}",
        "rule": rule.index,
        "primary": [live[ref] for ref in sorted(live)],
        "candidate": candidate,
    }
    return msgspec.json.encode(subject, order="deterministic")


def _side(destination: Destination) -> dict[str, Any]:
    models = {
        model.name or "*": [target.name for target in model.targets if target.weight] for model in destination.models
    }
    return {"ref": destination.ref} | ({"models": models} if models else {})


def _declared_length(sent: Fields) -> int | None:
    """Return the length that the primary is told; a copy that streams keeps its framing."""
    return next((int(value) for name, value in sent if name.lower() == b"content-length"), None)


def _unmarked(fields: Fields) -> Fields:
    return [field for field in fields if field[0].lower() not in _OURS]


def _timeout(candidate: Candidate, plan: Plan) -> float:
    """Return the leg's limit: the route's own ends a copy too, as in Envoy (measured)."""
    return min(candidate.timeout, plan.timeouts.request or candidate.timeout)


def _header_changes(mirror: Mirror) -> HeaderChanges:
    headers = mirror.policy.candidate.headers
    if headers is None:
        return HeaderChanges()
    return HeaderChanges(
        set=tuple((item.name.lower(), item.value) for item in headers.set),
        add=tuple((item.name.lower(), item.value) for item in headers.add),
        remove=tuple(name.lower() for name in headers.remove),
    )
