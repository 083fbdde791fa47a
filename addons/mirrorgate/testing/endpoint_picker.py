"""A fake endpoint picker: a real gRPC server that speaks the endpoint picker protocol as the reference picker does.

A request says in the header `x-picker` what the picker shall do with it, several words separated by blanks:

| word | what it does |
| --- | --- |
| `to=IP:PORT,...` | chooses these instead of `endpoints` |
| `by=header`, `by=metadata` | names the choice in one place only |
| `set=NAME:VALUE` | sets a header field of the request |
| `model=NAME` | rewrites the body's model |
| `whole` | says once that the body is as it was, as the lightweight picker does |
| `drop=STATUS` | answers by itself; `body=TEXT` gives the answer a body |
| `silent` | never chooses |
| `early` | ends the call after its choice |
| `broken` | ends the call with an error |
| `answer=NAME:VALUE` | sets a header field of the answer |
| `deaf` | does not read the answer |
"""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc as service

__all__ = ["FakeEndpointPicker", "Told"]

DESTINATION = "x-gateway-destination-endpoint"
_CHUNK = 62_000


@dataclass(slots=True, eq=False)
class Told:
    """What the picker was told of one exchange."""

    peer: str
    headers: dict[str, str] = field(default_factory=dict)
    """Of the request, pseudo-fields included."""
    body: bytes = b""
    subset: list[str] | None = None
    modes: tuple[int, int] = (0, 0)
    """Body modes of request and answer."""
    answer_headers: dict[str, str] = field(default_factory=dict)
    served: str = ""
    answer: bytes = b""
    answer_pieces: int = 0
    trailers: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    """Whether the answer was told of to its end."""
    over: bool = False
    """Whether the call is over, however it ended."""

    @property
    def orders(self) -> dict[str, str]:
        pairs = (word.partition("=") for word in self.headers.get("x-picker", "").split())
        return {name: value for name, _, value in pairs}


