"""Frames survive any cut and refuse what is not theirs."""

import contextlib
import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.records import ExchangeFinished, RequestAborted, RequestChunk, RequestEnd, ShadowReady
from mirrorgate.shadow.frames import (
    MAX_FRAME,
    PREAMBLE,
    FrameDecoder,
    FrameError,
    encode,
    proxy_decoder,
    shadow_decoder,
)

ids = st.text(st.characters(codec="utf-8"), max_size=20)
chunks = st.builds(RequestChunk, ids, st.binary(max_size=200))
finishes = st.builds(
    ExchangeFinished,
    id=ids,
    outcome=st.just("complete"),
    status=st.integers(0, 599),
    flag=st.just("-"),
    headers=st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=3),
    chunks=st.lists(st.binary(max_size=99), max_size=4),
    times=st.lists(st.floats(0, 1e6), max_size=4),
    truncated=st.booleans(),
    upstream_started=st.floats(0, 9),
    head_at=st.floats(0, 9),
    finished=st.floats(0, 9),
)
messages = st.lists(
    st.one_of(chunks, finishes, st.builds(RequestEnd, ids), st.builds(RequestAborted, ids, ids)), max_size=6
)


@given(messages, st.lists(st.integers(0, 3000), max_size=8))
def test_any_cut_gives_the_same_messages(sent: list[object], cuts: list[int]) -> None:
    """What was encoded is decoded, however the bytes are cut."""
    wire = PREAMBLE + b"".join(piece for message in sent for piece in encode(message))  # type: ignore[arg-type]
    edges = sorted({0, len(wire), *(cut % (len(wire) + 1) for cut in cuts)})
    decoder = shadow_decoder()
    got = [message for a, b in itertools.pairwise(edges) for message in decoder.feed(wire[a:b])]
    assert got == sent


@given(st.binary(max_size=300))
def test_garbage_never_raises_anything_else(data: bytes) -> None:
    """Behind a good preamble any bytes are messages, a wait for more, or a FrameError."""
    decoder = shadow_decoder()
    with contextlib.suppress(FrameError):
        decoder.feed(PREAMBLE + data)


def test_a_large_body_is_not_joined_to_its_length() -> None:
    """A frame with a body of a megabyte is two pieces, so that the body is copied once only."""
    body = b"x" * 1_000_000
    pieces = encode(RequestChunk("a", body))
    assert len(pieces) == 2
    assert len(pieces[0]) == 4
    assert shadow_decoder().feed(PREAMBLE + b"".join(pieces)) == [RequestChunk("a", body)]


def test_another_version_is_refused_at_the_first_byte_that_differs() -> None:
    """A foreign preamble is an error, also before it is complete."""
    for wrong in (b"HTTP/1.1", PREAMBLE[:-1] + bytes([PREAMBLE[-1] ^ 1])):
        with pytest.raises(FrameError, match="another version"):
            shadow_decoder().feed(wrong)
    decoder = shadow_decoder()
    assert decoder.feed(PREAMBLE[:-1]) == []
    assert not decoder.greeted
    assert decoder.feed(PREAMBLE[-1:]) == []
    assert decoder.greeted


def test_a_frame_over_the_cap_is_refused_before_it_is_read() -> None:
    """The length alone is enough to refuse a frame."""
    with pytest.raises(FrameError, match="exceeds"):
        proxy_decoder().feed(PREAMBLE + (MAX_FRAME + 1).to_bytes(4, "big"))
    small: FrameDecoder[RequestEnd] = FrameDecoder(msgspec.msgpack.Decoder(RequestEnd), max_frame=3)
    with pytest.raises(FrameError, match="exceeds"):
        small.feed(PREAMBLE + b"".join(encode(RequestEnd("abc"))))


def test_a_message_of_the_other_direction_is_refused() -> None:
    """Each side takes only what is meant for it."""
    with pytest.raises(FrameError, match="cannot be read"):
        shadow_decoder().feed(PREAMBLE + b"".join(encode(ShadowReady(1))))
