"""HTTP/2 and TLS on both sides: streams and connections that end at any place, servers that die, clients that flood."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from mirrorgate.testing.backends import Backend, Conversation
from mirrorgate.testing.certificates import Authority
from mirrorgate.testing.chaos.asks import LEGS
from mirrorgate.testing.chaos.crowd import Ended, Told
from mirrorgate.testing.chaos.crowd_http2 import Leaving, leave
from mirrorgate.testing.chaos.rig import ChaosRig, chaos_rig
from mirrorgate.testing.chaos.unruly import UnrulyServer
from mirrorgate.testing.chaos.unruly_http2 import UnrulyHttp2Server
from mirrorgate.testing.gateways import CHAT
from mirrorgate.testing.in_loop import until
from mirrorgate.testing.manifests import (
    Object,
    backend,
    backend_tls_policy,
    http_route,
    mirror_to,
    reference,
    shadow_policy,
    traffic_policy,
)

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),
]

ROUTES = ("http2", "secure", "secure-http2")
"""By what their servers speak; the copies go to servers that speak the same."""
HTTP2 = ("http2", "secure-http2")


def servers_of(name: str, primary: int, candidate: int, *, http2: bool, tls: bool, seconds: str) -> list[Object]:
    """Return a route whose two servers speak alike, with all legs."""
    objects = [backend(f"{name}-primary", primary, http2=http2), backend(f"{name}-candidate", candidate, http2=http2)]
    if tls:
        objects += [backend_tls_policy(each["metadata"]["name"], "model.test", "ours") for each in objects[:2]]
    timeout = {"tcp": {"connectTimeout": "10s"}, "http": {"requestTimeout": seconds}}
    return [
        *objects,
        http_route(name, reference(f"{name}-primary"), mirrors=[mirror_to(f"{name}-candidate")]),
        traffic_policy(name, timeout=timeout),
        shadow_policy(name, candidate={"timeout": seconds}, control={"percent": 100}, journal={"content": "full"}),
    ]


async def babbling(talk: Conversation) -> None:
    """Answer whatever comes with what is no TLS."""
    await talk.read()
    await talk.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def silent(talk: Conversation) -> None:
    """Take a ClientHello and say nothing."""
    talk.timeout = 600
    await talk.gone()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory, seed: int) -> AsyncIterator[ChaosRig]:
    """One gateway for all, with a port for TLS."""
    authority = Authority()
    tls = authority.server("model.test")
    both = authority.server("model.test", protocols=("h2",))
    async with AsyncExitStack() as stack:
        h2, h2_shadow = [await stack.enter_async_context(UnrulyHttp2Server()) for _ in range(2)]
        tls1, tls1_shadow = [await stack.enter_async_context(UnrulyServer(tls)) for _ in range(2)]
        tls2, tls2_shadow = [await stack.enter_async_context(UnrulyHttp2Server(both)) for _ in range(2)]
        more = [
            authority.config_map("ours"),
            *servers_of("http2", h2.port, h2_shadow.port, http2=True, tls=False, seconds="60s"),
            *servers_of("secure", tls1.port, tls1_shadow.port, http2=False, tls=True, seconds="60s"),
            *servers_of("secure-http2", tls2.port, tls2_shadow.port, http2=True, tls=True, seconds="60s"),
            *servers_of("hasty", h2.port, h2_shadow.port, http2=True, tls=False, seconds="1s"),
        ]
        for name, script in (("babbling", babbling), ("silent", silent)):
            strange = await stack.enter_async_context(Backend(script))
            more += [
                backend(name, strange.port),
                backend_tls_policy(name, "model.test", "ours"),
                http_route(name, reference(name)),
                traffic_policy(name, timeout={"tcp": {"connectTimeout": "500ms"}}),
            ]
        servers = (h2, h2_shadow, tls1, tls1_shadow, tls2, tls2_shadow)
        folder = tmp_path_factory.mktemp("protocols")
        rig = await stack.enter_async_context(chaos_rig(folder, seed, more=more, servers=servers, authority=authority))
        for name in ROUTES:
            await rig.tell_http2(*(rig.ask(name) for _ in range(8)), secure=True)
        await rig.books.open()
        yield rig


def server_of(rig: ChaosRig) -> UnrulyHttp2Server:
    """Return the primary's server of the route `http2`."""
    found = rig.books.servers[2]
    assert isinstance(found, UnrulyHttp2Server)
    return found


