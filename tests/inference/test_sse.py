import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.inference.sse import Event, EventDecoder


def events_of(*pieces: bytes) -> list[Event]:
    decoder = EventDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [Event("a")]),
        (b"data:a\r\n\r\ndata:b\r\rdata:c\n\r\n", [Event("a"), Event("b"), Event("c")]),
        (b"\xef\xbb\xbfdata: a\n\n", [Event("a")]),
        (b"data: a\ndata\ndata:  b\n\n", [Event("a\n\n b")]),
        (b": comment\n\nevent: e\nid: 7\ndata: a\n\ndata: b\n\n", [Event("a", "e", "7"), Event("b", "", "7")]),
        (b"event: e\n\ndata: a\n\n", [Event("a")]),
        (b"id: x\0y\ndata: a\n\n", [Event("a")]),
        (b"retry: 7\nfoo: bar\ndata\n\n", [Event("")]),
        (b"data: cut off\n", []),
        (b"data: \xff\n\n", [Event("\ufffd")]),
        (b"\n\n\n", []),
    ],
)
def test_streams_read_as_specified(stream: bytes, events: list[Event]) -> None:
    """Line ends, the BOM, comments, fields and dispatch follow WHATWG HTML 9.2.6."""
    assert events_of(stream) == events


def test_a_cut_off_event_is_shown_at_the_end_only() -> None:
    """The specification discards it; `close` lets the caller look."""
    decoder = EventDecoder()
    assert decoder.feed(b"data: a\n\ndata: [DONE]") == [Event("a")]
    assert decoder.close() == Event("[DONE]")
    assert EventDecoder().close() is None


def test_an_oversized_event_is_dropped_and_counted() -> None:
    """Memory is bounded and the events around it survive."""
    decoder = EventDecoder(max_event=20)
    stream = b"data: a\n\ndata: " + b"x" * 100 + b"\ndata: y\n\n: " + b"c" * 100 + b"\ndata: b\n\n"
    assert decoder.feed(stream) == [Event("a"), Event("b")]
    assert decoder.oversized == 1


_streams = st.lists(
    st.sampled_from(
        [b"data: a", b"data:", b"data", b"event: e", b"id: 1", b": c", b"\n", b"\r", b"\r\n", b"\xef\xbb\xbf"]
    )
    | st.sampled_from([b"data: a\n\n", b"data: \n\n", b"data: b\n\ndata: \xff\n\n", b"id: 2\n\n"])
    | st.binary(max_size=4),
    max_size=30,
).map(b"".join)


def pieces_of(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[a:b] for a, b in itertools.pairwise(places)]


@given(_streams, st.lists(st.integers(0, 1000), max_size=20))
def test_any_cut_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    """Where the network splits a stream does not show."""
    for limit in (8 << 20, 12):
        whole, cut = EventDecoder(limit), EventDecoder(limit)
        expected = whole.feed(stream)
        assert [event for piece in pieces_of(stream, cuts) for event in cut.feed(piece)] == expected
        assert cut.oversized == whole.oversized
        assert cut.close() == whole.close()


@given(st.lists(_streams, max_size=8), st.sampled_from([8 << 20, 12]))
def test_whole_events_at_once_are_those_of_line_by_line(pieces: list[bytes], limit: int) -> None:
    """What is read by the piece is what is read by the byte."""
    quick, slow = EventDecoder(limit), EventDecoder(limit)
    for piece in (b"data: begin\n\n", *pieces):
        found = [event for at in range(len(piece)) for event in slow.feed(piece[at : at + 1])]
        assert quick.feed(piece) == found
    assert (quick.oversized, quick.close()) == (slow.oversized, slow.close())
