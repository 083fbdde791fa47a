"""Faults that a policy injects: a share of the requests waits, a share is answered by the gateway.

Envoy Gateway, `BackendTrafficPolicy.faultInjection` v1alpha1. Both shares are drawn by themselves.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from ..resources.traffic_health import FaultInjection

__all__ = ["Faults", "compile_faults"]


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares are 0 to 1."""

    delay: float = 0.0
    """Seconds."""
    delayed: float = 0.0
    status: int = 0
    aborted: float = 0.0

    def draw(self, rng: random.Random) -> tuple[float, int]:
        """Return how many seconds a request waits and the status that it is answered with, 0 for none."""
        delay = self.delay if self.delayed and rng.random() < self.delayed else 0.0
        return delay, self.status if self.aborted and rng.random() < self.aborted else 0


def compile_faults(declared: FaultInjection | None) -> Faults | None:
    """Compile what is declared, `None` when that changes nothing. An abort by gRPC status is not honoured."""
    if declared is None:
        return None
    delay, abort = declared.delay, declared.abort
    faults = Faults(
        delay=0.0 if delay is None else delay.fixed_delay,
        delayed=0.0 if delay is None or not delay.fixed_delay else delay.percentage / 100,
        status=0 if abort is None else abort.http_status or 0,
        aborted=0.0 if abort is None or not abort.http_status else abort.percentage / 100,
    )
    return faults if faults.delayed or faults.aborted else None
