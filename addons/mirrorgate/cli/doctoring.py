"""`mirrorgate doctor`: asks a running gateway about itself, and says what is wrong and what to do about it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.text import Text

from ..errors import Problem
from ..proxy.admin.server import parse_bind
from ..proxy.tested_versions import TESTED
from ..resources.loading import Document, load
from ..snapshot import Snapshot
from ..sources.files import FileSource
from .diagnosis import Finding, Weight, diagnose, worst
from .facts import Cluster, Facts, Overview, Verdict

__all__ = ["add_parser", "doctor"]

_STYLES = {Weight.PROBLEM: ("✗", "bold red"), Weight.WARNING: ("!", "yellow"), Weight.NOTE: ("·", "dim")}
_TIMEOUT = 10.0


class _Clusters(msgspec.Struct, frozen=True):
    clusters: tuple[Cluster, ...] = ()


class _Verdicts(msgspec.Struct, frozen=True):
    shadows: tuple[Verdict, ...] = ()


class _Denied(Exception):
    """The admin server does not show a page; the message says why."""


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "doctor",
        help="say what is wrong with a running gateway",
        epilog="Exit code: 0 nothing but notes, 1 a warning, 2 a problem.",
    )
    parser.add_argument("config", nargs="*", help="also check these files or directories of manifests")
    parser.add_argument(
        "--admin", default="127.0.0.1:9901", metavar="HOST:PORT", help="of the gateway's admin server (%(default)s)"
    )
    parser.add_argument("--token", default=os.environ.get("MIRRORGATE_ADMIN_TOKEN", ""), help="its bearer token")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(handler=doctor)


def doctor(arguments: argparse.Namespace) -> int:
    """Print the findings. Returns 0 for nothing but notes, 1 for a warning, 2 for a problem or a wrong use."""
    try:
        bind = parse_bind(arguments.admin)
    except ValueError as error:
        print(f"mirrorgate doctor: {error}", file=sys.stderr)
        return 2
    if bind is None:
        print("mirrorgate doctor: --admin is empty", file=sys.stderr)
        return 2
    facts = _asked(str(bind), arguments.token)
    if arguments.config:
        facts = dataclasses.replace(facts, config=_problems(arguments.config))
    findings = diagnose(facts)
    code = worst(findings)
    if arguments.json:
        rows = [dataclasses.asdict(finding) | {"weight": finding.weight.name.lower()} for finding in findings]
        print(json.dumps({"exit": code, "findings": rows}, indent=2))
    else:
        _print(findings, facts)
    return code


def _asked(admin: str, token: str) -> Facts:
    """Ask the admin server for all that it tells."""
    facts = Facts(admin, time.time(), tested=TESTED)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(base_url=f"http://{admin}", headers=headers, timeout=_TIMEOUT, trust_env=False) as client:
        try:
            ready = client.get("/ready")
            metrics = client.get("/metrics").text
        except httpx.HTTPError as error:
            return dataclasses.replace(facts, unreachable=str(error) or type(error).__name__)
        try:
            facts = dataclasses.replace(facts, ready=(ready.status_code == 200, ready.text), metrics=_samples(metrics))
        except ValueError as error:
            return dataclasses.replace(facts, unreachable=f"it is no Mirrorgate: {error}")
        try:
            before = time.time()
            overview = _page(client, "/overview", Overview)
            # A long answer must not look like a slow clock: any time at which it may have been given is the same.
            now = max(before, min(overview.now or 0.0, time.time()))
            facts = dataclasses.replace(facts, overview=overview, now=now)
            clusters, verdicts = _page(client, "/clusters", _Clusters), _page(client, "/verdict", _Verdicts)
        except _Denied as error:
            return dataclasses.replace(facts, denied=str(error))
        except httpx.HTTPError as error:
            return dataclasses.replace(facts, unreachable=str(error) or type(error).__name__)
    return dataclasses.replace(facts, clusters=clusters.clusters, verdicts=verdicts.shadows)


def _page[T](client: httpx.Client, path: str, kind: type[T]) -> T:
    answer = client.get(path)
    if answer.status_code != 200:
        raise _Denied(f"{path} is answered {answer.status_code}: {answer.text[:200].strip()}")
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except msgspec.MsgspecError as error:
        raise _Denied(f"{path} cannot be read: {error}") from error


def _samples(text: str) -> Mapping[str, Sequence[tuple[Mapping[str, str], float]]]:
    found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def _problems(paths: Sequence[str]) -> tuple[Problem, ...]:
    reading = FileSource([Path(path) for path in paths]).read()
    loaded = load(Document(name, text) for name, text in reading.files)
    return reading.problems + loaded.problems + Snapshot.of(loaded.inventory, 1).problems


def _print(findings: Sequence[Finding], facts: Facts) -> None:
    console = Console(soft_wrap=True)
    for finding in findings:
        mark, style = _STYLES[finding.weight]
        console.print(Text.assemble((f"{mark} {finding.subject}: {finding.text}", style)))
        console.print(Text(f"    {finding.remedy}"))
    counts = [sum(finding.weight is weight for finding in findings) for weight in reversed(Weight)]
    version = f"Mirrorgate {facts.overview.version} at {facts.admin}" if facts.overview is not None else facts.admin
    if not any(counts[:2]):
        console.print(Text(f"✓ {version}: nothing is wrong, {counts[2]} notes", style="bold green"))
    else:
        console.print(Text(f"{version}: {counts[0]} problems, {counts[1]} warnings, {counts[2]} notes", style="bold"))
