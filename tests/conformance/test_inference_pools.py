"""InferencePools over a real gateway, after the inference extension's conformance tests."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from mirrorgate.testing.conformance import Case, Conformance, conditions
from mirrorgate.testing.manifests import Object

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

API, INFERENCE = "gateway.networking.k8s.io/v1", "inference.networking.k8s.io"
PRIMARY = "127.0.1.31"


def pool(name: str, *ports: int) -> Object:
    """Return a pool whose Pods have the label of its name."""
    selector = {"matchLabels": {"app": name}}
    spec = {"selector": selector, "targetPorts": [{"number": port} for port in ports or (3000,)]}
    metadata = {"name": name, "namespace": "infra"}
    return {"apiVersion": f"{INFERENCE}/v1", "kind": "InferencePool", "metadata": metadata, "spec": spec}


def pod(app: str, number: int, port: int | None = None) -> Object:
    """Return a Pod of this machine; `port` stands for the pool's target port."""
    annotations = {} if port is None else {"mirrorgate.dev/target-port": str(port)}
    metadata = {"name": f"{app}-{number}", "namespace": "infra", "labels": {"app": app}, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"podIP": "127.0.0.1"}}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pools(conformance: Conformance) -> AsyncIterator[Conformance]:
    """Have the pools that the routes lead to, and their Pods."""
    servers = conformance.servers
    ranks = [servers[name].port for name in ("app-v1", "app-v2", "web-backend")]
    objects = [
        pool("first"),
        pod("first", 0, servers["v1"].port),
        pod("first", 1, servers["v2"].port),
        pool("second"),
        pod("second", 0, servers["v3"].port),
        pool("ranks", *ranks),
        pod("ranks", 0),
    ]
    async with conformance.changed("pools.yaml", objects):
        yield conformance


async def drawn(pools: Conformance, path: str, host: str, count: int, address: str = PRIMARY) -> Counter[str]:
    """Count which servers answer."""
    return Counter([(await pools.ask(Case(path, address=address), host)).json()["service"] for _ in range(count)])


async def test_rules_lead_to_pools(pools: Conformance) -> None:
    """inferencepool_multiple_rules_different_pools: by path."""
    assert set(await drawn(pools, "/primary", "pools.test", 20)) == {"v1", "v2"}
    assert set(await drawn(pools, "/secondary", "pools.test", 5)) == {"v3"}


async def test_gateways_lead_to_pools(pools: Conformance) -> None:
    """httproute_multiple_gateways_different_pools: by Gateway; the other's host is none of its own."""
    assert set(await drawn(pools, "/", "primary.example.com", 20)) == {"v1", "v2"}
    assert set(await drawn(pools, "/", "secondary.example.com", 5, "127.0.1.32")) == {"v3"}
    await pools.expect(Case("/", status=404, host="primary.example.com", address="127.0.1.32"))


async def test_every_port_is_an_endpoint(pools: Conformance) -> None:
    """gateway_following_epp_routing_dp: each target port of a Pod is an endpoint of its own (a data-parallel rank)."""
    assert set(await drawn(pools, "/ranks", "pools.test", 60)) == {"app-v1", "app-v2", "web-backend"}


@pytest.mark.parametrize("path", ["/primary", "/same-port", "/other-port"])
async def test_the_port_of_a_reference_is_ignored(pools: Conformance, path: str) -> None:
    """inferencepool_httproute_port_validation: absent, the same, another."""
    assert (await pools.ask(Case(path, address=PRIMARY), "pools.test")).status == 200


async def test_pools_are_weighted(pools: Conformance) -> None:
    """gateway_weighted_two_pools: 70 and 30 of 100, within 4.5 sigma of 200 requests."""
    found = await drawn(pools, "/split", "pools.test", 200)
    assert abs(found["v1"] + found["v2"] - 140) <= 4.5 * 6.5
    assert sum(found.values()) == found["v1"] + found["v2"] + found["v3"]


async def test_a_pool_that_does_not_exist(pools: Conformance) -> None:
    """httproute_invalid_inferencepool_ref: the route is accepted and not resolved."""
    assert await pools.route_conditions("no-such-pool") == {
        "Accepted": ("True", "Accepted"),
        "ResolvedRefs": ("False", "BackendNotFound"),
    }


async def test_a_pool_is_accepted(pools: Conformance) -> None:
    """inferencepool_accepted, inferencepool_missing_epp_ref: by each Gateway whose route leads to it."""
    status = await pools.status("InferencePool", "second")
    parents = {parent["parentRef"]["name"]: parent for parent in status["parents"]}
    assert set(parents) == {"primary", "secondary"}
    for parent in parents.values():
        assert parent["parentRef"]["namespace"] == "infra"
        assert conditions(parent) == {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs")}


async def test_a_pool_follows_its_routes(pools: Conformance) -> None:
    """inferencepool_resolvedrefs_condition: two Gateways share a pool; its parents go with the routes, one by one."""

    def route(gateway: str) -> Object:
        spec: dict[str, Any] = {
            "parentRefs": [{"name": gateway}],
            "hostnames": [f"shared.{gateway}.test"] if gateway == "primary" else ["secondary.example.com"],
            "rules": [
                {
                    "matches": [{"path": {"value": "/shared"}}],
                    "backendRefs": [{"group": INFERENCE, "kind": "InferencePool", "name": "shared"}],
                }
            ],
        }
        metadata = {"name": f"shared-{gateway}", "namespace": "infra"}
        return {"apiVersion": API, "kind": "HTTPRoute", "metadata": metadata, "spec": spec}

    async def parents() -> set[str]:
        return {each["parentRef"]["name"] for each in (await pools.status("InferencePool", "shared"))["parents"]}

    on_primary = Case("/shared", "v1", host="shared.primary.test", address=PRIMARY)
    on_secondary = Case("/shared", "v1", host="secondary.example.com", address="127.0.1.32")
    async with contextlib.AsyncExitStack() as stack:
        shared = [pool("shared"), pod("shared", 0, pools.servers["v1"].port)]
        await stack.enter_async_context(pools.changed("shared.yaml", shared))
        async with pools.changed("shared-secondary.yaml", [route("secondary")]):
            async with pools.changed("shared-primary.yaml", [route("primary")]):
                assert await parents() == {"primary", "secondary"}
                await pools.expect(on_primary)
                await pools.expect(on_secondary)
            assert await parents() == {"secondary"}
            assert (await pools.ask(on_primary)).status == 404
            await pools.expect(on_secondary)
        assert await parents() == set()
        assert (await pools.ask(on_secondary)).json()["service"] == "v3"  # the route of the other pool takes over
