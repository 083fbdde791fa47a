"""The Envoy beside us: what it listens on, where it leads, and where its binary is looked for."""

from __future__ import annotations

import pytest

from mirrorgate.testing.envoy import envoy_bootstrap, envoy_program


def test_one_listener_leads_to_one_server() -> None:
    """Under the hosts that are named, over HTTP/1.1."""
    made = envoy_bootstrap(1, 2, 3, "a.test", "b.test")
    (listener,) = made["static_resources"]["listeners"]
    (cluster,) = made["static_resources"]["clusters"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert listener["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 1}
    assert made["admin"]["address"]["socket_address"]["port_value"] == 2
    endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    assert endpoint["address"]["socket_address"]["port_value"] == 3
    assert manager["route_config"]["virtual_hosts"][0]["domains"] == ["a.test", "b.test"]
    assert manager["codec_type"] == "HTTP1"


def test_the_binary_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """ENVOY_BIN wins over PATH."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("ENVOY_BIN", raising=False)
    assert envoy_program() is None
    monkeypatch.setenv("ENVOY_BIN", "/some/envoy")
    assert envoy_program() == "/some/envoy"
