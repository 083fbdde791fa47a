"""The way up: large uploads that are cut on either side, and requests that are sent again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from mirrorgate.testing.chaos.crowd import Ended, Manner, Told, ask
from mirrorgate.testing.chaos.crowd_http2 import Leaving, leave
from mirrorgate.testing.chaos.rig import ChaosRig, chaos_rig
from mirrorgate.testing.chaos.unruly_http2 import UnrulyHttp2Server
from mirrorgate.testing.in_loop import until
from mirrorgate.testing.manifests import backend, http_route, mirror_to, reference, shadow_policy, traffic_policy

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),
]

MIB = 1024 * 1024
PLAIN = ("plain", "plain-http2")
"""Routes without a mirror, where a large body streams."""
TRIES = 4
ANY: dict[str, Any] = {"triggers": ["5xx", "reset", "connect-failure"]}
SOON: dict[str, Any] = {"backOff": {"baseInterval": "1ms"}}
RETRY: dict[str, Any] = {"numRetries": TRIES - 1, "retryOn": ANY, "perRetry": {"timeout": "2s", **SOON}}
LONG: dict[str, Any] = {"http": {"requestTimeout": "60s"}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory, seed: int) -> AsyncIterator[ChaosRig]:
    """One gateway for all."""
    async with AsyncExitStack() as stack:
        h2 = await stack.enter_async_context(UnrulyHttp2Server())
        more = [
            backend("over-http2", h2.port, http2=True),
            http_route("plain", reference("primary")),
            http_route("plain-http2", reference("over-http2")),
            http_route("kept", reference("primary")),
            http_route("again", reference("primary"), mirrors=[mirror_to("candidate")]),
            http_route("again-http2", reference("over-http2")),
            http_route("stormy", reference("primary")),
            *(traffic_policy(name, timeout=LONG) for name in PLAIN),
            *(traffic_policy(name, timeout=LONG, retry=RETRY) for name in ("kept", "again", "again-http2")),
            traffic_policy("stormy", timeout=LONG, retry=RETRY, circuitBreaker={"maxParallelRetries": 3}),
            shadow_policy("again", control={"percent": 100}, journal={"content": "full"}),
        ]
        folder = tmp_path_factory.mktemp("uploads")
        rig = await stack.enter_async_context(chaos_rig(folder, seed, more=more, servers=(h2,)))
        await rig.tell(*(rig.ask(name) for name in (*PLAIN, "kept", "again", "again-http2", "stormy")))
        await rig.books.open()
        yield rig


def uploads(rig: ChaosRig, route: str, count: int, **more: Any) -> list[Any]:
    """Make asks with bodies of two to six MiB, with their length and in chunks."""
    return [
        rig.ask(route, padding=rig.rng.randrange(2 * MIB, 6 * MIB), chunked=number % 2 == 0, **more)
        for number in range(count)
    ]


@pytest.mark.parametrize("route", PLAIN)
async def test_uploads_that_nothing_happens_to(rig: ChaosRig, route: str) -> None:
    """Over either version of HTTP on either side, they are whole, and the memory is not theirs."""
    before = rig.peak()
    told = await rig.tell(*uploads(rig, route, 12), at_once=6)
    told += await rig.tell_http2(*uploads(rig, route, 12))
    assert {each.ended for each in told} == {Ended.WHOLE}
    await rig.books.balance(memory=64)
    assert rig.peak() < before + 64


@pytest.mark.parametrize("http2", [False, True])
async def test_servers_that_cut_an_upload(rig: ChaosRig, http2: bool) -> None:
    """Anywhere in it, or with an answer before its end: an error or a cut, and nothing is held."""
    asks = [
        each
        for _ in range(10)
        for fault in (f"drop={rig.rng.randrange(2 * MIB)}", "early=503", "early=413")
        for each in uploads(rig, "plain", 1, faults={"primary": fault})
    ]
    tell = rig.tell_http2 if http2 else rig.tell
    told = await tell(*asks)
    assert {each.ended for each in told} <= {Ended.CUT, Ended.REFUSED}
    assert {each.status for each in told} >= {503}
    await rig.books.balance(memory=64)


@pytest.mark.parametrize("route", PLAIN)
async def test_clients_that_cut_an_upload(rig: ChaosRig, route: str) -> None:
    """Anywhere in it, by a close, a reset, or a reset stream."""
    await asyncio.gather(*(rig.misbehave(each, Manner.LEAVE_IN_BODY) for each in uploads(rig, route, 20)))
    async with await rig.connect_http2() as client:
        asks = uploads(rig, route, 10)
        rig.books.note(*await asyncio.gather(*(leave(client, each, Leaving.IN_BODY, rig.rng) for each in asks)))
    assert {each.ended for each in await rig.tell(*uploads(rig, route, 4))} == {Ended.WHOLE}
    await rig.books.balance(memory=64)


@pytest.mark.parametrize("route", PLAIN)
async def test_clients_that_leave_an_upload_that_nobody_takes(rig: ChaosRig, route: str) -> None:
    """Nothing is read from them any more, and yet their places are free within seconds, long before any timeout."""
    before = rig.peak()
    asks = [rig.ask(route, padding=32 * MIB, faults={"primary": "deaf"}) for _ in range(8)]
    clients = [await rig.gateway.connect() for _ in asks]
    for client, question in zip(clients, asks, strict=True):
        client.writer.write(question.request())
        rig.books.note(Told(question, Ended.LEFT))
    await until(lambda: all(rig.seen(each.id) for each in asks))
    await asyncio.sleep(1)  # until every buffer on the way is full
    for client in clients:
        client.abort()
    await rig.books.balance(memory=64, timeout=10)
    assert rig.peak() < before + 96


@pytest.mark.parametrize("route", ["again", "again-http2"])
async def test_requests_that_are_sent_again(rig: ChaosRig, route: str) -> None:
    """Until a try succeeds, or there are no more; mirrored once. A kept connection that ends costs a try as well."""
    failures = ["reset=0", "close=0", "hang=0"] + (
        ["refused", "unbegun", "die=0"] if route == "again-http2" else ["reset=20", "early=503", "garbage"]
    )
    asks = []
    for number in range(120):
        faults = rig.rng.choices(failures, k=rig.rng.randrange(TRIES + 2))
        faults = [fault for at, fault in enumerate(faults) if fault != "hang=0" or at == 0]
        asks.append(rig.ask(route, stream=number % 2 == 0, tries=TRIES, faults={"primary": "|".join([*faults, ""])}))
    told = await rig.tell(*asks, at_once=12)
    for each in told:
        count = each.ask.faults["primary"].count("|")
        if count >= TRIES:
            assert each.ended is Ended.REFUSED
        elif count < 2 and route == "again":  # over HTTP/2 a connection takes those beside it along
            assert each.ended is Ended.WHOLE
    assert {each.ended for each in told} == {Ended.WHOLE, Ended.REFUSED}
    await rig.books.balance()


async def test_a_storm_of_retries(rig: ChaosRig) -> None:
    """Everything fails at once: three retries at a time are sent, the others go without, and no place is lost."""
    failing = {"primary": "reset=0"}
    asks = [rig.ask("stormy", tries=TRIES, faults=failing if number % 4 else {}) for number in range(400)]
    told = await rig.tell(*asks, at_once=40)
    assert {each.ended for each in told if not each.ask.faults} == {Ended.WHOLE}
    assert {each.ended for each in told if each.ask.faults} == {Ended.REFUSED}
    await rig.books.balance()


async def test_clients_that_leave_between_the_tries(rig: ChaosRig) -> None:
    """What waits for its next try is given up."""
    asks = [rig.ask("again", tries=TRIES, faults={"primary": "reset=0|hang=0|reset=0|"}) for _ in range(40)]
    await asyncio.gather(*(rig.misbehave(each, Manner.LEAVE_AFTER) for each in asks))
    await rig.books.balance()


async def test_uploads_that_are_sent_again(rig: ChaosRig) -> None:
    """As much as was kept goes again; what was more is an error."""
    small = [
        rig.ask("kept", tries=TRIES, padding=rig.rng.randrange(1000, 200_000), chunked=number % 2 == 0,
                faults={"primary": f"drop={rig.rng.randrange(1, 1000)}|reset=0|"})
        for number in range(20)
    ]  # fmt: skip
    assert {each.ended for each in await rig.tell(*small, at_once=6)} == {Ended.WHOLE}
    large = uploads(rig, "kept", 10, tries=TRIES, faults={"primary": f"drop={MIB}|reset=0|"})
    assert {each.ended for each in await rig.tell(*large, at_once=4)} <= {Ended.WHOLE, Ended.REFUSED, Ended.CUT}
    await rig.books.balance(memory=64)


async def test_the_last_client_is_served(rig: ChaosRig) -> None:
    """After all of it."""
    async with await rig.gateway.connect() as client:
        told = await ask(client, rig.ask("plain", padding=MIB))
    rig.books.note(told)
    assert told.ended is Ended.WHOLE
    await rig.books.balance()
