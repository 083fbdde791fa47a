"""Traffic policies on real sockets. What is Envoy's was measured on Envoy 1.40 with Envoy Gateway's configuration."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from mitmproxy import http

from mirrorgate.proxy.dataplane import Settings
from mirrorgate.testing.backends import answering, response_bytes
from mirrorgate.testing.clients import Answer
from mirrorgate.testing.in_loop import until

OK = answering(response_bytes(200, b"ok"))
HOST = [("host", "a.example")]
JSON = [*HOST, ("content-type", "application/json")]


def limits(answer: Answer) -> list[str | None]:
    names = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
    return [answer.head.header(name) for name in names]


def local(*rules: str) -> str:
    return f"rateLimit: {{local: {{rules: [{', '.join(rules)}]}}}}"


def tokens(amount: int, key: str, cost: int = 0, more: str = "") -> str:
    metadata = f"{{namespace: io.envoy.ai_gateway, key: {key}}}"
    charged = f"{{request: {{from: Number, number: {cost}}}, response: {{from: Metadata, metadata: {metadata}}}}}"
    return f"rateLimit: {{global: {{rules: [{{limit: {{requests: {amount}, unit: Hour}}, cost: {charged}{more}}}]}}}}"


async def test_three_a_minute(run: Any) -> None:
    """Envoy's rows; the fourth is refused with Envoy's bytes and, of our own, Retry-After."""
    running = await run(OK, policy=local("{limit: {requests: 3, unit: Minute}}"))
    client = await running.client()
    answers = [await client.request("GET", "/", HOST) for _ in range(5)]
    assert [(answer.status, *limits(answer)) for answer in answers] == [
        (200, "3", "2", "0"),
        (200, "3", "1", "0"),
        (200, "3", "0", "20"),
        (429, "3", "0", "20"),
        (429, "3", "0", "20"),
    ]
    refused = answers[-1]
    assert [name for name, _ in refused.head.headers] == [
        "content-length",
        "content-type",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "retry-after",
        "date",
    ]
    assert (refused.body, refused.head.header("retry-after")) == (b"local_rate_limited", "20")
    done = await running.done(5)
    assert (done.status, done.flag, done.details, done.refusal) == (429, "RL", "local_rate_limited", "rate_limited")
    assert len(running.backend.requests) == 3


async def test_a_refused_request_with_a_body_ends_the_connection(run: Any) -> None:
    """As in Envoy: its body is not waited for."""
    running = await run(OK, policy=local("{limit: {requests: 0, unit: Minute}}"))
    client = await running.client()
    await client.send(b"POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 100000\r\n\r\n")
    answer = await client.answer()
    assert (answer.status, answer.head.header("connection")) == (429, "close")
    assert await client.closed()
    await running.done()


async def test_two_rules_and_a_default(run: Any) -> None:
    """The slower bucket is told; the one that is empty refuses, and the slower has been taken from by then (measured).

    A request that no rule selects takes from the default.
    """

    def rule(name: str, amount: str) -> str:
        return f"{{clientSelectors: [{{headers: [{{name: {name}, value: 'on'}}]}}], limit: {amount}}}"

    fast, slow = rule("x-u", "{requests: 2, unit: Minute}"), rule("x-t", "{requests: 4, unit: Hour}")
    running = await run(OK, policy=local(fast, slow, "{limit: {requests: 7, unit: Day}}"))
    client = await running.client()
    both = [*HOST, ("x-u", "on"), ("x-t", "on")]
    answers = [await client.request("GET", "/", both) for _ in range(3)]
    answers += [await client.request("GET", "/", [*HOST, ("x-t", "on")]) for _ in range(2)]
    answers.append(await client.request("GET", "/", HOST))
    assert [(answer.status, *limits(answer)) for answer in answers] == [
        (200, "4", "3", "0"),
        (200, "4", "2", "0"),
        (429, "2", "0", "30"),
        (200, "4", "0", "900"),
        (429, "4", "0", "900"),
        (200, "7", "6", "0"),
    ]


async def test_each_user_has_a_bucket(run: Any) -> None:
    """`Distinct`; who sends no user is under the default."""
    rule = "{clientSelectors: [{headers: [{name: x-user, type: Distinct}]}], limit: {requests: 1, unit: Hour}}"
    running = await run(OK, policy=local(rule))
    client = await running.client()
    users: list[str | None] = ["ann", "ann", "bob", None, None]
    statuses = []
    for user in users:
        fields = HOST if user is None else [*HOST, ("x-user", user)]
        answer = await client.request("GET", "/", fields)
        statuses.append((answer.status, limits(answer)[0]))
    assert statuses == [(200, "1"), (429, "1"), (200, "1"), (200, None), (200, None)]


async def test_shadow_mode_refuses_nothing(run: Any) -> None:
    """It is counted only; the headers tell what would have been."""
    rule = "{limit: {requests: 1, unit: Minute}, shadowMode: true}"
    running = await run(OK, policy=local(rule))
    client = await running.client()
    answers = [await client.request("GET", "/", HOST) for _ in range(2)]
    assert [(answer.status, *limits(answer)) for answer in answers] == [(200, "1", "0", "60")] * 2
    [(name, meter)] = running.gateway.plane.meters
    assert name == "default/policy/local/0 httproute/default/route/rule/0"
    assert (meter.under, meter.over) == (1, 1)


async def test_headers_can_be_off(run: Any) -> None:
    """Retry-After stays: it is about the answer that carries it."""
    running = await run(OK, policy=local("{limit: {requests: 1, unit: Minute}, xRateLimitHeaders: 'Off'}"))
    client = await running.client()
    answers = [await client.request("GET", "/", HOST) for _ in range(2)]
    assert [(answer.status, limits(answer)) for answer in answers] == [(200, [None] * 3), (429, [None] * 3)]
    assert answers[1].head.header("retry-after") == "60"


async def test_redirects_and_overflows_tell_the_limits_too(run: Any) -> None:
    """The filter sees every answer of a route (measured)."""
    redirect = (
        "filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /x}}}]"
    )
    one = "{limit: {requests: 1, unit: Minute}}"
    running = await run(OK, rule=redirect, policy=local(one))
    client = await running.client()
    answers = [await client.request("GET", "/", HOST) for _ in range(2)]
    assert [(answer.status, *limits(answer)) for answer in answers] == [(302, "1", "0", "60"), (429, "1", "0", "60")]
    full = await run(OK, policy=f"circuitBreaker: {{maxPendingRequests: 0}}, {local(one)}")
    client = await full.client()
    answers = [await client.request("GET", "/", HOST) for _ in range(2)]
    assert [(answer.status, *limits(answer)) for answer in answers] == [(503, "1", "0", "60"), (429, "1", "0", "60")]


async def test_an_addons_answer_takes_nothing(run: Any) -> None:
    """It is no work for the limits to guard."""

    class Answers:
        def requestheaders(self, flow: http.HTTPFlow) -> None:
            if flow.request.path == "/mine":
                flow.response = http.Response.make(200, b"mine")

    running = await run(OK, Answers(), policy=local("{limit: {requests: 1, unit: Minute}}"))
    client = await running.client()
    for _ in range(3):
        answer = await client.request("GET", "/mine", HOST)
        assert (answer.body, limits(answer)) == (b"mine", [None] * 3)
    assert [(await client.request("GET", "/", HOST)).status for _ in range(2)] == [200, 429]


async def test_an_addon_that_reroutes_meets_the_other_rules_limit(run: Any) -> None:
    """Each rule that a request is sent to is asked once; the last one's limits are told."""

    class Moves:
        def request(self, flow: http.HTTPFlow) -> None:
            flow.request.path = "/limited"

    running = await run(OK, Moves(), policy=local("{limit: {requests: 1, unit: Minute}}"))
    client = await running.client()
    assert [(await client.request("GET", "/free", HOST)).status for _ in range(2)] == [200, 429]


