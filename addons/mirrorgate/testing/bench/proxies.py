"""How each proxy is started: one worker unless its name says otherwise, streaming, no access log but ours."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..manifests import as_yaml, backend, gateway, http_route, inference_pool, mirror_to, reference
from ..processes import free_port
from .origin import Trouble

__all__ = ["PROXIES", "Ports", "Proxy", "Unavailable"]


class Unavailable(Exception):
    """A proxy's program is not on this machine; the message says which."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a proxy listens, and what stands behind it."""

    own: int
    origin: int
    shadow: int


@dataclass(frozen=True, slots=True)
class Proxy:
    """One way to start a proxy."""

    name: str
    command: Callable[[Path, Ports, Mapping[str, str]], list[str]]
    """From a folder of its own, its ports and the programs that are named by hand, to its command line. Raises
    `Unavailable`."""
    mirrors: bool = False
    trouble: Trouble | None = None
    """Of the shadow that it mirrors to."""
    workers: int = 1
    direct: bool = False
    """Whether there is none: clients ask the server itself."""
    environment: Mapping[str, str] | None = None
    steadied: tuple[str, ...] = ()
    """What its command line has more, so that what others do on the machine shows in times and not in refusals."""


_STEADIED = ("--set", "gateway_overload_lag=60000")
"""Shedding stays on, but for its limit: most scenarios saturate the gateway, and what is shed would look cheap."""


_BODY_LIMIT: Final = 64 << 20
"""How large a body may be for an Envoy that keeps it."""


def _program(name: str, named: Mapping[str, str]) -> str:
    found = named.get(name) or shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        raise Unavailable(f"{name} is not installed (or name it: --program {name}=PATH)")
    return found


def _written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def _mirrorgate(*, mirror: bool = False, workers: int = 1) -> Callable[[Path, Ports, Mapping[str, str]], list[str]]:
    def command(folder: Path, ports: Ports, _named: Mapping[str, str]) -> list[str]:
        mirrors = [mirror_to("candidate")] if mirror else []
        pool = reference("pool", "InferencePool")
        route = http_route("bench", pool, hosts=["127.0.0.1"], mirrors=mirrors)
        objects = [
            *gateway(ports.own),
            *inference_pool("pool", ports.origin),
            backend("candidate", ports.shadow),
            route,
        ]
        config = _written(folder, "gateway.yaml", as_yaml(objects))
        more = ["--set", f"gateway_access_log={folder / 'access.log'}"]
        more += ["--workers", str(workers)] if workers > 1 else []
        return [sys.executable, "-m", "mirrorgate.cli", "run", config, "--admin", f"127.0.0.1:{free_port()}", *more]

    return command


_STREAMED = """
def responseheaders(flow):
    if flow.response.headers.get("content-type", "").startswith("text/event-stream"):
        flow.response.stream = True
"""


def _nothing(folder: Path, ports: Ports, named: Mapping[str, str]) -> list[str]:
    raise Unavailable("there is nothing to start")


def _mitmdump(folder: Path, ports: Ports, named: Mapping[str, str]) -> list[str]:
    where = ["--mode", f"reverse:http://127.0.0.1:{ports.origin}", "--listen-host", "127.0.0.1"]
    script = _written(folder, "streamed.py", _STREAMED)
    more = ["--listen-port", str(ports.own), "--set", f"confdir={folder}", "-s", script]
    return [_program("mitmdump", named), "-q", *where, *more]


def _envoy(*, mirror: bool = False, reading: bool = False) -> Callable[[Path, Ports, Mapping[str, str]], list[str]]:
    def command(folder: Path, ports: Ports, named: Mapping[str, str]) -> list[str]:
        config = _written(folder, "envoy.json", json.dumps(_envoy_config(ports, mirror=mirror, reading=reading)))
        quiet = ["--disable-hot-restart", "--log-level", "error"]
        return [_program("envoy", named), "-c", config, "--concurrency", "1", *quiet]

    return command


