"""The bytes that are sent: request heads, answer heads, and the gateway's own replies."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http

from mirrorgate.admission.limits import Limits
from mirrorgate.errors import REPLIES, Refusal
from mirrorgate.plans import Effective, MirrorPlan, Plan, Refused
from mirrorgate.proxy.messages.heads import (
    HeadNotes,
    RequestHead,
    field_lines,
    render_response,
    request_head,
    response_head,
)
from mirrorgate.proxy.messages.rendering import (
    answer_fields,
    forwarded_head,
    last_chunk,
    local_fields,
    reason_of,
    reason_sent,
    repeated_head,
    reply_body,
    websocket_upgrade,
)
from mirrorgate.resources.endpoints import Address
from mirrorgate.routing.table import HeaderChanges

HOST = (b"Host", b"a")


def plan(**more: Any) -> Plan:
    """Make a plan that changes nothing but what is named."""
    return Plan(
        address=Address("10.0.0.1", 8000),
        cluster="c",
        pool="p",
        path=b"/",
        body=b"",
        request_id="rid",
        limits=Limits(),
        timeouts=Effective(),
        **({"host": None} | more),
    )


def forwarded(*fields: tuple[bytes, bytes], plan: Plan = plan(), **more: Any) -> list[tuple[bytes, bytes]]:  # noqa: B008
    """Make the head that goes to the upstream."""
    options: dict[str, Any] = {
        "client": "10.9.9.9",
        "scheme": b"http",
        "body": b"",
        "content_length": None,
        "chunked": False,
        "upgrade": b"",
    }
    return forwarded_head(fields, plan, **(options | more))


OF_ONE_CONNECTION = [
    (b"Connection", b"close, X-Named"),
    (b"connection", b"host, content-length, , x-also, date, x-forwarded-for"),
    (b"Keep-Alive", b"5"),
    (b"TE", b"trailers"),
    (b"Trailer", b"x"),
    (b"Proxy-Connection", b"close"),
    (b"Upgrade", b"h2c"),
    (b"Transfer-Encoding", b"chunked"),
    (b"x-named", b"1"),
    (b"X-Also", b"1"),
    (b"Date", b"today"),
    (b"X-Forwarded-For", b"10.1.1.1"),
]
"""RFC 9110, 7.6.1, and what Connection names."""

OURS = [(b"x-forwarded-for", b"10.9.9.9"), (b"x-forwarded-proto", b"http"), (b"x-request-id", b"rid")]


def test_fields_travel_on_in_their_order() -> None:
    """Names as they came, several of one name, and the gateway's behind them."""
    fields = [(b"X-B", b"1"), HOST, (b"x-a", b"2"), (b"X-B", b"3")]
    assert forwarded(*fields) == [*fields, *OURS]


def test_fields_of_the_gateway_are_not_the_clients_to_set() -> None:
    """Whatever the case; forwarded addresses are continued."""
    made = forwarded(
        HOST,
        (b"X-Forwarded-For", b"1.1.1.1"),
        (b"x-forwarded-for", b"2.2.2.2"),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Request-Id", b"mine"),
        (b"X-Gateway-Destination-Endpoint", b"1.2.3.4:5"),
        (b"X-Envoy-Original-Dst-Host", b"1.2.3.4:5"),
        (b"x-envoy-internal", b"true"),
        (b"X-Mirrorgate-Anything", b"1"),
        (b"x-forwarded-client-cert", b"By=me"),
        (b"Expect", b"100-continue"),
        (b"Content-Length", b"77"),
    )
    assert made == [HOST, (b"x-forwarded-for", b"1.1.1.1,2.2.2.2,10.9.9.9"), *OURS[1:], (b"content-length", b"0")]


def test_the_mark_of_a_copy_travels_on() -> None:
    """Or a gateway behind us would mirror the copy again."""
    mark = (b"x-mirrorgate-leg", b"candidate")
    assert mark in forwarded(HOST, mark)


@pytest.mark.parametrize(
    ("options", "framing"),
    [
        ({"body": b""}, []),
        ({"body": b"abc"}, [(b"content-length", b"3")]),
        ({"body": None, "content_length": 9}, [(b"content-length", b"9")]),
        ({"body": None, "content_length": 9, "chunked": True}, [(b"transfer-encoding", b"chunked")]),
        ({"body": b"abc", "chunked": True}, [(b"transfer-encoding", b"chunked")]),
        ({"body": None}, []),
        ({"body": b"", "upgrade": b"websocket"}, [(b"connection", b"upgrade"), (b"upgrade", b"websocket")]),
    ],
)
def test_the_framing_is_the_gateways(options: dict[str, Any], framing: list[tuple[bytes, bytes]]) -> None:
    """One of length and coding, never both, whatever the client has said."""
    assert forwarded(HOST, (b"transfer-encoding", b"x"), **options) == [HOST, *OURS, *framing]


