"""The shadow's exchanges as flows of their own, next to their primary's in mitmweb and the console.

They are made for looking at: no hook runs for them. Their number and bytes are bounded by themselves, within the bounds
of the view; the oldest go first.
"""

from __future__ import annotations

import uuid

from mitmproxy import connection, flow, http
from mitmproxy.addons.view import View

from ...inference.rewriting import with_model
from ...records import Leg, LegContent
from ..messages.rendering import reason_of
from .flow_pairs import ENDPOINT, LEG, MIRROR, PRIMARY, SHADOWS, TRUNCATED, LegNumbers, PairNumbers, numbers_in
from .view_bounds import size_of

__all__ = ["CONTENT_LIMIT", "ShadowFlows", "comment_of", "flow_id", "flow_of", "shadow_body"]

CONTENT_LIMIT = 256 * 1024
"""Bytes of an answer, and of a request that had to be written anew, that a shadow's flow holds."""

_MARKS = {Leg.CANDIDATE: ":ghost:", Leg.CONTROL: ":arrows_counterclockwise:"}
_AFTER = {Leg.CANDIDATE: 1e-6, Leg.CONTROL: 2e-6}
"""Seconds after its primary at which a shadow's flow stands in the view, which sorts by time."""


class ShadowFlows:
    """Adds flows to a view and takes the oldest away."""

    def __init__(self, view: View, most: int, most_bytes: int) -> None:
        self._view = view
        self._most = most
        self._most_bytes = most_bytes
        self._sizes: dict[str, int] = {}
        """By id, oldest first."""
        self._total = 0
        view.sig_store_remove.connect(self._removed)
        view.sig_store_refresh.connect(self._refreshed)

    @property
    def total(self) -> int:
        """Bytes of the flows that are shown."""
        return self._total

    def __len__(self) -> int:
        return len(self._sizes)

    def configure(self, most: int, most_bytes: int) -> None:
        """Take other bounds."""
        self._most, self._most_bytes = most, most_bytes
        self._trim()

    def add(self, content: LegContent, primary: http.HTTPFlow) -> http.HTTPFlow | None:
        """Show a leg next to its primary; `None` when it is shown already, or nothing may be."""
        shadow = flow_of(content, primary)
        if not self._most or self._view.get_by_id(shadow.id) is not None:
            return None
        size = size_of(shadow)
        if size > self._most_bytes:
            return None
        known = primary.metadata.get(SHADOWS)
        primary.metadata[SHADOWS] = [*(known if isinstance(known, list) else ()), shadow.id]
        self._sizes[shadow.id] = size
        self._total += size
        self._view.add([shadow])
        self._trim()
        return shadow

    def _trim(self) -> None:
        while self._sizes and (len(self._sizes) > self._most or self._total > self._most_bytes):
            id = next(iter(self._sizes))
            held = self._view.get_by_id(id)
            if held is None or held.live:  # one that is replayed belongs to whoever replays it
                self._forget(id)
            else:
                self._view.remove([held])

    def _removed(self, flow: flow.Flow) -> None:
        self._forget(flow.id)

    def _refreshed(self) -> None:
        for id in [id for id in self._sizes if self._view.get_by_id(id) is None]:
            self._forget(id)

    def _forget(self, id: str) -> None:
        self._total -= self._sizes.pop(id, 0)


def flow_id(content: LegContent) -> str:
    """Return the id of a leg's flow: the same for the same leg."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"mirrorgate/{content.id}/{content.leg.value}/{content.cluster}"))


def flow_of(content: LegContent, primary: http.HTTPFlow) -> http.HTTPFlow:
    """Make the flow of a leg. Its mode is its primary's, a stock one, so that every mitmproxy reads it."""
    host, _, port = content.endpoint.rpartition(":")
    host = host.strip("[]")
    address = (host, int(port)) if port.isdigit() else None
    server = connection.Server(address=address)
    shadow = http.HTTPFlow(primary.client_conn, server, live=False)
    shadow.id = flow_id(content)
    shadow.timestamp_created = primary.timestamp_created + _AFTER[content.leg]
    began = primary.request.timestamp_start
    sent = began + content.sent
    shadow.request = http.Request(
        host, address[1] if address else 0, content.method.encode("latin-1", "replace"), b"http", b"",
        content.path.encode("latin-1", "replace"), b"HTTP/1.1", http.Headers(content.request_headers),
        shadow_body(primary, content.model), None, began, sent,
    )  # fmt: skip
    if content.status:
        shadow.response = http.Response(
            b"HTTP/1.1", content.status, reason_of(content.status), http.Headers(content.headers), content.body, None,
            began + content.head_at, began + content.finished,
        )  # fmt: skip
    if content.outcome not in ("complete", "too_large"):
        shadow.error = flow.Error(content.detail or content.outcome, began + content.finished)
    shadow.marked = _MARKS[content.leg]
    shadow.comment = comment_of(content.leg, content.outcome, numbers_in(primary, content.cluster))
    shadow.metadata.update(
        {LEG: content.leg.value, PRIMARY: primary.id, MIRROR: content.cluster, ENDPOINT: content.endpoint}
    )
    if content.truncated:
        shadow.metadata[TRUNCATED] = True
    return shadow


def shadow_body(primary: http.HTTPFlow, model: str | None) -> bytes | None:
    """Return the body that a leg was sent: the primary's, as it went out, with the leg's model. `None` where it is
    not known, or would be a large copy."""
    body = primary.request.raw_content
    asked = model or primary.metadata.get("mirrorgate.target_model")
    if body is None or not isinstance(asked, str):
        return body
    if len(body) > CONTENT_LIMIT:
        return None
    try:
        return with_model(body, asked)
    except ValueError:
        return body


def comment_of(leg: Leg, outcome: str, numbers: PairNumbers | None) -> str:
    """Say in one line what a leg came to: `candidate: different, similarity 0.83, TTFT 120 ms (primary 100 ms)`."""
    if numbers is None:
        return f"{leg.value}: {outcome}"
    if leg is Leg.CONTROL:
        again = numbers.control or LegNumbers()
        return f"control: the primary asked again, {outcome}{_latencies(again, numbers.primary)}"
    similarity = "" if numbers.similarity is None else f", similarity {numbers.similarity:.2f}"
    words = numbers.outcome.replace("_", " ")
    return f"candidate: {words}{similarity}{_latencies(numbers.candidate, numbers.primary)}"


def _latencies(leg: LegNumbers, primary: LegNumbers) -> str:
    """Return the time to the first token of both, where they streamed, and to the last."""
    shown = ""
    for name, own, other in (("TTFT", leg.ttft, primary.ttft), ("E2E", leg.e2e, primary.e2e)):
        if own is not None or other is not None:
            shown += f", {name} {_milliseconds(own)} (primary {_milliseconds(other)})"
    return shown


def _milliseconds(seconds: float | None) -> str:
    return "none" if seconds is None else f"{seconds * 1000:.0f} ms"
