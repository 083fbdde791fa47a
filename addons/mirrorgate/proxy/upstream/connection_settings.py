"""How a cluster's upstream connections are made and kept."""

from __future__ import annotations

import math
import socket
from dataclasses import dataclass, replace

from ...routing.table import Keepalive, Rule

__all__ = ["ConnectionSettings", "probe", "settings_of"]


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Seconds and bytes."""

    connect_timeout: float = 10.0
    idle_timeout: float = 3600.0
    """0 is none."""
    max_requests: int | None = None
    """Requests on one connection; `None` and 0 are unlimited."""
    max_head: int = 61440
    max_age: float = 0.0
    """After this long a connection takes no further request; 0 is never."""
    keepalive: Keepalive | None = None
    """`None`: no probes."""


def settings_of(rule: Rule, own: ConnectionSettings) -> ConnectionSettings:
    """Return what a rule declares; the rest is the gateway's own."""
    timeouts, traffic = rule.timeouts, rule.traffic
    return replace(
        own,
        connect_timeout=timeouts.connect or own.connect_timeout,
        idle_timeout=own.idle_timeout if timeouts.connection_idle is None else timeouts.connection_idle,
        max_requests=traffic.max_requests_per_connection,
        max_age=timeouts.max_connection or 0.0,
        keepalive=traffic.keepalive,
    )


_OPTIONS = {
    "probes": ("TCP_KEEPCNT", 127),
    "idle": ("TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE", 32767),
    "interval": ("TCP_KEEPINTVL", 32767),
}
"""Each option's name and the most that Linux takes; a platform that has none keeps its own figure."""


def probe(sock: socket.socket, keepalive: Keepalive) -> None:
    """Turn probes on; a figure that is not declared, or 0, is left to the operating system."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, (option, most) in _OPTIONS.items():
        value = getattr(keepalive, name)
        if value and hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), min(math.ceil(value), most))