USAGE = {"prompt_tokens": 30, "completion_tokens": 70, "total_tokens": 100}


COMPLETION = response_bytes(
    200,
    json.dumps({"choices": [{"message": {"content": "x" * 40}}], "usage": USAGE}).encode(),
    ("content-type", "application/json"),
)


def left(answer: Answer) -> str | None:
    return answer.head.header("x-ratelimit-remaining-tokens")


@pytest.mark.parametrize(
    ("key", "remaining"), [("llm_total_token", "400"), ("llm_input_token", "470"), ("llm_output_token", "430")]
)
async def test_tokens_are_charged_after_the_answer(run: Any, key: str, remaining: str) -> None:
    """What the server reports, of the kind that is asked for; the next request is told."""
    running = await run(answering(COMPLETION), policy=tokens(500, key))
    client = await running.client()
    answers = [await client.request("POST", "/v1/chat/completions", JSON, b"{}") for _ in range(2)]
    assert [left(answer) for answer in answers] == ["500", remaining]
    assert answers[0].head.header("x-ratelimit-limit-tokens") == "500"
    assert answers[0].head.header("x-ratelimit-reset-tokens") == "0s"


async def test_spent_tokens_refuse_the_next_request(run: Any) -> None:
    """With 429 in the API's shape: how long to wait, and why. The debt has to be paid first."""
    running = await run(answering(COMPLETION), policy=tokens(60, "llm_total_token"))
    client = await running.client()
    assert (await client.request("POST", "/v1/chat/completions", JSON, b"{}")).status == 200
    refused = await client.request("POST", "/v1/chat/completions", JSON, b"{}")
    assert (refused.status, left(refused), refused.head.header("retry-after")) == (429, "0", "2460")
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert error["message"] == "Rate limit of 60 tokens in 3600 s reached; try again in 2460 s."
    done = await running.done(2)
    assert (done.flag, done.details, done.refusal) == ("RL", "token_rate_limited", "tokens_spent")
    plain = await client.request("GET", "/other", HOST)
    assert (plain.status, plain.head.header("content-type")) == (429, "text/plain")


