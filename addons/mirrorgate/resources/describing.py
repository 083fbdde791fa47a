"""Objects as their users write them, for whoever wants to see what was loaded. Nothing secret is shown."""

from __future__ import annotations

from collections.abc import Mapping

from .inference_pool import INFERENCE_X_GROUP, InferencePool
from .objects import Resource
from .secret import Secret

__all__ = ["REDACTED", "to_document"]

REDACTED = "(redacted)"

_CREDENTIALS = frozenset(
    ("authorization", "proxy-authorization", "cookie", "set-cookie", "api-key", "x-api-key", "x-goog-api-key")
)
"""Header fields whose values are credentials, as header modifiers set them."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def to_document(obj: Resource, status: Mapping[str, object] | None = None) -> dict[str, object]:
    """Return an object as JSON values with defaults filled in, in the shape of its own apiVersion.

    `status` is what a controller writes; `None` leaves the object's own, which only Pods have. Empty fields are left
    out. The content of Secrets, the credentials that header modifiers set and kubectl's copy of the object are
    redacted.
    """
    hidden = {"data", "string_data"} if isinstance(obj, Secret) else None
    dumped = obj.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=hidden)
    document = {str(key): _shown(value) for key, value in dumped.items()}
    document["metadata"] = _metadata(dumped["metadata"])
    if isinstance(obj, Secret):
        for field, keys in (("data", obj.data), ("stringData", obj.string_data)):
            if keys:
                document[field] = dict.fromkeys(keys, REDACTED)
    if isinstance(obj, InferencePool) and obj.group == INFERENCE_X_GROUP:
        document["spec"] = _spec_v1alpha2(obj)
    if status is not None:
        document.pop("status", None)
        document["status"] = dict(status)
    return {key: value for key, value in document.items() if value not in ({}, [], "")}


def _metadata(metadata: Mapping[str, object]) -> dict[str, object]:
    shown: dict[str, object] = {}
    for key, value in metadata.items():
        if key == "managedFields" or (key == "generation" and not value) or value in ("", [], {}):
            continue
        if key == "annotations" and isinstance(value, Mapping):
            value = {name: REDACTED if name == _LAST_APPLIED else text for name, text in value.items()}
        shown[key] = value
    return shown


def _shown(value: object) -> object:
    if isinstance(value, Mapping):
        name = value.get("name")
        credential = isinstance(name, str) and name.lower() in _CREDENTIALS
        shown = {}
        for key, entry in value.items():
            inner = REDACTED if credential and key == "value" else _shown(entry)
            if inner not in ({}, []):
                shown[key] = inner
        return shown
    if isinstance(value, list):
        return [_shown(entry) for entry in value]
    return value


def _spec_v1alpha2(pool: InferencePool) -> dict[str, object]:
    spec: dict[str, object] = {
        "selector": dict(pool.spec.selector.match_labels),
        "targetPortNumber": pool.spec.target_ports[0].number,
    }
    picker = pool.spec.endpoint_picker_ref
    if picker is not None:
        extension: dict[str, object] = {"group": picker.group, "kind": picker.kind, "name": picker.name}
        if picker.port is not None:
            extension["portNumber"] = picker.port.number
        spec["extensionRef"] = {**extension, "failureMode": picker.failure_mode}
    return spec