async def everybody(rig: ChaosRig, route: str, count: int = 20) -> list[Told]:
    """Ask a route in every way that a client may speak."""

    def asks() -> list[object]:
        return [rig.ask(route, stream=number % 2 == 0) for number in range(count)]

    told = await asyncio.gather(
        rig.tell(*asks()),  # type: ignore[arg-type]
        rig.tell_secure(*asks()),  # type: ignore[arg-type]
        rig.tell_http2(*asks()),  # type: ignore[arg-type]
        rig.tell_http2(*asks(), secure=True),  # type: ignore[arg-type]
    )
    return [each for some in told for each in some]


@pytest.mark.parametrize("route", ["calm", *ROUTES])
async def test_calm(rig: ChaosRig, route: str) -> None:
    """Whoever speaks what, every answer is whole."""
    assert {each.ended for each in await everybody(rig, route)} == {Ended.WHOLE}
    await rig.books.balance()


@pytest.mark.parametrize("leg", LEGS)
@pytest.mark.parametrize("route", HTTP2)
async def test_streams_and_connections_that_break(rig: ChaosRig, route: str, leg: str) -> None:
    """At places drawn by the seed; what a server's connection takes with it is cut, and nothing is wrong."""
    faults = [f"{kind}={rig.rng.randrange(900)}" for kind in ("reset", "close", "die") for _ in range(10)]
    faults += ["reset=0", "close=0", "die=0", "garbage"] * 2 + ["refused", "unbegun", "goaway"] * 4
    asks = [rig.ask(route, stream=rig.rng.random() < 0.5, faults={leg: fault}) for fault in faults]
    rig.rng.shuffle(asks)
    told = []
    for at in range(0, len(asks), 6):
        some = asks[at : at + 6]
        told += await rig.tell_http2(*some[:3], connections=1) + await rig.tell(*some[3:])
    told += await rig.tell(rig.ask(route, stream=True, faults={leg: "reset=300"}))
    if leg != "primary":
        assert {each.ended for each in told} == {Ended.WHOLE}
    else:
        assert told[-1].ended is Ended.CUT
    assert {each.ended for each in await everybody(rig, route, 4)} == {Ended.WHOLE}
    await rig.books.balance()


@pytest.mark.parametrize("leg", LEGS)
@pytest.mark.parametrize("route", HTTP2)
async def test_servers_that_stop_in_good_order(rig: ChaosRig, route: str, leg: str) -> None:
    """A GOAWAY in the middle of an answer keeps the answer."""
    asks = [rig.ask(route, stream=number % 2 == 0, faults={leg: "goaway"}) for number in range(10)]
    assert {each.ended for each in await rig.tell(*asks, at_once=1)} == {Ended.WHOLE}
    await rig.books.balance()


@pytest.mark.parametrize("leg", LEGS)
async def test_tls_that_breaks(rig: ChaosRig, leg: str) -> None:
    """A connection that ends inside an answer, with or without its close_notify."""
    faults = [f"{kind}={rig.rng.randrange(900)}" for kind in ("reset", "close") for _ in range(12)] + ["garbage"]
    asks = [rig.ask("secure", stream=rig.rng.random() < 0.5, faults={leg: fault}) for fault in faults]
    half = len(asks) // 2
    told = await rig.tell_secure(*asks[:half]) + await rig.tell_http2(*asks[half:], secure=True)
    if leg != "primary":
        assert {each.ended for each in told} == {Ended.WHOLE}
    await rig.books.balance()


async def test_streams_that_do_not_end(rig: ChaosRig) -> None:
    """Silence on a stream is its own: the connection goes on with others, and the timeout gives everything back."""
    faults = ["hang=0", "hang=30", "hang=400", "deaf"] * 3
    hanging = asyncio.create_task(rig.tell_http2(*(rig.ask("hasty", faults={"primary": fault}) for fault in faults)))
    assert {each.ended for each in await everybody(rig, "http2", 10)} == {Ended.WHOLE}
    assert not {Ended.WHOLE, Ended.LEFT} & {each.ended for each in await hanging if "deaf" not in str(each.ask.faults)}
    await rig.books.balance()


