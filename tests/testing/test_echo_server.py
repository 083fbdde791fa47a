"""The echo server: it tells what it was asked, and answers with the fields that it is told to."""

import pytest

from mirrorgate.testing.clients import Client, request_bytes
from mirrorgate.testing.echo_server import EchoServer


async def test_it_tells_what_it_was_asked() -> None:
    """Method, path, host and fields, repeated ones each; and the fields that the answer is to have."""
    async with EchoServer("infra", "v1") as server, await Client.connect(server.port) as client:
        headers = [("host", "a.test"), ("X-One", "1"), ("x-one", "2"), ("x-echo-set-header", "A:1,B:x:y")]
        answer = await client.request("PUT", "/a?b=c", headers)
        told = answer.json()
        assert (told["method"], told["path"], told["host"]) == ("PUT", "/a?b=c", "a.test")
        assert (told["namespace"], told["service"], told["headers"]["x-one"]) == ("infra", "v1", ["1", "2"])
        assert (answer.head.header("a"), answer.head.header("b")) == ("1", "x:y")
        assert [request.target for request in server.requests] == ["/a?b=c"]


async def test_its_objects_lead_to_it() -> None:
    """A Service on port 8080 and a slice with its own port."""
    async with EchoServer("infra", "v1") as server:
        service, piece = server.objects()
        assert service["spec"]["ports"] == [{"port": 8080}]
        assert piece["ports"] == [{"port": server.port}]
        assert piece["metadata"]["labels"] == {"kubernetes.io/service-name": service["metadata"]["name"]}


async def test_the_first_requests_of_a_target_fare_badly() -> None:
    """By status or by a cut connection; the next one is answered, and other targets count for themselves."""
    async with EchoServer("infra", "v1") as server:
        async with await Client.connect(server.port) as client:
            paths = ("/a?first=2&status=503", "/b?first=1&status=500", "/a?first=2&status=503", "/a?first=2&status=503")
            assert [(await client.request("GET", path)).status for path in paths] == [503, 500, 503, 200]
        async with await Client.connect(server.port) as client:
            with pytest.raises((OSError, EOFError)):
                await client.request("GET", "/c?first=1&reset")
        async with await Client.connect(server.port) as client:
            assert (await client.request("GET", "/c?first=1&reset")).status == 200


async def test_a_websocket_is_echoed() -> None:
    """Whatever comes after the upgrade goes back."""
    fields = [("host", "a.test"), ("connection", "upgrade"), ("upgrade", "websocket")]
    async with EchoServer("infra", "v1") as server, await Client.connect(server.port) as client:
        await client.send(request_bytes("GET", "/ws", fields))
        assert (await client.head()).status == 101
        await client.send(b"ping")
        assert await client.reader.readexactly(4) == b"ping"
