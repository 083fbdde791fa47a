"""The way up: find the route, read the body, let addons look and change, plan, ask for admission."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
from mitmproxy import http

from ...errors import Refusal
from ...exchange import State
from ...plans import Directed, Effective, Plan, Refused, RequestFacts
from ..downstream import receiving
from ..messages.sketch import AnyFlow, Sketch
from . import replying, shaping
from .uploading import Upload

if TYPE_CHECKING:
    from .carrier import Carrier

__all__ = ["request_phase"]

_UNCOUNTED = 64 * 1024
"""Bytes of a body that may come before it is looked at again, and counted with all that are in memory."""

_IDLE = Effective().stream_idle
"""How long a client may be silent inside a body, where no rule says."""


async def request_phase(carrier: Carrier) -> None:
    """Carry an exchange from its head to the cluster's door."""
    directed = _direct(carrier)
    _note_route(carrier, directed)
    hooks, inbound = carrier.hooks, carrier.inbound
    streams = bool(inbound.head.content_length) and _wants_streaming(carrier, directed)
    if streams:
        carrier.flow.request.stream = True  # addons find it so in mitmproxy, and may change it
    unseen = hooks.passed("requestheaders")
    before: _Seen = carrier.flow if unseen else _seen(carrier)
    if not unseen and not await hooks.going_on("requestheaders"):
        return
    flow = carrier.flow
    body_pending = not inbound.ended
    if directed.refused is not None and flow.response is None and body_pending and _unchanged(carrier, before):
        # The body is not waited for: nothing can make use of it.
        if not shaping.concerns(carrier, directed) or await shaping.passes(carrier, directed, whole=True):
            await replying.refuse(carrier, directed.refused)
        return
    if not unseen:
        directed = _rerouted(carrier, directed, before)
    if shaping.concerns(carrier, directed) and not await shaping.passes(carrier, directed, whole=False):
        return
    if streams and _needs_body(directed) and flow.request.stream is True:
        flow.request.stream = False
    if inbound.head.expects_continue:
        if body_pending and not _too_large(carrier, directed):
            carrier.connection.send_continue()
        flow.request.headers.pop("expect", None)
    before = _seen(carrier)
    if not _is_whole(carrier, directed):
        if _wants_streaming(carrier, directed):
            await _stream(carrier, directed)
            return
        carrier.facts.to(State.READING)
        if not await _read_body(carrier, directed):
            return
        if _wants_streaming(carrier, directed):
            await _stream(carrier, directed)
            return
    else:
        carrier.facts.to(State.READING)
    _take_body(carrier)
    if not hooks.passed("request"):
        if not await hooks.going_on("request"):
            return
        flow = carrier.flow
        if flow.response is not None:
            await replying.answer_by_addon(carrier)
            return
        directed = _rerouted(carrier, directed, before)
    if shaping.concerns(carrier, directed) and not await shaping.passes(carrier, directed, whole=True):
        return
    if directed.refused is not None:
        await replying.refuse(carrier, directed.refused)
        return
    await _plan_and_admit(carrier, directed, flow.request.raw_content or b"")


async def _stream(carrier: Carrier, directed: Directed) -> None:
    """Send the request on while it comes in; addons hear `request` at its end."""
    if shaping.concerns(carrier, directed) and not await shaping.passes(carrier, directed, whole=True):
        return
    if directed.refused is not None:
        await replying.refuse(carrier, directed.refused)
        return
    request = carrier.flow.request
    request.stream = request.stream or True
    carrier.upload = Upload(carrier)
    await _plan_and_admit(carrier, directed, None)


def _facts_of(carrier: Carrier) -> RequestFacts:
    request, head = carrier.flow.request, carrier.inbound.head
    untouched = request.headers.fields is head.fields
    notes = head.notes if untouched and type(carrier.flow) is Sketch else None
    if notes is not None and (known := notes.asked) is not None:
        return known if known.fields is head.fields else msgspec.structs.replace(known, fields=head.fields)
    asked = RequestFacts(
        port=carrier.connection.port.logical,
        method=request.data.method,
        path=request.data.path,
        host=_host_of(carrier),
        fields=request.headers.fields,
        scheme=carrier.connection.scheme.decode(),
        client=carrier.client.peername[0],
        local=carrier.client.sockname[0],
        server_name=carrier.connection.server_name,
        content_type=head.content_type if untouched else None,
        to_pool=not untouched or head.shape is None or head.shape.to_pool,
    )
    if notes is not None:
        notes.asked = asked
    return asked