def stream(events: int, *last: bytes) -> bytes:
    """Return a stream of so many events, and what follows them."""
    event = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
    return response_bytes(200, event * events + b"".join(last), ("content-type", "text/event-stream"), chunked=True)


@pytest.mark.parametrize(
    ("last", "remaining", "estimated"),
    [
        (
            (b'data: {"choices":[],"usage":{"prompt_tokens":30,"completion_tokens":70}}\n\n', b"data: [DONE]\n\n"),
            400,
            0,
        ),
        ((), 500 - 5 - 10, 15),
    ],
)
async def test_tokens_of_a_stream(run: Any, last: tuple[bytes, ...], remaining: int, estimated: int) -> None:
    """From its last events; a stream that reports nothing costs a token for each event and four bytes of the prompt."""
    running = await run(answering(stream(10, *last)), policy=tokens(500, "llm_total_token"))
    client = await running.client()
    body = b"{" + b" " * 18 + b"}"
    answers = [await client.request("POST", "/v1/chat/completions", JSON, body) for _ in range(2)]
    assert left(answers[1]) == str(remaining)
    [(_, meter)] = running.gateway.plane.meters
    await running.done(2)
    assert meter.estimated == 2 * estimated


async def test_errors_of_the_server_cost_nothing(run: Any) -> None:
    """No model has worked on them; but one that reports usage all the same is believed."""
    body = b'{"error": {"message": "no"}}'
    running = await run(answering(response_bytes(500, body)), policy=tokens(500, "llm_total_token"))
    client = await running.client()
    answers = [await client.request("POST", "/v1/chat/completions", JSON, b"{}") for _ in range(2)]
    assert [left(answer) for answer in answers] == ["500", "500"]


async def test_an_overridden_answer_costs_nothing(run: Any) -> None:
    """Nobody got it, whatever status it is given."""
    policy = (
        f"{tokens(500, 'llm_total_token')}, {override('statusCodes: [{value: 500}]', 'response: {statusCode: 200}')}"
    )
    running = await run(answering(response_bytes(500, b"x" * 400)), policy=policy)
    client = await running.client()
    for _ in range(2):
        assert (await client.request("POST", "/v1/chat/completions", JSON, b"{}" + b" " * 400)).status == 200
    [(_, meter)] = running.gateway.plane.meters
    await running.done(2)
    assert (meter.charged, meter.estimated) == (0, 0)


