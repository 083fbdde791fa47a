"""What the names of fields say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.proxy.messages.field_shapes import HOP_BY_HOP, answer_shape, request_shape, spoken_for_us
from mirrorgate.proxy.messages.heads import Malformed, _read, _read_back, request_head, response_head

NAMES = (
    b"Host", b"host", b"Content-Length", b"content-type", b"User-Agent", b"X-Forwarded-For", b"Expect", b"Upgrade",
    b"Transfer-Encoding", b"Connection", b"TE", b"x-custom", b"X-Envoy-Original-Path", b"x-mirrorgate-leg",
    b"x_forwarded_for", b"X-Gateway-Inference-Objective",
)  # fmt: skip
VALUES = {b"content-length": b"12", b"transfer-encoding": b"chunked", b"expect": b"100-continue", b"host": b"a.test"}

heads = st.lists(st.sampled_from(NAMES), max_size=9).map(
    lambda names: tuple((name, VALUES.get(name.lower(), b"v%d" % place)) for place, name in enumerate(names))
)


@given(heads)
def test_what_stands_at_a_place_is_what_reading_finds(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    """In a plain head every field that means something is where its shape says; others are read one by one."""
    shape = request_shape(tuple(name for name, _ in fields))
    lower = [name.lower() for name, _ in fields]
    try:
        host, length, agent, content_type, forwarded, upgrade, expects, chunked = _read(fields)
    except Malformed:
        assert not shape.plain
        return
    if not shape.plain:
        assert host is None or upgrade or expects or chunked or len(set(lower)) < len(lower)
        return
    head = request_head(b"GET", b"/", "1.1", fields, keep_alive=True, upgrading=False)
    assert (head.authority, head.content_length, head.user_agent) == (host, length, agent)
    assert (head.content_type, head.forwarded_for, head.chunked) == (content_type, forwarded, chunked)
    assert not upgrade
    assert not expects
    assert head.shape is shape


@given(heads)
def test_what_is_passed_on(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    """Neither what is of a connection, nor what only a proxy may say; the mark of a copy is."""
    names = tuple(name for name, _ in fields)
    lower = [name.lower() for name in names]
    kept = [name for name, keep in zip(lower, request_shape(names).kept, strict=True) if keep]
    dropped = {name for name in lower if name in HOP_BY_HOP or spoken_for_us(name)} - {b"x-mirrorgate-leg"}
    assert kept == [name for name in lower if name not in dropped]
    assert request_shape(names).to_pool is (b"x-gateway-inference-objective" in lower)


def test_answers() -> None:
    """The length that counts is the last; it is written anew."""
    shape = answer_shape((b"Date", b"Content-Length", b"Connection", b"x", b"content-length"))
    assert shape.kept == (True, False, False, True, False)
    assert (shape.length, shape.connection, shape.dated) == (4, (2,), True)
    assert answer_shape(()).length is None


answers = st.lists(
    st.sampled_from(
        [
            (b"Content-Length", b"12"), (b"content-length", b"7"), (b"Content-Type", b"a/b"), (b"content-type", b""),
            (b"Transfer-Encoding", b"chunked"), (b"transfer-encoding", b"gzip"), (b"Alt-Svc", b"h3"), (b"x-a", b"1"),
        ]
    ),
    max_size=6,
).map(tuple)  # fmt: skip


@given(answers)
def test_an_answers_places_are_what_reading_finds(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    """Whether it is plain or read one by one, and what is malformed is so either way."""
    try:
        expected = _read_back(fields)
    except Malformed as error:
        with pytest.raises(Malformed, match=str(error)):
            response_head(200, b"", "1.1", fields, to_head=False)
        return
    head = response_head(200, b"", "1.1", fields, to_head=False)
    assert (head.content_length, head.chunked, head.content_type) == expected
    assert head.alt_svc is ((b"Alt-Svc", b"h3") in fields)
    assert head.shape is answer_shape(tuple(name for name, _ in fields))
