"""The compiled route table: immutable, fully resolved, read by every request and never written.

References are followed, defaults applied and policies attached when it is compiled, so that the path of a
request sees no Kubernetes shape. Specification: Gateway API v1, `HTTPRoute` and `Gateway`; Gateway API
Inference Extension v1 and v1alpha2; Envoy Gateway's `BackendTrafficPolicy` v1alpha1.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..resources.certificate import ServerCertificate
from ..resources.endpoints import Address
from ..resources.failure_breaker_policy import FailureBreakerPolicySpec
from ..resources.server_tls import ServerTls
from ..resources.shadow_policy import ShadowPolicySpec
from ..resources.traffic_balancing import LoadBalancer
from ..resources.traffic_health import HealthCheck
from .regexes import Regex
from .retrying import RetryPolicy
from .shaping import Shaping

__all__ = [
    "Backend",
    "Cors",
    "Destination",
    "DestinationKind",
    "EndpointPicker",
    "HeaderChanges",
    "HeaderMatch",
    "Keepalive",
    "Listener",
    "Match",
    "Mirror",
    "ModelTarget",
    "PathKind",
    "PathMatch",
    "PathRewrite",
    "PoolModel",
    "Redirect",
    "RouteTable",
    "Rule",
    "Timeouts",
    "TrafficPolicy",
    "UrlRewrite",
]


@dataclass(frozen=True, slots=True)
class HeaderChanges:
    """A header modifier: names are lower case; applied in the order set, add, remove."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.set or self.add or self.remove)


@dataclass(frozen=True, slots=True)
class PathRewrite:
    """`ReplaceFullPath` (`prefix` is `None`) or `ReplacePrefixMatch` of the matched `prefix`."""

    value: str
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class UrlRewrite:
    hostname: str | None = None
    path: PathRewrite | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    status: int = 302
    scheme: str | None = None
    hostname: str | None = None
    port: int | None = None
    path: PathRewrite | None = None


@dataclass(frozen=True, slots=True)
class Cors:
    """A CORS filter: from which origins browsers may ask, and what they are told (`HTTPCORSFilter`)."""

    any_origin: bool = False
    origins: frozenset[tuple[str, str, int]] = frozenset()
    """Scheme, host in lower case and port."""
    suffixes: tuple[tuple[str, str, int], ...] = ()
    """The same for wildcards: the host's end, such as `.bar.com`; empty for every host."""
    credentials: bool = False
    methods: str = ""
    """The value of `Access-Control-Allow-Methods`; `*` answers with the method that is asked about."""
    headers: str = ""
    """The value of `Access-Control-Allow-Headers`; `*` answers with the names that are asked about."""
    expose: str = ""
    max_age: int = 5
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; `None` is not declared, 0 is switched off."""

    request: float | None = None
    """From the end of the upload to the last byte of the answer."""
    backend_request: float | None = None
    stream_idle: float | None = None
    max_stream_duration: float | None = None
    """Of each try, from the moment that it has a connection."""
    connect: float | None = None
    connection_idle: float | None = None
    """Of an upstream connection that nobody uses."""
    max_connection: float | None = None
    """Age of an upstream connection; it ends with the request that is under way."""


@dataclass(frozen=True, slots=True)
class Keepalive:
    """TCP keep-alive of upstream connections; `None` leaves a figure to the operating system. Seconds."""

    probes: int | None = None
    idle: float | None = None
    interval: float | None = None


@dataclass(frozen=True, slots=True)
class TrafficPolicy:
    """A BackendTrafficPolicy as it applies to one rule's cluster; the defaults are Envoy Gateway's."""

    source: str = ""
    """`namespace/name` of the policy, empty when none applies."""
    max_connections: int = 1024
    max_pending_requests: int = 1024
    max_parallel_requests: int = 1024
    max_parallel_retries: int = 1024
    retry_budget: float | None = None
    """Instead of `max_parallel_retries`: a share, 0 to 1, of what is active and pending."""
    least_retries: int = 3
    per_endpoint_max_connections: int | None = None
    max_requests_per_connection: int | None = None
    """`None` or 0: unlimited."""
    keepalive: Keepalive | None = None
    """`None`: no probes."""
    load_balancer: str = "LeastRequest"
    """`LeastRequest`, `RoundRobin`, `Random` or `ConsistentHash`; an InferencePool has its profile."""
    balancer: LoadBalancer | None = None
    """What is declared of the load balancer beside its type; `None` where nothing is."""
    health: HealthCheck | None = None
    """How endpoints are found to be unhealthy; `None` where nothing is declared."""
    shaping: Shaping | None = None
    """What is done to requests and answers beside sending them on; `None` when that is nothing."""


@dataclass(frozen=True, slots=True)
class ModelTarget:
    name: str
    weight: int


@dataclass(frozen=True, slots=True)
class PoolModel:
    """An InferenceModel, or a rule of an InferenceModelRewrite, that applies to a pool."""

    name: str | None
    """The model that a client names; `None` for a generic rewrite that matches every model."""
    targets: tuple[ModelTarget, ...]
    """What is asked of the server; empty means the client's own name."""
    criticality: str | None = None
    """`Critical`, `Standard`, `Sheddable`, or `None` when none is declared (and for rewrites)."""
    source: str = ""
    """Kind and `namespace/name` of the object."""


