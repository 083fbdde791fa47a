"""What is handed to the shadow process, when, and what is told of it; and that production never feels it."""

from __future__ import annotations

from typing import Any

import pytest
from mitmproxy import http

from mirrorgate.admission.overload import Overload
from mirrorgate.events import MirrorDropped, MirrorDropReason, MirrorSent
from mirrorgate.proxy.carrying.mirroring import Mirroring, room_for
from mirrorgate.proxy.dataplane import Settings
from mirrorgate.proxy.downstream.shedding import Shedding
from mirrorgate.records import (
    ExchangeFinished,
    ExchangeStarted,
    Leg,
    LegFinished,
    RequestAborted,
    RequestChunk,
    RequestEnd,
    ToShadow,
)
from mirrorgate.shadow.handle import Handle
from mirrorgate.testing.backends import Conversation, answering, response_bytes
from mirrorgate.testing.clients import request_bytes
from mirrorgate.testing.in_loop import until

OK = answering(response_bytes(200, b"answer", ("x-kept", "1"), ("set-cookie", "secret")))
MIRROR = (
    "filters: [{type: RequestMirror, requestMirror: {backendRef: "
    "{group: gateway.envoyproxy.io, kind: Backend, name: candidate}}}]"
)


class Channel:
    """Stands where the channel to the shadow process stands: keeps the frames."""

    def __init__(self) -> None:
        self.frames: list[ToShadow] = []
        self.reason: MirrorDropReason | None = None
        self.broken = False

    def open(self, started: ExchangeStarted) -> Handle | MirrorDropReason:
        """Take an exchange, or refuse it."""
        if self.broken:
            raise RuntimeError("a bug of the channel's")
        if self.reason is not None:
            return self.reason
        self.frames.append(started)
        return Handle(started.id, started.reserved + 4096, started.body is None, self)

    def send(self, frame: ToShadow) -> bool:
        """Take a frame."""
        self.frames.append(frame)
        return True

    def settle(self, handle: Handle, frame: ToShadow, *, truncated: bool = False) -> None:
        """Take the last frame of an exchange."""
        self.frames.append(frame)

    def overrun(self) -> None:
        """Count nothing."""


class Mirrored:
    """A gateway that mirrors into a channel that keeps everything."""

    def __init__(self, running: Any) -> None:
        self.running = running
        self.channel = Channel()
        plane = running.gateway.plane
        self.mirroring = plane.mirroring = Mirroring(self.channel, plane.director, plane.emit)  # type: ignore[arg-type]

    @property
    def kinds(self) -> list[type]:
        """The kinds of the frames."""
        return [type(frame) for frame in self.channel.frames]

    @property
    def told(self) -> list[Any]:
        """What was told of mirrors."""
        return [event for event in self.running.gateway.events if isinstance(event, MirrorSent | MirrorDropped)]

    @property
    def finished(self) -> ExchangeFinished:
        """The frame with the primary's answer."""
        [frame] = [frame for frame in self.channel.frames if isinstance(frame, ExchangeFinished)]
        return frame

    @property
    def started(self) -> ExchangeStarted:
        """The frame with the request."""
        frame = self.channel.frames[0]
        assert isinstance(frame, ExchangeStarted)
        return frame

    def end_legs(self) -> None:
        """Let every leg end, as the shadow process would tell."""
        for target in self.started.targets:
            self.mirroring.received(
                LegFinished(self.started.id, target.leg, target.cluster, "", "complete", 200, 0, 0.0, None, None, None)
            )


async def start(run: Any, manifests: Any, *addons: object, script: Any = OK, **more: Any) -> Mirrored:
    """Start a gateway whose only rule mirrors."""
    return Mirrored(await run(script, *addons, rule=MIRROR, texts=(manifests.server("candidate", 9),), **more))


async def test_an_admitted_request_is_handed_off_with_its_answer(run: Any, manifests: Any) -> None:
    """The fields that the primary got, without credentials; the answer with the times of its pieces."""
    mirrored = await start(run, manifests)
    client = await mirrored.running.client()
    fields = [("authorization", "Bearer secret"), ("x-client", "1"), ("cookie", "secret")]
    await client.request("POST", "/a?b", fields, b"body")
    done = await mirrored.running.done()
    assert done.mirrored == 1
    assert mirrored.kinds == [ExchangeStarted, ExchangeFinished]
    started = mirrored.started
    assert (started.id, started.method, started.path, started.host, started.body) == (
        done.id,
        "POST",
        "/a?b",
        "test",
        b"body",
    )
    assert (started.cluster, started.endpoint, started.route) == (done.cluster, done.endpoint, "default/route")
    names = [name for name, _ in started.headers]
    assert b"x-client" in names
    assert b"x-request-id" in names
    assert not {b"authorization", b"cookie"} & set(names)
    [target] = started.targets
    assert (target.leg, target.host, target.port, target.ref) == (
        Leg.CANDIDATE,
        "127.0.0.1",
        9,
        "Backend default/candidate",
    )
    assert not {b"authorization", b"cookie", b"content-length"} & {name.lower() for name, _ in target.head}
    finished = mirrored.finished
    assert (finished.outcome, finished.status, finished.flag, finished.chunks) == ("complete", 200, "-", [b"answer"])
    assert (b"x-kept", b"1") in finished.headers
    assert b"set-cookie" not in [name for name, _ in finished.headers]
    assert len(finished.times) == 1
    assert 0 <= finished.upstream_started <= finished.head_at <= finished.times[0] <= finished.finished
    assert mirrored.told == [MirrorSent(done.id, target.cluster, "127.0.0.1:9")]
    assert mirrored.mirroring.under_way == 1
    assert list(mirrored.running.gateway.plane.director.in_flight._endpoints) == ["127.0.0.1:9"]
    mirrored.end_legs()
    assert mirrored.mirroring.under_way == 0


