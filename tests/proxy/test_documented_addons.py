"""Addons of the kinds that mitmproxy's documentation shows, under our mode; and what the flow file then holds."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

from mitmproxy import ctx, flowfilter, http, io
from mitmproxy.addons import blocklist, maplocal, modifybody, modifyheaders, save, stickycookie
from mitmproxy.proxy import mode_specs

from mirrorgate.testing.backends import Conversation, Received, answering, response_bytes
from mirrorgate.testing.clients import request_bytes
from mirrorgate.testing.in_loop import until


def echo(request: Received) -> bytes:
    """Answer with what came."""
    said = {"method": request.method, "target": request.target, "body": request.body.decode()}
    said["headers"] = dict(request.headers)  # type: ignore[assignment]
    return response_bytes(200, json.dumps(said).encode(), ("content-type", "application/json"))


ECHO = answering(echo)


class AddHeader:
    """Counts answers in a header of each."""

    def __init__(self) -> None:
        self.count = 0

    def response(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        self.count += 1
        flow.response.headers["count"] = str(self.count)


async def test_a_counter_counts_every_answer_once(run: Any) -> None:
    """Refusals included, whichever client asks."""
    running = await run(ECHO, AddHeader(), rule="matches: [{path: {value: /only}}]")
    clients = [await running.client() for _ in range(3)]
    counts = []
    for number in range(9):
        answer = await clients[number % 3].request("GET", "/only" if number % 2 else "/other")
        counts.append(answer.head.header("count"))
    assert counts == [str(number) for number in range(1, 10)]


class ModifyForm:
    """Changes a form, a query and a JSON body."""

    def request(self, flow: http.HTTPFlow) -> None:
        if flow.request.urlencoded_form:
            flow.request.urlencoded_form["mitmproxy"] = "rocks"
        elif flow.request.headers.get("content-type") == "application/json":
            sent = flow.request.json()
            sent["temperature"] = 0
            flow.request.text = json.dumps(sent)
        else:
            flow.request.query["mitmproxy"] = "rocks"


async def test_bodies_and_queries_are_modified(run: Any) -> None:
    """And arrive with the right length."""
    running = await run(ECHO, ModifyForm())
    client = await running.client()
    form = [("content-type", "application/x-www-form-urlencoded")]
    assert (await client.request("POST", "/", form, b"a=b")).json()["body"] == "a=b&mitmproxy=rocks"
    assert json.loads((await client.request("POST", "/", body={"model": "m"})).json()["body"]) == {
        "model": "m",
        "temperature": 0,
    }
    assert (await client.request("GET", "/x?a=b")).json()["target"] == "/x?a=b&mitmproxy=rocks"


class SendReply:
    """Answers one path from the script."""

    def request(self, flow: http.HTTPFlow) -> None:
        if flow.request.pretty_url == "http://example.com/path":
            flow.response = http.Response.make(200, b"Hello World", {"Content-Type": "text/html"})


async def test_a_script_replies(run: Any) -> None:
    """By the URL that mitmproxy makes of the request."""
    running = await run(ECHO, SendReply())
    client = await running.client()
    assert (await client.request("GET", "/path", [("host", "example.com")])).body == b"Hello World"
    assert (await client.request("GET", "/path", [("host", "example.org")])).json()["target"] == "/path"


class InternetInMirror:
    """Turns pages around, streamed or not."""

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        flow.response.headers["x-mirror"] = "1"

    def response(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        if flow.response.raw_content is not None:
            flow.response.text = (flow.response.text or "")[::-1]


async def test_answers_are_turned_around(run: Any) -> None:
    """Decoded and encoded again as mitmproxy does for addons."""

    body = gzip.compress(b"hello")
    running = await run(answering(response_bytes(200, body, ("content-encoding", "gzip"))), InternetInMirror())
    answer = await (await running.client()).request("GET", "/")
    assert (gzip.decompress(answer.body), answer.head.header("x-mirror")) == (b"olleh", "1")


class StreamModify:
    """Changes a stream on its way."""

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        flow.response.stream = lambda data: data.replace(b"foo", b"bar")


async def test_a_stream_is_modified(run: Any) -> None:
    """Piece by piece."""

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        for piece in (b"data: foo\n\n", b"data: nothing\n\n", b"data: foofoo\n\n"):
            await talk.say(piece)

    running = await run(script, StreamModify())
    answer = await (await running.client()).request("GET", "/")
    assert answer.body == b"data: bar\n\ndata: nothing\n\ndata: barbar\n\n"


class NonBlocking:
    """Waits in a hook."""

    def __init__(self) -> None:
        self.waiting = 0
        self.go = asyncio.Event()

    async def request(self, flow: http.HTTPFlow) -> None:
        self.waiting += 1
        await self.go.wait()


async def test_waiting_hooks_do_not_block_each_other(run: Any) -> None:
    """Every client's request waits at the same time."""
    addon = NonBlocking()
    running = await run(ECHO, addon)
    clients = [await running.client() for _ in range(5)]
    for client in clients:
        await client.send(request_bytes("GET", "/"))
    await until(lambda: addon.waiting == 5)
    addon.go.set()
    for client in clients:
        assert (await client.answer()).status == 200