def test_rules_change_fields_and_host() -> None:
    """In the order of their filters; the host of a rewrite replaces the client's."""
    changes = (HeaderChanges(set=(("x-a", "1"),)), HeaderChanges(add=(("x-a", "2"),), remove=("x-b",)))
    made = forwarded(HOST, (b"X-B", b"1"), plan=plan(host=b"new", request_changes=changes))
    assert made[0] == (b"Host", b"new")
    assert [value for name, value in made if name.lower() == b"x-a"] == [b"1", b"2"] or (b"x-a", b"1,2") in made
    assert b"X-B" not in [name for name, _ in made]


def test_there_is_always_a_host() -> None:
    """HTTP/1.0 may come without, and a rule may take it away; HTTP/1.1 needs it."""
    assert forwarded()[0] == (b"host", b"10.0.0.1:8000")
    assert forwarded(HOST, plan=plan(request_changes=(HeaderChanges(remove=("host",)),)))[0] == (
        b"host",
        b"10.0.0.1:8000",
    )


def answer(
    *fields: tuple[bytes, bytes], status: int = 200, content: bytes | None = None, edit: Any = None, **more: Any
) -> tuple[str, dict[str, str], bool, bool]:
    """Render an answer: its first line, its fields, whether it is chunked, and whether it lasts until the close."""
    head = response_head(status, b"Upstream's", "1.1", fields, to_head=more.pop("to_head", False))
    response = http.Response(b"HTTP/1.1", status, b"Upstream's", http.Headers(fields), None, None, 0, None)
    if edit is not None:
        edit(response)
    options: dict[str, Any] = {
        "bodiless": head.bodiless,
        "framed": False,
        "old_client": False,
        "close": False,
        "date": lambda: b"today",
    }
    sent, chunked, until_close = answer_fields(response, head, more.pop("plan", plan()), content, **(options | more))
    rendered = render_response(response.status_code, reason_sent(response, head), sent)
    first, *lines, empty, end = rendered.decode().split("\r\n")
    assert (empty, end) == ("", "")
    pairs = [line.split(": ", 1) for line in lines]
    assert len({name for name, _ in pairs}) == len(pairs)
    return first, dict(pairs), chunked, until_close  # type: ignore[arg-type]


