"""The gateway's options: mitmproxy options, so they work in mitmdump, mitmweb, `mirrorgate run` and `config.yaml`."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mitmproxy import addonmanager, optmanager
from mitmproxy.utils import human

from ..admission.flow_queue import QueueLimits
from ..proxy.admin.server import DEFAULT_BIND
from ..proxy.dataplane import Settings
from ..proxy.downstream.http2_limits import Http2Limits

__all__ = ["OPTIONS", "Option", "add_options", "quickstart", "settings_of"]

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Option:
    name: str
    type: Any
    default: object
    help: str


OPTIONS = (
    Option(
        "gateway_config",
        Sequence[str],
        [],
        "Files or directories of YAML manifests, or the word kubernetes for the cluster that the service account or "
        "kubeconfig reaches. Empty: the quickstart that ships with Mirrorgate.",
    ),
    Option("gateway_namespaces", Sequence[str], [], "Namespaces of the cluster to watch. Empty: all."),
    Option(
        "gateway_controller_name",
        str,
        "mirrorgate.dev/gateway-controller",
        "In a cluster, Gateways are served whose GatewayClass names this controller.",
    ),
    Option(
        "gateway_addresses",
        Sequence[str],
        [],
        "Addresses or host names in the status of Gateways that declare none. Empty: POD_IP of the environment.",
    ),
    Option("gateway_status", bool, True, "Write the status of the cluster's objects, when this replica is the leader."),
    Option(
        "gateway_lease",
        str,
        "",
        "Lease that the replicas elect their leader with, namespace/name. Empty: of the controller's name, beside us.",
    ),
    Option(
        "gateway_bind",
        str,
        "127.0.0.1",
        "Address that listeners bind when their Gateway names none in spec.addresses (type IPAddress).",
    ),
    Option(
        "gateway_port_offset",
        int,
        0,
        "Added to each listener's port when binding: 8000 makes 80 into 8080, which needs no root. "
        "Redirects and parentRefs keep the logical port.",
    ),
    Option("gateway_admin", str, DEFAULT_BIND, "Where the admin server binds, as host:port. Empty: none."),
    Option(
        "gateway_admin_token",
        str,
        "",
        "Bearer token for the admin server: readers on other machines and every change need it. Empty: none.",
    ),
    Option(
        "gateway_access_log",
        str,
        "",
        "File for the JSON access log, - for standard output. Empty: none.",
    ),
    Option(
        "gateway_capture",
        str,
        "",
        "File that exchanges are captured in, streamed answers included, for `mirrorgate replay` and mitmproxy. "
        "Appends; strftime words such as %Y-%m-%d begin a new file when they change. Nothing waits for the disk. "
        "Empty: none.",
    ),
    Option("gateway_max_header_bytes", int, 61440, "Largest request or response head. More is answered 431."),
    Option("gateway_header_timeout", int, 60, "Seconds that a request's head may take to arrive. Then 408."),
    Option(
        "gateway_handshake_timeout",
        int,
        10,
        "Seconds that a TLS handshake may take, a few round trips and one signature. Then the connection ends.",
    ),
    Option(
        "gateway_max_connections",
        int,
        0,
        "Connections of clients at once; further ones are closed unread. 0: half of the files that the process may "
        "open, so that there is always one for the connection to a server.",
    ),
    Option(
        "gateway_max_connections_per_address",
        int,
        0,
        "Connections of one client's address (64 bits of an IPv6 one) at once; further ones are closed unread. 0: no "
        "limit, since behind a load balancer all clients have its address.",
    ),
    Option(
        "gateway_buffered_bytes",
        int,
        1024 * MIB,
        "Request bodies that are in memory at once, of those that must be whole before they are sent on: sixteen of "
        "the largest. A request that needs more is answered 503.",
    ),
    Option("gateway_idle_timeout", int, 3600, "Seconds that a client's connection may idle between requests."),
    Option(
        "gateway_http2_streams", int, 100, "Requests at a time on one HTTP/2 connection of a client. More are refused."
    ),
    Option(
        "gateway_http2_resets",
        int,
        500,
        "Requests that an HTTP/2 client may give up at once, and a tenth of it each second (rapid reset). Over it the "
        "connection ends.",
    ),
    Option(
        "gateway_http2_control_frames",
        int,
        1000,
        "HTTP/2 frames without content that a client may send at once, and a tenth of it each second. Over it the "
        "connection ends.",
    ),
    Option("gateway_drain_timeout", int, 30, "Seconds that running requests get to end when the gateway stops."),
    Option(
        "gateway_drain_delay",
        int,
        0,
        "Seconds for which a stopping gateway still accepts while /ready says 503, so that load balancers turn away.",
    ),
    Option(
        "gateway_scrape_interval",
        int,
        500,
        "Milliseconds between two scrapes of a model server's /metrics. 0: none, pools are picked by in-flight alone.",
    ),
    Option(
        "gateway_overload_lag",
        int,
        100,
        "Milliseconds for which the event loop may be behind without a break. After it new requests are refused (503) "
        "that would make it last, after a half of it mirrors are dropped, after a quarter the control arm is left out. "
        "0: nothing is shed.",
    ),
    Option(
        "gateway_queue_requests",
        int,
        0,
        "Requests that wait for a saturated InferencePool, for each priority, instead of being refused or sent on. "
        "0: none wait. The Inference Extension's flow control has 5000.",
    ),
    Option("gateway_queue_bytes", int, 256 * MIB, "Bytes of their bodies, for each priority of a pool."),
    Option("gateway_queue_timeout", int, 60, "Seconds that they wait. Then 429."),
    Option(
        "gateway_endpoint_picker",
        str,
        "builtin",
        "Who picks an InferencePool's endpoints: builtin, or external for the picker that the pool's "
        "endpointPickerRef names, asked over Envoy's external processing protocol.",
    ),
    Option(
        "gateway_endpoint_picker_timeout",
        int,
        10,
        "Seconds that an external endpoint picker has for a choice. Then the pool's failureMode decides.",
    ),
    Option(
        "shadow_journal",
        str,
        "",
        "Folder of the exchange journal. Empty: none is written (comparisons still work). What content it keeps is "
        "the ShadowPolicy's choice.",
    ),
    Option(
        "shadow_queue_bytes",
        int,
        256 * MIB,
        "Bound in bytes on what is handed off to the shadow process and not yet taken, with room for the answers to "
        "come: 400 bytes for each of `max_tokens`, from 64 KiB to 1 MiB. Over it mirrors are dropped.",
    ),
    Option(
        "view_flows",
        int,
        5000,
        "Flows that mitmweb and the console keep; over it finished ones are removed, the oldest first. 0: no bound.",
    ),
    Option(
        "view_bytes",
        int,
        256 * MIB,
        "Bytes of finished flows that mitmweb and the console keep, as view_flows. 0: no bound.",
    ),
    Option(
        "shadow_flows",
        int,
        1000,
        "Exchanges of candidates and controls that mitmweb and the console show as flows of their own. 0: none.",
    ),
    Option("shadow_flows_bytes", int, 64 * MIB, "Bytes of those flows together. 0: none are shown."),
    Option("shadow_max_queued", int, 1024, "Exchanges that wait or run in the shadow process. More are dropped."),
)


def add_options(loader: addonmanager.Loader) -> None:
    """Declare the options; doing so twice is harmless."""
    for option in OPTIONS:
        loader.add_option(option.name, option.type, option.default, option.help)


def settings_of(options: optmanager.OptManager) -> Settings:
    """Read the data plane's limits; raises ValueError for one that makes no sense."""
    defaults = Settings()
    stream = options.stream_large_bodies
    limit = options.body_size_limit
    positive = (
        "gateway_max_header_bytes",
        "gateway_header_timeout",
        "gateway_idle_timeout",
        "gateway_queue_timeout",
        "gateway_endpoint_picker_timeout",
        "gateway_http2_streams",
        "gateway_http2_resets",
        "gateway_http2_control_frames",
        "gateway_handshake_timeout",
        "gateway_buffered_bytes",
    )
    for name in positive:
        if getattr(options, name) <= 0:
            raise ValueError(f"{name} must be more than 0")
    if options.gateway_endpoint_picker not in ("builtin", "external"):
        raise ValueError("gateway_endpoint_picker must be builtin or external")
    for name in (
        "gateway_overload_lag",
        "gateway_queue_requests",
        "gateway_queue_bytes",
        "gateway_max_connections",
        "gateway_max_connections_per_address",
        "view_flows",
        "view_bytes",
        "shadow_flows",
        "shadow_flows_bytes",
    ):
        if getattr(options, name) < 0:
            raise ValueError(f"{name} must not be less than 0")
    if not -65535 <= options.gateway_port_offset <= 65535:
        raise ValueError("gateway_port_offset must be between -65535 and 65535")
    return Settings(
        stream_over=defaults.stream_over if stream is None else human.parse_size(stream),
        body_limit=defaults.body_limit if limit is None else human.parse_size(limit) or defaults.body_limit,
        max_head=options.gateway_max_header_bytes,
        head_timeout=float(options.gateway_header_timeout),
        handshake_timeout=float(options.gateway_handshake_timeout),
        idle_timeout=float(options.gateway_idle_timeout),
        bodies_limit=options.gateway_buffered_bytes,
        max_connections=options.gateway_max_connections or _half_of_the_files(),
        max_connections_per_address=options.gateway_max_connections_per_address,
        store_streamed=options.store_streamed_bodies,
        queue=QueueLimits(
            options.gateway_queue_requests, options.gateway_queue_bytes, float(options.gateway_queue_timeout)
        ),
        http2=Http2Limits(
            streams=options.gateway_http2_streams,
            resets=options.gateway_http2_resets,
            resets_per_second=options.gateway_http2_resets / 10,
            controls=options.gateway_http2_control_frames,
            controls_per_second=options.gateway_http2_control_frames / 10,
        ),
        drain_timeout=float(options.gateway_drain_timeout),
    )


def _half_of_the_files() -> int:
    """Return how many connections leave a file for each one's server; 0 where the process may open any number."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if files == resource.RLIM_INFINITY else max(1, files // 2)


def quickstart() -> Path:
    """Find the quickstart's manifests: in a checkout, or where the wheel puts them."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package.parents[1] / "config" / "quickstart", package / "quickstart"):
        if candidate.is_dir():
            return candidate
    return package / "quickstart"