async def test_a_server_that_dies_under_a_hundred_streams(rig: ChaosRig) -> None:
    """Every one of them is told, each once, and the next request has a new connection."""
    server = server_of(rig)
    for end in (server.die, server.hang_up):
        asks = [rig.ask("http2", stream=True, faults={"primary": "hang=300"}) for _ in range(100)]
        load = asyncio.create_task(rig.tell_http2(*asks, connections=2))
        await until(lambda asks=asks: all(server.seen[each.id, "primary"] for each in asks))  # type: ignore[misc]
        end()
        if end == server.hang_up:
            await asyncio.wait([load], timeout=0.5)
            assert not load.done()  # a GOAWAY lets them end; they hang, until their connection does
            server.die()
        assert {each.ended for each in await load} <= {Ended.CUT, Ended.REFUSED}
        assert {each.ended for each in await everybody(rig, "http2", 4)} == {Ended.WHOLE}
    await rig.books.balance()


async def test_clients_that_leave_their_streams(rig: ChaosRig) -> None:
    """At every stage, many at a time; the others on their connection are whole."""

    async def one(route: str, *, secure: bool) -> None:
        async with await rig.connect_http2(secure=secure) as client:
            for _ in range(10):
                leavers = [leave(client, rig.ask(route, stream=True, words=40), when, rig.rng) for when in Leaving]
                rig.books.note(*await asyncio.gather(*leavers))
        await asyncio.sleep(0)

    stayers = asyncio.create_task(everybody(rig, "http2", 20))
    await asyncio.gather(*(one(route, secure=secure) for route in ("calm", "http2") for secure in (False, True)))
    assert [each for each in await stayers if each.ended is not Ended.WHOLE] == []
    await rig.books.balance()


async def test_connections_that_leave_with_their_streams(rig: ChaosRig) -> None:
    """A reset of the connection under fifty requests gives fifty places back."""
    for route in ("calm", "http2"):
        asks = [rig.ask(route, stream=True, faults={"primary": "hang=300"}) for _ in range(50)]
        async with await rig.connect_http2() as client:
            for question in asks:
                fields = [*question.fields(), ("content-type", "application/json")]
                client.begin("POST", CHAT, authority=question.host, headers=fields, body=question.body())
                rig.books.note(Told(question, Ended.LEFT))
            await until(lambda asks=asks: all(rig.seen(each.id) for each in asks))  # type: ignore[misc]
        await rig.books.balance()


async def test_a_rapid_reset_under_load(rig: ChaosRig) -> None:
    """Thousands of requests that are given up at once: their connection ends, and nobody else's."""
    stayers = asyncio.create_task(everybody(rig, "http2", 30))
    async with await rig.connect_http2() as client:
        asked = 0
        with contextlib.suppress(ConnectionError):
            while not client.closed and asked < 20_000:
                for _ in range(50):
                    question = rig.ask("http2")
                    rig.books.note(await leave(client, question, Leaving.AT_ONCE, rig.rng))
                    asked += 1
                await asyncio.sleep(0)
        await client.until_closed()
        assert client.goaway == 11  # ENHANCE_YOUR_CALM
        assert 500 <= asked < 20_000
    assert {each.ended for each in await stayers} == {Ended.WHOLE}
    await rig.books.balance()


async def test_servers_whose_handshake_is_none(rig: ChaosRig) -> None:
    """What does not speak TLS, and what never answers, is 503 in time; no connection of it is left."""
    asks = [rig.ask(route) for route in ("babbling", "silent") for _ in range(20)]
    told = await rig.tell(*asks)
    assert [each.status for each in told] == [503] * len(asks)
    assert {each.ended for each in await everybody(rig, "secure", 4)} == {Ended.WHOLE}
    await rig.books.balance()


async def test_clients_whose_handshake_is_none(rig: ChaosRig) -> None:
    """Silence, garbage, half a ClientHello and a reset: others' handshakes go on, and nothing of these is left."""
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)
    sent = [b"", b"GET / HTTP/1.1\r\n\r\n", hello, b"\x00" * 500, b"\x15\x03\x01\x00\x02\x02\x28"]
    strangers = [await asyncio.open_connection("127.0.0.1", rig.secure_port) for _ in sent * 10]
    for (_, writer), data in zip(strangers, sent * 10, strict=True):
        writer.write(data)
    assert {each.ended for each in await everybody(rig, "calm", 10)} == {Ended.WHOLE}
    for _, writer in strangers:
        writer.transport.abort()
    await rig.books.balance()
