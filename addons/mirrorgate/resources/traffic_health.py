"""Parts of a BackendTrafficPolicy about failure: retry, health checks, admission control, injected faults.

The names, limits and defaults are those of Envoy Gateway's CRD.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from .scalars import Duration, Port, PreciseHostname
from .shapes import CheckedShape, Fault, Items, Shape

__all__ = [
    "ActiveHealthCheck",
    "AdmissionControl",
    "FaultInjection",
    "GrpcActiveHealthCheck",
    "HealthCheck",
    "HttpActiveHealthCheck",
    "PassiveHealthCheck",
    "PerRetry",
    "RetryOn",
    "TcpActiveHealthCheck",
    "TrafficRetry",
]

_Status = Annotated[int, Field(ge=100, le=599)]
_Percent = Annotated[int, Field(ge=0, le=100)]
_Trigger = Literal[
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
]


class RetryOn(Shape):
    triggers: Items[_Trigger] = ()
    http_status_codes: Items[_Status] = ()


class BackOff(Shape):
    base_interval: Duration | None = None
    max_interval: Duration | None = None


class PerRetry(Shape):
    timeout: Duration | None = None
    back_off: BackOff | None = None


class TrafficRetry(Shape):
    num_retries: int = Field(default=2, ge=0)
    num_attempts_per_priority: int | None = None
    retry_on: RetryOn | None = None
    per_retry: PerRetry | None = None


def _bytes_of(text: str) -> bytes | None:
    """Decode base64, `None` where it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


class HealthPayload(CheckedShape):
    type: Literal["Text", "Binary"]
    text: str | None = None
    binary: str | None = None

    def faults(self) -> Iterable[Fault]:
        if self.type == "Text" and self.text is None:
            yield Fault((), "If payload type is Text, text field needs to be set.")
        if self.type == "Binary" and self.binary is None:
            yield Fault((), "If payload type is Binary, binary field needs to be set.")
        if self.binary is not None and _bytes_of(self.binary) is None:
            yield Fault(("binary",), "must be base64")

    @property
    def content(self) -> bytes:
        """The bytes that it stands for."""
        return (self.text or "").encode() if self.type == "Text" else _bytes_of(self.binary or "") or b""


class HttpActiveHealthCheck(CheckedShape):
    hostname: PreciseHostname | None = None
    path: str = Field(min_length=1, max_length=1024)
    method: str | None = Field(default=None, max_length=16)
    """`None` is GET."""
    expected_statuses: Items[_Status] = ()
    """Empty is 200."""
    retriable_statuses: Items[_Status] = ()
    expected_response: HealthPayload | None = None
    request_body: HealthPayload | None = None

    def faults(self) -> Iterable[Fault]:
        if self.request_body is not None and self.method not in ("POST", "PUT"):
            yield Fault(("requestBody",), "The requestBody field can only be set when method is POST or PUT.")


class TcpActiveHealthCheck(Shape):
    send: HealthPayload | None = None
    receive: HealthPayload | None = None


class GrpcActiveHealthCheck(Shape):
    service: str | None = None
    """`None` asks for the server as a whole."""


class HealthCheckOverrides(Shape):
    port: Port | None = None


class ActiveHealthCheck(CheckedShape):
    type: Literal["HTTP", "TCP", "GRPC"]
    timeout: Duration = 1.0
    interval: Duration = 3.0
    initial_jitter: Duration | None = None
    unhealthy_threshold: int = Field(default=3, ge=1)
    healthy_threshold: int = Field(default=1, ge=1)
    http: HttpActiveHealthCheck | None = None
    tcp: TcpActiveHealthCheck | None = None
    grpc: GrpcActiveHealthCheck | None = None
    overrides: HealthCheckOverrides | None = None
    health_check_log: object = None

    def faults(self) -> Iterable[Fault]:
        if self.type == "HTTP" and self.http is None:
            yield Fault((), "If Health Checker type is HTTP, http field needs to be set.")
        if self.type == "TCP" and self.tcp is None:
            yield Fault((), "If Health Checker type is TCP, tcp field needs to be set.")
        if self.type != "GRPC" and self.grpc is not None:
            yield Fault(("grpc",), "The grpc field can only be set if the Health Checker type is GRPC.")


class PassiveHealthCheck(Shape):
    """Outlier ejection."""

    split_external_local_origin_errors: bool = False
    interval: Duration = 3.0
    consecutive_local_origin_failures: int = Field(default=5, ge=0)
    consecutive_gateway_errors: int | None = Field(default=None, ge=0)
    consecutive_5xx_errors: int = Field(default=5, ge=0, alias="consecutive5XxErrors")
    base_ejection_time: Duration = 30.0
    max_ejection_percent: _Percent = 10
    always_eject_one_endpoint: bool = False
    failure_percentage_threshold: _Percent | None = None


class HealthCheck(Shape):
    active: ActiveHealthCheck | None = None
    passive: PassiveHealthCheck | None = None
    panic_threshold: _Percent | None = None
    """`None` is 50; below it health is ignored; 0 never ignores it."""


class HttpSuccess(Shape):
    status_codes: Items[_Status] = ()


class SuccessCriteria(Shape):
    http: HttpSuccess | None = None
    grpc: object = None


class AdmissionControl(CheckedShape):
    sampling_window: Duration | None = None
    min_success_rate: int | None = Field(default=None, ge=1, le=100)
    rejection_aggression: int | None = Field(default=None, ge=1)
    min_request_rate: int | None = Field(default=None, ge=0)
    max_rejection_percent: _Percent | None = None
    success_criteria: SuccessCriteria | None = None

    def faults(self) -> Iterable[Fault]:
        if self.sampling_window is not None and self.sampling_window < 1:
            yield Fault(("samplingWindow",), "samplingWindow must be at least 1s")


class FaultDelay(Shape):
    fixed_delay: Duration
    percentage: float = Field(default=100, ge=0, le=100)


class FaultAbort(CheckedShape):
    http_status: int | None = Field(default=None, ge=200, le=600)
    grpc_status: int | None = Field(default=None, ge=0, le=16)
    percentage: float = Field(default=100, ge=0, le=100)

    def faults(self) -> Iterable[Fault]:
        if self.http_status is not None and self.grpc_status is not None:
            yield Fault((), "httpStatus and grpcStatus cannot be simultaneously defined.")
        if self.http_status is None and self.grpc_status is None:
            yield Fault((), "httpStatus and grpcStatus are set at least one.")


class FaultInjection(CheckedShape):
    delay: FaultDelay | None = None
    abort: FaultAbort | None = None

    def faults(self) -> Iterable[Fault]:
        if self.delay is None and self.abort is None:
            yield Fault((), "Delay and abort faults are set at least one.")
