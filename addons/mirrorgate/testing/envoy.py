"""A real Envoy beside the gateway under test, with the HTTP settings that Envoy Gateway generates."""

from __future__ import annotations

import os
import shutil
from typing import Any

__all__ = ["envoy_bootstrap", "envoy_program"]

_TYPES = "type.googleapis.com/envoy.extensions.filters"


def envoy_program() -> str | None:
    """Return the path of Envoy's binary, from ENVOY_BIN or PATH; `None` where there is none."""
    return os.environ.get("ENVOY_BIN") or shutil.which("envoy")


def envoy_bootstrap(port: int, admin_port: int, upstream_port: int, *hosts: str) -> dict[str, Any]:
    """Return a static configuration: one listener, one cluster of one server, and these hosts.

    Differs from Envoy Gateway's listener (`internal/xds/translator/listener.go`) in the delayed close alone, which a
    test should not sit out.
    """
    manager = {
        "@type": f"{_TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "codec_type": "HTTP1",
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
        "server_header_transformation": "PASS_THROUGH",
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "delayed_close_timeout": "0.1s",
        "route_config": {
            "ignore_port_in_host_matching": True,
            "virtual_hosts": [
                {
                    "name": "hosts",
                    "domains": list(hosts),
                    "routes": [
                        {
                            "match": {"prefix": "/"},
                            "route": {"cluster": "upstream", "upgrade_configs": [{"upgrade_type": "websocket"}]},
                        }
                    ],
                }
            ],
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPES}.http.router.v3.Router", "suppress_envoy_headers": True},
            }
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(upstream_port)}}]}],
        },
    }
    listener = {"name": "listener", "address": _address(port), "filter_chains": [chain]}
    return {
        "admin": {"address": _address(admin_port)},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
