#!/usr/bin/env python3
"""Write the CustomResourceDefinitions of our kinds from the models that read them: `python scripts/crds.py`.

A test keeps the files equal to what this script writes.
"""

from __future__ import annotations

import ast
import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from mirrorgate.resources import (
    failure_breaker_policy,
    policy_target,
    reference,
    route_filter,
    shadow_policy,
    token_rate_limit_policy,
    traffic_rate_limits,
)
from mirrorgate.resources.objects import Resource
from mirrorgate.resources.scalars import format_duration

Schema = dict[str, Any]

_FOLDER = Path(__file__).resolve().parents[1] / "config" / "kubernetes" / "crds"

_DURATION = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
_DROPPED = frozenset(("title", "additionalProperties", "description"))
_RULES: dict[str, list[tuple[str, str]]] = {
    "_AttachedSpec": [
        (
            "!has(self.targetRefs) || "
            "self.targetRefs.all(r, r.group == 'gateway.networking.k8s.io' && r.kind == 'HTTPRoute')",
            "this policy can only target an HTTPRoute of gateway.networking.k8s.io",
        ),
        (
            "(has(self.targetRefs) && size(self.targetRefs) > 0) || "
            "(has(self.targetSelectors) && size(self.targetSelectors) > 0)",
            "targetRefs or targetSelectors must be specified",
        ),
        (
            "!has(self.targetSelectors) || self.targetSelectors.all(s, s.kind == 'HTTPRoute')",
            "this policy can only select HTTPRoutes",
        ),
    ],
    "TargetSelector": [("self.group == 'gateway.networking.k8s.io'", "group must be gateway.networking.k8s.io")],
    "SelectorNamespaces": [
        ("self.from != 'Selector' || has(self.selector)", "selector must be specified when from is Selector")
    ],
    "FailureBreakerPolicySpec": [
        (
            "self.targetRefs.all(r, r.group == 'gateway.networking.k8s.io' && r.kind == 'HTTPRoute')",
            "this policy can only target an HTTPRoute of gateway.networking.k8s.io",
        ),
        (
            "!has(self.window) || self.window.type != 'Count' || self.minimumCalls <= self.window.calls",
            "minimumCalls must not be more than window.calls: the breaker would never open",
        ),
        (
            "!has(self.openDuration) || duration(self.openDuration) > duration('0s')",
            "openDuration must be more than 0s",
        ),
    ],
    "SlowCall": [
        (
            "has(self.timeToFirstToken) || has(self.duration)",
            "at least one of timeToFirstToken and duration must be specified",
        )
    ],
    "Window": [("!has(self.duration) || duration(self.duration) >= duration('1s')", "duration must be at least 1s")],
    "Candidate": [
        (f"!has(self.{name}) || duration(self.{name}) > duration('0s')", f"{name} must be more than 0s")
        for name in ("timeout", "connectTimeout", "idleTimeout")
    ],
    "Sampling": [
        ("self.by != 'Header' || has(self.header)", "header must be specified when by is 'Header'"),
        ("self.by == 'Header' || !has(self.header)", "by must be 'Header' when header is set"),
    ],
    "RateLimitSelector": [
        (
            "has(self.headers) || has(self.methods) || has(self.path) || has(self.sourceCIDR) || has(self.queryParams)",
            "at least one of headers, methods, path, sourceCIDR or queryParams must be specified",
        )
    ],
    "RateLimitValue": [
        ("self.type == 'Distinct' || has(self.value)", "value must be set unless type is Distinct"),
        ("self.type != 'Distinct' || !has(self.value)", "value is not applicable for type Distinct"),
    ],
    "TokenRateLimitPolicySpec": [
        (
            "self.targetRefs.all(r, r.group == 'gateway.networking.k8s.io' && r.kind in ['Gateway', 'HTTPRoute'])",
            "this policy can only target a Gateway or an HTTPRoute of gateway.networking.k8s.io",
        )
    ],
    "Scorer": [("has(self.url) != has(self.entryPoint)", "exactly one of url and entryPoint must be specified")],
}
"""The `faults` of each shape, as the API server checks them (CEL)."""
_COLUMNS = (
    ("Mode", ".spec.mode", "string"),
    ("Route", ".spec.targetRefs[0].name", "string"),
    ("Accepted", '.status.ancestors[0].conditions[?(@.type=="Accepted")].status', "string"),
    ("Age", ".metadata.creationTimestamp", "date"),
)


@dataclass(frozen=True, slots=True)
class Definition:
    """One of our kinds."""

    model: type[Resource]
    plural: str
    short: str
    description: str

    @property
    def target(self) -> Path:
        """The file that it is written to."""
        return _FOLDER / f"{self.plural}.yaml"


DEFINITIONS = (
    Definition(
        shadow_policy.ShadowPolicy,
        "shadowpolicies",
        "shp",
        "How the mirrors of an HTTPRoute are asked, compared and judged.",
    ),
    Definition(
        failure_breaker_policy.FailureBreakerPolicy,
        "failurebreakerpolicies",
        "fbp",
        "When an HTTPRoute stops asking endpoints that fail or have become slow.",
    ),
    Definition(
        token_rate_limit_policy.TokenRateLimitPolicy,
        "tokenratelimitpolicies",
        "trlp",
        "How many tokens clients may use in a stretch of time.",
    ),
)