async def test_a_request_may_cost_too(run: Any) -> None:
    """The number that the rule says, when it comes; the rest after the answer."""
    running = await run(answering(COMPLETION), policy=tokens(500, "llm_total_token", cost=7))
    client = await running.client()
    answers = [await client.request("POST", "/v1/chat/completions", JSON, b"{}") for _ in range(2)]
    assert [left(answer) for answer in answers] == ["493", "386"]


def override(match: str, action: str, more: str = "") -> str:
    return f"responseOverride: [{{match: {{{match}}}, {action}{more}}}]"


OPENAI = (
    """response: {contentType: application/json, header: {set: [{name: x-set, value: '1'}], add: [{name: x-add, """
    """value: '2'}]}, body: {inline: '{"error":{"message":"%LOCAL_REPLY_BODY%","code":"%RESPONSE_FLAGS%"}}'}}"""
)


async def test_an_overflow_becomes_json(run: Any) -> None:
    """Status, flag and details stay, for the log; `HEAD` gets the length only (measured)."""
    policy = f"circuitBreaker: {{maxPendingRequests: 0}}, {override('statusCodes: [{value: 503}]', OPENAI)}"
    running = await run(OK, policy=policy)
    client = await running.client()
    answer = await client.request("POST", "/v1/chat/completions", JSON, b"{}")
    message = "upstream connect error or disconnect/reset before headers. reset reason: overflow"
    assert answer.json() == {"error": {"message": message, "code": "UO"}}
    kept = {"content-length", "content-type", "x-set", "x-add", "date"}
    assert (answer.status, {name for name, _ in answer.head.headers}) == (503, kept)
    assert answer.head.header("content-type") == "application/json"
    head = await client.request("HEAD", "/", HOST)
    assert (head.head.header("content-length"), head.body) == (str(len(answer.body)), b"")
    done = await running.done(2)
    assert (done.status, done.flag, done.refusal) == (503, "UO", "pending_overflow")


async def test_failures_are_overridden_too(run: Any) -> None:
    """Those that addons hear of as errors: what cannot be reached, what is too late."""

    async def closes(talk: Any) -> None:
        await talk.request()
        talk.reset()

    running = await run(closes, policy=override("statusCodes: [{value: 503}]", "response: {statusCode: 529}"))
    client = await running.client()
    answer = await client.request("GET", "/", HOST)
    assert (answer.status, answer.body, answer.head.header("content-type")) == (529, b"", None)
    done = await running.done()
    assert (done.status, done.flag) == (529, "UC")


@pytest.mark.parametrize(("source", "seen"), [("Local", 500), ("Backend", 502), ("All", 502)])
async def test_the_origin_decides(run: Any, source: str, seen: int) -> None:
    """An answer of the server is none of the gateway's."""
    policy = override("statusCodes: [{value: 500}]", "response: {statusCode: 502}", f", source: {source}")
    running = await run(answering(response_bytes(500, b"broken", ("x-from", "server"))), policy=policy)
    client = await running.client()
    answer = await client.request("GET", "/", HOST)
    assert (answer.status, answer.head.header("x-from")) == (seen, "server" if seen == 500 else None)


async def test_a_servers_answer_is_replaced_and_its_connection_kept(run: Any) -> None:
    """Fields and body of the server's answer are gone (measured); a short one is read to its end."""
    body = "response: {statusCode: 502, body: {inline: 'backend failed'}}"
    policy = override("statusCodes: [{type: Range, range: {start: 500, end: 599}}]", body)
    running = await run(answering(response_bytes(503, b"busy", ("x-from", "server"))), policy=policy)
    client = await running.client()
    for _ in range(2):
        answer = await client.request("GET", "/", HOST)
        assert (answer.status, answer.body) == (502, b"backend failed")
        assert [name for name, _ in answer.head.headers] == ["content-length", "content-type", "date"]
    assert len(running.backend.conversations) == 1
    done = await running.done(2)
    assert (done.status, done.flag, done.details, done.refusal) == (502, "-", "response_override", "")


