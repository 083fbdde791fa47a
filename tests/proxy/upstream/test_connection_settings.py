"""Connection settings: what a rule declares, and what a socket is told."""

import socket

import pytest

from mirrorgate.proxy.upstream.connection_settings import ConnectionSettings, probe, settings_of
from mirrorgate.routing.table import Keepalive, Rule, Timeouts, TrafficPolicy


def figures(keepalive: Keepalive) -> tuple[int, int, int, int]:
    """Return whether probes are on, and after how many, how long idle, how far apart."""
    with socket.socket() as sock:
        probe(sock, keepalive)
        tcp = socket.IPPROTO_TCP
        return (
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            sock.getsockopt(tcp, socket.TCP_KEEPCNT),
            sock.getsockopt(tcp, socket.TCP_KEEPIDLE),
            sock.getsockopt(tcp, socket.TCP_KEEPINTVL),
        )


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="another name for it")
def test_a_socket_is_told() -> None:
    """Parts of a second are rounded up."""
    assert figures(Keepalive(3, 7.2, 5.0)) == (1, 3, 8, 5)


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="another name for it")
def test_what_is_not_declared_stays() -> None:
    """Probes are on all the same, at the system's own figures."""
    own = figures(Keepalive())
    assert own[0] == 1
    assert figures(Keepalive(0, 0.0)) == own
    assert figures(Keepalive(1000, 1e12, 1e12)) == (1, 127, 32767, 32767)


def test_what_a_rule_declares() -> None:
    """What it leaves out is the gateway's own; 0 switches the idle timeout off, and is no timeout to connect."""
    own = ConnectionSettings(idle_timeout=7.0, max_head=8)
    bare = Rule(("default", "route"), 0, None, "c")
    assert settings_of(bare, own) == own
    timeouts = Timeouts(connect=0.0, connection_idle=0.0, max_connection=3.0)
    rule = Rule(
        ("default", "route"), 0, None, "c", timeouts=timeouts,
        traffic=TrafficPolicy(max_requests_per_connection=4, keepalive=Keepalive(5)),
    )  # fmt: skip
    assert settings_of(rule, own) == ConnectionSettings(10.0, 0.0, 4, 8, 3.0, Keepalive(5))
