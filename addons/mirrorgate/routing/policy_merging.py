"""Merging a route's BackendTrafficPolicy into that of its listener or Gateway.

Envoy Gateway, `mergeType`: what the route's policy sets wins, and what it leaves out is the parent's. `JSONMerge` is
RFC 7396: mappings are merged, lists replaced. `StrategicMerge` also merges the lists that have a merge key in the CRD.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ..resources.backend_traffic_policy import BackendTrafficPolicy, BackendTrafficPolicySpec
from .conditions import Finding

__all__ = ["merge_policies", "merged"]

_MERGE_KEYS = {"compression": "type", "compressor": "type", "httpUpgrade": "type"}
"""The lists of a BackendTrafficPolicy with `patchStrategy: merge`, and what tells their entries apart."""

_ATTACHMENT = frozenset(("targetRef", "targetRefs", "targetSelectors", "mergeType"))
"""What says where a policy applies, which is never the parent's."""


def merge_policies(policy: BackendTrafficPolicy, parent: BackendTrafficPolicy) -> BackendTrafficPolicy | Finding | None:
    """Return a policy with what it leaves to its parent, why both do not fit together, or `None` without a `mergeType`.

    Only fields that were declared count: what the API server has filled in is declared.
    """
    if policy.spec.merge_type is None:
        return None
    inherited = {name: value for name, value in _declared(parent).items() if name not in _ATTACHMENT}
    whole = merged(inherited, _declared(policy), strategic=policy.spec.merge_type == "StrategicMerge")
    try:
        spec = BackendTrafficPolicySpec.model_validate(whole)
    except ValidationError as error:
        faults = "; ".join(each["msg"] for each in error.errors(include_url=False))
        return Finding("Invalid", f"error merging policies with {'/'.join(parent.key)}: {faults}")
    return policy.model_copy(update={"spec": spec})


def merged(parent: Mapping[str, Any], patch: Mapping[str, Any], *, strategic: bool) -> dict[str, Any]:
    """Return a document with a patch applied to it."""
    result = dict(parent)
    for name, value in patch.items():
        old = result.get(name)
        key = _MERGE_KEYS.get(name) if strategic else None
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            result[name] = merged(old, value, strategic=strategic)
        elif isinstance(old, list) and isinstance(value, list) and key is not None:
            result[name] = _merged_entries(old, value, key)
        else:
            result[name] = value
    return result


def _merged_entries(old: list[Any], patch: list[Any], key: str) -> list[Any]:
    """Merge entries with the same key; the others of the patch come behind."""
    entries = {entry.get(key): entry for entry in old if isinstance(entry, Mapping)}
    for entry in patch:
        known = entries.get(entry.get(key), {})
        entries[entry.get(key)] = merged(known, entry, strategic=True)
    return list(entries.values())


def _declared(policy: BackendTrafficPolicy) -> dict[str, Any]:
    return policy.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
