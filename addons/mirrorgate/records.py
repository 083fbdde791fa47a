"""What crosses the process boundary between proxy and shadow, as msgspec structs.

The proxy hands an exchange off in frames: `ExchangeStarted` when the primary is admitted to a ready connection,
`RequestChunk`s while a streamed upload goes on, `ExchangeFinished` at its end. Back come small results. A frame on
the wire is a length of four bytes, big-endian, and msgpack. The chosen target of each leg travels with the frame, so
that the shadow process needs no routing table.
"""

from __future__ import annotations

import enum

import msgspec

from .resources.server_tls import ServerTls

__all__ = [
    "Compared",
    "Configure",
    "ExchangeFinished",
    "ExchangeStarted",
    "FromShadow",
    "Leg",
    "LegContent",
    "LegFinished",
    "MirrorsDropped",
    "RequestAborted",
    "RequestChunk",
    "RequestEnd",
    "RestoreVerdicts",
    "ShadowCounts",
    "ShadowDropped",
    "ShadowReady",
    "Target",
    "ToShadow",
    "VerdictChanged",
]

Headers = list[tuple[bytes, bytes]]


class Leg(enum.StrEnum):
    PRIMARY = "primary"
    CANDIDATE = "candidate"
    CONTROL = "control"


class Target(msgspec.Struct, array_like=True, frozen=True):
    """Where one shadow leg goes and what it may cost. All times in seconds."""

    leg: Leg
    cluster: str
    """The mirror's cluster name; the label of its metrics."""
    ref: str
    """The declared destination, such as `InferencePool default/candidate`."""
    host: str
    port: int
    head: Headers
    """Header fields as they are sent, Host included, without framing (Content-Length, Transfer-Encoding)."""
    path: str
    """Request target, query included."""
    model: str | None
    """Written into the body's `model` before it is sent; `None` leaves the body as it is."""
    timeout: float
    """For the whole leg, never endless."""
    connect_timeout: float
    idle_timeout: float
    """Between two pieces of the answer."""
    max_parallel: int
    """Exchanges of this cluster under way at once; more are dropped and counted."""
    policy: bytes
    """The ShadowPolicy's `spec` as JSON: mode, guardrails, ignores, content policy."""
    tls: ServerTls | None = None
    """How the leg speaks TLS; `None` in clear."""
    http2: bool = False
    """Whether the leg speaks HTTP/2."""
    subject: bytes = b""
    """What is compared as it is declared, as JSON: destinations and models of both sides. Another subject is another
    comparison, whose evidence starts anew; empty when unknown."""
    length: int | None = None
    """The declared length of a body that streams; `None` when it is not known, so that it is sent in chunks."""


class ExchangeStarted(msgspec.Struct, tag="start", array_like=True):
    id: str
    started: float
    """Unix time at which the request head arrived."""
    method: str
    path: str
    host: str
    route: str
    """`namespace/name` of the HTTPRoute."""
    rule: int
    cluster: str
    endpoint: str
    """The primary's endpoint, `host:port`."""
    model: str | None
    """The model the client asked for, `None` when the body names none."""
    target_model: str | None
    """The model that the primary was asked for."""
    conversation: str | None
    """What ties the turns of a conversation together, `None` when unknown. Empty: the shadow process finds it in the
    body, which takes a millisecond for a megabyte, and is none of production's business."""
    headers: Headers
    """The client's request headers without credentials."""
    body: bytes | None
    """The request body; `None` when it follows in `RequestChunk`s."""
    targets: list[Target]
    reserved: int
    """Room in bytes kept for `ExchangeFinished`'s body."""


class RequestChunk(msgspec.Struct, tag="chunk", array_like=True):
    id: str
    data: bytes


class RequestEnd(msgspec.Struct, tag="end", array_like=True):
    id: str


class RequestAborted(msgspec.Struct, tag="abort", array_like=True):
    """The upload was cut, or could not be followed; every leg that still sends is cancelled."""

    id: str
    reason: str


class ExchangeFinished(msgspec.Struct, tag="finish", array_like=True):
    """The primary's answer. Times are seconds since `ExchangeStarted.started`."""

    id: str
    outcome: str
    """`complete`, `cut` (upstream broke or timed out mid-stream), `client_left`, or `local_reply`."""
    status: int
    flag: str
    """Envoy's response flag, `-` for none."""
    headers: Headers
    chunks: list[bytes]
    """Body pieces as they arrived, de-chunked, content encoding untouched."""
    times: list[float]
    """Arrival time of each piece."""
    truncated: bool
    """Whether the answer was larger than its room, so that `chunks` is only its beginning."""
    upstream_started: float
    """When the request was written to the upstream."""
    head_at: float
    """When the answer's head arrived; 0 when none did."""
    finished: float
    trailers: Headers = []


