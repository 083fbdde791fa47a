"""Parts of a BackendTrafficPolicy about connections: load balancing, sockets, HTTP/2, name lookups.

The names, limits and defaults are those of Envoy Gateway's CRD.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from .scalars import Duration, Quantity, parse_quantity
from .shapes import CheckedShape, Fault, Items, Shape

__all__ = ["Connection", "ConsistentHash", "Dns", "EndpointOverride", "Http2", "LoadBalancer", "TcpKeepalive"]


class HashHeader(Shape):
    name: str = Field(min_length=1)


class HashCookie(Shape):
    name: str = Field(min_length=1)
    ttl: Duration | None = None
    attributes: dict[str, str] = Field(default_factory=dict)


class ConsistentHash(CheckedShape):
    type: Literal["SourceIP", "Header", "Headers", "Cookie", "QueryParams"]
    header: HashHeader | None = None
    headers: Items[HashHeader] = ()
    cookie: HashCookie | None = None
    query_params: Items[HashHeader] = ()
    table_size: int = Field(default=65537, ge=2, le=5_000_011)

    def faults(self) -> Iterable[Fault]:
        for kind, field, given in (
            ("Header", "header", self.header is not None),
            ("Headers", "headers", bool(self.headers)),
            ("Cookie", "cookie", self.cookie is not None),
            ("QueryParams", "queryParams", bool(self.query_params)),
        ):
            if self.type == kind and not given:
                yield Fault((), f"If consistent hash type is {field}, the {field} field must be set.")


class OutOfBandReports(Shape):
    authority: str | None = Field(default=None, min_length=1, max_length=259)
    port: int | None = Field(default=None, ge=1, le=65535)
    reporting_period: Duration | None = None


class BackendUtilization(Shape):
    blackout_period: Duration | None = None
    weight_expiration_period: Duration | None = None
    weight_update_period: Duration | None = None
    error_utilization_penalty_percent: int | None = Field(default=None, ge=0)
    metric_names_for_computing_utilization: Items[str] = ()
    keep_response_headers: bool = False
    out_of_band: OutOfBandReports | None = None


class OverrideSource(Shape):
    header: str | None = None


class EndpointOverride(Shape):
    """An endpoint that a request header names wins."""

    extract_from: Items[OverrideSource] = Field(min_length=1, max_length=10)


class SlowStart(Shape):
    window: Duration


class LoadBalancer(CheckedShape):
    type: Literal["ConsistentHash", "LeastRequest", "Random", "RoundRobin", "BackendUtilization", "DynamicModule"]
    consistent_hash: ConsistentHash | None = None
    backend_utilization: BackendUtilization | None = None
    dynamic_module: object = None
    endpoint_override: EndpointOverride | None = None
    slow_start: SlowStart | None = None
    zone_aware: object = None

    def faults(self) -> Iterable[Fault]:
        if self.type == "ConsistentHash" and self.consistent_hash is None:
            yield Fault((), "If LoadBalancer type is consistentHash, consistentHash field needs to be set.")
        if self.type == "BackendUtilization" and self.backend_utilization is None:
            yield Fault((), "If LoadBalancer type is BackendUtilization, backendUtilization field needs to be set.")
        if self.type == "DynamicModule" and self.dynamic_module is None:
            yield Fault((), "If LoadBalancer type is DynamicModule, dynamicModule field needs to be set.")
        if self.slow_start is not None and self.type not in ("RoundRobin", "LeastRequest", "BackendUtilization"):
            yield Fault(
                ("slowStart",),
                "Currently SlowStart is only supported for RoundRobin, LeastRequest, and BackendUtilization load "
                "balancers.",
            )


class Preconnect(Shape):
    per_endpoint_percent: int | None = Field(default=None, ge=100, le=300)
    predictive_percent: int | None = Field(default=None, ge=100)


class Connection(Shape):
    buffer_limit: Quantity | None = None
    socket_buffer_limit: Quantity | None = None
    preconnect: Preconnect | None = None

    @property
    def buffer_bytes(self) -> int | None:
        """`bufferLimit` in bytes, `None` when it is not declared."""
        return None if self.buffer_limit is None else int(parse_quantity(self.buffer_limit))


class Http2Keepalive(Shape):
    interval: Duration | None = None
    timeout: Duration | None = None
    idle_interval: Duration | None = None
    interval_jitter: int | None = Field(default=None, ge=0, le=100)


class Http2(Shape):
    initial_stream_window_size: Quantity | None = None
    initial_connection_window_size: Quantity | None = None
    max_concurrent_streams: int | None = Field(default=None, ge=1, le=2_147_483_647)
    on_invalid_message: Literal["TerminateConnection", "TerminateStream"] | None = None
    connection_keepalive: Http2Keepalive | None = None


class TcpKeepalive(Shape):
    probes: int | None = Field(default=None, ge=0)
    idle_time: Duration | None = None
    interval: Duration | None = None


class Dns(Shape):
    dns_refresh_rate: Duration | None = None
    respect_dns_ttl: bool | None = None
    lookup_family: Literal["IPv4", "IPv6", "IPv4Preferred", "IPv6Preferred", "IPv4AndIPv6"] | None = None
