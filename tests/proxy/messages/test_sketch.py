"""Sketches: what stands for a flow reads like one, and what is drawn from it is whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http
from mitmproxy.test import tflow

from mirrorgate.proxy.messages.heads import RequestHead, ResponseHead
from mirrorgate.proxy.messages.sketch import ResponseSketch, Sketch, begin_response, draw, give_response, sketch_of
from mirrorgate.proxy.mitm import new_client, stock_mode

CLIENT = new_client(("192.0.2.1", 4), ("192.0.2.2", 80), stock_mode(80))
FIELDS = ((b"Host", b"a.example:81"), (b"X-Two", b"1"), (b"x-two", b"2"), (b"Expect", b"100-continue"))
HEAD = RequestHead(b"POST", b"/p?q", b"/p?q", b"a.example:81", b"HTTP/1.1", FIELDS, 4, False, True, b"", True)
ANSWER = ResponseHead(b"HTTP/1.0", 201, b"Made", ((b"Content-Type", b"text/plain"),), 2, False, False)


@pytest.fixture
def sketch() -> Sketch:
    """Make a sketch of a request that has just come."""
    return sketch_of("an id", HEAD, b"https", "a.example", 81, 7.0)


def test_a_drawn_flow_says_what_the_sketch_said(sketch: Sketch) -> None:
    """The request, the answer, what was noted on it, and who asked."""
    sketch.request.content = b"body"
    sketch.request.timestamp_end = 8.0
    sketch.request.stream = True
    sketch.metadata["mirrorgate.route"] = "default/a"
    sketch.marked, sketch.comment = ":no_entry:", "why"
    answer = begin_response(sketch, ANSWER, 9.0)
    answer.data.content = b"ok"
    answer.data.timestamp_end = 10.0
    answer.trailers = http.Headers([(b"x", b"y")])
    flow = draw(sketch, CLIENT)
    request, response = flow.request, flow.response
    assert (flow.id, flow.live, flow.client_conn, flow.metadata, flow.marked, flow.comment) == (
        "an id", True, CLIENT, {"mirrorgate.route": "default/a"}, ":no_entry:", "why",
    )  # fmt: skip
    assert (request.host, request.port, request.method, request.path) == ("a.example", 81, "POST", "/p?q")
    assert request.scheme == "https"
    assert (request.raw_content, request.timestamp_start, request.timestamp_end) == (b"body", 7.0, 8.0)
    assert request.headers.fields == FIELDS
    assert request.stream is True
    assert response is not None
    assert (response.status_code, response.reason, response.http_version) == (201, "Made", "HTTP/1.0")
    assert (response.raw_content, response.timestamp_start, response.timestamp_end) == (b"ok", 9.0, 10.0)
    assert response.trailers == http.Headers([(b"x", b"y")])
    flow.get_state()


def test_a_flow_without_an_answer_has_none(sketch: Sketch) -> None:
    """As at the hooks of its request."""
    assert draw(sketch, CLIENT).response is None


def test_an_answer_of_the_gateways_own_is_kept(sketch: Sketch) -> None:
    """It is one of mitmproxy's already."""
    sketch.response = http.Response.make(404, b"no")
    assert draw(sketch, CLIENT).response is sketch.response


def test_a_drawn_flow_gets_its_answer_as_mitmproxy_makes_it(sketch: Sketch) -> None:
    """When the flow was drawn before the answer's head came."""
    flow = draw(sketch, CLIENT)
    assert begin_response(flow, ANSWER, 9.0) is flow.response
    assert isinstance(flow.response, http.Response)


NAMES = st.sampled_from([b"Expect", b"expect", b"Content-Type", b"content-type", b"X-A"])
VALUES = st.binary(max_size=6).map(lambda value: value.hex().encode())


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6).map(tuple))
def test_fields_read_as_in_a_flow(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    """By name, in any case, and after one is removed; repeated fields begin alike."""
    head = ResponseHead(b"HTTP/1.1", 200, b"OK", fields, None, False, False)
    ours = begin_response(sketch_of("", HEAD, b"http", "a", 80, 0.0), head, 0.0).headers
    theirs = http.Headers(fields)
    assert theirs.get("content-type", "none").startswith(ours.get("content-type", "none"))
    theirs.pop("expect", None)
    ours.pop("expect", None)
    assert ours.fields == theirs.fields


@pytest.mark.parametrize("fields", [[(b"content-length", b"2")], [(b"Alt-Svc", b"clear"), (b"x", b"y")]])
def test_an_answer_of_the_gateway_s_own_is_drawn_as_any_other(
    sketch: Sketch, fields: list[tuple[bytes, bytes]]
) -> None:
    """A sketch has it as a sketch, and what is drawn from it is what a flow is given."""
    give_response(sketch, 503, b"Service Unavailable", fields, b"no")
    assert isinstance(sketch.response, ResponseSketch)
    assert sketch.has_alt_svc == (fields[0][0] == b"Alt-Svc")
    flow = tflow.tflow()
    give_response(flow, 503, b"Service Unavailable", fields, b"no")
    drawn = draw(sketch, CLIENT).response
    for response in (drawn, flow.response):
        assert response is not None
        assert (response.status_code, response.reason, response.content) == (503, "Service Unavailable", b"no")
        assert response.headers.fields == tuple(fields)
        assert response.timestamp_start == response.timestamp_end