async def test_a_mirror_is_of_what_addons_made_of_the_request(run: Any, manifests: Any) -> None:
    """Method, target, fields and body as the primary gets them."""

    class Edit:
        def request(self, flow: http.HTTPFlow) -> None:
            flow.request.method = "PUT"
            flow.request.path = "/changed"
            flow.request.content = b"changed"
            flow.request.headers["x-added"] = "1"

    mirrored = await start(run, manifests, Edit())
    await (await mirrored.running.client()).request("POST", "/", body=b"body")
    await mirrored.running.done()
    started = mirrored.started
    assert (started.method, started.path, started.body) == ("PUT", "/changed", b"changed")
    assert (b"x-added", b"1") in started.headers
    mirrored.end_legs()


async def test_a_streamed_upload_is_mirrored_while_it_comes(run: Any, manifests: Any) -> None:
    """Piece by piece, and its end."""
    mirrored = await start(run, manifests, settings=Settings(stream_over=0))
    client = await mirrored.running.client()
    await client.send(request_bytes("POST", "/", [("content-length", "8")], b"ping"))
    await until(lambda: RequestChunk in mirrored.kinds)
    await client.send(b"pong")
    await client.answer()
    await mirrored.running.done()
    assert mirrored.started.body is None
    chunks = [frame.data for frame in mirrored.channel.frames if isinstance(frame, RequestChunk)]
    assert b"".join(chunks) == b"pingpong"
    assert mirrored.kinds[-2:] == [RequestEnd, ExchangeFinished]
    assert mirrored.finished.chunks == [b"answer"]
    mirrored.end_legs()


async def test_an_upload_that_is_cut_cuts_the_mirror(run: Any, manifests: Any) -> None:
    """Nobody compares half a question."""

    async def script(talk: Conversation) -> None:
        await talk.head()
        await talk.gone()

    mirrored = await start(run, manifests, script=script, settings=Settings(stream_over=0))
    client = await mirrored.running.client()
    await client.send(request_bytes("POST", "/", [("content-length", "8")], b"ping"))
    await until(lambda: RequestChunk in mirrored.kinds)
    client.abort()
    await mirrored.running.done()
    last = mirrored.channel.frames[-1]
    assert isinstance(last, RequestAborted)
    assert last.reason == "client_left"
    mirrored.end_legs()


@pytest.mark.parametrize(
    ("how", "outcome", "status", "flag"),
    [("leave", "client_left", 200, "DC"), ("cut", "cut", 200, "UPE"), ("nothing", "local_reply", 503, "UC")],
)
async def test_answers_that_are_none_are_told_as_such(
    run: Any, manifests: Any, how: str, outcome: str, status: int, flag: str
) -> None:
    """The comparison has to know that the primary was not heard out."""

    async def script(talk: Conversation) -> None:
        await talk.request()
        if how != "nothing":
            await talk.say(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99\r\n\r\ndata: 1\n\n"
            )
            if how == "leave":
                await talk.gone()

    mirrored = await start(run, manifests, script=script)
    client = await mirrored.running.client()
    await client.send(request_bytes("GET", "/"))
    await client.head()
    if how == "leave":
        client.abort()
    await mirrored.running.done()
    finished = mirrored.finished
    assert (finished.outcome, finished.status, finished.flag) == (outcome, status, flag)
    mirrored.end_legs()


async def test_an_answer_larger_than_its_room_is_cut(run: Any, manifests: Any) -> None:
    """And says so; the client gets all of it."""
    body = b"x" * 700_000
    mirrored = await start(
        run, manifests, script=answering(response_bytes(body=body)), settings=Settings(stream_over=1000)
    )
    answer = await (await mirrored.running.client()).request("GET", "/")
    assert answer.body == body
    await mirrored.running.done()
    assert mirrored.finished.truncated
    assert sum(map(len, mirrored.finished.chunks)) <= 256 * 1024
    mirrored.end_legs()