class DestinationKind(enum.StrEnum):
    INFERENCE_POOL = "InferencePool"
    SERVICE = "Service"
    BACKEND = "Backend"


@dataclass(frozen=True, slots=True)
class EndpointPicker:
    """The picker that an InferencePool names, as it is asked (endpoint picker protocol, IE proposal 004)."""

    ref: str
    """Such as `Service default/vllm-epp:9002`."""
    addresses: tuple[Address, ...]
    """Where it listens, in the order in which they are tried; empty while none is ready."""
    fail_open: bool
    """Whether our own picker stands in when this one fails; else requests are refused with 503."""
    encrypted: bool = True
    """Whether it is spoken to over TLS."""
    fault: str = ""
    """Why it cannot be asked as it is declared; empty when it can."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a backendRef or a mirror leads, with the endpoints that are ready now."""

    kind: DestinationKind
    namespace: str
    name: str
    port: int | None
    """The declared port of a Service; `None` for an InferencePool and a Backend."""
    endpoints: tuple[Address, ...]
    models: tuple[PoolModel, ...] = ()
    """Of an InferencePool: exact names first, in the order in which they are tried."""
    closed_models: bool = False
    """Whether a model that is not among `models` is refused with 404 (a pool with InferenceModels of v1alpha2)."""
    objectives: Mapping[str, int] = field(default_factory=dict)
    """InferenceObjective name to priority."""
    profile: str = "gaie-v1"
    """Of an InferencePool: a `resources.inference_pool.SchedulingProfile`."""
    app_protocol: str = "http"
    """`http` or `kubernetes.io/h2c`."""
    picker: EndpointPicker | None = None
    """Who picks among the endpoints; `None` for our own picker."""
    tls: ServerTls | None = None
    """How the endpoints are spoken to; `None` in clear."""
    ref: str = field(default="", init=False, compare=False)
    """Such as `InferencePool default/vllm-llama2-7b-pool` or `Service default/candidate:8000`."""

    def __post_init__(self) -> None:
        port = "" if self.port is None else f":{self.port}"
        object.__setattr__(self, "ref", f"{self.kind.value} {self.namespace}/{self.name}{port}")

    @property
    def http2(self) -> bool:
        """Whether the endpoints speak HTTP/2: with prior knowledge in clear, by ALPN over TLS."""
        return self.app_protocol == "kubernetes.io/h2c"


