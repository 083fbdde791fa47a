"""Which resources of the API are watched, and under which path."""

from __future__ import annotations

from dataclasses import dataclass

from ...resources.inference_pool import INFERENCE_GROUP
from ...resources.kinds import KINDS

__all__ = ["STATUS_KINDS", "WATCHED", "Watched"]

STATUS_KINDS = frozenset(
    (
        "GatewayClass",
        "Gateway",
        "HTTPRoute",
        "BackendTLSPolicy",
        "InferencePool",
        "BackendTrafficPolicy",
        "ShadowPolicy",
        "FailureBreakerPolicy",
        "TokenRateLimitPolicy",
    )
)
"""Kinds whose status is written. The models of a pool are left out: their status belongs to its endpoint picker."""

_IRREGULAR = {"GatewayClass": "gatewayclasses"}
_SELECTORS = {
    "Pod": "status.phase!=Succeeded,status.phase!=Failed",
    "Secret": "type=kubernetes.io/tls",
}
"""What the server leaves out: ended Pods serve nothing, and of Secrets only certificates are any of our business."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One kind, in the versions in which a cluster may serve it, best first."""

    group: str
    """Empty for the core group."""
    versions: tuple[str, ...]
    kind: str
    plural: str
    namespaced: bool
    field_selector: str = ""

    def path(self, version: str, namespace: str | None = None) -> str:
        """Return the collection's path; `None` is all namespaces."""
        root = f"/apis/{self.group}/{version}" if self.group else f"/api/{version}"
        within = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{root}{within}/{self.plural}"

    def api_version(self, version: str) -> str:
        return f"{self.group}/{version}" if self.group else version

    @property
    def is_inference(self) -> bool:
        """Whether the kind is of the Inference Extension's group since v1."""
        return self.group == INFERENCE_GROUP

    @property
    def title(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


def _plural(kind: str) -> str:
    lower = kind.lower()
    if kind in _IRREGULAR:
        return _IRREGULAR[kind]
    return f"{lower[:-1]}ies" if lower.endswith("y") and lower[-2] not in "aeiou" else f"{lower}s"


def _rank(version: str) -> tuple[bool, bool, str]:
    """Order versions as the API does: stable before beta before alpha."""
    return ("alpha" in version, "beta" in version, version)


def _watched() -> tuple[Watched, ...]:
    found: dict[tuple[str, str], list[str]] = {}
    scoped: dict[tuple[str, str], bool] = {}
    for (api_version, kind), known in KINDS.items():
        group, _, version = api_version.rpartition("/")
        found.setdefault((group, kind), []).append(version)
        scoped[group, kind] = not known.model.cluster_scoped
    return tuple(
        Watched(
            group,
            tuple(sorted(versions, key=_rank)),
            kind,
            _plural(kind),
            scoped[group, kind],
            _SELECTORS.get(kind, "") if group == "" else "",
        )
        for (group, kind), versions in found.items()
    )


WATCHED = _watched()
"""Every kind that manifests may hold, each once a group."""
