"""The echo server: it tells what it was asked, and answers with the fields that it is told to."""

from mirrorgate.testing.clients import Client
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
