"""What the director decides about a request, as values that an adapter carries out."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from .admission.limits import Limits
from .errors import Refusal
from .health import ClusterHealth
from .inference.requests import InferenceRequest
from .resources.endpoints import Address
from .resources.server_tls import ServerTls
from .routing.retrying import RetryPolicy
from .routing.splitting import ModelChoice
from .routing.table import Backend, Destination, HeaderChanges, Match, Mirror, Rule
from .scheduling.picks import Pick, PickRequest, PickState

__all__ = ["Directed", "Effective", "Fields", "Held", "MirrorPlan", "Plan", "Refused", "RequestFacts"]

Fields = tuple[tuple[bytes, bytes], ...]


class RequestFacts(msgspec.Struct, frozen=True):
    """What of a request decides about it, as addons have left it."""

    port: int
    """The listener's logical port."""
    method: bytes
    path: bytes
    """Request target in origin form, query included."""
    host: bytes
    """Host, with or without port; empty for none."""
    fields: Fields
    scheme: str
    client: str
    """The client's IP address."""
    local: str | None = None
    """The local IP address that the client reached; `None` leaves listeners' addresses out of account."""
    server_name: str | None = None
    """Whom the TLS handshake asked for, empty for nobody; `None` without TLS."""
    content_type: bytes | None = None
    """The first Content-Type, empty for none; `None` where nobody has looked for one."""
    to_pool: bool = True
    """Whether a field may speak to an InferencePool's picker."""

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of a header, `name` in lower case; `None` when there is none."""
        return next((value for key, value in self.fields if key.lower() == name), None)


@dataclass(frozen=True, slots=True)
class Held:
    """What has been drawn for a request that may wait until its pool has room."""

    backend: Backend
    destination: Destination
    choice: ModelChoice
    fairness: str
    model: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The gateway answers by itself."""

    refusal: Refusal
    message: str = ""
    """A more exact text than the table's, empty for the table's."""
    status: int = 0
    """Instead of the table's; 0 keeps it."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    param: str | None = None
    code: str | None = None
    """`error.param` and `error.code` of an OpenAI-shaped error."""
    body: bytes = b""
    """The whole answer's body, its type among `headers`; empty for one that is made of the message."""
    model: str | None = None
    held: Held | None = None
    """Of a request that is refused unless it waits for its turn."""


class Directed(msgspec.Struct, frozen=True):
    """Where a request belongs, known from its head."""

    refused: Refused | None
    listener: str = ""
    """`namespace/name/listener`, empty when none matched."""
    route: str = ""
    """`namespace/name`, empty when none matched."""
    rule_index: int = 0
    cluster: str = ""
    path: str = ""
    """Request target in normal form."""
    match: Match | None = None
    needs_body: bool = False
    """Whether the request's body must be read before it can be sent on."""
    cors: HeaderChanges | None = None
    """What the rule's CORS filter changes in every answer, the gateway's own too; `None` without one."""
    direct: Address | None = None
    """An address that an addon has set, used as it is."""

    @property
    def rule(self) -> Rule | None:
        return None if self.match is None else self.match.rule


@dataclass(frozen=True, slots=True)
class Effective:
    """Timeouts in seconds with every default applied; 0 is switched off."""

    request: float = 0.0
    per_try: float = 0.0
    stream_idle: float = 300.0
    max_duration: float = 0.0


@dataclass(frozen=True, slots=True)
class MirrorPlan:
    """One mirror of a request, with the endpoint picked for it; `None` when it has none."""

    mirror: Mirror
    address: Address | None


class Plan(msgspec.Struct, frozen=True):
    """How a request is sent on."""

    address: Address
    cluster: str
    pool: str
    """The destination's ref, the label of the pool's metrics."""
    path: bytes
    """Request target to send."""
    host: bytes | None
    """The Host to send; `None` keeps the client's."""
    body: bytes | None
    """The body to send, its model rewritten where that is asked for; `None` when it is streamed."""
    request_id: str
    limits: Limits
    timeouts: Effective
    request_changes: tuple[HeaderChanges, ...] = ()
    response_changes: tuple[HeaderChanges, ...] = ()
    retry: RetryPolicy | None = None
    """When the request is sent again; `None` is never."""
    directed: Directed | None = None
    """What was known from the head; `None` for a request that an addon sends past the routes."""
    rule: Rule | None = None
    destination: Destination | None = None
    inference: InferenceRequest | None = None
    model: str | None = None
    target_model: str | None = None
    priority: int = 0
    """Of the InferenceObjective that the request names, else by its model's criticality; negative may be shed."""
    wanted: PickRequest = PickRequest()
    """What the pick was asked, and is asked again for another try."""
    pick: Pick | None = None
    pick_state: PickState | None = None
    pick_seconds: float = 0.0
    mirrors: tuple[MirrorPlan, ...] = ()
    sampled_out: tuple[Mirror, ...] = ()
    """Mirrors of the rule that this request's draw left out."""
    control: Address | None = None
    """The endpoint of the primary's pool that is asked again, `None` when this request has no control."""
    choices: tuple[Address, ...] = ()
    """What the pool's own endpoint picker chose, in its order of preference; empty where ours picks."""
    cookie: HeaderChanges | None = None
    """What the load balancer adds to the answer, `None` where that is nothing: a session that begins."""
    health: ClusterHealth | None = None
    """What is known of the cluster's endpoints and learns from this request, `None` where nothing is declared."""

    @property
    def as_it_came(self) -> bool:
        """Whether the request's head is sent on as the client sent it, and to nobody else."""
        return not (self.request_changes or self.host is not None or self.mirrors or self.sampled_out)

    def refused(self, refusal: Refusal) -> Refused:
        """Say that the cluster's breakers refuse it."""
        return Refused(refusal, headers=() if self.health is None else self.health.headers(refusal))

    @property
    def http2(self) -> bool:
        """Whether the endpoint speaks HTTP/2."""
        return self.destination is not None and self.destination.http2

    @property
    def tls(self) -> ServerTls | None:
        """How the endpoint is spoken to; `None` in clear."""
        return None if self.destination is None else self.destination.tls
