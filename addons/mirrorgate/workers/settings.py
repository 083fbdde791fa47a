"""The few options that the supervisor needs itself, read where the workers read them."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import yaml

from ..proxy.admin.server import DEFAULT_BIND, Bind, parse_bind

__all__ = ["SupervisorSettings", "settings_of"]


@dataclass(frozen=True, slots=True)
class SupervisorSettings:
    workers: int
    words: tuple[str, ...]
    """Of `mirrorgate run`, as each worker gets them."""
    admin: Bind | None
    token: str
    patience: float
    """Seconds that a worker may take to end when it is told to."""
    hang_timeout: float
    """Seconds without a heartbeat, after which a worker is ended; 0 for never."""


def settings_of(arguments: argparse.Namespace) -> SupervisorSettings:
    """Read the command line and mitmproxy's `config.yaml`; raises ValueError for what cannot work with workers."""
    given = dict(pair.partition("=")[::2] for pair in arguments.set)
    options = {**_file(Path(given.get("confdir", "~/.mitmproxy")).expanduser()), **given}
    if arguments.web:
        raise ValueError("--web shows the flows of one process: run it with one worker")
    if arguments.capture or options.get("gateway_capture"):
        raise ValueError("a capture file is written by one process: run it with one worker")
    if options.get("save_stream_file"):
        raise ValueError("save_stream_file is written by one process: run it with one worker")
    if not (arguments.worker_hang_timeout == 0 or 2 <= arguments.worker_hang_timeout < math.inf):
        raise ValueError("--worker-hang-timeout must be 0 or at least 2: hearts are looked at once a second")
    admin = options.get("gateway_admin", DEFAULT_BIND) if arguments.admin is None else arguments.admin
    words = list(arguments.config)
    for flag, value in (
        ("--bind", arguments.bind),
        ("--port-offset", arguments.port_offset),
        ("--journal", arguments.journal),
        ("--access-log", arguments.access_log),
    ):
        if value is not None:
            words.append(f"{flag}={value}")
    words += [f"--set={pair}" for pair in arguments.set]
    patience = float(options.get("gateway_drain_delay", 0)) + float(options.get("gateway_drain_timeout", 30)) + 15.0
    token = str(options.get("gateway_admin_token", ""))
    return SupervisorSettings(
        arguments.workers, tuple(words), parse_bind(str(admin)), token, patience, arguments.worker_hang_timeout
    )


def _file(folder: Path) -> dict[str, object]:
    """Return the options of mitmproxy's configuration; what is wrong with it the workers say."""
    found: dict[str, object] = {}
    for name in ("config.yaml", "config.yml"):
        try:
            read = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(read, dict):
            found.update(read)
    return found