def crd(definition: Definition) -> Schema:
    """Return a CustomResourceDefinition."""
    document = definition.model.model_json_schema(by_alias=True)
    spec = _Structural(document["$defs"]).of(document["properties"]["spec"])
    columns = [{"name": name, "jsonPath": path, "type": kind} for name, path, kind in _COLUMNS]
    version = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
        "schema": {
            "openAPIV3Schema": {
                "description": definition.description,
                "type": "object",
                "required": ["spec"],
                "properties": {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "metadata": {"type": "object"},
                    "spec": spec,
                    "status": _status(),
                },
            }
        },
    }
    kind = definition.model.__name__
    names = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": definition.plural,
        "singular": kind.lower(),
        "shortNames": [definition.short],
        "categories": ["gateway-api"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{definition.plural}.mirrorgate.dev",
            "labels": {"gateway.networking.k8s.io/policy": "Direct"},
        },
        "spec": {"group": "mirrorgate.dev", "names": names, "scope": "Namespaced", "versions": [version]},
    }


class _Structural:
    """Turns a JSON schema of pydantic into a structural one: no references, no nulls, durations as they are typed."""

    def __init__(self, definitions: dict[str, Schema]) -> None:
        self._definitions = definitions
        self._descriptions = _descriptions()

    def of(self, schema: Schema, name: str = "") -> Schema:
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return self.of(self._definitions[name], name)
        if "anyOf" in schema:
            [given] = [option for option in schema["anyOf"] if option.get("type") != "null"]
            return self.of(given)
        if "ge" in schema:
            # `Duration` has no JSON schema of its own: seconds for us, text for the API.
            found: Schema = {"type": "string", "pattern": _DURATION, "maxLength": 28}
            return found | ({"default": format_duration(schema["default"])} if schema.get("default") else {})
        result = {key: value for key, value in schema.items() if key not in _DROPPED}
        for end, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if end in result:
                result |= {bound: result[end], end: True}  # OpenAPI 3.0 has a flag where JSON Schema has a number
        if isinstance(result.get("default"), dict | list) or result.get("default", "") is None:
            del result["default"]  # what is empty anyway, or is filled in by the parts' own defaults
        if "items" in result:
            result["items"] = self.of(schema["items"])
        if isinstance(schema.get("additionalProperties"), dict):
            result["additionalProperties"] = self.of(schema["additionalProperties"])  # else its entries are pruned
        if "properties" in result:
            described = self._descriptions.get(name, {})
            result["properties"] = {
                key: self._property(value, described.get(key, "")) for key, value in schema["properties"].items()
            }
            if described.get(""):
                result["description"] = described[""]
        if name in _RULES:
            result["x-kubernetes-validations"] = [{"rule": rule, "message": text} for rule, text in _RULES[name]]
        return result

    def _property(self, schema: Schema, description: str) -> Schema:
        result = self.of(schema)
        if schema.get("items", {}).get("$ref", "").endswith("/Guardrail"):
            result |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
        return ({"description": description} if description else {}) | result


def _descriptions() -> dict[str, dict[str, str]]:
    """Return the docstrings of every shape's fields by their name in manifests, and its own under the empty name."""
    found: dict[str, dict[str, str]] = {}
    ours = (shadow_policy, failure_breaker_policy, token_rate_limit_policy, traffic_rate_limits)
    for module in (*ours, policy_target, route_filter, reference):
        for statement in ast.parse(inspect.getsource(module)).body:
            if not isinstance(statement, ast.ClassDef):
                continue
            shape = getattr(module, statement.name)
            if not (inspect.isclass(shape) and issubclass(shape, BaseModel)):
                continue
            shape.model_rebuild()  # fields have no aliases before
            texts = found.setdefault(statement.name, {"": ast.get_docstring(statement) or ""})
            for field, after in zip(statement.body, statement.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and _is_text(after):
                    info = shape.model_fields.get(field.target.id)
                    if info is not None:
                        texts[info.alias or field.target.id] = inspect.cleandoc(after.value.value)  # type: ignore[attr-defined]
    found["_AttachedSpec"] = found["ShadowPolicySpec"]
    return found


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _status() -> Schema:
    """Return `PolicyStatus` of the Gateway API."""
    text = {"type": "string"}
    condition = {
        "type": "object",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "message": {"type": "string", "maxLength": 32768},
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
            "reason": {"type": "string", "minLength": 1, "maxLength": 1024},
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "type": {"type": "string", "maxLength": 316},
        },
    }
    reference_schema = {
        "type": "object",
        "required": ["name"],
        "properties": {
            **{key: text for key in ("group", "kind", "name", "namespace", "sectionName")},
            "port": {"type": "integer", "format": "int32"},
        },
    }
    ancestor = {
        "type": "object",
        "required": ["ancestorRef", "controllerName"],
        "properties": {
            "ancestorRef": reference_schema,
            "controllerName": text,
            "conditions": {
                "type": "array",
                "maxItems": 8,
                "items": condition,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            },
        },
    }
    return {
        "type": "object",
        "properties": {"ancestors": {"type": "array", "maxItems": 16, "items": ancestor}},
    }


class _Dumper(yaml.SafeDumper):
    """Writes every mapping out: no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def rendered(definition: Definition) -> str:
    """Return a file's text."""
    body = yaml.dump(crd(definition), Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
    return f"# Written by scripts/crds.py; a test keeps it so.\n{body}"


if __name__ == "__main__":
    for each in DEFINITIONS:
        each.target.parent.mkdir(parents=True, exist_ok=True)
        each.target.write_text(rendered(each), encoding="utf-8")
        sys.stdout.write(f"{each.target}\n")
