"""HTTP/1.1 as the fake speaks it."""

from __future__ import annotations

from mirrorgate.testing.clients import Client, request_bytes
from mirrorgate.testing.model_server.behaviour import Behaviour, Canned
from mirrorgate.testing.model_server.server import FakeModelServer


async def test_pipelined_requests_are_answered_in_turn(server: FakeModelServer) -> None:
    """Each with its own answer, on one connection."""
    paths = ["/version", "/nope", "/v1/models"] * 5
    async with await Client.connect(server.port) as client:
        await client.send(b"".join(request_bytes("GET", path) for path in paths))
        assert [(await client.answer()).status for _ in paths] == [200, 404, 200] * 5
    assert server.connections_made == 1


async def test_a_body_comes_in_any_pieces(server: FakeModelServer) -> None:
    """Byte by byte, chunked with trailers, or after a 100."""
    async with await Client.connect(server.port) as client:
        wire = request_bytes("POST", "/v1/completions", (), {"prompt": "hi", "max_tokens": 2})
        await client.send(*[wire[index : index + 1] for index in range(len(wire))])
        assert (await client.answer()).status == 200
        headers = [("content-type", "application/json")]
        pieces = [b'{"prompt":', b'"hi"}']
        chunked = request_bytes("POST", "/v1/completions", headers, chunks=pieces, trailers=[("x-sum", "1")])
        await client.send(chunked)
        assert (await client.answer()).status == 200
        assert server.requests[-1].trailers == (("x-sum", "1"),)
        await client.send(
            request_bytes("POST", "/v1/completions", [*headers, ("expect", "100-continue"), ("content-length", "15")])
        )
        assert (await client.head()).status == 100
        await client.send(b'{"prompt":"hi"}')
        assert (await client.answer()).status == 200


async def test_head_has_no_body_and_http_1_0_no_chunks(server: FakeModelServer) -> None:
    """And an old client's connection ends with the answer."""
    async with await Client.connect(server.port) as client:
        head = await client.request("HEAD", "/version")
        assert (head.status, head.head.header("content-length"), head.body) == (200, "20", b"")
        assert (await client.request("GET", "/version")).status == 200
    body = {"prompt": "hi", "stream": True}
    async with await Client.connect(server.port) as client:
        await client.send(request_bytes("POST", "/v1/completions", (), body, version="1.0"))
        answer = await client.answer()
        assert answer.head.header("transfer-encoding") is None
        assert answer.events()[-1] == "[DONE]"


async def test_what_is_not_http_gets_a_400(server: FakeModelServer) -> None:
    """And the connection's end."""
    async with await Client.connect(server.port) as client:
        await client.send(b"\x16\x03\x01 hello\r\n\r\n")
        assert (await client.answer()).status == 400
        assert await client.closed()


async def test_close_is_honoured_and_announced(server: FakeModelServer) -> None:
    """When the client says `connection: close`."""
    async with await Client.connect(server.port) as client:
        answer = await client.request("GET", "/version", [("connection", "close")])
        assert answer.head.header("connection") == "close"
        assert await client.closed()


async def test_canned_answers() -> None:
    """Fixed bodies, chunks with trailers, no body at all, and another protocol."""
    canned = {
        "/plain": Canned(201, (("x-a", "1"),), (b"hello",)),
        "/chunked": Canned(chunks=(b"a", b"b"), trailers=(("x-sum", "2"),)),
        "/nothing": Canned(204),
        "/socket": Canned(upgrade="echo"),
    }
    async with FakeModelServer(Behaviour(canned=canned)) as server, await Client.connect(server.port) as client:
        plain = await client.request("GET", "/plain")
        assert (plain.status, plain.head.header("x-a"), plain.body) == (201, "1", b"hello")
        chunked = await client.request("GET", "/chunked")
        assert ([chunk.data for chunk in chunked.chunks], chunked.trailers) == ([b"a", b"b"], (("x-sum", "2"),))
        assert (await client.request("GET", "/nothing")).status == 204
        await client.send(request_bytes("GET", "/socket", [("connection", "upgrade"), ("upgrade", "echo")]), b"ping")
        assert (await client.head()).status == 101
        assert await client.read() == b"ping"


async def test_an_upgrade_that_is_not_known_is_a_plain_request(server: FakeModelServer) -> None:
    """As in uvicorn: answered, not switched."""
    async with await Client.connect(server.port) as client:
        answer = await client.request("GET", "/version", [("connection", "upgrade"), ("upgrade", "h2c")])
        assert answer.status == 200
