"""A cluster as a source: what is there comes complete, changes come soon, and the API server's bad days do no harm."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable

import pytest

from mirrorgate.resources.inventory import Inventory
from mirrorgate.sources.kubernetes.cluster import ClusterSource
from mirrorgate.testing.api_server import ApiServer
from mirrorgate.testing.in_loop import until
from mirrorgate.testing.manifests import Object, backend, gateway, http_route, inference_pool, reference

type Following = Callable[..., contextlib.AbstractAsyncContextManager[ClusterSource]]


async def upcoming(inventories: AsyncGenerator[Inventory, None], holds: Callable[[Inventory], object]) -> Inventory:
    """Return the first inventory for which something holds."""
    async with asyncio.timeout(10):
        async for inventory in inventories:
            if holds(inventory):
                return inventory
    raise AssertionError("the source ended")


def configuration(*names: str) -> list[Object]:
    """Return a Gateway with routes of these names."""
    return [*gateway(80), backend("b", 9), *(http_route(name, reference("b")) for name in names)]


async def test_what_is_there_comes_complete(server: ApiServer, following: Following) -> None:
    """One inventory holds every kind, in as many pages as it takes."""
    names = [f"r{number:03}" for number in range(450)]
    server.store.apply(*configuration(*names), *inference_pool("pool", 8001, 8002))
    async with following() as source, contextlib.aclosing(source.inventories()) as inventories:
        assert source.age is None
        found = await upcoming(inventories, lambda inventory: True)
        assert [name for _, name in found.http_routes] == names
        assert len(found.pods) == 2
        assert ("", "mirrorgate") in found.gateway_classes
        assert source.age is not None
        assert any("continue" in asked.query for asked in server.asked)


async def test_changes_come_within_a_second(server: ApiServer, following: Following) -> None:
    """Additions, edits and removals, each from the watch alone."""
    server.store.apply(*configuration("a"))
    async with following() as source, contextlib.aclosing(source.inventories()) as inventories:
        await upcoming(inventories, lambda inventory: True)
        loop = asyncio.get_running_loop()
        began = loop.time()
        server.store.apply(http_route("b", reference("b")))
        await upcoming(inventories, lambda inventory: ("default", "b") in inventory.http_routes)
        assert loop.time() - began < 1.0
        server.store.apply(http_route("b", reference("b"), hosts=["new.test"]))
        changed = await upcoming(inventories, lambda i: i.http_routes["default", "b"].spec.hostnames == ("new.test",))
        assert ("default", "a") in changed.http_routes
        server.store.remove("HTTPRoute", "a")
        await upcoming(inventories, lambda inventory: ("default", "a") not in inventory.http_routes)
        assert server.lists("httproutes") == 1


async def test_what_means_nothing_changes_nothing(server: ApiServer, following: Following) -> None:
    """Our own status, other managers' fields and annotations of kubectl cause no new inventory."""
    server.store.apply(*configuration("a"))
    async with following() as source, contextlib.aclosing(source.inventories()) as inventories:
        await upcoming(inventories, lambda inventory: True)
        noted = http_route("a", reference("b"))
        noted["status"] = {"parents": []}
        noted["metadata"]["managedFields"] = [{"manager": "x"}]
        server.store.apply(noted)
        following_one = asyncio.ensure_future(anext(inventories))
        await until(lambda: any(held.status for _, key, held in source.holders() if key[1] == "a"))
        done, _ = await asyncio.wait([following_one], timeout=0.3)
        assert not done
        server.store.apply(http_route("z", reference("b")))
        assert ("default", "z") in (await following_one).http_routes


@pytest.mark.parametrize("trouble", ["disconnect", "gone", "away", "throttled", "page-gone", "restored"])
async def test_a_bad_day_of_the_server_ends(server: ApiServer, following: Following, trouble: str) -> None:
    """Whatever was missed meanwhile is there afterwards, and nothing was lost on the way."""
    server.store.apply(*configuration("a", "b"))
    async with following() as source, contextlib.aclosing(source.inventories()) as inventories:
        await upcoming(inventories, lambda inventory: True)
        await until(lambda: server.watching > 15)
        if trouble == "throttled":
            server.throttled, server.retry_after = {"httproutes": 2}, 0
        if trouble == "away":
            server.away = True
        if trouble == "restored":
            server.store.version = 1  # as from a backup: what was seen is of a future that never comes
        server.break_watches()
        if trouble == "away":
            await until(lambda: server.watching == 0)
        server.store.remove("HTTPRoute", "a")
        server.store.apply(http_route("c", reference("b")))
        if trouble in ("gone", "page-gone"):
            server.store.compact()
        server.away = False
        found = await upcoming(inventories, lambda inventory: ("default", "c") in inventory.http_routes)
        assert [name for _, name in found.http_routes] == ["b", "c"]
        assert (server.lists("httproutes") > 1) is (trouble in ("gone", "page-gone", "restored"))


async def test_bookmarks_spare_quiet_kinds_a_list(server: ApiServer, following: Following) -> None:
    """A kind of which nothing happens goes on from where the last bookmark was, though what is older is forgotten."""
    server.store.apply(*configuration("a", "b"))
    async with following() as source, contextlib.aclosing(source.inventories()) as inventories:
        await upcoming(inventories, lambda inventory: True)
        await until(lambda: server.watching > 15)
        server.store.apply(http_route("c", reference("b")))
        await upcoming(inventories, lambda inventory: ("default", "c") in inventory.http_routes)
        server.store.compact()
        now = str(server.store.version)
        await until(lambda: all(each._resource_version == now for each in source.informers if not each.absent))
        server.break_watches()
        server.store.apply(backend("d"))
        await upcoming(inventories, lambda inventory: ("default", "d") in inventory.backends)
        assert server.lists("backends") == 1
        assert server.lists("httproutes") == 1