@pytest.mark.parametrize("framing", ["transfer-encoding: chunked", "content-length: 10000000"])
async def test_a_long_answer_is_dropped_unread(run: Any, framing: str) -> None:
    """The client is answered on the head, and the server's connection is closed, not used again."""
    gone = asyncio.Event()

    async def endless(talk: Any) -> None:
        await talk.request()
        await talk.say(f"HTTP/1.1 500 Oops\r\ncontent-type: text/event-stream\r\n{framing}\r\n\r\n".encode())
        await talk.gone()
        gone.set()

    running = await run(endless, policy=override("statusCodes: [{value: 500}]", "response: {body: {inline: sorry}}"))
    client = await running.client()
    answer = await client.request("GET", "/", HOST)
    assert (answer.status, answer.body) == (500, b"sorry")
    await gone.wait()
    assert answer.head.header("connection") is None


async def test_a_short_answer_that_breaks_is_replaced_all_the_same(run: Any) -> None:
    """Its rest was read for the connection's sake alone."""

    async def breaks(talk: Any) -> None:
        await talk.request()
        await talk.say(b"HTTP/1.1 500 Oops\r\ncontent-length: 10\r\n\r\nhalf")
        talk.reset()

    running = await run(breaks, policy=override("statusCodes: [{value: 500}]", "response: {body: {inline: sorry}}"))
    client = await running.client()
    answer = await client.request("GET", "/", HOST)
    assert (answer.status, answer.body) == (500, b"sorry")


async def test_a_redirect(run: Any) -> None:
    """The client is told where to go; a path that is not replaced is the request's."""
    to = "redirect: {scheme: https, hostname: other.example, port: 8443, statusCode: 301}"
    policy = override("statusCodes: [{value: 403}]", to)
    running = await run(answering(response_bytes(403, b"no")), policy=policy)
    client = await running.client()
    answer = await client.request("GET", "/a?b=c", HOST)
    assert (answer.status, answer.head.header("location")) == (301, "https://other.example:8443/a?b=c")


async def test_a_refused_request_keeps_its_retry_after(run: Any) -> None:
    """Of the answer that is replaced nothing else stays, as in Envoy (measured)."""
    policy = f"{local('{limit: {requests: 0, unit: Minute}}')}, {override('statusCodes: [{value: 429}]', OPENAI)}"
    running = await run(OK, policy=policy)
    client = await running.client()
    answer = await client.request("GET", "/", HOST)
    assert answer.json()["error"] == {"message": "local_rate_limited", "code": "RL"}
    assert (answer.status, limits(answer), answer.head.header("retry-after")) == (429, [None] * 3, "60")


async def test_addons_see_the_answer_that_is_sent(run: Any) -> None:
    """And may change it."""
    seen: list[tuple[str, int]] = []

    class Looks:
        def responseheaders(self, flow: http.HTTPFlow) -> None:
            assert flow.response is not None
            seen.append(("responseheaders", flow.response.status_code))

        def response(self, flow: http.HTTPFlow) -> None:
            assert flow.response is not None
            seen.append(("response", flow.response.status_code))
            flow.response.text = "changed"

    policy = override("statusCodes: [{value: 500}]", "response: {statusCode: 502, body: {inline: sorry}}")
    running = await run(answering(response_bytes(500, b"broken")), Looks(), policy=policy)
    client = await running.client()
    assert (await client.request("GET", "/", HOST)).body == b"changed"
    assert seen == [("responseheaders", 502), ("response", 502)]


async def test_a_delay(run: Any) -> None:
    """The request goes on when it is over; the log has Envoy's flag. A request timeout starts behind it (measured)."""
    policy = "faultInjection: {delay: {fixedDelay: 60ms}}, timeout: {http: {requestTimeout: 50s}}"
    running = await run(OK, policy=policy)
    client = await running.client()
    begun = asyncio.get_running_loop().time()
    assert (await client.request("GET", "/", HOST)).status == 200
    assert asyncio.get_running_loop().time() - begun >= 0.06
    done = await running.done()
    assert (done.status, done.flag, done.details) == (200, "DI", "via_upstream")


async def test_an_abort(run: Any) -> None:
    """Before the limits, of which nothing is taken (measured); delayed and aborted has both flags."""
    abort = "faultInjection: {abort: {httpStatus: 418}}"
    running = await run(OK, policy=f"{abort}, {local('{limit: {requests: 1, unit: Minute}}')}")
    client = await running.client()
    for _ in range(2):
        answer = await client.request("GET", "/", HOST)
        assert (answer.status, answer.body, limits(answer)) == (418, b"fault filter abort", [None] * 3)
    done = await running.done(2)
    assert (done.status, done.flag, done.details) == (418, "FI", "fault_filter_abort")
    assert running.backend.requests == []
    both = await run(OK, policy="faultInjection: {delay: {fixedDelay: 10ms}, abort: {httpStatus: 503}}")
    client = await both.client()
    assert (await client.request("GET", "/", HOST)).status == 503
    assert (await both.done()).flag == "DI,FI"