def _envoy_config(ports: Ports, *, mirror: bool, reading: bool) -> dict[str, Any]:
    """`reading` finds a request's model in its body, which Envoy's own filter for that keeps until it is whole."""
    types = "type.googleapis.com/envoy.extensions.filters"

    def socket(port: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    def cluster(name: str, port: int) -> dict[str, Any]:
        endpoints = [{"lb_endpoints": [{"endpoint": {"address": socket(port)}}]}]
        return {
            "name": name,
            "type": "STATIC",
            "connect_timeout": "2s",
            "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        }

    route: dict[str, Any] = {"cluster": "origin", "timeout": "0s"}
    if mirror:
        route["request_mirror_policies"] = [{"cluster": "shadow"}]
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{types}.http.router.v3.Router"},
    }
    model = {"metadata_namespace": "bench", "key": "model"}
    rules = [{"selectors": [{"key": "model"}], "on_present": model}]
    reader = {
        "name": "envoy.filters.http.json_to_metadata",
        "typed_config": {
            "@type": f"{types}.http.json_to_metadata.v3.JsonToMetadata",
            "request_rules": {"rules": rules},
        },
    }
    manager = {
        "@type": f"{types}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}]
        },
        "http_filters": [reader, router] if reading else [router],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    listener: dict[str, Any] = {"name": "bench", "address": socket(ports.own), "filter_chains": [chain]}
    if reading:
        listener["per_connection_buffer_limit_bytes"] = _BODY_LIMIT
    clusters = [cluster("origin", ports.origin), *([cluster("shadow", ports.shadow)] if mirror else [])]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def _nginx(*, mirror: bool = False) -> Callable[[Path, Ports, Mapping[str, str]], list[str]]:
    def command(folder: Path, ports: Ports, named: Mapping[str, str]) -> list[str]:
        passed = 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;'
        shadow = f"location = /_shadow {{ internal; {passed} proxy_pass http://shadow$request_uri; }}"
        temporary = " ".join(
            f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = f"""
            worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log stderr error;
            events {{ worker_connections 4096; }}
            http {{
              access_log off; {temporary}
              keepalive_requests 100000000; client_max_body_size 64m; client_body_buffer_size 2m;
              upstream origin {{ server 127.0.0.1:{ports.origin}; keepalive 512; keepalive_requests 100000000; }}
              upstream shadow {{ server 127.0.0.1:{ports.shadow}; keepalive 512; keepalive_requests 100000000; }}
              server {{
                listen 127.0.0.1:{ports.own} backlog=1024;
                location / {{
                  {passed} proxy_buffering off; proxy_read_timeout 600s;
                  {"mirror /_shadow;" if mirror else ""} proxy_pass http://origin;
                }}
                {shadow if mirror else ""}
              }}
            }}"""
        path = _written(folder, "nginx.conf", config)
        return [_program("nginx", named), "-p", str(folder), "-c", path, "-e", "stderr"]

    return command


def _litellm(folder: Path, ports: Ports, named: Mapping[str, str]) -> list[str]:
    model = {"model": "openai/bench", "api_base": f"http://127.0.0.1:{ports.origin}/v1", "api_key": "none"}
    passed = {"forward_client_headers_to_llm_api": True}
    config = {
        "model_list": [{"model_name": "bench", "litellm_params": model}],
        "litellm_settings": {"telemetry": False, "num_retries": 0},
        "general_settings": passed,
    }
    path = _written(folder, "litellm.yaml", json.dumps(config))
    where = ["--host", "127.0.0.1", "--port", str(ports.own), "--num_workers", "1"]
    return [_program("litellm", named), *where, "--telemetry", "False", "--config", path]


PROXIES = {
    proxy.name: proxy
    for proxy in (
        Proxy("direct", _nothing, direct=True),
        Proxy("mirrorgate", _mirrorgate(), steadied=_STEADIED),
        Proxy("mitmdump", _mitmdump),
        Proxy("envoy", _envoy()),
        Proxy("envoy-model", _envoy(reading=True)),
        Proxy("nginx", _nginx()),
        Proxy("litellm", _litellm, environment={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}),
        Proxy("mirrorgate-workers", _mirrorgate(workers=2), workers=2, steadied=_STEADIED),
        Proxy("mirrorgate-mirror", _mirrorgate(mirror=True), mirrors=True, steadied=_STEADIED),
        Proxy("envoy-mirror", _envoy(mirror=True), mirrors=True),
        Proxy("nginx-mirror", _nginx(mirror=True), mirrors=True),
        *(
            Proxy(
                f"mirrorgate-{trouble}",
                _mirrorgate(mirror=True),
                mirrors=True,
                trouble=trouble,
                steadied=_STEADIED,
            )
            for trouble in Trouble
        ),
    )
}
"""By name, in the order in which they are measured."""
