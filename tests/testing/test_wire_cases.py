"""The corpus's words: how a case reads, and that the upstream tells what is not canonical."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirrorgate.testing.backends import Backend
from mirrorgate.testing.clients import Client
from mirrorgate.testing.wire_cases import WireCase, WireUpstream, answers_of, exchanged, load_cases


def case(said: bytes, *methods: str, closes: bool = False) -> WireCase:
    """Return a case of these bytes."""
    return WireCase("case", said, "", "", "", "", methods or ("GET",), closes)


def test_a_case_has_bytes_and_outcomes(tmp_path: Path) -> None:
    """Repetition is written as such; where bodies stream it is the same unless said."""
    path = tmp_path / "cases.yaml"
    text = '- {name: a, say: ["\\xff", {repeat: "xy", times: 3}, "\\r\\n"], ours: 400 close, envoy: 501 close, why: b}'
    path.write_text(text, encoding="utf-8")
    (read,) = load_cases(path)
    assert (read.said, read.ours, read.streaming, read.why) == (b"\xffxyxyxy\r\n", "400 close", "400 close", "b")


@pytest.mark.parametrize(
    "text",
    [
        "- {name: a, say: b, ours: c, envoy: d}",
        "- {name: a, say: b, ours: c, envoy: c, why: e}",
        "- {name: a, say: b, ours: c, envoy: c, odd: e}",
        "[{name: a, say: b, ours: c, envoy: c}, {name: a, say: b, ours: c, envoy: c}]",
    ],
)
def test_a_case_says_enough_and_no_more(tmp_path: Path, text: str) -> None:
    """A reason for each difference, no unknown words, one name once."""
    path = tmp_path / "cases.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"reason|unknown|two cases"):
        load_cases(path)


async def test_what_reaches_the_upstream_is_told() -> None:
    """In order, with bodies, trailers and odd fields."""
    upstream = WireUpstream()
    async with Backend(upstream.script) as server:
        chunked = b"POST /x HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nt: 1\r\n\r\n"
        odd = b"GET / HTTP/1.1\r\nhost: b.test\r\nodd: 1\r\n\r\n"
        outcome = await exchanged(server.port, case(chunked + odd), upstream)
    assert outcome == "200 200 open | POST a.test/x 'ab trailer t: 1' | GET b.test/ odd='1'"


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\nhost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\nhost: a\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nhost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +0\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx : y\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: y\rz\r\n\r\n",
    ],
)
async def test_the_upstream_takes_nothing_lax(raw: bytes) -> None:
    """What a gateway must never send is seen as such."""
    upstream = WireUpstream()
    async with Backend(upstream.script) as server, await Client.connect(server.port) as client:
        await client.send(raw)
        await client.answer()
    assert [text.split(" ")[:2] for text in upstream.reached] == [["NOT", "CANONICAL"]]


async def test_what_a_client_gets_is_told() -> None:
    """Its status, body and fate; a poisoned connection shows in the request behind."""
    upstream = WireUpstream()
    async with Backend(upstream.script) as server:
        plain = case(b"HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 2\r\n\r\nab")
        assert await answers_of(server.port, plain, upstream) == "200 'ab' x-a='b' open"
        two = case(plain.said + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        assert await answers_of(server.port, two, upstream) == "200 'ab' x-a='b' 200 'evil' open"
        cut = case(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab", closes=True)
        assert await answers_of(server.port, cut, upstream) == "cut"
        both = case(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")
        assert "NOT CANONICAL" in await answers_of(server.port, both, upstream)
