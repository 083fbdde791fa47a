"""The limits of one cluster, with Envoy's meaning of every number."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["UNLIMITED", "Limits"]

UNLIMITED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Limits:
    """`BackendTrafficPolicy.spec.circuitBreaker`; the defaults are Envoy Gateway's (1024).

    All but `per_endpoint_connections` count over the whole cluster, that is over every endpoint of a route rule.
    """

    connections: int = 1024
    """Upstream connections. Every endpoint may have one connection whatever the limit is, so 0 means 1."""
    pending: int = 1024
    """Requests that wait for a connection. 0 rejects every request: each is pending while its connection opens."""
    parallel: int = 1024
    """Requests under way, until the client has the last byte. A request over it is rejected, never queued."""
    per_endpoint_connections: int = UNLIMITED
    """Upstream connections of one endpoint; 0 means 1."""
    retries: int = 1024
    """Retries that wait or are under way (`maxParallelRetries`)."""
    retry_budget: float | None = None
    """Instead of `retries`: the share, 0 to 1, of what is active and pending that may be retries."""
    least_retries: int = 3
    """How many retries a budget allows in any case."""

    def most_retries(self, load: int) -> int:
        """Return how many retries there may be; `load` is what of the cluster is active and pending."""
        if self.retry_budget is None:
            return self.retries
        return max(self.least_retries, int(load * self.retry_budget))
