"""The status writer against an API server: what is written, when, and what never is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from mirrorgate.routing.compiling import CompileOptions
from mirrorgate.snapshot import Snapshot
from mirrorgate.sources.kubernetes import statuses
from mirrorgate.sources.kubernetes.api import Api
from mirrorgate.sources.kubernetes.cluster import ClusterSource
from mirrorgate.sources.kubernetes.statuses import StatusWriter
from mirrorgate.testing.api_server import ApiServer
from mirrorgate.testing.in_loop import until
from mirrorgate.testing.manifests import Object, backend, gateway, http_route, inference_pool, reference, shadow_policy

type Following = Callable[..., contextlib.AbstractAsyncContextManager[ClusterSource]]

CONTROLLER = "mirrorgate.dev/gateway-controller"


def objects() -> list[Object]:
    """Return a Gateway, a route to a pool, and a policy."""
    return [
        *gateway(80),
        *inference_pool("pool", 8001),
        http_route("route", reference("pool", "InferencePool")),
        shadow_policy("route"),
    ]


async def settle(source: ClusterSource, writer: StatusWriter) -> None:
    """Compile what the source has now, and write its statuses."""
    async with contextlib.aclosing(source.inventories()) as inventories:
        inventory = await anext(inventories)
    snapshot = Snapshot.of(inventory, 1, CompileOptions(CONTROLLER, serve_all_classes=False))
    writer.publish(snapshot.statuses)
    assert await writer.settle()


def accepted(status: dict[str, Any]) -> str:
    """Return the status of the condition Accepted."""
    return next(str(entry["status"]) for entry in status["conditions"] if entry["type"] == "Accepted")


async def test_every_kind_gets_its_status_once(server: ApiServer, api: Api, following: Following) -> None:
    """All that is wanted is written in one pass, and a second pass writes nothing."""
    server.store.apply(*objects())
    async with following() as source:
        writer = StatusWriter(api, source, CONTROLLER, lambda: True)
        await settle(source, writer)
        assert accepted(server.store.get("GatewayClass", "mirrorgate")["status"]) == "True"
        status = server.store.get("Gateway", "gateway")["status"]
        assert accepted(status) == "True"
        assert status["listeners"][0]["attachedRoutes"] == 1
        assert status["conditions"][0]["observedGeneration"] == 1
        [parent] = server.store.get("HTTPRoute", "route")["status"]["parents"]
        assert parent["controllerName"] == CONTROLLER
        [parent] = server.store.get("InferencePool", "pool")["status"]["parents"]
        assert parent["parentRef"]["name"] == "gateway"
        [ancestor] = server.store.get("ShadowPolicy", "route")["status"]["ancestors"]
        assert accepted(ancestor) == "True"
        assert len(server.writes()) == writer.writes == 5
        await until(lambda: all(held.status for _, _, held in source.holders()))
        await settle(source, writer)
        assert writer.writes == 5


async def test_what_is_no_longer_ours_is_taken_back(server: ApiServer, api: Api, following: Following) -> None:
    """A route that leaves our Gateway loses our entry, and keeps another controller's."""
    server.store.apply(*objects())
    theirs = {"parentRef": {"name": "x"}, "controllerName": "them/controller", "conditions": []}
    route = http_route("route", reference("pool", "InferencePool"))
    server.store.apply({**route, "status": {"parents": [theirs]}})
    async with following() as source:
        writer = StatusWriter(api, source, CONTROLLER, lambda: True)
        await settle(source, writer)
        assert len(server.store.get("HTTPRoute", "route")["status"]["parents"]) == 2
        moved = http_route("route", reference("pool", "InferencePool"), parent="x")
        server.store.apply({**moved, "status": server.store.get("HTTPRoute", "route")["status"]})
        generation = server.store.get("HTTPRoute", "route")["metadata"]["resourceVersion"]
        await until(lambda: any(held.resource_version == generation for _, _, held in source.holders()))
        await settle(source, writer)
        assert server.store.get("HTTPRoute", "route")["status"]["parents"] == [theirs]
        assert server.store.get("InferencePool", "pool")["status"]["parents"] == []


async def test_a_conflict_means_to_read_again(server: ApiServer, api: Api, following: Following) -> None:
    """What somebody wrote in between is kept."""
    server.store.apply(*objects())
    theirs = {"parentRef": {"name": "x"}, "controllerName": "them/controller", "conditions": []}

    def faster(path: str) -> None:
        if "httproutes" in path:
            server.before_write = lambda path: None
            server.store.apply({**server.store.get("HTTPRoute", "route"), "status": {"parents": [theirs]}})

    server.before_write = faster
    async with following() as source:
        await settle(source, StatusWriter(api, source, CONTROLLER, lambda: True))
        controllers = [entry["controllerName"] for entry in server.store.get("HTTPRoute", "route")["status"]["parents"]]
        assert controllers == ["them/controller", CONTROLLER]


async def test_a_status_of_an_older_generation_is_not_written(
    server: ApiServer, api: Api, following: Following
) -> None:
    """The object has changed since it was compiled: the next compilation has the say."""
    server.store.apply(*objects())
    async with following() as source:
        async with contextlib.aclosing(source.inventories()) as inventories:
            inventory = await anext(inventories)
        writer = StatusWriter(api, source, CONTROLLER, lambda: True)
        writer.publish(Snapshot.of(inventory, 1, CompileOptions(CONTROLLER, serve_all_classes=False)).statuses)
        server.store.apply(http_route("route", reference("gone", "InferencePool")))
        assert await writer.settle()
        assert not any("httproutes" in path for path in server.writes())


