"""What a comparison leaves out, and when two texts count as similar."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["IGNORED_HEADERS", "IGNORED_PATHS", "ComparisonPolicy"]

IGNORED_PATHS = (
    "id",
    "created",
    "created_at",
    "completed_at",
    "updated_at",
    "timestamp",
    "request_id",
    "response_id",
    "item_id",
    "call_id",
    "system_fingerprint",
    "service_tier",
    "timings",
    "metrics",
)
"""Fields that differ between any two answers of the same server."""

IGNORED_HEADERS = (
    "age",
    "alt-svc",
    "cf-cache-status",
    "cf-ray",
    "connection",
    "content-length",
    "date",
    "etag",
    "keep-alive",
    "openai-organization",
    "openai-processing-ms",
    "report-to",
    "server",
    "server-timing",
    "set-cookie",
    "strict-transport-security",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "vary",
    "via",
    "x-envoy-upstream-service-time",
    "x-request-id",
)
"""Header fields about the connection, the moment or the machine, rather than about the answer."""


@dataclass(frozen=True, slots=True)
class ComparisonPolicy:
    """How a pair is compared; the defaults suit every API."""

    ignored_paths: tuple[str, ...] = IGNORED_PATHS
    """Names of fields at any depth, or paths such as `$.data[*].score` and `$..took`."""
    ignored_headers: tuple[str, ...] = IGNORED_HEADERS
    """Lower case."""
    similar_at: float = 0.8
    """The similarity from which two texts count as `similar`."""
    text_limit: int = 8192
    """Characters of each text that are compared for similarity; beyond them the cost would grow with the square."""

    def ignoring(self, json_paths: tuple[str, ...] = (), headers: tuple[str, ...] = ()) -> ComparisonPolicy:
        """Return a policy that leaves out these too."""
        return ComparisonPolicy(
            (*self.ignored_paths, *json_paths),
            (*self.ignored_headers, *(name.lower() for name in headers)),
            self.similar_at,
            self.text_limit,
        )
