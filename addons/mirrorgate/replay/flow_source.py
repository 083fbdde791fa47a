"""Flows of mitmproxy: those of our capture, with the times of their pieces, and those that mitmproxy saved itself.

Records are framed here rather than by mitmproxy's reader, so that one that is too large or damaged inside costs only
itself, and the memory is that of one flow.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from mitmproxy import http
from mitmproxy.flow import Flow
from mitmproxy.io import compat, tnetstring

from ..legs import LEG_HEADER
from ..proxy.carrying.capturing import KEY
from .captured import BODY_LIMIT, Captured, Item, Passed, Recorded, Skip

__all__ = ["captured_of", "read_flows"]

_DIGITS: Final = 12
_SKIP_PIECE: Final = 1 << 20


def read_flows(stream: BinaryIO) -> Iterator[Item]:
    """Yield what a stream of flows holds; a frame that is cut or no frame at all ends it."""
    while True:
        frame = _frame(stream)
        if frame is None:
            return
        if isinstance(frame, Passed):
            yield frame
            if frame.detail:
                return
            continue
        try:
            state: Any = tnetstring.load(io.BytesIO(frame))
            flow = Flow.from_state(compat.migrate_flow(state))
        except Exception:
            # `from_state` raises whatever its types raise on values that no flow has.
            yield Passed(Skip.DAMAGED)
            continue
        yield captured_of(flow) if isinstance(flow, http.HTTPFlow) else Passed(Skip.NOT_HTTP)


def _frame(stream: BinaryIO) -> bytes | Passed | None:
    """Read one record; what has a `detail` cannot be read on from."""
    digits = b""
    while True:
        byte = stream.read(1)
        if not byte:
            return Passed(Skip.DAMAGED, "cut off") if digits else None
        if byte == b":" and digits:
            break
        if not byte.isdigit() or len(digits) >= _DIGITS:
            return Passed(Skip.DAMAGED, "no flow begins here")
        digits += byte
    left = int(digits) + 1
    if left > BODY_LIMIT:
        while left:
            piece = stream.read(min(left, _SKIP_PIECE))
            if not piece:
                return Passed(Skip.DAMAGED, "cut off")
            left -= len(piece)
        return Passed(Skip.DAMAGED)
    data = stream.read(left)
    if len(data) < left:
        return Passed(Skip.DAMAGED, "cut off")
    return digits + b":" + data


def captured_of(flow: http.HTTPFlow) -> Item:
    """Return what a flow has to be sent again."""
    request, metadata = flow.request, flow.metadata
    fields = list(request.headers.fields)
    if any(name.lower() == LEG_HEADER for name, _ in fields) or "mirrorgate.leg" in metadata:
        return Passed(Skip.SHADOW_LEG)
    if request.data.content is None or request.method == "CONNECT" or flow.websocket is not None:
        return Passed(Skip.NO_REQUEST_BODY if request.data.content is None else Skip.NOT_HTTP)
    ours = metadata.get(KEY)
    known: dict[str, Any] = ours if isinstance(ours, dict) else {}
    answer = _recorded(flow, known)
    model = _text(known.get("model"))
    target_model = _text(known.get("target_model"))
    return Captured(
        id=flow.id,
        method=request.method,
        path=request.path,
        host=request.host_header or request.pretty_host,
        headers=fields,
        body=request.data.content,
        started=_number(known.get("started"), request.timestamp_start),
        answer=answer if isinstance(answer, Recorded) else None,
        endpoint=_text(known.get("endpoint")) or _address(flow),
        target_model=target_model if target_model != model else None,
        unanswered=answer if isinstance(answer, Skip) else Skip.NO_ANSWER,
    )


def _recorded(flow: http.HTTPFlow, known: dict[str, Any]) -> Recorded | Skip:
    response = flow.response
    if "mirrorgate.refused" in flow.metadata or known.get("outcome") == "local_reply":
        return Skip.REFUSED
    outcome = _text(known.get("outcome")) or ("cut" if flow.error is not None else "complete")
    if outcome == "client_left" or (flow.error is not None and "Client disconnected" in flow.error.msg):
        return Skip.CLIENT_LEFT
    if response is None or response.data.content is None:
        return Skip.NO_ANSWER
    body = response.data.content
    start = _number(known.get("started"), flow.request.timestamp_start) or 0.0
    finished = _since(response.timestamp_end, start)
    chunks, times = _pieces(body, known, start)
    if not chunks and body:
        chunks = [body]
        streamed = (response.headers.get("content-type") or "").lower().startswith("text/event-stream")
        times = [] if streamed or not response.timestamp_end else [finished]
    return Recorded(
        status=response.status_code,
        headers=list(response.headers.fields),
        chunks=chunks,
        times=times,
        outcome=outcome,
        flag=_text(known.get("flag")) or "-",
        upstream_started=_since(_number(known.get("upstream_started"), flow.request.timestamp_end), start),
        head_at=_since(_number(known.get("head_at"), response.timestamp_start), start),
        finished=finished,
    )


def _pieces(body: bytes, known: dict[str, Any], start: float) -> tuple[list[bytes], list[float]]:
    """Cut a body into the pieces in which it came; nothing when they are not known or do not fit."""
    lengths, micros = known.get("lengths"), known.get("micros")
    if not isinstance(lengths, list) or not isinstance(micros, list) or len(lengths) != len(micros):
        return [], []
    if not all(isinstance(n, int) and n >= 0 for n in lengths + micros) or sum(lengths) != len(body):
        return [], []
    chunks: list[bytes] = []
    at = 0
    for length in lengths:
        chunks.append(body[at : at + length])
        at += length
    return chunks, [n / 1_000_000 for n in micros]


def _number(first: object, second: object) -> float | None:
    for value in (first, second):
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None


def _since(moment: object, start: float) -> float:
    known = _number(moment, None)
    return 0.0 if known is None else max(0.0, known - start)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _address(flow: http.HTTPFlow) -> str:
    address = flow.server_conn.address if flow.server_conn is not None else None
    return f"{address[0]}:{address[1]}" if address else ""