async def test_a_client_that_leaves_while_it_is_delayed(run: Any) -> None:
    """Its wait ends with it, and nothing is sent on."""
    running = await run(OK, policy="faultInjection: {delay: {fixedDelay: 1h}}")
    client = await running.client()
    await client.send(b"POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 4\r\n\r\n", b"ab")
    await until(lambda: any(found.carrier for found in running.gateway.plane.connections))
    await client.close()
    done = await running.done()
    assert (done.flag, done.refusal) == ("DI,DC", "client_left")
    assert running.backend.requests == []


BUFFER = "requestBuffer: {limit: 1k}"


@pytest.mark.parametrize(
    ("size", "chunked", "status"), [(10, False, 200), (1000, False, 200), (1001, False, 413), (1200, True, 413)]
)
async def test_a_request_buffer(run: Any, size: int, chunked: bool, status: int) -> None:
    """A body over the limit is refused before the limits are asked (measured), and ends the connection."""
    running = await run(OK, policy=f"{BUFFER}, {local('{limit: {requests: 1, unit: Minute}}')}")
    client = await running.client()
    framing = "transfer-encoding: chunked" if chunked else f"content-length: {size}"
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size) if chunked else b"x" * size
    await client.send(f"POST / HTTP/1.1\r\nhost: a.example\r\n{framing}\r\n\r\n".encode() + body)
    answer = await client.answer()
    assert answer.status == status
    if status == 200:
        assert limits(answer) == ["1", "0", "60"]
        assert running.backend.requests[0].body == b"x" * size
        assert (await client.request("GET", "/", HOST)).status == 429
    else:
        assert (limits(answer), answer.head.header("connection")) == ([None] * 3, "close")
        assert await client.closed()
        assert (await (await running.client()).request("GET", "/", HOST)).status == 200


async def test_a_buffered_request_does_not_stream(run: Any) -> None:
    """Even where every body does: the server sees nothing before it is whole."""
    running = await run(OK, policy=BUFFER, settings=Settings(stream_over=0))
    client = await running.client()
    await client.send(b"POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 4\r\n\r\n", b"ab")
    await until(lambda: any(found.carrier for found in running.gateway.plane.connections))
    assert running.backend.conversations == []
    await client.send(b"cd")
    assert (await client.answer()).status == 200
    assert running.backend.requests[0].body == b"abcd"


async def test_a_streamed_request_meets_the_limits(run: Any) -> None:
    """On its head, before anything is sent on."""
    policy = local("{limit: {requests: 1, unit: Minute}}")
    running = await run(OK, policy=policy, settings=Settings(stream_over=0))
    client = await running.client()
    assert (await client.request("POST", "/", HOST, b"body")).status == 200
    await client.send(b"POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 4\r\n\r\n")
    assert (await client.answer()).status == 429
    assert len(running.backend.requests) == 1


async def test_a_policy_of_tokens(run: Any, manifests: Any) -> None:
    """Beside a traffic policy's own limits: both are told, and each key owes for itself."""
    limits_ = "[{tokens: 150, unit: Hour, clientSelectors: [{headers: [{name: x-key, type: Distinct}]}]}]"
    running = await run(
        answering(COMPLETION),
        policy=local("{limit: {requests: 9, unit: Minute}}"),
        texts=(manifests.policy("TokenRateLimitPolicy", f"limits: {limits_}"),),
    )
    client = await running.client()
    seen = []
    for key in ("a", "a", "a", "b"):
        answer = await client.request("POST", "/v1/chat/completions", [*JSON, ("x-key", key)], b"{}")
        seen.append((answer.status, limits(answer)[1], left(answer)))
    assert seen == [(200, "8", "150"), (200, "7", "50"), (429, None, "0"), (200, "5", "150")]