async def test_addons_of_mitmproxy_work(run: Any, tmp_path: Path) -> None:
    """Its own: headers and bodies by pattern, a local file for a path, and a list of what is not let in."""
    (tmp_path / "file.txt").write_text("local")
    running = await run(
        ECHO,
        modifyheaders.ModifyHeaders(),
        modifybody.ModifyBody(),
        maplocal.MapLocal(),
        blocklist.BlockList(),
        stickycookie.StickyCookie(),
    )
    running.gateway.context.options.update(
        modify_headers=["/~q/x-added/1"],
        modify_body=["|~s|application|changed"],
        map_local=[f"|example.com/local|{tmp_path / 'file.txt'}"],
        block_list=["|~u /blocked|444", "|~u /forbidden|403"],
    )
    client = await running.client()
    answer = await client.request("GET", "/", [("host", "example.com")])
    assert answer.json()["headers"]["x-added"] == "1"
    assert (await client.request("GET", "/local", [("host", "example.com")])).body == b"local"
    assert (await client.request("GET", "/forbidden")).status == 403
    await client.send(request_bytes("GET", "/blocked"))
    assert await client.read() == b""


async def test_filters_find_the_gateways_flows(run: Any) -> None:
    """By URL, status, method, metadata and mark."""
    flows: list[http.HTTPFlow] = []

    class Keep:
        def response(self, flow: http.HTTPFlow) -> None:
            flows.append(flow)

    running = await run(ECHO, Keep(), policy="circuitBreaker: {maxPendingRequests: 0}")
    await (await running.client()).request("GET", "/path")
    for wanted in ("~u /path", "~c 503", "~m GET", "~marked", "~meta pending_overflow", "~comment UO", "~b overflow"):
        assert flowfilter.match(wanted, flows[0]), wanted


async def test_flow_files_open_in_any_mitmproxy(run: Any, tmp_path: Path) -> None:
    """Every kind of end is saved, with stock modes and metadata that the format can hold."""

    async def script(talk: Conversation) -> None:
        while True:
            request = await talk.request()
            if request.target == "/broken":
                return
            await talk.answer(200, request.body)

    path = tmp_path / "flows"
    running = await run(script, save.Save(), policy="circuitBreaker: {maxParallelRequests: 1}")
    ctx.options.update(save_stream_file=str(path))
    client = await running.client()
    assert (await client.request("POST", "/ok", body=b"body")).status == 200
    assert (await client.request("GET", "/broken")).status == 503
    ctx.options.update(save_stream_file=None)
    with path.open("rb") as file:
        first, second = list(io.FlowReader(file).stream())
    assert isinstance(first, http.HTTPFlow)
    assert isinstance(second, http.HTTPFlow)
    assert first.response is not None
    assert (first.request.path, first.request.content, first.response.content) == ("/ok", b"body", b"body")
    assert isinstance(first.client_conn.proxy_mode, mode_specs.ReverseMode)
    assert first.metadata["mirrorgate.route"] == "default/route"
    assert first.server_conn.peername == ("127.0.0.1", running.backend.port)
    assert second.response is None
    assert second.error is not None
    assert second.metadata["mirrorgate.refused"] == "upstream_closed"
