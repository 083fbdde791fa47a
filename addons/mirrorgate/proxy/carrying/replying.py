"""What goes out at the two ends of an exchange: the request to the upstream, and the gateway's own answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mitmproxy import flow as mitm_flow

from ...admission.limits import UNLIMITED
from ...errors import OVERFLOWS, REPLIES, LocalReply, Refusal
from ...plans import Plan, Refused
from ...routing.filters import apply
from ..messages.heads import field_lines
from ..messages.rendering import (
    Fields,
    forwarded_head,
    last_chunk,
    local_fields,
    reason_of,
    repeated_head,
    reply_body,
    websocket_upgrade,
)
from ..messages.sketch import Sketch, give_response
from ..mitm import killed
from .overriding import Overridden, overridden, override_of

if TYPE_CHECKING:
    from ..upstream.upstream_side import UpstreamLink
    from .carrier import Carrier

__all__ = ["answer_by_addon", "forward", "note_refusal", "refuse", "replace", "send_local"]

_ONE_WRITE = 65536
"""Bodies up to this size are sent in one piece with the head; copying larger ones costs more than a second write."""


def forward(carrier: Carrier, upstream: UpstreamLink, plan: Plan) -> None:
    """Send the request: whole when it was buffered, its head and the first pieces when it streams."""
    if carrier.call is not None:
        carrier.call.sent()
    flow, head, upload = carrier.flow, carrier.inbound.head, carrier.upload
    upgrade = b"" if upstream.framed else websocket_upgrade(head)
    body = plan.body if upload is None else None
    trailers = flow.request.trailers if upload is None else None
    given = flow.request.headers.fields
    client, scheme = carrier.client.peername[0], carrier.connection.scheme
    if (
        head.notes is not None
        and given is head.fields
        and type(flow) is Sketch
        and plan.as_it_came
        and upload is None
        and not trailers
        and not upstream.framed
    ):
        carrier.sent_up = True
        _send_whole(upstream, repeated_head(head, head.notes, plan, client, scheme), body or b"")
        return
    fields = forwarded_head(
        given,
        plan,
        client=client,
        scheme=scheme,
        body=body,
        content_length=head.content_length,
        chunked=upload.chunked if upload is not None else bool(trailers),
        upgrade=upgrade,
        shape=head.shape if given is head.fields else None,
    )
    if upstream.framed:
        _forward_framed(carrier, upstream, plan, fields, body)
        return
    rendered = b"%b %b HTTP/1.1\r\n%b\r\n" % (
        flow.request.data.method,
        plan.path,
        field_lines(fields),
    )
    if not upgrade:
        _mirror(carrier, plan, fields, body)
    if upload is not None:
        upstream.write(rendered)
        upload.begin()
        return
    carrier.sent_up = True
    body = body or b""
    if trailers:
        upstream.write(rendered + (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + last_chunk(trailers))
    else:
        _send_whole(upstream, rendered, body)


def _send_whole(upstream: UpstreamLink, head: bytes, body: bytes) -> None:
    if len(body) <= _ONE_WRITE:
        upstream.write(head + body)
    else:
        upstream.write(head)
        upstream.write(body)


def _forward_framed(
    carrier: Carrier, upstream: UpstreamLink, plan: Plan, fields: list[tuple[bytes, bytes]], body: bytes | None
) -> None:
    """Send the request over HTTP/2, which marks the end of a body by itself."""
    flow, upload = carrier.flow, carrier.upload
    _mirror(carrier, plan, fields, body)
    te = flow.request.headers.get("te", "")
    upstream.send_request(
        flow.request.data.method, plan.path, carrier.connection.scheme, fields, trailers_known="trailers" in te.lower()
    )
    if upload is not None:
        upload.begin()
        return
    carrier.sent_up = True
    upstream.write(body or b"")
    upstream.end_body(flow.request.trailers, chunked=False)


def _mirror(carrier: Carrier, plan: Plan, fields: list[tuple[bytes, bytes]], body: bytes | None) -> None:
    """Hand the request to the shadow: once, however often it is sent."""
    if not carrier.mirrored:
        carrier.mirrored = True
        carrier.mirror = carrier.plane.mirror(carrier, plan, fields, body)


async def refuse(carrier: Carrier, refused: Refused) -> None:
    """Answer by ourselves: addons see a response, as if one of them had set it."""
    if carrier.over:
        return
    carrier.end()
    flow = carrier.flow
    reply = carrier.facts.refuse(refused.refusal)
    body, content_type = reply_body(reply, refused, openai=carrier.plane.director.speaks_openai(carrier.facts.path))
    status = refused.status or reply.status
    fields = _with_cors(carrier, local_fields(body, content_type, refused.headers))
    answered, fields, body = _as_declared(carrier, status, fields, body)
    give_response(flow, answered, reason_of(answered), fields, body)
    note_refusal(carrier, refused.refusal, status)
    carrier.close = carrier.close or reply.close
    await _send_after_hooks(carrier)


def note_refusal(carrier: Carrier, refusal: Refusal, status: int) -> None:
    """Show on the flow why the gateway answers by itself and, for an overflow, the breaker's counts at this moment."""
    flow, reply = carrier.flow, REPLIES[refusal]
    flow.metadata["mirrorgate.refused"] = refusal.value
    if reply.flag == "-":
        return
    counts = ""
    if refusal in OVERFLOWS and carrier.plan is not None:
        pool, limits = carrier.plane.pools.get(carrier.plan.cluster), carrier.plan.limits
        active, pending, connections = (0, 0, 0)
        if pool is not None:
            gauges = pool.cluster.gauges
            active, pending, connections, limits = gauges.active, gauges.pending, gauges.connections, gauges.limits
        flow.metadata["mirrorgate.breaker"] = {
            "cluster": carrier.plan.cluster,
            "parallel": active,
            "parallel_limit": limits.parallel,
            "pending": pending,
            "pending_limit": limits.pending,
            "connections": connections,
            "connections_limit": limits.connections,
        }
        used = {
            "parallel": (active, limits.parallel),
            "pending": (pending, limits.pending),
            "connections": (connections, limits.connections),
        }
        shown = [f"{name} {count}" + (f"/{most}" if most < UNLIMITED else "") for name, (count, most) in used.items()]
        counts = f"; {', '.join(shown)}"
    flow.marked = ":no_entry:"
    flow.comment = f"{status} {reply.flag} {refusal.value}: {reply.details}{counts}"