class Configure(msgspec.Struct, tag="configure", array_like=True):
    """The first frame, and again whenever an option changes."""

    journal: str
    """Folder of the journal, empty for none."""
    journal_max_bytes: int
    """A journal file is rotated and compressed at this size."""
    journal_keep_bytes: int
    """The oldest rotated files beyond this total are deleted; 0 keeps all."""
    max_queued: int
    """Exchanges that wait or run in the shadow process; more are dropped and counted."""
    contents: int = 0
    """Bytes of each answer that are sent back as `LegContent`, for a person who looks; 0 sends none."""


class MirrorsDropped(msgspec.Struct, tag="drops", array_like=True):
    """Mirrored exchanges that never reached the shadow process, or were lost with it, since the last such frame."""

    reasons: dict[str, dict[str, int]]
    """Counts by reason, by the mirror's cluster."""


class RestoreVerdicts(msgspec.Struct, tag="restore", array_like=True):
    """What a former shadow process knew, sent after `Configure` to one that was started in its place."""

    states: list[bytes]
    """`VerdictChanged.state`, one for each cluster."""


class ShadowReady(msgspec.Struct, tag="ready", array_like=True):
    pid: int


class LegFinished(msgspec.Struct, tag="leg", array_like=True):
    """One shadow leg is over; its endpoint's in-flight count goes down."""

    id: str
    leg: Leg
    cluster: str
    endpoint: str
    outcome: str
    """`complete`, `refused`, `connect_timeout`, `timeout`, `idle_timeout`, `reset`, `protocol_error`, `cancelled` or
    `too_large`."""
    status: int
    """0 when no head arrived."""
    bytes: int
    seconds: float
    ttft: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    model: str = ""
    """The model that the leg asked for, empty when unknown; a metric's label."""
    path: str = ""
    """The leg's request target, from which a metric's label reads the operation."""


class Compared(msgspec.Struct, tag="compared", array_like=True):
    """A finished comparison: what the log, the flow's mark and `/exchanges` show."""

    id: str
    cluster: str
    outcome: str
    """`same`, `similar`, `different`, `primary_failed`, `candidate_failed`, `both_failed` or `not_comparable`."""
    similarity: float | None
    summary: str
    """One line for a person."""
    record: bytes
    """The journal record as JSON, without content unless the policy keeps it."""


class LegContent(msgspec.Struct, tag="content", array_like=True):
    """What a shadow leg of a compared pair got, for a person who looks; sent only where `Configure.contents` asks for
    it, after the pair's `Compared`. Times are seconds since the leg began, which is when the frame arrived."""

    id: str
    leg: Leg
    cluster: str
    """The mirror's cluster, the control's included."""
    ref: str
    endpoint: str
    method: str
    path: str
    model: str | None
    """Written into the body's `model`; `None` when the body went out as it was."""
    request_headers: Headers
    """As sent, without credentials."""
    outcome: str
    """As in `LegFinished`."""
    detail: str
    """What went wrong, for a person; empty for a complete answer."""
    status: int
    """0 when no head arrived."""
    headers: Headers
    body: bytes
    """De-chunked, content encoding untouched; cut to `Configure.contents` bytes."""
    truncated: bool
    sent: float
    """When the request was written."""
    head_at: float
    """0 when no head arrived."""
    finished: float


class ShadowDropped(msgspec.Struct, tag="dropped", array_like=True):
    id: str
    cluster: str
    leg: Leg
    endpoint: str
    reason: str
    """`max_parallel`, `queue_full`, `aborted`, `token_budget`, `unfinished`."""
    sent: bool = False
    """Whether the leg had been sent, so that its `LegFinished` comes or came as well and only its pair is lost."""


class VerdictChanged(msgspec.Struct, tag="verdict", array_like=True):
    """The verdict about one candidate; at most one a second, but at once when the decision changes."""

    cluster: str
    """The mirror's cluster."""
    document: bytes
    """`comparison.verdict_document.VerdictDocument` as JSON."""
    state: bytes
    """What `RestoreVerdicts` gives to the next process; empty when this one keeps it in the journal's folder."""


class ShadowCounts(msgspec.Struct, tag="counts", array_like=True):
    """What the shadow process holds now and has done since it started; sent about once a second when it changed."""

    exchanges: int
    """Admitted and not judged yet."""
    legs: int
    """Under way."""
    held_bytes: int
    judged: int
    failed: int
    """Pairs that could not be judged because of a bug."""
    journal_written: int
    journal_lost: int
    """Records that the disk did not take."""
    contents_dropped: int = 0
    """`LegContent`s that the proxy was too slow to take."""


ToShadow = (
    Configure
    | RestoreVerdicts
    | ExchangeStarted
    | RequestChunk
    | RequestEnd
    | RequestAborted
    | ExchangeFinished
    | MirrorsDropped
)
FromShadow = ShadowReady | LegFinished | Compared | LegContent | ShadowDropped | VerdictChanged | ShadowCounts
