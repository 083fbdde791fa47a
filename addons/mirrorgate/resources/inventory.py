"""Every object that was declared, by kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields

from .backend import Backend, EnvoyProxy
from .backend_tls_policy import BackendTLSPolicy
from .backend_traffic_policy import BackendTrafficPolicy
from .config_map import ConfigMap
from .failure_breaker_policy import FailureBreakerPolicy
from .gateway import Gateway, GatewayClass
from .http_route import HTTPRoute
from .inference_model import InferenceModel, InferenceModelRewrite, InferenceObjective
from .inference_pool import InferencePool
from .namespace import Namespace
from .objects import Resource
from .places import Place
from .pod import Pod
from .reference_grant import ReferenceGrant
from .secret import Secret
from .service import EndpointSlice, Service
from .shadow_policy import ShadowPolicy
from .token_rate_limit_policy import TokenRateLimitPolicy

__all__ = ["Inventory", "Key"]

Key = tuple[str, str]
"""Namespace and name; the namespace is empty for cluster-scoped kinds."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """The objects of each kind, in the order of their declaration.

    That order, of files and within them, stands in for the age of objects that have no `creationTimestamp`,
    wherever the specification lets the oldest win.
    """

    gateway_classes: dict[Key, GatewayClass] = field(default_factory=dict)
    gateways: dict[Key, Gateway] = field(default_factory=dict)
    http_routes: dict[Key, HTTPRoute] = field(default_factory=dict)
    reference_grants: dict[Key, ReferenceGrant] = field(default_factory=dict)
    backend_tls_policies: dict[Key, BackendTLSPolicy] = field(default_factory=dict)
    services: dict[Key, Service] = field(default_factory=dict)
    endpoint_slices: dict[Key, EndpointSlice] = field(default_factory=dict)
    pods: dict[Key, Pod] = field(default_factory=dict)
    secrets: dict[Key, Secret] = field(default_factory=dict)
    config_maps: dict[Key, ConfigMap] = field(default_factory=dict)
    namespaces: dict[Key, Namespace] = field(default_factory=dict)
    inference_pools: dict[Key, InferencePool] = field(default_factory=dict)
    inference_models: dict[Key, InferenceModel] = field(default_factory=dict)
    inference_objectives: dict[Key, InferenceObjective] = field(default_factory=dict)
    inference_model_rewrites: dict[Key, InferenceModelRewrite] = field(default_factory=dict)
    backend_traffic_policies: dict[Key, BackendTrafficPolicy] = field(default_factory=dict)
    backends: dict[Key, Backend] = field(default_factory=dict)
    envoy_proxies: dict[Key, EnvoyProxy] = field(default_factory=dict)
    shadow_policies: dict[Key, ShadowPolicy] = field(default_factory=dict)
    failure_breaker_policies: dict[Key, FailureBreakerPolicy] = field(default_factory=dict)
    token_rate_limit_policies: dict[Key, TokenRateLimitPolicy] = field(default_factory=dict)

    _slices: dict[Key, list[EndpointSlice]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _labelled: dict[tuple[str, str, str], list[Pod]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __iter__(self) -> Iterator[Resource]:
        """Yield every object, kind by kind."""
        for entry in fields(self):
            if entry.init:
                yield from getattr(self, entry.name).values()

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def slices_of(self, namespace: str, service: str) -> list[EndpointSlice]:
        """Return the EndpointSlices of a Service; no slice is added to the inventory after the first call."""
        if not self._slices and self.endpoint_slices:
            for entry in self.endpoint_slices.values():
                self._slices.setdefault((entry.metadata.namespace, entry.service), []).append(entry)
        return self._slices.get((namespace, service), [])

    def pods_labelled(self, namespace: str, labels: Mapping[str, str]) -> list[Pod]:
        """Return the Pods of a namespace that carry every one of the labels; without labels, all of them.

        No Pod is added to the inventory after the first call. Pods are looked up by their rarest label, so that
        thousands of Services over thousands of Pods take no time worth speaking of.
        """
        if not labels:
            return [pod for pod in self.pods.values() if pod.metadata.namespace == namespace]
        if not self._labelled:
            for pod in self.pods.values():
                for name, value in pod.metadata.labels.items():
                    self._labelled.setdefault((pod.metadata.namespace, name, value), []).append(pod)
        found = min((self._labelled.get((namespace, *label), []) for label in labels.items()), key=len)
        wanted = labels.items()
        return [pod for pod in found if wanted <= pod.metadata.labels.items()]

    def place_of(self, obj: Resource, path: str = "") -> Place:
        """Return where a field of an object stands, such as `spec.rules[0].backendRefs[0]`.

        A field that was not written down has the place of the nearest one around it; an object that came from
        elsewhere has no line.
        """
        return obj.place.at(path)