class FakeEndpointPicker(service.ExternalProcessorServicer):  # type: ignore[misc]  # it has no types
    """The server, on a port of this machine; over TLS with a certificate that names nobody unless `clear`."""

    def __init__(
        self, endpoints: str = "", *, clear: bool = False, port: int = 0, most_calls: int | None = None
    ) -> None:
        """`most_calls` bounds the calls at a time on one connection."""
        self.endpoints = endpoints
        self._most_calls = most_calls
        self.port = port
        self.told: list[Told] = []
        self._clear = clear
        self._changed = asyncio.Event()
        self._server: Any = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, at the same port as before."""
        options = [("grpc.so_reuseport", 0)]
        if self._most_calls is not None:
            options.append(("grpc.max_concurrent_streams", self._most_calls))
        server = self._server = grpc.aio.server(options=options)
        service.add_ExternalProcessorServicer_to_server(self, server)
        address = f"127.0.0.1:{self.port}"
        if self._clear:
            self.port = server.add_insecure_port(address)
        else:
            self.port = server.add_secure_port(address, grpc.ssl_server_credentials([_nameless_certificate()]))
        await server.start()

    async def stop(self) -> None:
        """Hang up on everybody."""
        await self._server.stop(None)

    async def leave(self) -> None:
        """Take no more calls, and end when those that run are over."""
        await self._server.stop(10)

    async def until(self, condition: Any, timeout: float = 10.0) -> None:
        """Wait until `condition()` holds; it is looked at whenever something was told."""
        async with asyncio.timeout(timeout):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    # The service

    async def Process(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        told = Told(context.peer())
        self.told.append(told)
        try:
            async for request in requests:
                self._note(told, request)
                self._changed.set()
                if told.orders.keys() & {"deaf"} and request.HasField("response_headers"):
                    await asyncio.Event().wait()
                for reply in self._replies(told, request):
                    yield reply
                if _complete(request) and "broken" in told.orders:
                    await context.abort(grpc.StatusCode.INTERNAL, "the picker is broken")
                if _complete(request) and told.orders.keys() & {"early", "drop"}:
                    return
        finally:
            told.over = True
            self._changed.set()

    def _note(self, told: Told, request: Any) -> None:
        kind = request.WhichOneof("request")
        message = getattr(request, kind)
        metadata = request.metadata_context.filter_metadata
        if kind == "request_headers":
            told.headers = _fields(message.headers)
            told.modes = (request.protocol_config.request_body_mode, request.protocol_config.response_body_mode)
            if "envoy.lb.subset_hint" in metadata:
                told.subset = list(metadata["envoy.lb.subset_hint"]["x-gateway-destination-endpoint-subset"])
        elif kind == "request_body":
            told.body += message.body
        elif kind == "response_headers":
            told.answer_headers = _fields(message.headers)
            told.served = metadata["envoy.lb"]["x-gateway-destination-endpoint-served"]
            told.ended = message.end_of_stream
        elif kind == "response_body":
            told.answer += message.body
            told.answer_pieces += 1
            told.ended = message.end_of_stream
        elif kind == "response_trailers":
            told.trailers = _fields(message.trailers)
            told.ended = True

    def _replies(self, told: Told, request: Any) -> list[Any]:
        orders = told.orders
        if request.HasField("response_headers"):
            reply = ext_proc.ProcessingResponse()
            mutation = reply.response_headers.response.header_mutation
            mutation.set_headers.add().header.CopyFrom(_value("x-conformance-test-served-endpoint", told.served))
            if "answer" in orders:
                name, _, value = orders["answer"].partition(":")
                mutation.set_headers.add().header.CopyFrom(_value(name, value))
            return [reply]
        if request.HasField("response_body"):
            reply = ext_proc.ProcessingResponse()
            streamed = reply.response_body.response.body_mutation.streamed_response
            streamed.body, streamed.end_of_stream = request.response_body.body, request.response_body.end_of_stream
            return [reply]
        if not _complete(request) or orders.keys() & {"silent", "broken"}:
            return []
        if "drop" in orders:
            reply = ext_proc.ProcessingResponse()
            reply.immediate_response.status.code = int(orders["drop"])
            reply.immediate_response.body = orders.get("body", "").encode()
            reply.immediate_response.headers.set_headers.add().header.CopyFrom(_value("x-dropped", "saturated"))
            return [reply]
        return self._choice(told, orders)

    def _choice(self, told: Told, orders: dict[str, str]) -> list[Any]:
        endpoints, body = orders.get("to", self.endpoints), told.body
        head = ext_proc.ProcessingResponse()
        response = head.request_headers.response
        response.clear_route_cache = True
        mutation = response.header_mutation
        if orders.get("by") != "metadata":
            mutation.set_headers.add().header.CopyFrom(_value(DESTINATION, endpoints))
        if orders.get("by") != "header":
            head.dynamic_metadata["envoy.lb"] = {DESTINATION: endpoints}
        if "set" in orders:
            name, _, value = orders["set"].partition(":")
            mutation.set_headers.add().header.CopyFrom(_value(name, value))
        if "model" in orders:
            body = json.dumps(json.loads(body) | {"model": orders["model"]}).encode()
            mutation.set_headers.add().header.CopyFrom(_value("content-length", str(len(body))))
        if not told.body:
            return [head]
        if "whole" in orders:
            reply = ext_proc.ProcessingResponse()
            reply.request_body.response.SetInParent()
            return [head, reply]
        replies = [head]
        for start in range(0, len(body), _CHUNK):
            reply = ext_proc.ProcessingResponse()
            streamed = reply.request_body.response.body_mutation.streamed_response
            streamed.body, streamed.end_of_stream = body[start : start + _CHUNK], start + _CHUNK >= len(body)
            replies.append(reply)
        return replies


def _complete(request: Any) -> bool:
    kind = request.WhichOneof("request")
    return kind in ("request_headers", "request_body") and bool(getattr(request, kind).end_of_stream)


def _fields(headers: Any) -> dict[str, str]:
    return {each.key: (each.raw_value or each.value.encode()).decode("latin-1") for each in headers.headers}


def _value(name: str, value: str) -> Any:
    header = ext_proc.HttpHeaders().headers.headers.add()
    header.key, header.raw_value = name, value.encode()
    return header


def _nameless_certificate() -> tuple[bytes, bytes]:
    """Return a key and a certificate as the reference picker makes them: self-signed, an organization, no name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Inference Ext")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)
