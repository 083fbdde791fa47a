"""Messages of external processing: made as the protocol has them, and read with care."""

from __future__ import annotations

import contextlib

import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.sources.endpoint_picker import messages
from mirrorgate.sources.endpoint_picker.messages import Body, Head, Immediate, Unreadable, read_reply


def sent(data: bytes) -> ext_proc.ProcessingRequest:
    return ext_proc.ProcessingRequest.FromString(data)


def test_a_requests_head_names_modes_and_subset() -> None:
    """Both bodies are full duplex; the subset is in the namespace of the proposal."""
    message = sent(messages.request_head([(b":method", b"POST"), (b"X-A", b"\xff")], ended=True, subset=["1.2.3.4:5"]))
    headers = message.request_headers
    assert [(each.key, each.raw_value) for each in headers.headers.headers] == [(":method", b"POST"), ("x-a", b"\xff")]
    assert headers.end_of_stream
    assert (message.protocol_config.request_body_mode, message.protocol_config.response_body_mode) == (4, 4)
    hint = message.metadata_context.filter_metadata["envoy.lb.subset_hint"]
    assert list(hint["x-gateway-destination-endpoint-subset"]) == ["1.2.3.4:5"]


@given(st.integers(0, 3 * messages.CHUNK))
def test_bodies_are_cut_and_whole(size: int) -> None:
    """The pieces are the body, none is too long, and the last one says so."""
    body = bytes(size)
    pieces = [sent(data).request_body for data in messages.request_body(body)]
    assert b"".join(piece.body for piece in pieces) == body
    assert all(len(piece.body) <= messages.CHUNK for piece in pieces)
    assert [piece.end_of_stream for piece in pieces] == [False] * (len(pieces) - 1) + [True] * bool(pieces)
    answers = [sent(data).response_body for data in messages.response_body(body, ended=True)]
    assert b"".join(piece.body for piece in answers) == body
    assert [piece.end_of_stream for piece in answers] == [False] * (len(answers) - 1) + [True]


def test_the_served_endpoint_is_metadata() -> None:
    """In the namespace of the proposal, with the answer's head."""
    message = sent(messages.response_head([(b":status", b"200")], served="10.0.0.1:8000", ended=False))
    metadata = message.metadata_context.filter_metadata["envoy.lb"]
    assert metadata["x-gateway-destination-endpoint-served"] == "10.0.0.1:8000"


@pytest.mark.parametrize("place", ["header", "raw header", "metadata"])
def test_a_destination_is_read_from_either_place(place: str) -> None:
    """Header or dynamic metadata; a header's value may be text or bytes."""
    reply = ext_proc.ProcessingResponse()
    reply.request_headers.response.SetInParent()
    if place == "metadata":
        reply.dynamic_metadata["envoy.lb"] = {"x-gateway-destination-endpoint": "a:1,b:2"}
    else:
        header = reply.request_headers.response.header_mutation.set_headers.add().header
        header.key = "X-Gateway-Destination-Endpoint"
        if place == "header":
            header.value = "a:1,b:2"
        else:
            header.raw_value = b"a:1,b:2"
    read = read_reply(reply.SerializeToString())
    assert read.destination == "a:1,b:2"
    assert isinstance(read.content, Head)
    assert not read.content.response


def test_changes_that_frame_or_route_are_left_out() -> None:
    """Nor does a line break make two fields of one."""
    reply = ext_proc.ProcessingResponse()
    mutation = reply.request_headers.response.header_mutation
    for name, value in (
        ("Content-Length", b"1"), (":path", b"/x"), ("host", b"h"), ("x-a", b"1"), ("x-b", b"1\r\nx-evil: 2"),
        ("x y", b"1"), ("", b"1"),
    ):  # fmt: skip
        header = mutation.set_headers.add().header
        header.key, header.raw_value = name, value
    added = mutation.set_headers.add()
    added.header.key, added.header.value = "x-c", "2"
    added.append.value = True
    mutation.remove_headers.extend(["X-Gone", "transfer-encoding", ":method"])
    content = read_reply(reply.SerializeToString()).content
    assert isinstance(content, Head)
    assert content.changes.set == (("x-a", "1"),)
    assert content.changes.add == (("x-c", "2"),)
    assert content.changes.remove == ("x-gone",)


def test_bodies_are_read() -> None:
    """Streamed pieces, a whole one, a cleared one, and none."""
    reply = ext_proc.ProcessingResponse()
    reply.request_body.response.SetInParent()
    assert read_reply(reply.SerializeToString()).content == Body(False, messages.HeaderChanges(), None, False)
    mutation = reply.request_body.response.body_mutation
    mutation.streamed_response.body = b"x"
    assert read_reply(reply.SerializeToString()).content == Body(False, messages.HeaderChanges(), b"x", False)
    mutation.streamed_response.end_of_stream = True
    assert read_reply(reply.SerializeToString()).content == Body(False, messages.HeaderChanges(), b"x", True)
    mutation.body = b"whole"
    assert read_reply(reply.SerializeToString()).content == Body(False, messages.HeaderChanges(), b"whole", True)
    mutation.clear_body = True
    assert read_reply(reply.SerializeToString()).content == Body(False, messages.HeaderChanges(), b"", True)


def test_an_immediate_answer_is_read() -> None:
    """Status, fields, body and details."""
    reply = ext_proc.ProcessingResponse()
    reply.immediate_response.status.code = 429
    reply.immediate_response.body = b"later"
    reply.immediate_response.details = "shed"
    header = reply.immediate_response.headers.set_headers.add().header
    header.key, header.raw_value = "Retry-After", b"1"
    assert read_reply(reply.SerializeToString()).content == Immediate(429, ((b"retry-after", b"1"),), b"later", "shed")


@given(st.binary())
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing but `Unreadable` comes out of what a picker may send."""
    with contextlib.suppress(Unreadable):
        assert read_reply(data)
