"""Whom a client can reach: what the configuration names and nobody else, whatever the request says.

A server stands where nobody leads. Each case asks for it by another word; none may come to it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from mirrorgate.testing.backends import Backend, answering, response_bytes
from mirrorgate.testing.clients import Client, WireError, request_bytes
from mirrorgate.testing.gateways import RunningGateway, chat_body, running_gateway, write_manifests
from mirrorgate.testing.http2_client import Http2Client
from mirrorgate.testing.manifests import backend, gateway, http_route, inference_pool, reference
from mirrorgate.testing.processes import free_port
from mirrorgate.wiring.options import OPTIONS

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@dataclass(frozen=True, slots=True)
class Rig:
    gateway: RunningGateway
    known: Backend
    hidden: Backend


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """Give a gateway that knows one server, as a pool and as a backend, beside one that it does not know."""
    reply = answering(response_bytes(body=b"{}"))
    async with Backend(reply) as known, Backend(reply) as hidden:
        port = free_port()
        objects = [
            *gateway(port),
            backend("plain", known.port),
            *inference_pool("pool", known.port),
            http_route("plain", reference("plain")),
            http_route("pool", reference("pool", "InferencePool")),
        ]
        config = tmp_path_factory.mktemp("reach") / "gateway.yaml"
        write_manifests(config, objects)
        async with running_gateway(config, port, options={"gateway_scrape_interval": "0"}) as running:
            yield Rig(running, known, hidden)


STEERING = [
    "x-gateway-destination-endpoint",
    "x-gateway-destination-endpoint-subset",
    "x-envoy-original-dst-host",
    "x-envoy-original-host",
    "x-envoy-original-path",
    "x-forwarded-host",
    "x-host",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
    "forwarded",
    "proxy-host",
    "destination",
    "test-epp-endpoint-selection",
    "x-mirrorgate-endpoint",
    ":authority",
]
OURS = [
    "x-gateway-destination-endpoint",
    "x-gateway-destination-endpoint-served",
    "X-Gateway-Destination-Endpoint-Subset",
    "x-gateway-model-name-rewrite",
    "x_gateway_destination_endpoint",
    "test-epp-endpoint-selection",
    "x-envoy-original-dst-host",
    "X-Envoy_Original-Dst_Host",
    "x-mirrorgate-endpoint",
    "x_mirrorgate_endpoint",
    "x_forwarded_for",
    "x-forwarded-client-cert",
    "x_forwarded_proto",
    "x_request_id",
    "transfer_encoding",
    "content_length",
    "proxy_connection",
]
"""What a server may believe that a proxy has said, also where it reads an underscore as a hyphen."""


@pytest.mark.parametrize("host", ["plain.test", "pool.test"])
@pytest.mark.parametrize("name", STEERING)
async def test_no_field_steers_a_request(rig: Rig, host: str, name: str) -> None:
    """It goes where its route leads, or is refused."""
    place = f"127.0.0.1:{rig.hidden.port}"
    value = f"host={place}" if name == "forwarded" else place
    async with await rig.gateway.connect() as client:
        answer = await client.request("POST", "/v1/chat/completions", [("host", host), (name, value)], chat_body())
    assert answer.status == (400 if name.startswith(":") else 200)
    assert rig.hidden.conversations == []


async def test_nobody_speaks_in_a_proxy_s_name(rig: Rig) -> None:
    """Not in fields, not behind the body, over HTTP/1.1 and HTTP/2; the client's address is what it is."""
    fields = [(name, "EVIL") for name in OURS]
    async with await rig.gateway.connect() as client:
        assert (await client.request("POST", "/fields", [("host", "plain.test"), *fields], b"{}")).status == 200
    head = "POST /behind HTTP/1.1\r\nhost: plain.test\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n"
    async with await rig.gateway.connect() as client:
        await client.send(
            head.encode() + b"2\r\n{}\r\n0\r\n" + "".join(f"{name}: EVIL\r\n" for name in OURS).encode() + b"\r\n"
        )
        assert (await client.answer()).status == 200
    lower = [(name.lower(), value) for name, value in fields]
    async with await Http2Client.connect(rig.gateway.port) as client:
        more = {"authority": "plain.test", "headers": lower, "body": b"{}"}
        assert (await client.request("POST", "/two", **more)).status == 200
        stream = client.begin("POST", "/behind-two", authority="plain.test", body=b"{}", ended=False)
        client.session.send_headers(stream.number, lower, end_stream=True)
        client.flush()
        assert (await client.until_over(stream)).status == 200
    seen = rig.known.requests[-4:]
    assert [request.target for request in seen] == ["/fields", "/behind", "/two", "/behind-two"]
    for request in seen:
        assert [field for field in (*request.headers, *request.trailers) if "EVIL" in field[1]] == []
        assert request.header("x-forwarded-for") == "127.0.0.1"
        assert request.header("x-request-id")


async def test_connection_takes_nothing_of_ours_away(rig: Rig) -> None:
    """What it names is of the client's fields; those that the gateway writes are there."""
    named = "x-forwarded-for, x-forwarded-proto, x-request-id, host, content-length"
    async with await rig.gateway.connect() as client:
        fields = [("host", "plain.test"), ("connection", named), ("x-forwarded-for", "6.6.6.7")]
        assert (await client.request("POST", "/named", fields, b"{}")).status == 200
    request = rig.known.requests[-1]
    assert (request.header("x-forwarded-for"), request.header("x-forwarded-proto")) == ("127.0.0.1", "http")
    assert (request.header("host"), request.header("content-length"), request.body) == ("plain.test", "2", b"{}")
    assert request.header("x-request-id")


