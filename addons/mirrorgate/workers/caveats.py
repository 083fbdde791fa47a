"""What a configuration declares that each worker keeps by itself, so that nobody takes it for a promise of all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["caveats"]


def caveats(resources: Iterable[Mapping[str, Any]], workers: int) -> list[str]:
    """Return a sentence for each object whose limit is a worker's own. `resources` are those of `/resources`."""
    return [
        f"{each['kind']} {each['metadata'].get('namespace', 'default')}/{each['metadata']['name']}: a rate limit is "
        f"counted by each of the {workers} workers: up to {workers} times the rate may pass"
        for each in resources
        if each["kind"] == "TokenRateLimitPolicy" or (each.get("spec") or {}).get("rateLimit")
    ]