def _host_of(carrier: Carrier) -> bytes:
    """Return the request's host: an absolute target's authority wins over Host (RFC 9112, 3.2.2), an addon's Host
    over both."""
    head = carrier.inbound.head
    fields = carrier.flow.request.headers.fields
    if fields is head.fields or fields == head.fields:
        return head.authority
    now = next((value.strip() for name, value in fields if name.lower() == b"host"), None)
    was = next((value.strip() for name, value in head.fields if name.lower() == b"host"), None)
    return head.authority if now is None or now == was else now


type _Seen = AnyFlow | tuple[object, ...]


def _seen(carrier: Carrier) -> _Seen:
    """Keep what routing has looked at, to see later whether an addon has changed it; nobody has changed a sketch."""
    flow = carrier.flow
    return flow if type(flow) is Sketch else _signature(flow)


def _signature(flow: AnyFlow) -> tuple[object, ...]:
    """Return what routing looks at, and before it the address that an addon may set."""
    data = flow.request.data
    return data.host, data.port, data.method, data.path, data.headers.fields


def _unchanged(carrier: Carrier, before: _Seen) -> bool:
    flow = carrier.flow
    return flow is before or _signature(flow) == (_signature(before) if isinstance(before, Sketch) else before)


def _direct(carrier: Carrier) -> Directed:
    """Find where a request belongs; one that is replayed to a certain endpoint goes there."""
    address = carrier.inbound.direct
    if address is not None:
        return carrier.plane.director.direct(address.host, address.port)
    carrier.asked = _facts_of(carrier)
    return carrier.plane.director.route(carrier.asked)


def _rerouted(carrier: Carrier, directed: Directed, before: _Seen) -> Directed:
    """Match again if an addon has changed what routing looks at; an address that it set is used as it is."""
    if _unchanged(carrier, before):
        return directed
    data = carrier.flow.request.data
    was = _signature(before) if isinstance(before, Sketch) else before
    assert isinstance(was, tuple)
    if (data.host, data.port) != was[:2]:
        directed = carrier.plane.director.direct(data.host, data.port)
    else:
        directed = _direct(carrier)
    _note_route(carrier, directed)
    return directed


def _note_route(carrier: Carrier, directed: Directed) -> None:
    facts = carrier.facts
    facts.listener = directed.listener
    facts.route = directed.route
    facts.rule = directed.rule_index
    facts.cluster = directed.cluster
    carrier.cors = directed.cors
    carrier.describe()


def _wants_streaming(carrier: Carrier, directed: Directed) -> bool:
    """Tell whether the body goes on before it is whole: an addon says so, or it is large and nobody has to see it.

    That it has come in one piece with its head makes no difference, or addons would see it by chance.
    """
    inbound, limit = carrier.inbound, carrier.plane.settings.stream_over
    if carrier.flow.response is not None:
        return False
    if carrier.flow.request.stream:
        return True
    if _needs_body(directed) or limit is None:
        return False
    if inbound.head.streams_both_ways and not inbound.ended:
        return True
    if limit == 0 and not inbound.ended:
        return True
    return (inbound.head.content_length or inbound.received) > limit


def _is_whole(carrier: Carrier, directed: Directed) -> bool:
    """Tell whether the body has come with its head, and there is nothing to decide about it: most requests."""
    inbound, limit = carrier.inbound, carrier.plane.settings.stream_over
    if not inbound.ended or carrier.flow.request.stream or inbound.received > _body_limit(carrier, directed):
        return False
    return limit is None or inbound.received <= limit or _needs_body(directed)


def _needs_body(directed: Directed) -> bool:
    """Tell whether the rule wants the body read before the request goes on."""
    return directed.needs_body or shaping.buffer_of(directed) is not None


