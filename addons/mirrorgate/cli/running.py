"""`mirrorgate run`: the gateway with mitmproxy's options set right by itself."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import resource
import sys
from typing import Any

from ..workers.seat import Seat
from .deferral import defer, defer_addons

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser("run", help="run the gateway")
    parser.add_argument("config", nargs="*", help="files or directories of manifests (default: the quickstart)")
    parser.add_argument("--bind", help="address of listeners whose Gateway names none (default 127.0.0.1)")
    parser.add_argument("--port-offset", type=int, help="added to each listener's port, as in 8000: 80 becomes 8080")
    parser.add_argument("--admin", help="host:port of the admin server (default 127.0.0.1:9901), empty for none")
    parser.add_argument("--journal", help="folder of the exchange journal (default: none)")
    parser.add_argument("--access-log", help="file of the access log, - for standard output (default: none)")
    parser.add_argument("--capture", metavar="FILE", help="capture exchanges in this file, for replay and mitmproxy")
    parser.add_argument("--web", action="store_true", help="with mitmweb, mitmproxy's interface in the browser")
    parser.add_argument("--web-port", type=int, default=8081, help="mitmweb's port (default 8081)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE", help="set any mitmproxy option; repeatable"
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that share the listeners and limits (default 1)"
    )
    parser.add_argument(
        "--worker-hang-timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="with several workers: end one whose event loop has stood still for so long, and start it again; 0: never "
        "(default 30, what Kubernetes' liveness probes take by default)",
    )
    parser.add_argument("--seat", type=Seat.parse, help=argparse.SUPPRESS)
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """Run until a signal ends it. Returns 0 after an orderly end, 2 for a wrong use."""
    if arguments.workers < 1:
        print("mirrorgate run: --workers must be at least 1", file=sys.stderr)
        return 2
    _take_all_files()
    if arguments.workers > 1:
        return _supervise(arguments)
    defer()
    if not arguments.web:
        defer_addons()
    from .serving import serve

    return serve(_settings(arguments), web=arguments.web, seat=arguments.seat)


def _take_all_files() -> None:
    """Let the process open as many files as it may: the lower limit is for programs that use `select`."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _supervise(arguments: argparse.Namespace) -> int:
    from ..workers.settings import settings_of
    from ..workers.supervising import supervise

    try:
        settings = settings_of(arguments)
    except ValueError as error:
        print(f"mirrorgate run --workers: {error}", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.WARNING, format="[%(asctime)s.%(msecs)03d] %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("mirrorgate").setLevel(logging.INFO)
    return asyncio.run(supervise(settings))


def _settings(arguments: argparse.Namespace) -> list[str]:
    """Turn the command's own arguments into settings of mitmproxy's options."""
    settings = [f"gateway_config={path}" for path in arguments.config]
    for name, value in (
        ("gateway_bind", arguments.bind),
        ("gateway_port_offset", arguments.port_offset),
        ("gateway_admin", arguments.admin),
        ("shadow_journal", arguments.journal),
        ("gateway_access_log", arguments.access_log),
        ("gateway_capture", arguments.capture),
    ):
        if value is not None:
            settings.append(f"{name}={value}")
    if arguments.web:
        settings += ["web_open_browser=false", f"web_port={arguments.web_port}"]
    return settings + list(arguments.set)
