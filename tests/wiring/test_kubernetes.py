"""Configurations of a cluster: one object's fault is never the others', and terminating endpoints get nothing new."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import options

from mirrorgate.resources.inventory import Inventory
from mirrorgate.resources.loading import add_object, parse_object
from mirrorgate.resources.places import Place
from mirrorgate.snapshot import Snapshot
from mirrorgate.testing.api_server import ApiServer
from mirrorgate.testing.in_loop import until
from mirrorgate.testing.manifests import Object, gateway, http_route, inference_pool, reference, shadow_policy
from mirrorgate.wiring.configuring import Compilation
from mirrorgate.wiring.kubernetes import ClusterConfiguration, ClusterSettings, compile_cluster
from mirrorgate.wiring.options import OPTIONS


def inventory(objects: Iterable[Object]) -> Inventory:
    """Read objects as a cluster has them."""
    result = Inventory()
    for each in objects:
        parsed = parse_object(each, Place())
        assert parsed.object is not None, parsed.problems
        assert not add_object(result, parsed.object)
    return result


def snapshot(*objects: Object, **settings: Any) -> Snapshot:
    """Compile them as in a cluster."""
    return compile_cluster(inventory(objects), 1, ClusterSettings(**settings)).snapshot


def endpoints(compiled: Snapshot) -> list[str]:
    """Return the endpoints of the one rule."""
    [listener] = compiled.table.listeners
    destination = listener.matches[0].rule.backends[0].destination
    assert destination is not None
    return [str(address) for address in destination.endpoints]


def test_only_our_class_is_served() -> None:
    """Another controller's Gateway has no listener and no status."""
    objects = [*gateway(80), *inference_pool("pool", 8001), http_route("r", reference("pool", "InferencePool"))]
    assert len(snapshot(*objects).table.listeners) == 1
    theirs = snapshot(*objects, controller_name="them/controller")
    assert theirs.table.listeners == ()
    assert not any(kind in ("Gateway", "HTTPRoute") for kind, _, _ in theirs.statuses)


def test_a_port_out_of_range_costs_its_listener_only() -> None:
    """And is a warning, where a file would be refused."""
    compilation = compile_cluster(inventory(gateway(80, 60000)), 1, ClusterSettings(port_offset=8000))
    assert [listener.port for listener in compilation.snapshot.table.listeners] == [80]
    assert any("68000, which is no port" in str(problem) for problem in compilation.warnings)


def test_ending_pods_of_a_pool_get_no_new_requests() -> None:
    """One that is being deleted, one that is not Ready and one that has ended; the rest is picked from."""
    pool, *pods = inference_pool("pool", 8001, 8002, 8003, 8004)
    pods[1]["metadata"] |= {"deletionTimestamp": "2025-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}
    pods[2]["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    pods[3]["status"]["phase"] = "Failed"
    compiled = snapshot(*gateway(80), pool, *pods, http_route("r", reference("pool", "InferencePool")))
    assert endpoints(compiled) == ["127.0.0.1:8001"]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([{"ready": True}, {"ready": False, "serving": True, "terminating": True}], ["10.0.0.0:8000"]),
        ([{}, {"ready": False}], ["10.0.0.0:8000"]),
        ([{"ready": False, "serving": True, "terminating": True}, {"ready": False}], ["10.0.0.0:8000"]),
        ([{"ready": False, "serving": False, "terminating": True}, {"ready": False}], []),
    ],
)
def test_slices_tell_which_endpoints_of_a_service_are_used(conditions: list[Object], expected: list[str]) -> None:
    """Ready ones; those that end and still serve only when no other is left (KEP-1669)."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {"selector": {"app": "s"}, "ports": [{"port": 80, "targetPort": "http"}]},
    }
    entries = [{"addresses": [f"10.0.0.{n}"], "conditions": each} for n, each in enumerate(conditions)]
    slices = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "s-1", "labels": {"kubernetes.io/service-name": "s"}},
        "addressType": "IPv4",
        "endpoints": entries,
        "ports": [{"name": "", "port": 8000}],
    }
    route = http_route("r", {"name": "s", "port": 80})
    assert endpoints(snapshot(*gateway(80), service, slices, route)) == expected


def test_settings_are_read_from_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Pod's address and namespace come from its environment; what makes no sense is refused."""
    given = options.Options()
    for option in OPTIONS:
        given.add_option(option.name, option.type, option.default, option.help)
    monkeypatch.setenv("POD_IP", "10.1.2.3")
    monkeypatch.setenv("POD_NAMESPACE", "here")
    settings = ClusterSettings.of(given)
    assert settings.addresses == ("10.1.2.3",)
    assert settings.lease_place == ("here", "mirrorgate.dev-gateway-controller")
    given.update(gateway_lease="there/lease", gateway_addresses=["gw.example.com"])
    assert ClusterSettings.of(given).lease_place == ("there", "lease")
    assert ClusterSettings.of(given).addresses == ("gw.example.com",)
    given.update(gateway_lease="there")
    with pytest.raises(ValueError, match="gateway_lease"):
        ClusterSettings.of(given)
    given.update(gateway_lease="", gateway_controller_name="mine")
    with pytest.raises(ValueError, match="gateway_controller_name"):
        ClusterSettings.of(given)


async def test_an_object_that_is_made_anew_gets_its_status_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`kubectl replace --force` changes nothing that is served, and leaves an object without a status."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    async with ApiServer() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path)))
        server.store.apply(
            *gateway(80),
            *inference_pool("pool", 8001),
            http_route("route", reference("pool", "InferencePool")),
            shadow_policy("route"),
        )
        configuration = ClusterConfiguration(ClusterSettings(lease="default/lease"), random.Random(1))
        served = snapshot()

        def take(compilation: Compilation) -> None:
            nonlocal served
            served = compilation.snapshot
            configuration.report(served, {})

        following = asyncio.create_task(configuration.follow(lambda: served, take))
        try:
            for kind in ("ShadowPolicy", "HTTPRoute"):
                await until(lambda kind=kind: server.store.get(kind, "route").get("status"), what=kind)  # type: ignore[misc]
                body = server.store.get(kind, "route")
                server.store.remove(kind, "route")
                server.store.apply({**body, "metadata": {"name": "route"}, "status": {}})
                await until(lambda kind=kind: server.store.get(kind, "route").get("status"), what=kind)  # type: ignore[misc]
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
            await configuration.stop()
