"""Frames that are made beforehand mean the same on every connection, and change nothing there."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder
from hyperframe.frame import DataFrame, Frame, HeadersFrame
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.proxy.messages.http2_answers import WholeAnswer

FIELDS = [(b"Retry-After", b"1"), (b"content-length", b"2"), (b"x-rare", b"value"), (b"connection", b"close")]
WANTED = [(b":status", b"503"), (b"retry-after", b"1"), (b"content-length", b"2"), (b"x-rare", b"value")]


def parsed(data: bytes) -> list[Frame]:
    """Read frames, to the last byte."""
    frames = []
    while data:
        frame, length = Frame.parse_frame_header(memoryview(data[:9]))
        frame.parse_body(memoryview(data[9 : 9 + length]))
        data = data[9 + length :]
        frames.append(frame)
    return frames


@pytest.mark.parametrize("number", [1, 7, 2**31 - 1])
def test_an_answer_is_a_head_and_a_body(number: int) -> None:
    """The body ends the stream; names are as HTTP/2 wants them, and a connection's own fields are left out."""
    answer = WholeAnswer(503, FIELDS, b"no")
    head, body = parsed(answer.frames(number))
    assert isinstance(head, HeadersFrame)
    assert isinstance(body, DataFrame)
    assert (head.stream_id, set(head.flags)) == (number, {"END_HEADERS"})
    assert (body.stream_id, set(body.flags), body.data, answer.size) == (number, {"END_STREAM"}, b"no", 2)
    assert [tuple(pair) for pair in Decoder().decode(head.data, raw=True)] == WANTED


def test_without_a_body_the_head_is_the_end() -> None:
    """As an answer to HEAD is."""
    answer = WholeAnswer(503, FIELDS, b"")
    [head] = parsed(answer.frames(3))
    assert (set(head.flags), answer.size) == ({"END_HEADERS", "END_STREAM"}, 0)


pairs = st.tuples(
    st.sampled_from([b"retry-after", b"x-rare", b"date", b"server"]), st.sampled_from([b"1", b"value", b"other"])
)


@given(st.lists(st.one_of(st.none(), st.lists(pairs, min_size=1, max_size=6)), max_size=20))
def test_it_goes_between_any_heads(heads: list[list[tuple[bytes, bytes]] | None]) -> None:
    """Those of the connection's own encoder are read as if it were not there, and so is it among them."""
    encoder, decoder = Encoder(), Decoder()
    [head, _] = parsed(WholeAnswer(503, FIELDS, b"no").frames(1))
    assert isinstance(head, HeadersFrame)
    for fields in heads:
        if fields is None:
            before = list(decoder.header_table.dynamic_entries)
            assert [tuple(pair) for pair in decoder.decode(head.data, raw=True)] == WANTED
            assert list(decoder.header_table.dynamic_entries) == before
        else:
            assert [tuple(pair) for pair in decoder.decode(encoder.encode(fields), raw=True)] == fields
