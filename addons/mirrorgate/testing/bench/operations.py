"""What a request, an event and a comparison do most often, each as a function without arguments that can be repeated.

The same ones are timed by `tests/benchmarks/bench_operations.py` and counted in bytecodes by `bytecodes`.
"""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, cast

from ...admission.cluster import Cluster
from ...admission.limits import Limits
from ...comparison.pairs import compare
from ...comparison.policy import ComparisonPolicy
from ...director import Director
from ...exchange import Exchange
from ...inference.apis import Api
from ...inference.assembling import assemble
from ...inference.requests import InferenceRequest, parse_request
from ...inference.sse import EventDecoder
from ...plans import Plan, RequestFacts
from ...proxy.carrying.relaying import Relay
from ...proxy.messages.heads import Fields, RequestHead
from ...proxy.messages.http1 import RequestReader
from ...resources.loading import Document, load
from ...routing.matching import Router
from ...routing.table import Listener, Match, PathKind, PathMatch, RouteTable, Rule
from ...scheduling.endpoints import EndpointHealth, Load
from ...scheduling.in_flight import InFlight
from ...snapshot import Snapshot
from ..manifests import as_yaml, gateway, http_route, inference_pool, reference

if TYPE_CHECKING:
    from ...proxy.carrying.carrier import Carrier
    from ...proxy.upstream.http1 import Upstream

__all__ = ["OPERATIONS"]

type Operation = Callable[[], object]

_ENDPOINTS = 8
_BODY: Final = json.dumps(
    {
        "model": "fake-model",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant. " * 20},
            {"role": "user", "content": "Tell me of the brown fox."},
        ],
        "stream": True,
    }
).encode()
_PATH = b"/v1/chat/completions"


def _match() -> Operation:
    """Find the last of 1,000 rules by its path."""
    matches = [
        Match("", PathMatch(PathKind.PREFIX, f"/p/{n}"), None, (), (), Rule(("default", f"r{n}"), 0, None, f"c{n}"), 0)
        for n in range(1000)
    ]
    listener = Listener(("default", "gw"), "http", 80, "HTTP", "", (), tuple(matches))
    router = Router(RouteTable((listener,)))
    fields = ((b"host", b"any.test"), (b"content-type", b"application/json"))
    return lambda: router.match(listener, "POST", "any.test", "/p/999/x?version=2", fields)


def _directed() -> tuple[Director, RequestFacts]:
    port = 80
    ports = range(8001, 8001 + _ENDPOINTS)
    objects = [*gateway(port), *inference_pool("pool", *ports), http_route("r", reference("pool", "InferencePool"))]
    inventory = load([Document("bench.yaml", as_yaml(objects))]).inventory
    health = {f"127.0.0.1:{each}": EndpointHealth(Load(waiting=each % 3, running=2, at=1.0)) for each in ports}
    director = Director(Snapshot.of(inventory, 1), lambda: health, lambda: 5.0, random.Random(7), lambda _: False)
    fields = ((b"host", b"r.test"), (b"content-type", b"application/json"))
    return director, RequestFacts(port, b"POST", _PATH, b"r.test", fields, "http", "127.0.0.1")


def _plan() -> Operation:
    """Route a chat request and plan it: rule, backend, model, one endpoint of eight."""
    director, facts = _directed()

    def plan() -> Plan:
        found = director.plan(director.route(facts), facts, _BODY)
        assert isinstance(found, Plan)
        return found

    return plan


def _admit() -> Operation:
    """Take a place and a ready connection of a cluster, and give both back."""
    cluster: Cluster[int, str] = Cluster(Limits(1024, 1024, 1024))
    cluster.request("a:1", 0)
    cluster.opened("a:1", "c")
    cluster.finished("a:1", "c", reusable=True)

    def admit() -> None:
        cluster.request("a:1", 1)
        cluster.finished("a:1", "c", reusable=True)

    return admit


