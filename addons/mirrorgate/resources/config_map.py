"""ConfigMap (core/v1): certificates of authorities. Whatever else one holds is nobody's business here."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from .objects import LooseResource

__all__ = ["AUTHORITIES", "ConfigMap"]

AUTHORITIES = "ca.crt"
"""The key of the certificates of authorities, in ConfigMaps and Secrets alike (`BackendTLSPolicyValidation`)."""


def _only_authorities(value: object) -> object:
    """Keep what is read: ConfigMaps that programs write to all the time are then the same as before."""
    if not isinstance(value, dict):
        return {}
    found = value.get(AUTHORITIES)
    return {AUTHORITIES: found} if isinstance(found, str) else {}


class ConfigMap(LooseResource):
    data: Annotated[dict[str, str], BeforeValidator(_only_authorities)] = Field(default_factory=dict)
