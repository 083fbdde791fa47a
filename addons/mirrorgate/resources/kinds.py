"""Which apiVersion and kind is which class: the kinds that Mirrorgate implements, and those that it leaves alone."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from .backend import Backend, EnvoyProxy
from .backend_tls_policy import BackendTLSPolicy
from .backend_traffic_policy import BackendTrafficPolicy
from .config_map import ConfigMap
from .failure_breaker_policy import FailureBreakerPolicy
from .gateway import Gateway, GatewayClass
from .http_route import HTTPRoute
from .inference_model import InferenceModel, InferenceModelRewrite, InferenceObjective
from .inference_pool import INFERENCE_GROUP, INFERENCE_X_GROUP, InferencePool, InferencePoolV1Alpha2
from .namespace import Namespace
from .objects import Resource
from .pod import Pod
from .reference import GATEWAY_GROUP
from .reference_grant import ReferenceGrant
from .secret import Secret
from .service import EndpointSlice, Service
from .shadow_policy import ShadowPolicy
from .token_rate_limit_policy import TokenRateLimitPolicy

__all__ = ["KINDS", "Kind", "is_foreign", "suggestion", "versions"]

ENVOY_GROUP = "gateway.envoyproxy.io"
LLMD_GROUP = "llm-d.ai"
MIRRORGATE_GROUP = "mirrorgate.dev"


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind in one version is parsed and where it is kept."""

    model: type[Resource]
    collection: str
    """The field of `Inventory`."""


KINDS: dict[tuple[str, str], Kind] = {
    (f"{GATEWAY_GROUP}/v1", "GatewayClass"): Kind(GatewayClass, "gateway_classes"),
    (f"{GATEWAY_GROUP}/v1beta1", "GatewayClass"): Kind(GatewayClass, "gateway_classes"),
    (f"{GATEWAY_GROUP}/v1", "Gateway"): Kind(Gateway, "gateways"),
    (f"{GATEWAY_GROUP}/v1beta1", "Gateway"): Kind(Gateway, "gateways"),
    (f"{GATEWAY_GROUP}/v1", "HTTPRoute"): Kind(HTTPRoute, "http_routes"),
    (f"{GATEWAY_GROUP}/v1beta1", "HTTPRoute"): Kind(HTTPRoute, "http_routes"),
    (f"{GATEWAY_GROUP}/v1", "ReferenceGrant"): Kind(ReferenceGrant, "reference_grants"),
    (f"{GATEWAY_GROUP}/v1beta1", "ReferenceGrant"): Kind(ReferenceGrant, "reference_grants"),
    (f"{GATEWAY_GROUP}/v1", "BackendTLSPolicy"): Kind(BackendTLSPolicy, "backend_tls_policies"),
    ("v1", "Service"): Kind(Service, "services"),
    ("discovery.k8s.io/v1", "EndpointSlice"): Kind(EndpointSlice, "endpoint_slices"),
    ("v1", "Pod"): Kind(Pod, "pods"),
    ("v1", "Secret"): Kind(Secret, "secrets"),
    ("v1", "ConfigMap"): Kind(ConfigMap, "config_maps"),
    ("v1", "Namespace"): Kind(Namespace, "namespaces"),
    (f"{INFERENCE_GROUP}/v1", "InferencePool"): Kind(InferencePool, "inference_pools"),
    (f"{INFERENCE_X_GROUP}/v1alpha2", "InferencePool"): Kind(InferencePoolV1Alpha2, "inference_pools"),
    (f"{INFERENCE_X_GROUP}/v1alpha2", "InferenceModel"): Kind(InferenceModel, "inference_models"),
    (f"{INFERENCE_X_GROUP}/v1alpha2", "InferenceObjective"): Kind(InferenceObjective, "inference_objectives"),
    (f"{LLMD_GROUP}/v1alpha2", "InferenceObjective"): Kind(InferenceObjective, "inference_objectives"),
    (f"{INFERENCE_X_GROUP}/v1alpha2", "InferenceModelRewrite"): Kind(InferenceModelRewrite, "inference_model_rewrites"),
    (f"{LLMD_GROUP}/v1alpha2", "InferenceModelRewrite"): Kind(InferenceModelRewrite, "inference_model_rewrites"),
    (f"{ENVOY_GROUP}/v1alpha1", "BackendTrafficPolicy"): Kind(BackendTrafficPolicy, "backend_traffic_policies"),
    (f"{ENVOY_GROUP}/v1alpha1", "Backend"): Kind(Backend, "backends"),
    (f"{ENVOY_GROUP}/v1alpha1", "EnvoyProxy"): Kind(EnvoyProxy, "envoy_proxies"),
    (f"{MIRRORGATE_GROUP}/v1alpha1", "ShadowPolicy"): Kind(ShadowPolicy, "shadow_policies"),
    (f"{MIRRORGATE_GROUP}/v1alpha1", "FailureBreakerPolicy"): Kind(FailureBreakerPolicy, "failure_breaker_policies"),
    (f"{MIRRORGATE_GROUP}/v1alpha1", "TokenRateLimitPolicy"): Kind(TokenRateLimitPolicy, "token_rate_limit_policies"),
}
"""By apiVersion and kind."""

_FOREIGN: dict[str, frozenset[str]] = {
    "": frozenset(
        (
            "Event",
            "LimitRange",
            "Node",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "ServiceAccount",
        )
    ),
    "apps": frozenset(("ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet")),
    "batch": frozenset(("CronJob", "Job")),
    "rbac.authorization.k8s.io": frozenset(("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")),
    "autoscaling": frozenset(("HorizontalPodAutoscaler",)),
    "policy": frozenset(("PodDisruptionBudget",)),
    "networking.k8s.io": frozenset(("Ingress", "IngressClass", "NetworkPolicy")),
    "apiextensions.k8s.io": frozenset(("CustomResourceDefinition",)),
    "scheduling.k8s.io": frozenset(("PriorityClass",)),
    "storage.k8s.io": frozenset(("StorageClass",)),
    "coordination.k8s.io": frozenset(("Lease",)),
    "monitoring.coreos.com": frozenset(("PodMonitor", "PrometheusRule", "ServiceMonitor")),
}
"""What stands beside our objects in users' manifests and means nothing to a gateway."""


def is_foreign(api_version: str, kind: str) -> bool:
    """Tell whether a kind is one that we know and leave alone, in whatever version."""
    group, slash, _ = api_version.rpartition("/")
    return kind in _FOREIGN.get(group if slash else "", frozenset())


def versions(api_version: str, kind: str) -> tuple[str, ...]:
    """Return the apiVersions of the group in which the kind is implemented; empty when there is none."""
    group, slash, _ = api_version.rpartition("/")
    prefix = f"{group}/" if slash else ""
    return tuple(
        known for known, name in KINDS if name == kind and known.startswith(prefix) and ("/" in known) == bool(slash)
    )


def suggestion(api_version: str, kind: str) -> str:
    """Return a hint for an apiVersion and kind that we do not know; empty when nothing is near."""
    if kind == "Endpoints":
        return "declare EndpointSlices (discovery.k8s.io/v1) instead"
    same_kind = [known for known, name in KINDS if name == kind]
    if same_kind:
        near = difflib.get_close_matches(api_version, same_kind, 1, 0.0)[0]
        return f"did you mean apiVersion: {near}?"
    names = {name.lower(): name for _, name in KINDS}
    near_kinds = difflib.get_close_matches(kind.lower(), list(names), 1, 0.75)
    return f"did you mean kind: {names[near_kinds[0]]}?" if near_kinds else ""