def _body_limit(carrier: Carrier, directed: Directed) -> int:
    """Return how many bytes of a body are buffered at most."""
    most, declared = carrier.plane.settings.body_limit, shaping.buffer_of(directed)
    return most if declared is None else min(most, declared)


def _too_large(carrier: Carrier, directed: Directed) -> bool:
    """Tell whether a body is, or says that it is, larger than what may be buffered."""
    if _wants_streaming(carrier, directed):
        return False
    inbound = carrier.inbound
    return max(inbound.received, inbound.head.content_length or 0) > _body_limit(carrier, directed)


async def _read_body(carrier: Carrier, directed: Directed) -> bool:
    """Read the whole body, up to its limit, or until it turns out to be one that streams. Whether the exchange
    goes on."""
    inbound = carrier.inbound
    carrier.connection.unhold("body")
    if not inbound.ended:
        rule = directed.rule
        idle = None if rule is None else rule.timeouts.stream_idle
        carrier.clocks.start_idle(_IDLE if idle is None else idle)
    most, stream_over = _body_limit(carrier, directed), carrier.plane.settings.stream_over
    patience = most if stream_over is None or _needs_body(directed) else min(most, stream_over)
    while not _too_large(carrier, directed):
        if inbound.ended or _wants_streaming(carrier, directed):
            carrier.clocks.stop("idle")
            return True
        found = _find_room(carrier)
        if not found:
            await replying.refuse(carrier, Refused(Refusal.BUFFERS_FULL))
            return False
        carrier.patience = min(patience, found)
        await carrier.wait()
        if carrier.over:
            return False
    message = f"the request body is larger than {_body_limit(carrier, directed)} bytes"
    await replying.refuse(carrier, Refused(Refusal.BODY_TOO_LARGE, message))
    return False


def _find_room(carrier: Carrier) -> int:
    """Find memory for as much of the body as has come in, or will come in one piece. How many bytes of it may be there
    until it is looked for again; 0 where there is none."""
    plane, inbound = carrier.plane, carrier.inbound
    if carrier.room is None:
        carrier.room = plane.bodies.room()
    most, extent = plane.settings.bodies_limit, receiving.extent_of(carrier)
    if extent and carrier.room.grow(extent, most):
        receiving.receive(carrier, extent)
        return extent - 1
    if inbound.receiver is None and carrier.room.grow(inbound.received, most):
        return inbound.received + _UNCOUNTED
    return 0


def _take_body(carrier: Carrier) -> None:
    """Let addons see the body, which is whole."""
    inbound, request = carrier.inbound, carrier.flow.request
    pieces = inbound.take()
    request.data.content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    request.data.timestamp_end = carrier.facts.unix(time.monotonic())
    if inbound.trailers:
        request.trailers = http.Headers(inbound.trailers)


async def _plan_and_admit(carrier: Carrier, directed: Directed, body: bytes | None) -> None:
    plane, facts = carrier.plane, carrier.facts
    request = carrier.asked
    if request is None or type(carrier.flow) is not Sketch or request.fields is not carrier.flow.request.headers.fields:
        request = _facts_of(carrier)
    planned: Plan | Refused | None = plane.director.plan(directed, request, body)
    if isinstance(planned, Refused) and planned.held is not None and body is not None:
        planned = await plane.flow_control.turn(carrier, planned.held, directed, request, body)
    if plane.pickers is not None and isinstance(planned, Plan):
        planned = await plane.pickers.consult(carrier, planned, body)
    if planned is None:
        return
    if isinstance(planned, Refused):
        facts.model = planned.model or ""
        await replying.refuse(carrier, planned)
        return
    if carrier.shaped is not None:
        planned = carrier.shaped.onto(planned)
    facts.cluster = planned.cluster
    facts.pool = planned.pool
    facts.endpoint = str(planned.address)
    facts.model = planned.model or ""
    facts.target_model = planned.target_model or ""
    facts.request_id = planned.request_id
    carrier.describe()
    plane.picked(planned, facts.id, time.time())
    carrier.admit(planned)