async def answer_by_addon(carrier: Carrier) -> None:
    """Send the response that an addon has set, as mitmproxy does: both response hooks, then the bytes."""
    flow = carrier.flow
    assert flow.response is not None
    carrier.end()
    carrier.facts.details = "set_by_addon"
    flow.response.data.timestamp_start = carrier.facts.unix(time.monotonic())
    await _send_after_hooks(carrier)


def send_local(carrier: Carrier, reply: LocalReply, message: str = "") -> None:
    """Send a reply of the table that addons do not see as a response."""
    refused = Refused(carrier.facts.refusal or Refusal.INTERNAL, message)
    openai = carrier.plane.director.speaks_openai(carrier.facts.path)
    body, content_type = reply_body(reply, refused, openai=openai)
    carrier.close = carrier.close or reply.close
    fields = _with_cors(carrier, local_fields(body, content_type, ()))
    status, fields, body = _as_declared(carrier, reply.status, fields, body)
    _write(carrier, status, reason_of(status), fields, body)


async def replace(carrier: Carrier, answer: Overridden) -> None:
    """Send what a policy declares instead of the upstream's answer, whose connection is given back."""
    if carrier.over:
        return
    carrier.end()
    carrier.facts.details = "response_override"
    status, fields, body = answer
    give_response(carrier.flow, status, reason_of(status), fields, body)
    await _send_after_hooks(carrier)


def _as_declared(carrier: Carrier, status: int, fields: Fields, body: bytes) -> Overridden:
    """Let the rule's traffic policy have its say: what there is to tell of rate limits (Envoy's filter adds it to
    answers of Envoy's own, too: measured), or another answer."""
    if carrier.shaped is None:
        return status, fields, body
    fields = fields + carrier.shaped.fields
    override = override_of(carrier, status, fields, local=True)
    if override is None:
        return status, fields, body
    return overridden(carrier, override, status, fields, body.decode("utf-8", "replace"))


def _with_cors(carrier: Carrier, fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Let a browser's script read why it was refused, as Envoy does (measured)."""
    return fields if carrier.cors is None else apply(carrier.cors, fields)


async def _send_after_hooks(carrier: Carrier) -> None:
    """Let addons see the answer, which may change or kill it, and send what it is then."""
    for name in ("responseheaders", "response"):
        await carrier.hooks.fire_and_wait(name)
        flow = carrier.flow
        if not killed(flow) and not carrier.gone:
            continue
        carrier.facts.refuse(Refusal.KILLED if killed(flow) else Refusal.CLIENT_LEFT)
        if not killed(flow):
            flow.error = mitm_flow.Error("Client disconnected.")
        await carrier.hooks.fire_and_wait("error")  # not heard any more behind `response`
        carrier.close = True
        carrier.connection.abort()
        carrier.finish()
        return
    _send_response(carrier)


def _send_response(carrier: Carrier) -> None:
    """Send `flow.response` as it is now, framed by its content."""
    response = carrier.flow.response
    assert response is not None
    content = response.raw_content or b""
    framing = (b"connection", b"transfer-encoding", b"content-length", b"keep-alive")
    fields = [field for field in response.headers.fields if field[0].lower() not in framing]
    if response.status_code not in (204, 304):
        fields.insert(0, (b"content-length", b"%d" % len(content)))
    _write(carrier, response.status_code, response.data.reason, fields, content)


def _write(carrier: Carrier, status: int, reason: bytes, fields: list[tuple[bytes, bytes]], body: bytes) -> None:
    carrier.facts.status = status
    if not carrier.inbound.ended or carrier.plane.leaving:
        carrier.close = True
    if not any(name.lower() == b"date" for name, _ in fields):
        fields.append((b"date", carrier.plane.date()))
    if carrier.connection.framed:
        pass
    elif carrier.close:
        fields.append((b"connection", b"close"))
    elif carrier.inbound.head.version == b"HTTP/1.0":
        fields.append((b"connection", b"keep-alive"))
    if carrier.facts.method == "HEAD" or status in (204, 304):
        body = b""
    carrier.facts.bytes_sent = len(body)
    carrier.connection.send_head(status, reason, fields, body)
    carrier.finish()
