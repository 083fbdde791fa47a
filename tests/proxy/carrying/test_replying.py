"""The gateway's own answers: how addons see them, may change or kill them, and how they leave the connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mitmproxy import http

from mirrorgate.testing.backends import answering, response_bytes
from mirrorgate.testing.clients import request_bytes
from mirrorgate.testing.in_loop import until

OK = answering(response_bytes(body=b"ok"))
NOWHERE = "matches: [{path: {value: /only}}]"
OVERFLOW = "circuitBreaker: {maxPendingRequests: 0}"


class Sees:
    """Notes the hooks, and may wait, change or kill."""

    def __init__(self, what: str = "") -> None:
        self.what = what
        self.seen: list[str] = []
        self.flows: list[http.HTTPFlow] = []
        self.go = asyncio.Event()

    def request(self, flow: http.HTTPFlow) -> None:
        self.seen.append("request")

    async def responseheaders(self, flow: http.HTTPFlow) -> None:
        self.seen.append("responseheaders")
        if self.what == "waits":
            await self.go.wait()
        elif self.what == "kills the head":
            flow.kill()

    def response(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        self.seen.append("response")
        self.flows.append(flow)
        if self.what == "kills":
            flow.kill()
        elif self.what == "changes":
            flow.response.status_code = 429
            flow.response.content = b"slower, please"
            flow.response.headers["retry-after"] = "1"

    def error(self, flow: http.HTTPFlow) -> None:
        self.seen.append("error")


@pytest.mark.parametrize(("rule", "policy", "status"), [(NOWHERE, "", 404), ("", OVERFLOW, 503)])
async def test_addons_see_refusals_as_responses(run: Any, rule: str, policy: str, status: int) -> None:
    """As if one of them had set it, with a mark and a comment for the web view."""
    sees = Sees()
    running = await run(OK, sees, rule=rule, policy=policy)
    answer = await (await running.client()).request("POST", "/", body=b"x")
    assert answer.status == status
    assert sees.seen == ["request", "responseheaders", "response"]
    [flow] = sees.flows
    assert flow.marked == ":no_entry:"
    assert flow.comment.startswith(f"{status} {'NR' if status == 404 else 'UO'} ")
    assert flow.metadata["mirrorgate.refused"] == ("no_route" if status == 404 else "pending_overflow")
    assert flow.response is not None
    assert flow.response.timestamp_start
    assert flow.response.timestamp_end


async def test_addons_change_refusals(run: Any) -> None:
    """Status, fields and body; the connection is kept."""
    running = await run(OK, Sees("changes"), policy=OVERFLOW)
    client = await running.client()
    for _ in range(2):
        answer = await client.request("GET", "/")
        assert (answer.status, answer.body, answer.head.header("retry-after")) == (429, b"slower, please", "1")
        assert answer.head.header("content-length") == "14"
    assert (await running.done(2)).status == 429


@pytest.mark.parametrize(
    ("what", "seen"),
    [
        ("kills the head", ["request", "responseheaders", "error"]),
        ("kills", ["request", "responseheaders", "response"]),
    ],
)
async def test_addons_kill_refusals(run: Any, what: str, seen: list[str]) -> None:
    """The client gets nothing; addons hear of one end."""
    sees = Sees(what)
    running = await run(OK, sees, policy=OVERFLOW)
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    assert await client.read() == b""
    assert sees.seen == seen
    assert (await running.done()).status == 0


async def test_a_client_leaves_while_its_refusal_waits(run: Any) -> None:
    """It holds nothing meanwhile, and addons hear of an error in place of a response."""
    sees = Sees("waits")
    running = await run(OK, sees, policy=OVERFLOW)
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    await until(lambda: "responseheaders" in sees.seen)
    assert not any(pool.cluster.active for pool in running.gateway.plane.pools.values())
    client.abort()
    await until(lambda: not running.gateway.plane.connections)
    sees.go.set()
    done = await running.done()
    assert (done.status, done.flag) == (0, "UO")
    assert sees.seen == ["request", "responseheaders", "error"]


async def test_redirects_name_the_place(run: Any) -> None:
    """And have no body."""
    redirect = "filters: [{type: RequestRedirect, requestRedirect: {hostname: other, statusCode: 301}}]"
    running = await run(OK, rule=redirect)
    client = await running.client()
    answer = await client.request("GET", "/a?b")
    assert (answer.status, answer.head.header("location"), answer.body) == (301, "http://other/a?b", b"")
    assert (await running.done()).refusal == "redirect"


async def test_head_gets_the_fields_of_a_reply_alone(run: Any) -> None:
    """With the length that the body would have."""
    running = await run(OK, policy=OVERFLOW)
    client = await running.client()
    for _ in range(2):
        answer = await client.request("HEAD", "/")
        assert (answer.status, answer.head.header("content-length"), answer.body) == (503, "81", b"")


async def test_old_clients_keep_their_connection_when_they_ask(run: Any) -> None:
    """HTTP/1.0 says so in each answer."""
    running = await run(OK, policy=OVERFLOW)
    client = await running.client()
    for _ in range(2):
        answer = await client.request("GET", "/", [("connection", "keep-alive")], version="1.0")
        assert answer.head.header("connection") == "keep-alive"
    assert (await client.request("GET", "/", version="1.0")).head.header("connection") == "close"
    assert await client.closed()


async def test_errors_on_inference_paths_have_the_apis_shape(run: Any) -> None:
    """A bug, too; the overflow's text is a contract everywhere."""
    running = await run(OK, pool=True, policy=OVERFLOW)
    client = await running.client()
    answer = await client.request("POST", "/v1/completions", body={"model": "m", "prompt": "x"})
    assert (answer.status, answer.head.header("content-type")) == (503, "text/plain")
    answer = await client.request("POST", "/v1/completions", body=b"[]")
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_large_bodies_are_sent_whole(run: Any) -> None:
    """In one write or in two, with a length."""
    running = await run(answering(lambda request: response_bytes(body=b"%d" % len(request.body))))
    client = await running.client()
    for size in (1, 65_536, 65_537, 500_000):
        answer = await client.request("POST", "/", body=b"x" * size)
        assert answer.body == b"%d" % size
        assert running.backend.requests[-1].header("content-length") == str(size)


async def test_a_script_may_read_why_it_was_refused(run: Any) -> None:
    """An answer of the gateway's own has the fields of the rule's CORS filter, as Envoy's has (measured)."""
    cors = 'filters: [{type: CORS, cors: {allowOrigins: ["https://a.com"], exposeHeaders: [x-why]}}]'
    running = await run(OK, rule=cors, policy="circuitBreaker: {maxPendingRequests: 0}")
    client = await running.client()
    answer = await client.request("GET", "/", [("origin", "https://a.com")])
    assert answer.status == 503
    assert answer.head.header("access-control-allow-origin") == "https://a.com"
    assert answer.head.header("access-control-expose-headers") == "x-why"
    other = await client.request("GET", "/", [("origin", "https://b.com")])
    assert other.status == 503
    assert other.head.header("access-control-allow-origin") is None