async def test_a_rejected_request_is_not_mirrored(run: Any, manifests: Any) -> None:
    """Whoever is refused by the breaker costs the candidate nothing; that is counted."""
    mirrored = await start(run, manifests, policy="circuitBreaker: {maxPendingRequests: 0}")
    await (await mirrored.running.client()).request("GET", "/")
    done = await mirrored.running.done()
    assert done.flag == "UO"
    assert mirrored.channel.frames == []
    [dropped] = mirrored.told
    assert (dropped.id, dropped.reason) == (done.id, MirrorDropReason.REJECTED)


async def test_what_is_refused_before_a_place_is_asked_for_is_not_mirrored(run: Any, manifests: Any) -> None:
    """An addon's own answer neither."""

    class Reply:
        def request(self, flow: http.HTTPFlow) -> None:
            flow.response = http.Response.make(200)

    mirrored = await start(run, manifests, Reply())
    await (await mirrored.running.client()).request("GET", "/")
    await mirrored.running.done()
    assert (mirrored.channel.frames, mirrored.told) == ([], [])


@pytest.mark.parametrize("reason", [MirrorDropReason.QUEUE_FULL, MirrorDropReason.PROCESS_DOWN])
async def test_a_channel_without_room_is_counted(run: Any, manifests: Any, reason: MirrorDropReason) -> None:
    """The primary goes on."""
    mirrored = await start(run, manifests)
    mirrored.channel.reason = reason
    assert (await (await mirrored.running.client()).request("GET", "/")).status == 200
    done = await mirrored.running.done()
    assert done.mirrored == 0
    assert [event.reason for event in mirrored.told] == [reason]
    assert mirrored.mirroring.under_way == 0


async def test_a_late_event_loop_drops_mirrors(run: Any, manifests: Any) -> None:
    """Before it refuses anything."""
    mirrored = await start(run, manifests)
    shedding = mirrored.mirroring.shedding = Shedding(mirrored.running.gateway.plane, Overload(0.1))
    for now in (1.0, 1.03, 1.06):
        shedding.observe(0.01, 0.0, now)
    assert (await (await mirrored.running.client()).request("GET", "/")).status == 200
    await mirrored.running.done()
    assert [event.reason for event in mirrored.told] == [MirrorDropReason.OVERLOAD]
    assert mirrored.channel.frames == []


async def test_a_bug_of_the_shadow_is_not_productions(run: Any, manifests: Any) -> None:
    """It is logged and counted, and the client has its answer."""
    mirrored = await start(run, manifests)
    mirrored.channel.broken = True
    assert (await (await mirrored.running.client()).request("GET", "/")).status == 200
    mirrored.running.gateway.bugs_expected = 1


@pytest.mark.parametrize(
    ("fields", "paused", "reason"),
    [
        ([], True, MirrorDropReason.PAUSED),
        ([("x-mirrorgate-leg", "candidate")], False, MirrorDropReason.ALREADY_SHADOW),
    ],
)
async def test_some_requests_are_not_mirrored(
    run: Any, manifests: Any, fields: list[tuple[str, str]], paused: bool, reason: MirrorDropReason
) -> None:
    """While mirroring is paused, and what a gateway before us has mirrored already."""
    mirrored = await start(run, manifests)
    mirrored.mirroring.paused = paused
    await (await mirrored.running.client()).request("GET", "/", fields)
    await mirrored.running.done()
    assert [event.reason for event in mirrored.told] == [reason]


async def test_legs_are_forgotten_with_the_process(run: Any, manifests: Any) -> None:
    """None is in flight any more, and what is told of them later does no harm."""
    mirrored = await start(run, manifests)
    await (await mirrored.running.client()).request("GET", "/")
    await mirrored.running.done()
    assert mirrored.mirroring.under_way == 1
    mirrored.mirroring.forget()
    assert mirrored.mirroring.under_way == 0
    mirrored.end_legs()


async def test_websockets_are_not_mirrored(run: Any, manifests: Any) -> None:
    """A tunnel has no question and no answer."""

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.say(b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")

    mirrored = await start(run, manifests, script=script)
    client = await mirrored.running.client()
    await client.send(request_bytes("GET", "/", [("connection", "upgrade"), ("upgrade", "websocket")]))
    assert (await client.head()).status == 101
    await mirrored.running.done()
    assert mirrored.channel.frames == []


@pytest.mark.parametrize(
    ("tokens", "choices", "room"),
    [(None, 1, 256 * 1024), (1, 1, 64 * 1024), (1000, 1, 400_000), (1000, 2, 800_000), (10**9, 1, 1024 * 1024)],
)
def test_room_comes_from_the_request_alone(tokens: int | None, choices: int, room: int) -> None:
    """So that what is dropped does not depend on the answer."""
    assert room_for(tokens, choices) == room