async def test_other_controllers_classes_and_gateways_stay_untouched(
    server: ApiServer, api: Api, following: Following
) -> None:
    """No write at all, not of routes and policies either that only they serve."""
    theirs = objects()
    theirs[0]["spec"]["controllerName"] = "them/controller"
    server.store.apply(*theirs, backend("b", 9))
    async with following() as source:
        await settle(source, StatusWriter(api, source, CONTROLLER, lambda: True))
        assert [path for path in server.writes() if "shadowpolicies" not in path] == []


async def test_who_does_not_lead_does_not_write(server: ApiServer, api: Api, following: Following) -> None:
    """And a leader that steps down stops at once."""
    server.store.apply(*objects())
    left = [2]

    def leads() -> bool:
        left[0] -= 1
        return left[0] >= 0

    async with following() as source:
        writer = StatusWriter(api, source, CONTROLLER, lambda: False)
        await settle(source, writer)
        assert server.writes() == []
        await settle(source, StatusWriter(api, source, CONTROLLER, leads))
        assert len(server.writes()) == 2


async def test_a_write_that_is_refused_costs_only_itself(server: ApiServer, api: Api, following: Following) -> None:
    """The others are written, and the refused one is tried again later."""
    server.store.apply(*objects())
    async with following() as source:
        async with contextlib.aclosing(source.inventories()) as inventories:
            inventory = await anext(inventories)
        writer = StatusWriter(api, source, CONTROLLER, lambda: True)
        writer.publish(Snapshot.of(inventory, 1, CompileOptions(CONTROLLER, serve_all_classes=False)).statuses)
        server.forbidden.add("gateways")
        assert not await writer.settle()
        assert writer.writes == 4
        server.forbidden.clear()
        assert await writer.settle()
        assert writer.writes == 5


async def test_a_route_that_cannot_be_read_is_told_why(server: ApiServer, api: Api, following: Following) -> None:
    """Not accepted, with the problem; at Gateways of ours only, and as soon as it is mended all is well."""
    broken = http_route("broken", reference("pool", "InferencePool"))
    broken["spec"]["parentRefs"].append({"name": "theirs"})
    good = broken["spec"]["rules"]
    broken["spec"]["rules"] = [{"matches": [{"path": {"type": "Unheard"}}]}]
    server.store.apply(*objects(), broken)
    async with following() as source:
        writer = StatusWriter(api, source, CONTROLLER, lambda: True)
        await settle(source, writer)
        [parent] = server.store.get("HTTPRoute", "broken")["status"]["parents"]
        assert parent["parentRef"]["name"] == "gateway"
        [condition] = parent["conditions"]
        assert (condition["status"], condition["reason"]) == ("False", "UnsupportedValue")
        assert "Unheard" in condition["message"] or "type" in condition["message"]
        mended = server.store.get("HTTPRoute", "broken")
        server.store.apply({**mended, "spec": {**mended["spec"], "rules": good}})
        version = server.store.get("HTTPRoute", "broken")["metadata"]["resourceVersion"]
        await until(lambda: any(held.resource_version == version for _, _, held in source.holders()))
        await settle(source, writer)
        statuses = {
            entry["parentRef"]["name"]: accepted(entry)
            for entry in server.store.get("HTTPRoute", "broken")["status"]["parents"]
        }
        assert statuses["gateway"] == "True"


async def test_changes_do_not_hasten_what_is_tried_again(
    server: ApiServer, api: Api, following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many configurations came while a write is refused, it is tried once in each pause."""
    monkeypatch.setattr(statuses, "_AGAIN", 0.1)
    server.store.apply(*objects())

    def tries() -> int:
        return sum(asked.path.endswith("/gateways/gateway") for asked in server.asked)

    async with following() as source:
        async with contextlib.aclosing(source.inventories()) as inventories:
            inventory = await anext(inventories)
        wanted = Snapshot.of(inventory, 1, CompileOptions(CONTROLLER, serve_all_classes=False)).statuses
        server.forbidden.add("gateways")
        writer = StatusWriter(api, source, CONTROLLER, lambda: True)
        running = asyncio.create_task(writer.run())
        try:
            for _ in range(20):
                before = tries()
                writer.publish(wanted)
                await until(lambda before=before: tries() > before)  # type: ignore[misc]
            before, began = tries(), asyncio.get_running_loop().time()
            await until(lambda: tries() >= before + 10)
            assert asyncio.get_running_loop().time() - began > 0.8
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_a_mistake_ends_no_writing(
    server: ApiServer,
    api: Api,
    following: Following,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is told of, and the statuses are tried again."""
    monkeypatch.setattr(statuses, "_AGAIN", 0.01)
    server.store.apply(*objects())
    answers = iter(["no number"])

    def leads() -> bool:
        return bool(int(next(answers, "1")))

    async with following() as source:
        writer = StatusWriter(api, source, CONTROLLER, leads)
        running = asyncio.create_task(writer.run())
        async with contextlib.aclosing(source.inventories()) as inventories:
            inventory = await anext(inventories)
        writer.publish(Snapshot.of(inventory, 1, CompileOptions(CONTROLLER, serve_all_classes=False)).statuses)
        await until(lambda: writer.writes == 5)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert "ValueError" in caplog.text
