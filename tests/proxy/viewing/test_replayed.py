"""Client replay through the data plane: routed and limited as every request, and never harmful."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http
from mitmproxy.addons import clientplayback
from mitmproxy.test import taddons, tflow

from mirrorgate.admission.failure_breaker import State, Trigger
from mirrorgate.proxy.messages.heads import Malformed
from mirrorgate.proxy.mitm import take_client_replay
from mirrorgate.proxy.viewing.flow_pairs import ENDPOINT, LEG
from mirrorgate.proxy.viewing.replayed import Replays, _inbound
from mirrorgate.testing.backends import answering, response_bytes

EVENTS = b"data: one\n\ndata: two\n\n"


class Watcher:
    """Notes the hooks of flows."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None]] = []

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        self.seen.append(("requestheaders", flow.is_replay))

    def request(self, flow: http.HTTPFlow) -> None:
        self.seen.append(("request", flow.is_replay))

    def response(self, flow: http.HTTPFlow) -> None:
        self.seen.append(("response", flow.is_replay))

    def error(self, flow: http.HTTPFlow) -> None:
        self.seen.append(("error", flow.is_replay))

    def client_connected(self, client: object) -> None:
        self.seen.append(("client_connected", None))


def recorded(body: bytes = b"{}", *fields: tuple[bytes, bytes], path: str = "/v1/chat/completions") -> http.HTTPFlow:
    """Return a flow as one read from a file: answered long ago."""
    flow = tflow.tflow(resp=True)
    flow.live = False
    flow.request = http.Request.make("POST", f"http://chat.test{path}", body, ((b"host", b"chat.test"), *fields))
    return flow


async def test_a_replay_is_carried_as_a_request(run: Any) -> None:
    """The hooks hear it as a replay, the upstream gets it, and the new answer is in the flow."""
    watcher = Watcher()
    running = await run(answering(response_bytes(200, b"again")), watcher)
    flow = recorded(b'{"model": "m"}', (b"transfer-encoding", b"chunked"))
    flow.metadata["mirrorgate.refused"] = "pending_overflow"
    await Replays(running.gateway.plane).replay(flow)
    assert flow.response is not None
    assert flow.response.content == b"again"
    assert (flow.is_replay, flow.live, flow.error) == ("request", False, None)
    assert "mirrorgate.refused" not in flow.metadata
    assert watcher.seen == [(name, "request") for name in ("requestheaders", "request", "response")]
    done = await running.done()
    assert (done.status, done.id) == (200, flow.id)
    [got] = running.backend.requests
    assert (got.body, got.header("content-length"), got.header("transfer-encoding")) == (b'{"model": "m"}', "14", None)


async def test_a_streamed_answer_is_kept(run: Any) -> None:
    """Whoever replays wants to see the answer, though a client's would only stream."""
    answer = response_bytes(200, EVENTS, ("content-type", "text/event-stream"), chunked=True)
    running = await run(answering(answer))
    flow = recorded()
    await Replays(running.gateway.plane).replay(flow)
    assert flow.response is not None
    assert flow.response.raw_content == EVENTS
    await running.done()


async def test_a_leg_goes_to_its_own_endpoint(run: Any) -> None:
    """A candidate's flow is sent to the candidate, whatever the routes say."""
    running = await run(answering(response_bytes()), rule="matches: [{path: {value: /elsewhere}}]")
    flow = recorded()
    flow.metadata |= {LEG: "candidate", ENDPOINT: f"127.0.0.1:{running.backend.port}"}
    await Replays(running.gateway.plane).replay(flow)
    assert flow.response is not None
    assert flow.response.status_code == 200
    assert (await running.done()).cluster.startswith("direct/")


async def test_an_open_breaker_refuses_replays_too(run: Any) -> None:
    """The limits hold for everybody; the flow shows the refusal with the counts."""
    running = await run(answering(response_bytes()))
    plane = running.gateway.plane
    plane.director.health.force("httproute/default/route/rule/0", Trigger.FORCE_OPEN)
    flow = recorded()
    await Replays(plane).replay(flow)
    assert flow.response is not None
    assert flow.response.status_code == 503
    assert flow.metadata["mirrorgate.refused"] == "forced_open"
    assert "parallel 0/1024" in flow.comment
    assert (await running.done()).refusal == "forced_open"
    assert not running.backend.requests


