"""From a ShadowPolicy to what a verdict is based on: guardrails and error rates, and what else a loss depends on.

Evidence starts anew when any of it changes, so that only what matters to the comparison is in it: neither what content
the journal keeps, nor how much of the traffic is sampled, nor what a candidate may cost.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from ..comparison.guardrails import GuardrailName, Slo, guardrails_of
from ..comparison.steps import Basis, identity_of
from ..comparison.verdict import VerdictPolicy
from .policy import Guardrail, Policy, Scorer, policy_of

__all__ = ["Judging", "judging_of"]

logger = logging.getLogger(__name__)

_NOT_COMPARED: Final = ("maxParallelRequests", "max_parallel_requests", "tokenBudget", "token_budget")
"""Fields of the candidate that say what it may cost, not what it is asked."""


class Judging(msgspec.Struct, frozen=True):
    """How the pairs of one mirror under one policy are judged."""

    basis: Basis
    identity: str
    slo: Slo
    scorers: dict[str, Scorer]
    """By guardrail."""
    names: frozenset[str]
    """Of all guardrails."""


@functools.lru_cache(maxsize=256)
def judging_of(mirror: str, spec: bytes, subject: bytes) -> Judging:
    """Read a policy and the subject that came with it; never raises.

    A guardrail that cannot be judged is left out and logged: `mirrorgate check` refuses it.
    """
    policy = policy_of(spec)
    slo = Slo() if policy.slo is None else Slo(policy.slo.ttft, policy.slo.itl, policy.slo.e2e)
    known = [guardrail for guardrail in policy.guardrails if _usable(guardrail)]
    scorers = {each.name: each.scorer for each in known if each.scorer is not None and each.enabled}
    guardrails = guardrails_of(
        equivalence=policy.mode == "equivalence",
        slo=slo,
        control=policy.control.percent > 0,
        margins={each.name: each.margin for each in known if each.margin is not None},
        disabled=[each.name for each in known if not each.enabled],
        scorers=list(scorers),
    )
    verdict = VerdictPolicy(
        guardrails,
        alpha_promote=policy.alpha_promote,
        alpha_reject=policy.alpha_reject,
        min_pairs=policy.min_pairs,
        conversation_seconds=policy.conversation_window,
        quality=bool(scorers) or any(each.gating and each.name == GuardrailName.DIVERGENCE for each in guardrails),
    )
    basis = Basis(mirror, policy.mode, verdict, _object(subject), _rules(policy, spec, slo, scorers))
    return Judging(basis, identity_of(basis), slo, scorers, frozenset(each.name for each in guardrails))


def _usable(guardrail: Guardrail) -> bool:
    if guardrail.margin is not None and not 0.0 < guardrail.margin < 1.0:
        logger.error("guardrail %s is not judged: its margin must be between 0 and 1", guardrail.name)
        return False
    built_in = guardrail.name in set(GuardrailName)
    if built_in == (guardrail.scorer is not None):
        logger.error("guardrail %s is not judged: it is %s", guardrail.name, "ours" if built_in else "unknown")
        return False
    return True


def _rules(policy: Policy, spec: bytes, slo: Slo, scorers: dict[str, Scorer]) -> dict[str, Any]:
    asked = {key: value for key, value in _object(_raw(spec, "candidate")).items() if key not in _NOT_COMPARED}
    return {
        "slo": msgspec.to_builtins(slo),
        "ignore": msgspec.to_builtins(policy.ignore),
        "scorers": {name: _named(scorer) for name, scorer in scorers.items()},
        "candidate": _hash(msgspec.json.encode(asked, order="deterministic")),
    }


def _named(scorer: Scorer) -> dict[str, str]:
    """Name a scorer without what may be secret in its address: user, password, query."""
    if scorer.url is None:
        return {"entry_point": scorer.entry_point or ""}
    try:
        parts = urlsplit(scorer.url)
        shown = f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
    except ValueError:
        shown = ""
    return {"url": shown, "hash": _hash(scorer.url.encode("utf-8", "surrogatepass"))}


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _raw(spec: bytes, field: str) -> bytes:
    value = _object(spec).get(field)
    return msgspec.json.encode(value) if isinstance(value, dict) else b""


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(data or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