LENGTH, CHUNKED = (b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")


@pytest.mark.parametrize(
    ("fields", "options", "framing"),
    [
        ((LENGTH,), {"content": b"abc"}, {"content-length": "3"}),
        ((CHUNKED,), {"content": b""}, {"content-length": "0"}),
        ((LENGTH,), {}, {"content-length": "5"}),
        ((CHUNKED,), {}, {"transfer-encoding": "chunked"}),
        ((), {}, {"transfer-encoding": "chunked"}),
        ((), {"framed": True, "close": True}, {}),
        ((CHUNKED,), {"framed": True}, {}),
        ((LENGTH,), {"framed": True}, {"content-length": "5"}),
        ((), {"old_client": True}, {"connection": "close"}),
        ((CHUNKED,), {"old_client": True}, {"connection": "close"}),
        ((LENGTH,), {"old_client": True}, {"content-length": "5", "connection": "keep-alive"}),
        ((LENGTH,), {"close": True}, {"content-length": "5", "connection": "close"}),
        ((LENGTH,), {"status": 204}, {}),
        ((LENGTH,), {"status": 304}, {"content-length": "5"}),
        ((CHUNKED,), {"status": 304}, {}),
        ((LENGTH,), {"to_head": True, "content": b""}, {"content-length": "5"}),
        ((CHUNKED,), {"to_head": True, "content": b""}, {"transfer-encoding": "chunked"}),
        ((CHUNKED,), {"to_head": True, "content": b"", "old_client": True}, {"connection": "keep-alive"}),
        ((), {"to_head": True, "content": b""}, {}),
        ((), {"status": 101, "content": b""}, {"connection": "upgrade", "upgrade": "websocket"}),
    ],
)
def test_answers_are_framed_for_the_client(
    fields: tuple[tuple[bytes, bytes], ...], options: dict[str, Any], framing: dict[str, str]
) -> None:
    """By length where it is known, else in chunks, else by the connection's end; and not at all without a body, or
    where the client's side frames by itself."""
    _, made, chunked, until_close = answer((b"x", b"1"), *fields, **options)
    assert made == {"x": "1", "date": "today", **framing}
    bodiless = options.get("to_head") or options.get("status", 200) != 200
    assert chunked == (made.get("transfer-encoding") == "chunked" and not bodiless)
    bodiless = bodiless or options.get("framed", False)
    assert until_close == (not bodiless and not chunked and "content-length" not in made)


def test_trailers_make_a_buffered_answer_chunked() -> None:
    """Except for an old client."""

    def edit(response: http.Response) -> None:
        response.trailers = http.Headers([(b"sum", b"1")])

    assert answer(LENGTH, content=b"abc", edit=edit)[2]
    assert answer(LENGTH, content=b"abc", edit=edit, old_client=True)[1]["content-length"] == "3"


def test_trailers_do_not_speak_for_anybody() -> None:
    """Fields that a server might take for the request's own stay behind (RFC 9110, 6.5.1)."""
    trailers = http.Headers(
        [
            (b"Sum", b"1"),
            (b"Host", b"a"),
            (b"authorization", b"b"),
            (b"X-Forwarded-For", b"c"),
            (b"te", b"d"),
            (b"X-Envoy-Internal", b"true"),
            (b"x-mirrorgate-leg", b"candidate"),
            (b"x", b""),
        ]
    )
    assert last_chunk(trailers) == b"0\r\nSum: 1\r\nx: \r\n\r\n"
    assert last_chunk(None) == last_chunk(http.Headers()) == b"0\r\n\r\n"


def test_phrases_are_the_gateways_unless_an_addon_has_one() -> None:
    """As Envoy's, which never passes the upstream's on."""

    def edit(response: http.Response) -> None:
        response.reason = "Teapot"

    def restate(response: http.Response) -> None:
        response.status_code = 503

    assert answer(LENGTH)[0] == "HTTP/1.1 200 OK"
    assert answer(LENGTH, edit=edit)[0] == "HTTP/1.1 200 Teapot"
    assert answer(LENGTH, edit=restate)[0] == "HTTP/1.1 503 Service Unavailable"
    assert reason_of(299) == b"Unknown"


def test_answers_get_a_date_where_they_have_none() -> None:
    """The upstream's own stays, and so does its `server`."""
    _, made, _, _ = answer((b"date", b"yesterday"), (b"server", b"vllm"), LENGTH)
    assert (made["date"], made["server"]) == ("yesterday", "vllm")


def test_rules_change_answers() -> None:
    """And the framing is not theirs."""
    changes = (HeaderChanges(set=(("x-a", "1"),), remove=("server",)),)
    _, made, _, _ = answer((b"server", b"x"), LENGTH, plan=plan(response_changes=changes))
    assert made == {"x-a": "1", "date": "today", "content-length": "5"}


def head_of(*fields: tuple[bytes, bytes], upgrading: bool = True) -> RequestHead:
    """Make a request's head."""
    return request_head(b"GET", b"/", "1.1", (HOST, *fields), keep_alive=True, upgrading=upgrading)


def test_only_websockets_are_upgraded_to() -> None:
    """And not with a body."""
    assert websocket_upgrade(head_of((b"upgrade", b"WebSocket"))) == b"websocket"
    assert websocket_upgrade(head_of((b"upgrade", b"h2c"))) == b""
    assert websocket_upgrade(head_of((b"upgrade", b"websocket"), LENGTH)) == b""
    assert websocket_upgrade(head_of((b"upgrade", b"websocket"), upgrading=False)) == b""


@pytest.mark.parametrize("refusal", [refusal for refusal in Refusal if REPLIES[refusal].openai_type])
def test_some_replies_have_the_apis_shape(refusal: Refusal) -> None:
    """On its paths; elsewhere they are text."""
    body, kind = reply_body(REPLIES[refusal], Refused(refusal, "more exactly"), openai=True)
    assert kind == b"application/json"
    assert b'"message":"more exactly"' in body.replace(b": ", b":")
    assert reply_body(REPLIES[refusal], Refused(refusal), openai=False) == (
        REPLIES[refusal].body.encode(),
        b"text/plain",
    )


def test_the_overflow_is_envoys_everywhere() -> None:
    """81 bytes, and its fields in this order."""
    reply = REPLIES[Refusal.PENDING_OVERFLOW]
    body, kind = reply_body(reply, Refused(Refusal.PENDING_OVERFLOW), openai=True)
    assert body == b"upstream connect error or disconnect/reset before headers. reset reason: overflow"
    assert local_fields(body, kind, ()) == [(b"content-length", b"81"), (b"content-type", b"text/plain")]
    assert local_fields(b"", kind, ((b"location", b"/"),)) == [(b"location", b"/"), (b"content-length", b"0")]


TOKEN = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyzABCXYZ-"), min_size=1, max_size=20).map(str.encode)
VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(lambda text: text.strip().encode())


@given(st.lists(st.tuples(TOKEN, VALUE), max_size=20), st.sampled_from([None, b"", b"abc"]), st.booleans())
def test_a_forwarded_head_has_one_framing(fields: list[tuple[bytes, bytes]], body: bytes | None, chunked: bool) -> None:
    """Whatever a client sends: at most one of length and coding, exactly one Host where it sent at most one."""
    made = forwarded(HOST, *[field for field in fields if field[0].lower() != b"host"], body=body, chunked=chunked)
    names = [name.lower() for name, _ in made]
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
    assert names.count(b"host") == 1
    assert b"connection" not in names


def test_fields_of_one_connection_do_not_travel_on() -> None:
    """Neither to the upstream nor to the client; but what says where a message goes and ends does."""
    kept = [HOST, (b"x-kept", b"1")]
    sent = forwarded(*kept, *OF_ONE_CONNECTION, (b"Content-Length", b"0"))
    assert sent == [*kept, *OURS, (b"content-length", b"0")]
    head = response_head(200, b"OK", "1.1", (*OF_ONE_CONNECTION, kept[1]), to_head=False)
    response = http.Response(b"HTTP/1.1", 200, b"OK", http.Headers(head.fields), b"", None, 0, 0)
    sent, _, _ = answer_fields(
        response, head, plan(), b"ok", bodiless=False, framed=False, old_client=False, close=False, date=lambda: b"now"
    )
    rendered = render_response(200, b"OK", sent)
    assert (
        rendered.split(b"\r\n")[1:-2]
        == [b"X-Forwarded-For: 10.1.1.1", b"x-kept: 1", b"date: now", b"content-length: 2"][1:]
    )


@given(
    st.lists(
        st.sampled_from(
            [*OF_ONE_CONNECTION[:7], *OF_ONE_CONNECTION[8:], (b"X-Request-Id", b"mine"), (b"X-A", b"1"), (b"x_a", b"2")]
        )
    ),
    st.booleans(),
    st.lists(st.binary(max_size=20), min_size=2, max_size=3),
)
def test_a_remembered_head_is_sent_on_as_any_other(
    fields: list[tuple[bytes, bytes]], declared: bool, bodies: list[bytes]
) -> None:
    """To the byte, also with another body and identifier than the first one's."""
    notes = HeadNotes()
    for number, body in enumerate(bodies):
        length = [(b"Content-Length", b"%d" % len(body))] if declared else []
        given = (HOST, *length, *(field for field in fields if field[0] != b"Upgrade"))
        head = request_head(b"POST", b"/p", "1.1", given, keep_alive=True, upgrading=False)
        assert head.shape is not None
        to = msgspec.structs.replace(plan(), path=b"/q%d" % number, request_id=f"r{number}", body=body)
        assert to.as_it_came
        sent = forwarded(*given, plan=to, body=body, content_length=head.content_length)
        rendered = b"POST /q%d HTTP/1.1\r\n%b\r\n" % (number, field_lines(sent))
        assert repeated_head(head, notes, to, "10.9.9.9", b"http") == rendered


@pytest.mark.parametrize(
    "more",
    [
        {"host": b"b"},
        {"request_changes": (HeaderChanges(set=(("x", "1"),)),)},
        {"mirrors": (MirrorPlan(None, None),)},  # type: ignore[arg-type]
        {"sampled_out": (None,)},
    ],
)
def test_a_head_that_is_changed_or_copied_is_not_sent_as_it_came(more: dict[str, Any]) -> None:
    """What the rule changes, and what the shadow is told of, needs the fields."""
    assert plan().as_it_came
    assert not plan(**more).as_it_came