@pytest.mark.parametrize(
    "changed",
    [
        {":authority": "plain.test@{place}"},
        {":authority": "{place}"},
        {":authority": "user:password@plain.test"},
        {":path": "http://{place}/"},
        {":path": "//{place}/"},
        {":scheme": "ftp"},
        {"host": "{place}"},
        {":method": "CONNECT"},
    ],
    ids=str,
)
async def test_no_pseudo_field_leads_elsewhere(rig: Rig, changed: dict[str, str]) -> None:
    """HTTP/2 has other places for a name: what is no request ends its stream, what is one goes by its route."""
    place = f"127.0.0.1:{rig.hidden.port}"
    fields = {":method": "GET", ":scheme": "http", ":path": "/", ":authority": "plain.test"}
    fields |= {name: value.format(place=place) for name, value in changed.items()}
    async with await Http2Client.connect(rig.gateway.port) as client:
        stream = await client.until_over(client.begin_with(list(fields.items())))
    if changed.get(":path", "").startswith("//"):
        assert stream.status == 200
    assert stream.status in ((200, 400, 404) if stream.reset is None else (0, 400))
    assert rig.hidden.conversations == []


@pytest.mark.parametrize(
    "form",
    ["http://{place}/x", "http://{place}@plain.test/x", "http://plain.test@{place}/x", "//{place}/x", "{place}"],
)
@pytest.mark.parametrize("method", ["GET", "CONNECT"])
async def test_no_target_leads_elsewhere(rig: Rig, form: str, method: str) -> None:
    """An absolute target is an authority to route by, not an address; there is no CONNECT."""
    target = form.format(place=f"127.0.0.1:{rig.hidden.port}")
    async with await rig.gateway.connect() as client:
        answer = await client.request(method, target, [("host", "plain.test")])
    assert answer.status == (200 if target.startswith("//") and method == "GET" else answer.status)
    assert answer.status in (200, 400, 404)
    assert rig.hidden.conversations == []


async def test_no_host_leads_elsewhere(rig: Rig) -> None:
    """An address as Host is a name that no route has."""
    for before in ("127.0.0.1", "localhost", "plain.test@127.0.0.1"):
        host = f"{before}:{rig.hidden.port}"
        async with await rig.gateway.connect() as client:
            assert (await client.request("GET", "/", [("host", host)])).status in (400, 404)
    assert rig.hidden.conversations == []


async def test_no_body_leads_elsewhere(rig: Rig) -> None:
    """A model that is named like an address is a model's name."""
    place = f"http://127.0.0.1:{rig.hidden.port}/v1"
    async with await rig.gateway.connect() as client:
        more = {"model": place, "base_url": place, "api_base": place, "endpoint": place}
        answer = await client.request("POST", "/v1/chat/completions", [("host", "pool.test")], chat_body(**more))
    assert answer.status == 200
    assert rig.hidden.conversations == []


async def test_the_admin_server_is_not_reached_through_a_listener(rig: Rig) -> None:
    """Its paths are a route's like any other, and its port is nobody's backend."""
    for path in ("/resources", "/metrics", "/verdict"):
        async with await rig.gateway.connect() as client:
            assert (await client.request("GET", path, [("host", f"127.0.0.1:{rig.gateway.admin.port}")])).status == 404


@pytest.mark.parametrize("path", ["/resources", "/exchanges", "/clusters", "/verdict", "/routes", "/overview", "/"])
async def test_a_rebound_name_sees_nothing_of_a_real_process(rig: Rig, path: str) -> None:
    """A page of another site whose name now points here (DNS rebinding), and a request that was passed on."""
    for fields in ([("host", "evil.example")], [("host", "localhost"), ("x-forwarded-for", "6.6.6.6")]):
        async with await Client.connect(rig.gateway.admin.port) as client:
            assert (await client.request("GET", path, fields)).status in (401, 403)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_is_changed_without_a_token(rig: Rig, method: str) -> None:
    """This process has none, so that there is no change at all, from this machine or another page."""
    for path in ("/config", "/resources", "/verdict", "/clusters", "/drain", "/commands/gateway.status", "/"):
        for fields in ([], [("origin", "http://evil.example"), ("cookie", "a=b")]):
            host = ("host", f"127.0.0.1:{rig.gateway.admin.port}")
            async with await Client.connect(rig.gateway.admin.port) as client:
                try:
                    answer = await client.request(method, path, [host, *fields], b"{}")
                except (WireError, ConnectionError):
                    continue
                assert answer.status in (403, 404, 405), (path, fields)


async def test_the_admin_server_is_bound_to_loopback_by_default() -> None:
    """So that nobody shows it by accident; the listeners, too."""
    defaults = {option.name: option.default for option in OPTIONS}
    assert str(defaults["gateway_admin"]).startswith("127.0.0.1:")
    assert defaults["gateway_bind"] == "127.0.0.1"
    assert defaults["gateway_admin_token"] == ""


async def test_what_is_smuggled_is_counted_nowhere(rig: Rig) -> None:
    """After all of this the known server has seen no request that is not one of ours."""
    async with await rig.gateway.connect() as client:
        await client.send(request_bytes("GET", "/last", [("host", "plain.test")]))
        assert (await client.answer()).status == 200
    assert rig.known.requests[-1].target == "/last"
    assert all("6.6.6.6" not in str(request.headers) for request in rig.known.requests)