@dataclass(frozen=True, slots=True)
class Backend:
    """One entry of `backendRefs`. An invalid one keeps its share and answers 500 (HTTPRoute, backendRefs)."""

    weight: int
    ref: str
    destination: Destination | None
    """`None` when the reference is invalid."""
    invalid: str = ""
    """The condition's reason: `BackendNotFound`, `InvalidKind`, `RefNotPermitted` ..."""
    request_headers: HeaderChanges = HeaderChanges()
    response_headers: HeaderChanges = HeaderChanges()
    rewrite: UrlRewrite | None = None
    """The backend's own URLRewrite over the rule's; `None` leaves the rule's."""
    redirect: Redirect | None = None
    """Its share of the requests is redirected instead of forwarded."""
    index: int = 0
    """Its place in `backendRefs`."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """One RequestMirror filter whose backend exists."""

    index: int
    """The filter's index in its list, as in Envoy Gateway's cluster name."""
    cluster: str
    """Such as `httproute/default/mirror-route/rule/0-mirror-0`."""
    destination: Destination
    fraction: float
    """Share of requests copied, 0 to 1. All mirrors of a rule share one draw."""
    policy: ShadowPolicySpec
    policy_source: str = ""
    """`namespace/name` of the ShadowPolicy, empty when the defaults apply."""
    backend: int | None = None
    """The index of the backendRef whose share alone is copied; `None` for the whole rule."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of one HTTPRoute; its backends share one cluster, hence one set of limits."""

    route: tuple[str, str]
    """Namespace and name of the HTTPRoute."""
    index: int
    name: str | None
    cluster: str
    """Such as `httproute/default/mirror-route/rule/0` (Envoy Gateway's name)."""
    backends: tuple[Backend, ...] = ()
    mirrors: tuple[Mirror, ...] = ()
    """The rule's own and those of its backendRefs."""
    request_headers: HeaderChanges = HeaderChanges()
    response_headers: HeaderChanges = HeaderChanges()
    rewrite: UrlRewrite | None = None
    redirect: Redirect | None = None
    cors: Cors | None = None
    timeouts: Timeouts = Timeouts()
    retry: RetryPolicy | None = None
    traffic: TrafficPolicy = TrafficPolicy()
    shadow: ShadowPolicySpec | None = None
    """The ShadowPolicy attached to the route, `None` when there is none."""
    failure_breaker: FailureBreakerPolicySpec | None = None
    """The FailureBreakerPolicy that applies to the rule, `None` when there is none."""
    broken: str = ""
    """Why every request of this rule is answered 500 (an unresolvable filter, no backends); empty when none."""

    @property
    def inference(self) -> bool:
        """Whether a backend is an InferencePool, so that the request's model must be read."""
        return any(
            b.destination is not None and b.destination.kind is DestinationKind.INFERENCE_POOL for b in self.backends
        )

    @property
    def title(self) -> str:
        return f"{self.route[0]}/{self.route[1]} rule {self.index}" + (f" ({self.name})" if self.name else "")


class PathKind(enum.StrEnum):
    EXACT = "Exact"
    PREFIX = "PathPrefix"
    REGEX = "RegularExpression"


@dataclass(frozen=True, slots=True)
class PathMatch:
    kind: PathKind
    value: str
    regex: Regex | None = None
    """Compiled for `RegularExpression`, matched against the whole path."""


@dataclass(frozen=True, slots=True)
class HeaderMatch:
    """Of a header (name lower case) or a query parameter (name case-sensitive)."""

    name: str
    value: str
    regex: Regex | None = None
    """`None` for an exact match."""


@dataclass(frozen=True, slots=True)
class Match:
    """One match of one rule under one hostname; the unit of precedence (HTTPRoute, matches)."""

    hostname: str
    """The route's hostname as it applies on the listener: exact, `*.suffix`, or empty for any."""
    path: PathMatch
    method: str | None
    headers: tuple[HeaderMatch, ...]
    query: tuple[HeaderMatch, ...]
    rule: Rule
    index: int
    """The match's index in its rule."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One listener of one Gateway, with its matches in the order in which they are tried."""

    gateway: tuple[str, str]
    name: str
    port: int
    """The logical port, before any offset."""
    protocol: str
    hostname: str
    """Exact, `*.suffix`, or empty for any."""
    addresses: tuple[str, ...]
    """`spec.addresses` of type IPAddress; empty means the default bind address."""
    matches: tuple[Match, ...]
    certificates: tuple[ServerCertificate, ...] = ()
    """Of an HTTPS listener: at least one."""


@dataclass(frozen=True, slots=True)
class RouteTable:
    """Every listener that is served."""

    listeners: tuple[Listener, ...] = ()