async def test_a_reload_that_drops_the_cluster_forgets_its_open_breaker(run: Any, manifests: Any) -> None:
    """A cluster of the same name that comes back later starts closed."""
    running = await run(answering(response_bytes()))
    plane = running.gateway.plane
    plane.director.health.force("httproute/default/route/rule/0", Trigger.FORCE_OPEN)
    plane.adopt(plane.director.snapshot)
    cluster = "httproute/default/route/rule/0"
    assert plane.director.health.forced(cluster) is State.FORCED_OPEN
    plane.adopt(manifests.snapshot())
    assert plane.director.health.forced(cluster) is None


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("malformed", lambda flow: flow.request.headers.add("x", "a\r\nhost: other")),
        ("malformed", lambda flow: flow.request.headers.add("x\r\ny", "a")),
        ("malformed", lambda flow: setattr(flow.request.data, "path", b"/a b HTTP/1.1\r\nx: y")),
        ("malformed", lambda flow: setattr(flow.request.data, "method", b"GET / HTTP/1.1\r\n")),
        ("more than one Host", lambda flow: flow.request.headers.add("host", "b.test")),
        ("not kept", lambda flow: setattr(flow.request.data, "content", None)),
        ("CONNECT", lambda flow: setattr(flow.request, "method", "CONNECT")),
        ("not known", lambda flow: flow.metadata.update({LEG: "candidate", ENDPOINT: "nowhere"})),
    ],
)
async def test_what_no_client_could_send_ends_with_an_error(run: Any, name: str, change: Any) -> None:
    """An editor or a file may put anything into a flow; nothing of it reaches an upstream."""
    watcher = Watcher()
    running = await run(answering(response_bytes()), watcher)
    flow = recorded()
    change(flow)
    await Replays(running.gateway.plane).replay(flow)
    assert flow.error is not None
    assert flow.error.msg.startswith("cannot be replayed: ")
    assert name in flow.error.msg
    assert [each for each, _ in watcher.seen] == ["error"]
    assert not running.backend.requests


async def test_a_replay_ends_when_the_gateway_does(run: Any) -> None:
    """Closing hangs up on the upstream, and whoever awaits the replay goes on."""
    arrived = asyncio.Event()

    async def hang(conversation: Any) -> None:
        await conversation.request()
        arrived.set()
        await asyncio.sleep(60)

    running = await run(hang)
    flow = recorded()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(Replays(running.gateway.plane).replay(flow), name="replay")
        await arrived.wait()
        for client in list(running.gateway.plane.connections):
            client.abort()
    assert flow.error is not None
    assert (await running.done()).refusal == "client_left"


async def test_mitmproxys_playback_asks_us() -> None:
    """The contract with mitmproxy: the playback task makes a handler of a flow and the options, and awaits `replay`."""
    replayed: list[http.HTTPFlow] = []

    async def replay(flow: http.HTTPFlow) -> None:
        replayed.append(flow)

    stock = clientplayback.ReplayHandler
    undo = take_client_replay(replay)
    try:
        addon = clientplayback.ClientPlayback()
        addon.options = None  # type: ignore[assignment]
        task = asyncio.get_running_loop().create_task(addon.playback(), name="playback")
        flow = recorded()
        with taddons.context(addon):
            addon.start_replay([flow])
            async with asyncio.timeout(5):
                await addon.queue.join()
        task.cancel()
        assert replayed == [flow]
        assert flow.is_replay == "request"
    finally:
        undo()
    assert clientplayback.ReplayHandler is stock


@given(
    st.binary(max_size=20),
    st.binary(max_size=30),
    st.lists(st.tuples(st.binary(max_size=10), st.binary(max_size=10)), max_size=4),
)
def test_any_flow_is_a_request_or_malformed(method: bytes, path: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    """Whatever it holds; what passes has no byte that would end a line."""
    flow = recorded(b"body")
    flow.request.data.method, flow.request.data.path = method, path
    flow.request.headers = http.Headers(fields)
    try:
        inbound = _inbound(flow)
    except Malformed:
        return
    head = inbound.head
    wire = b"".join((head.method, head.path, *(part for field in head.fields for part in field)))
    assert not {0, 10, 13} & set(wire)
    assert head.content_length == 4
