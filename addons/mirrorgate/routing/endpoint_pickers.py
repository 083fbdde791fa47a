"""The endpoint picker that an InferencePool names: found, and whether it can be asked.

Inference Extension v1, `EndpointPickerRef`, and v1alpha2, `Extension`; the reference is always to the pool's own
namespace, and an ExternalName Service must not be supported.
"""

from __future__ import annotations

from ..resources.endpoints import service_endpoints
from ..resources.inference_pool import InferencePool
from ..resources.inventory import Inventory
from .table import EndpointPicker

__all__ = ["endpoint_picker_of"]

_CLEAR = frozenset({"kubernetes.io/h2c", "h2c"})
"""What a Service's `appProtocol` says of a picker without TLS; the reference picker's default is a self-signed one."""

_FAULTS = {
    "BackendNotFound": "does not exist",
    "PortNotFound": "has no such port",
    "UnsupportedValue": "is an ExternalName Service, which is not supported",
}


def endpoint_picker_of(inventory: Inventory, pool: InferencePool) -> EndpointPicker | None:
    """Return the picker to ask about a pool; `None` when the pool names none."""
    declared = pool.spec.endpoint_picker_ref
    if declared is None:
        return None
    namespace = pool.metadata.namespace
    port = None if declared.port is None else declared.port.number
    ref = f"{declared.kind} {namespace}/{declared.name}" + ("" if port is None else f":{port}")
    fail_open = declared.failure_mode == "FailOpen"
    if (declared.group, declared.kind) != ("", "Service"):
        group = declared.group or "core"
        fault = f"{ref}: kind {declared.kind} of group {group} cannot be an endpoint picker; Service can"
        return EndpointPicker(ref, (), fail_open, fault=fault)
    found = service_endpoints(inventory, namespace, declared.name, port)
    if not found.found:
        return EndpointPicker(ref, (), fail_open, fault=f"{ref} {_FAULTS[found.reason]}")
    ports = inventory.services[namespace, declared.name].spec.ports
    protocol = next((entry.app_protocol for entry in ports if entry.port == port), None)
    return EndpointPicker(ref, found.addresses, fail_open, encrypted=protocol not in _CLEAR)
