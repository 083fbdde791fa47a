"""TLS towards servers: what BackendTLSPolicies and Backends declare for a destination, and the policies' status.

Gateway API v1, `BackendTLSPolicy`: a policy for a port of a Service wins over one for the whole Service, of two for the
same the oldest applies; where authorities cannot be had, requests fail rather than go out in clear. A Backend's own
`tls` (Envoy Gateway) applies where no policy does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..errors import Problem
from ..resources.backend import BackendTls
from ..resources.backend_tls_policy import BackendTLSPolicy
from ..resources.certificate import read_authorities
from ..resources.config_map import AUTHORITIES
from ..resources.inventory import Inventory
from ..resources.reference import GATEWAY_GROUP, LocalObjectReference
from ..resources.server_tls import ServerTls
from .conditions import Condition, Finding, Statuses, documents, false, true
from .notes import warning
from .precedence import age_of
from .table import DestinationKind

__all__ = ["INVALID", "TlsPolicies"]

INVALID = "InvalidBackendTLS"
"""The reason of a backendRef whose TLS cannot be had (Envoy Gateway's `RouteReasonInvalidBackendTLS`)."""

_Key = tuple[str, str]
_Target = tuple[DestinationKind, str, str, str]
"""Kind, namespace, name, and the name of a Service's port, empty for all."""

_GROUPS = {
    ("", "Service"): DestinationKind.SERVICE,
    ("gateway.envoyproxy.io", "Backend"): DestinationKind.BACKEND,
    ("inference.networking.k8s.io", "InferencePool"): DestinationKind.INFERENCE_POOL,
    ("inference.networking.x-k8s.io", "InferencePool"): DestinationKind.INFERENCE_POOL,
}


@dataclass(slots=True)
class _Attached:
    policy: BackendTLSPolicy
    path: str
    ref: dict[str, object]
    target: _Target | None
    finding: Finding | None
    """Why the policy does not apply to this target."""


@dataclass(slots=True)
class _Read:
    """What a policy asks for, as far as it can be had."""

    tls: ServerTls | None
    accepted: Finding | None = None
    unresolved: Finding | None = None


@dataclass(slots=True)
class TlsPolicies:
    """The BackendTLSPolicies of one inventory, each read once."""

    inventory: Inventory
    _by_target: dict[_Target, BackendTLSPolicy] = field(default_factory=dict)
    _attached: list[_Attached] = field(default_factory=list)
    _read: dict[_Key, _Read] = field(default_factory=dict)
    used: dict[_Key, set[_Key]] = field(default_factory=dict)
    """The Gateways that lead to what a policy applies to, by policy."""

    def __post_init__(self) -> None:
        policies = self.inventory.backend_tls_policies.values()
        aged = [(age_of(p.metadata.creation_timestamp, index, *p.key), p) for index, p in enumerate(policies)]
        for _, policy in sorted(aged, key=lambda pair: pair[0]):
            self._read[policy.key] = self._policy(policy)
            self._attach(policy)

    def of(
        self, kind: DestinationKind, namespace: str, name: str, port_names: Iterable[str] = ()
    ) -> ServerTls | Finding | None:
        """Return how a destination's servers are spoken to: `None` in clear, a finding when it cannot be done.

        `port_names` are those of the Service's port.
        """
        policy = self._applying(kind, namespace, name, port_names)
        if policy is not None:
            read = self._read[policy.key]
            if read.tls is not None:
                return read.tls
            finding = read.unresolved or read.accepted
            return Finding(INVALID, f"{policy.title}: {'' if finding is None else finding.message}")
        if kind is DestinationKind.BACKEND:
            backend = self.inventory.backends[namespace, name]
            if backend.spec.tls is not None:
                return self._of_backend(backend.spec.tls, namespace, backend.title)
        return None

    def note(self, kind: DestinationKind, namespace: str, name: str, gateway: _Key) -> None:
        """Take note that a Gateway leads to a destination."""
        for attached in self._attached:
            if attached.target is not None and attached.target[:3] == (kind, namespace, name):
                self.used.setdefault(attached.policy.key, set()).add(gateway)

    def _applying(
        self, kind: DestinationKind, namespace: str, name: str, port_names: Iterable[str]
    ) -> BackendTLSPolicy | None:
        for section in (*port_names, ""):
            policy = self._by_target.get((kind, namespace, name, section))
            if policy is not None:
                return policy
        return None

    def _attach(self, policy: BackendTLSPolicy) -> None:
        namespace = policy.metadata.namespace
        for index, ref in enumerate(policy.spec.target_refs):
            kind = _GROUPS.get((ref.group, ref.kind))
            shown: dict[str, object] = {
                "group": ref.group,
                "kind": ref.kind,
                "namespace": namespace,
                "name": ref.name,
                **({"sectionName": ref.section_name} if ref.section_name else {}),
            }
            target = None if kind is None else (kind, namespace, ref.name, ref.section_name or "")
            if target is None:
                message = f"a target of kind {ref.kind} of group {ref.group or 'core'} is not supported"
                finding: Finding | None = Finding("Invalid", message)
            else:
                finding = self._missing(target)
                holder = self._by_target.setdefault(target, policy) if finding is None else policy
                if holder is not policy:
                    message = f"{ref.kind} {ref.name} has {holder.title} already, which is older"
                    finding = Finding("Conflicted", message)
            self._attached.append(_Attached(policy, f"spec.targetRefs[{index}]", shown, target, finding))

    def _missing(self, target: _Target) -> Finding | None:
        kind, namespace, name, section = target
        inventory = self.inventory
        collections: dict[DestinationKind, Mapping[_Key, object]] = {
            DestinationKind.SERVICE: inventory.services,
            DestinationKind.BACKEND: inventory.backends,
            DestinationKind.INFERENCE_POOL: inventory.inference_pools,
        }
        objects = collections[kind]
        if (namespace, name) not in objects:
            return Finding("TargetNotFound", f"{kind.value} {namespace}/{name} does not exist")
        if section and kind is not DestinationKind.SERVICE:
            return Finding("Invalid", f"sectionName is the name of a port; {kind.value} {namespace}/{name} has none")
        if section and all(port.name != section for port in inventory.services[namespace, name].spec.ports):
            return Finding("TargetNotFound", f"Service {namespace}/{name} has no port {section}")
        return None

    def _policy(self, policy: BackendTLSPolicy) -> _Read:
        declared = policy.spec.validation
        known = declared.well_known_ca_certificates
        if known not in (None, "", "System"):
            return _Read(None, Finding("Invalid", f"wellKnownCACertificates {known!r} is not known; System is"))
        authorities, unresolved = self._authorities(declared.ca_certificate_refs, policy.metadata.namespace)
        if declared.ca_certificate_refs and not authorities:
            message = "none of caCertificateRefs has certificates that could be trusted"
            return _Read(None, Finding("NoValidCACertificate", message), unresolved)
        names = tuple(one.hostname for one in declared.subject_alt_names if one.hostname is not None)
        uris = tuple(one.uri for one in declared.subject_alt_names if one.uri is not None)
        tls = ServerTls(declared.hostname, authorities, names, uris, source=policy.title)
        return _Read(tls, unresolved=unresolved)

    def _of_backend(self, declared: BackendTls, namespace: str, title: str) -> ServerTls | Finding:
        authorities, unresolved = self._authorities(declared.ca_certificate_refs, namespace)
        verify = not declared.insecure_skip_verify
        if verify and declared.ca_certificate_refs and not authorities:
            return Finding(INVALID, "" if unresolved is None else f"{title}: {unresolved.message}")
        minimum = "1.3" if declared.min_version == "1.3" else "1.2"
        maximum = "1.2" if declared.max_version == "1.2" else "1.3"
        if minimum > maximum:
            return Finding(INVALID, f"{title}: minVersion is above maxVersion")
        return ServerTls(declared.sni or "", authorities, verify=verify, minimum=minimum, maximum=maximum, source=title)

    def _authorities(self, refs: Iterable[LocalObjectReference], namespace: str) -> tuple[str, Finding | None]:
        """Return the certificates of all references that lead to some, and why another does not."""
        found: list[str] = []
        finding: Finding | None = None
        for ref in refs:
            result = self._authority(ref, (namespace, ref.name))
            if isinstance(result, Finding):
                finding = finding or result
            else:
                found.append(result)
        return "".join(found), finding

    def _authority(self, ref: LocalObjectReference, key: _Key) -> str | Finding:
        if ref.group or ref.kind not in ("ConfigMap", "Secret"):
            message = f"kind {ref.kind} of group {ref.group or 'core'} holds no certificates; ConfigMap and Secret do"
            return Finding("InvalidKind", message)
        title = f"{ref.kind} {key[0]}/{key[1]}"
        if ref.kind == "ConfigMap":
            config_map = self.inventory.config_maps.get(key)
            text = None if config_map is None else config_map.data.get(AUTHORITIES, "").encode()
        else:
            secret = self.inventory.secrets.get(key)
            text = None if secret is None else secret.value(AUTHORITIES)
        if text is None and key not in (self.inventory.secrets if ref.kind == "Secret" else self.inventory.config_maps):
            return Finding("InvalidCACertificateRef", f"{title} does not exist")
        certificates = read_authorities(text) if text else None
        return certificates or Finding(
            "InvalidCACertificateRef", f"{title} has no certificates in PEM in {AUTHORITIES}"
        )

    def problems(self, *, every: bool) -> list[Problem]:
        """Return a warning for all that cannot be honoured; unless `every`, of policies that a Gateway of ours uses."""
        found = [
            warning(attached.policy, attached.path, attached.finding.message)
            for attached in self._attached
            if attached.finding is not None and (every or attached.policy.key in self.used)
        ]
        for key, read in self._read.items():
            policy = self.inventory.backend_tls_policies[key]
            if not every and key not in self.used:
                continue
            hint = "" if read.tls is not None else "requests to what it applies to are answered 500"
            found += [
                warning(policy, "spec.validation", finding.message, hint)
                for finding in (read.unresolved, read.accepted)
                if finding is not None
            ]
            found += [
                warning(policy, "spec.options", f"the option {option} is not known and changes nothing")
                for option in policy.spec.options
            ]
        return found

    def statuses(self, controller_name: str, *, every: bool) -> Statuses:
        """Return the status of each policy: an ancestor for each Gateway that leads to what it applies to.

        With `every`, a policy that no Gateway uses has its targets for ancestors.
        """
        statuses: Statuses = {}
        for key, policy in self.inventory.backend_tls_policies.items():
            attached = [each for each in self._attached if each.policy is policy]
            conditions = self._conditions(policy, attached)
            gateways = sorted(self.used.get(key, ()))
            refs: list[dict[str, object]] = [
                {"group": GATEWAY_GROUP, "kind": "Gateway", "namespace": namespace, "name": name}
                for namespace, name in gateways
            ]
            if not refs and not every:
                continue
            statuses["BackendTLSPolicy", *key] = {
                "ancestors": [
                    {
                        "ancestorRef": ref,
                        "controllerName": controller_name,
                        "conditions": documents(conditions, policy.metadata.generation),
                    }
                    for ref in (refs or [each.ref for each in attached])[:16]
                ]
            }
        return statuses

    def _conditions(self, policy: BackendTLSPolicy, attached: list[_Attached]) -> list[Condition]:
        read = self._read[policy.key]
        unfit = [each.finding for each in attached if each.finding is not None]
        refused = read.accepted or (unfit[0] if len(unfit) == len(attached) else None)
        but = "".join(f", except: {finding.message}" for finding in unfit) or "."
        accepted = true("Accepted", "Accepted", f"Policy has been accepted{but}")
        resolved = true("ResolvedRefs", "ResolvedRefs", "All CA certificate references are resolved")
        return [
            accepted if refused is None else false("Accepted", refused),
            resolved if read.unresolved is None else false("ResolvedRefs", read.unresolved),
        ]