async def test_an_outage_shows_as_age(server: ApiServer, following: Following) -> None:
    """The age grows while the server is away, and falls when it is back."""
    server.store.apply(*configuration("a"))
    async with following() as source, contextlib.aclosing(source.inventories()) as inventories:
        await upcoming(inventories, lambda inventory: True)
        server.away = True
        server.break_watches()
        await until(lambda: (source.age or 0) > 0.5)
        server.away = False
        await until(lambda: (source.age or 1) < 0.5)


async def test_a_kind_that_is_not_installed_is_picked_up_when_it_comes(
    server: ApiServer, following: Following, caplog: pytest.LogCaptureFixture
) -> None:
    """Its absence is one line of the log, and holds nothing up."""
    collection = ("inference.networking.k8s.io", "inferencepools")
    installed = server.store.kinds.pop(collection)
    server.store.apply(*configuration("a"))
    async with following() as source, contextlib.aclosing(source.inventories()) as inventories:
        first = await upcoming(inventories, lambda inventory: True)
        assert not first.inference_pools
        asked = len(server.asked)
        await until(lambda: len(server.asked) > asked + 5)
        server.store.kinds[collection] = installed
        server.store.apply(*inference_pool("pool", 8001))
        await upcoming(inventories, lambda inventory: inventory.inference_pools)
        lines = [record for record in caplog.records if "is not installed" in record.message]
        assert len(lines) == 1
        del server.store.kinds[collection]
        server.break_watches()
        await upcoming(inventories, lambda inventory: not inventory.inference_pools)


async def test_an_older_version_of_a_kind_is_read(server: ApiServer, following: Following) -> None:
    """Where the cluster serves v1beta1 alone, v1beta1 it is."""
    collection = ("gateway.networking.k8s.io", "referencegrants")
    watched = server.store.kinds[collection]
    server.store.kinds[collection] = type(watched)(
        watched.group, ("v1beta1",), watched.kind, watched.plural, watched.namespaced
    )
    spec = {"from": [{"group": "g", "kind": "K", "namespace": "n"}], "to": [{"group": "", "kind": "Service"}]}
    grant = {"apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "ReferenceGrant", "metadata": {"name": "g"}}
    server.store.apply({**grant, "spec": spec})
    async with following() as source, contextlib.aclosing(source.inventories()) as inventories:
        found = await upcoming(inventories, lambda inventory: True)
        assert ("default", "g") in found.reference_grants


async def test_an_object_that_cannot_be_read_is_left_out(
    server: ApiServer, following: Following, caplog: pytest.LogCaptureFixture
) -> None:
    """The others go on; the problem is logged once, not with every change of something else."""
    broken = http_route("broken", reference("b"))
    broken["spec"]["rules"] = "none"
    server.store.apply(*configuration("a"), broken)
    async with following() as source, contextlib.aclosing(source.inventories()) as inventories:
        first = await upcoming(inventories, lambda inventory: True)
        assert list(first.http_routes) == [("default", "a")]
        server.store.apply(http_route("c", reference("b")))
        await upcoming(inventories, lambda inventory: ("default", "c") in inventory.http_routes)
        lines = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert len(lines) == 1
        assert "HTTPRoute default/broken" in lines[0].message


async def test_namespaces_limit_what_is_watched(server: ApiServer, following: Following) -> None:
    """Only the named namespaces are asked for; what belongs to no namespace is."""
    elsewhere = http_route("far", reference("b"))
    elsewhere["metadata"]["namespace"] = "other"
    server.store.apply(*configuration("a"), elsewhere)
    async with following("default", "empty") as source, contextlib.aclosing(source.inventories()) as inventories:
        found = await upcoming(inventories, lambda inventory: True)
        assert list(found.http_routes) == [("default", "a")]
        assert found.gateway_classes
        assert not any(asked.path.endswith("/v1/secrets") for asked in server.asked)


async def test_ended_pods_and_other_secrets_stay_at_the_server(server: ApiServer, following: Following) -> None:
    """A Pod that ends leaves as if it was deleted."""
    pool, *pods = inference_pool("pool", 8001, 8002)
    tls = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls"}, "type": "kubernetes.io/tls", "data": {}}
    server.store.apply(pool, *pods, tls, {**tls, "metadata": {"name": "other"}, "type": "Opaque"})
    async with following() as source, contextlib.aclosing(source.inventories()) as inventories:
        first = await upcoming(inventories, lambda inventory: True)
        assert list(first.secrets) == [("default", "tls")]
        server.store.apply({**pods[0], "status": {"podIP": "127.0.0.1", "phase": "Succeeded"}})
        left = await upcoming(inventories, lambda inventory: len(inventory.pods) == 1)
        assert list(left.pods) == [("default", "pool-1")]


async def test_readiness_waits_for_the_first_complete_list(server: ApiServer, following: Following) -> None:
    """A kind that may not be listed is waited for, and nothing half is yielded."""
    server.forbidden.add("httproutes")
    server.store.apply(*configuration("a"))
    async with following() as source, contextlib.aclosing(source.inventories()) as inventories:
        pending = asyncio.ensure_future(anext(inventories))
        await until(lambda: server.lists("httproutes") >= 3)
        assert not pending.done()
        server.forbidden.clear()
        async with asyncio.timeout(10):
            assert ("default", "a") in (await pending).http_routes