def _permit() -> Operation:
    """Count a request on its endpoint as under way, and release it."""
    in_flight = InFlight()
    return lambda: in_flight.acquire("a:1", 1.0).release()


class _Heads:
    """Takes what a reader tells."""

    def request_head(self, head: RequestHead) -> None: ...
    def request_body(self, data: bytes) -> None: ...
    def request_end(self, trailers: Fields) -> None: ...


def _request_reader() -> tuple[RequestReader, bytes]:
    reader = RequestReader(_Heads(), 61440)
    names = ("accept", "accept-encoding", "user-agent", "x-request-id", "authorization")
    head = b"POST %b HTTP/1.1\r\nhost: r.test\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % (
        _PATH,
        len(_BODY),
    )
    data = head + b"".join(b"%b: some-value\r\n" % name.encode() for name in names) + b"\r\n" + _BODY
    return reader, data


def _read() -> Operation:
    """Read a chat request of HTTP/1.1 off the wire, of a client that repeats no head."""
    reader, data = _request_reader()
    for number in range(20):
        reader.feed(data.replace(b"some-value", b"%d" % number))
    return lambda: reader.feed(data)


def _again() -> Operation:
    """Read one whose head is that of the request before."""
    reader, data = _request_reader()
    return lambda: reader.feed(data)


class _Server:
    """Stands where a server's connection stands between two chunks."""

    between_chunks = True

    def data_received(self, data: bytes) -> None: ...


def _relayed() -> Operation:
    """Pass 100 events of a stream on that come one by one."""
    carrier = SimpleNamespace(facts=Exchange("id", 0.0, 0.0, streamed=True), clocks=SimpleNamespace(last_byte=0.0))
    relay = Relay(cast("Carrier", carrier), cast("Upstream", _Server()), len, deque(maxlen=4))
    chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in _events(98)]
    relay.data_received(chunks[0])

    def passed() -> None:
        for chunk in chunks:
            relay.data_received(chunk)

    return passed


def _events(words: int, first: str = "word") -> list[bytes]:
    """Return a streamed completion, an event in each piece."""
    chunk = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas = [{"index": 0, "delta": {"content": f"{first}{n} "}, "finish_reason": None} for n in range(words)]
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    texts = [json.dumps({**chunk, "choices": [choice]}) for choice in (*deltas, end)]
    return [f"data: {text}\n\n".encode() for text in (*texts, "[DONE]")]


def _sse() -> Operation:
    """Decode 100 events that come one by one, and 100 that come together."""
    pieces = _events(98)
    whole = b"".join(pieces)

    def decode() -> int:
        decoder = EventDecoder()
        return sum(len(decoder.feed(piece)) for piece in pieces) + len(decoder.feed(whole))

    return decode


def _assemble() -> Operation:
    """Assemble a streamed completion of 100 words."""
    pieces = _events(100)
    times = [0.01 * n for n in range(len(pieces))]
    return lambda: assemble(Api.CHAT, 200, "text/event-stream", None, pieces, times, 0.0)


def _parse() -> Operation:
    """Parse a chat request's body."""
    return lambda: parse_request("POST", _PATH.decode(), None, _BODY)


def _diff() -> Operation:
    """Compare two completions of 100 words, a fifth of which differ."""
    left, right = (
        assemble(Api.CHAT, 200, "text/event-stream", None, [*_events(80), *_events(20, other)], (), 0.0)
        for other in ("left", "right")
    )
    request = parse_request("POST", _PATH.decode(), None, _BODY)
    assert isinstance(request, InferenceRequest)
    policy = ComparisonPolicy()
    return lambda: compare(left, right, request, policy)


OPERATIONS: dict[str, Callable[[], Operation]] = {
    "read": _read,
    "again": _again,
    "match": _match,
    "parse": _parse,
    "plan": _plan,
    "permit": _permit,
    "admit": _admit,
    "relayed": _relayed,
    "sse": _sse,
    "assemble": _assemble,
    "diff": _diff,
}
"""What makes each, by name; what it is stands in its docstring."""
