"""`mirrorgate check`: what a configuration compiles to, what is wrong with it, and where a request would go."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..director import rules_of
from ..errors import Problem, Severity
from ..inference.requests import InferenceRequest, parse_request
from ..resources.loading import Document, load
from ..routing.explaining import Explanation, explain
from ..routing.rendering import render
from ..routing.table import RouteTable
from ..snapshot import Snapshot
from ..sources.files import FileSource
from ..wiring.configuring import paths_of
from ..wiring.options import quickstart

__all__ = ["add_parser", "check"]

_UNFOLDED = 2000
"""Columns that hardly a table needs."""


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser("check", help="check a configuration and explain where requests go")
    parser.add_argument("config", nargs="*", help="files or directories of manifests (default: the quickstart)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument(
        "--explain", metavar="'METHOD PATH'", help="say which listener, rule, backend and mirrors a request gets"
    )
    parser.add_argument("-H", "--header", action="append", default=[], metavar="'NAME: VALUE'", help="of the request")
    parser.add_argument("--body", metavar="FILE", help="the request's body, - for standard input")
    parser.add_argument("--port", type=int, help="the listener's port (default: the only one, or 80)")
    parser.set_defaults(handler=check)


def check(arguments: argparse.Namespace) -> int:
    """Print what a configuration is. Returns 1 when it would be refused, 2 for a wrong use."""
    reading = FileSource(paths_of(arguments.config, quickstart())).read()
    loaded = load(Document(name, text) for name, text in reading.files)
    snapshot = Snapshot.of(loaded.inventory, 1)
    problems = reading.problems + loaded.problems + snapshot.problems
    refused = any(problem.severity is Severity.ERROR for problem in problems)
    # What reads a pipe wants lines that are whole; rich takes 80 columns for its width.
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else _UNFOLDED)
    try:
        explanation = _explanation(arguments, snapshot.table) if arguments.explain else None
    except (ValueError, OSError) as error:
        print(f"mirrorgate check: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        document: dict[str, object] = {
            "accepted": not refused,
            "problems": [_problem(problem) for problem in problems],
            "table": render(snapshot.table),
            "statuses": {" ".join((kind, f"{ns}/{name}")): s for (kind, ns, name), s in snapshot.statuses.items()},
        }
        if explanation is not None:
            document["explanation"] = _plain(explanation)
        print(json.dumps(document, indent=2, default=str))
        return int(refused)
    _print_problems(console, problems)
    if explanation is None and (snapshot.statuses or not refused):
        _print_table(console, snapshot)
        _print_conditions(console, snapshot)
    elif explanation is not None:
        _print_explanation(console, explanation)
    verdict = "refused: mend the errors above" if refused else "accepted"
    if problems and not refused:
        verdict += f", with {len(problems)} warning{'s' * (len(problems) > 1)} above"
    console.print(f"\n[bold]{'✗' if refused else '✓'} the configuration is {verdict}[/bold]")
    return int(refused)


def _explanation(arguments: argparse.Namespace, table: RouteTable) -> Explanation:
    method, _, target = arguments.explain.strip().partition(" ")
    target = target.strip()
    if not target:
        method, target = "GET", method
    fields: list[tuple[bytes, bytes]] = []
    for header in arguments.header:
        name, colon, value = header.partition(":")
        if not colon:
            raise ValueError(f"{header!r} is not 'Name: value'")
        fields.append((name.strip().encode(), value.strip().encode()))
    host = next((value.decode() for name, value in fields if name.lower() == b"host"), "")
    content_type = next((v.decode() for n, v in fields if n.lower() == b"content-type"), "application/json")
    model = None
    if arguments.body:
        body = sys.stdin.buffer.read() if arguments.body == "-" else Path(arguments.body).read_bytes()
        request = parse_request(method, target, content_type, body)
        model = request.model if isinstance(request, InferenceRequest) else None
    return explain(table, method, host, target, fields, port=arguments.port, model=model)


def _print_problems(console: Console, problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        style = "red" if problem.severity is Severity.ERROR else "yellow"
        console.print(Text(str(problem), style=style))


def _print_table(console: Console, snapshot: Snapshot) -> None:
    table = Table(title="Routes, in the order in which they are tried", title_justify="left")
    for column in ("listener", "hostname", "match", "rule", "backends", "mirrors", "limits"):
        table.add_column(column, overflow="fold")
    for listener in snapshot.table.listeners:
        place = f"{listener.gateway[0]}/{listener.gateway[1]}/{listener.name} :{listener.port}"
        for match in listener.matches:
            rule = match.rule
            conditions = [f"{match.path.kind.value} {match.path.value}", match.method or ""]
            conditions += [f"{header.name}: {header.value}" for header in match.headers]
            conditions += [f"?{item.name}={item.value}" for item in match.query]
            traffic = rule.traffic
            table.add_row(
                place,
                match.hostname or "*",
                " ".join(filter(None, conditions)),
                rule.title,
                "\n".join(
                    f"{b.weight} × {b.ref}"
                    + (f" [{b.invalid}]" if b.destination is None else f" ({len(b.destination.endpoints)} endpoints)")
                    for b in rule.backends
                )
                or rule.broken
                or "redirect",
                "\n".join(
                    f"{100 * m.fraction:g} % → {m.destination.ref} ({len(m.destination.endpoints)} endpoints)"
                    for m in rule.mirrors
                ),
                f"{traffic.max_connections}/{traffic.max_pending_requests}/{traffic.max_parallel_requests}"
                + (f" by {traffic.source}" if traffic.source else ""),
            )
    console.print(table)
    rules = rules_of(snapshot)
    console.print(f"{len(snapshot.table.listeners)} listeners, {len(rules)} rules.", end=" ")
    console.print("Limits: connections/pending/parallel.")


def _print_conditions(console: Console, snapshot: Snapshot) -> None:
    table = Table(title="Status conditions", title_justify="left")
    for column in ("object", "condition", "status", "reason", "message"):
        table.add_column(column, overflow="fold")
    for (kind, namespace, name), status in snapshot.statuses.items():
        for where, condition in _conditions(status, ""):
            title = f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"
            good = condition["status"] == "True" or condition["type"] in ("Conflicted",)
            table.add_row(
                title + where,
                str(condition["type"]),
                Text(str(condition["status"]), style="green" if good else "red"),
                str(condition["reason"]),
                str(condition["message"]),
            )
    console.print(table)


def _conditions(value: object, where: str) -> list[tuple[str, dict[str, object]]]:
    """Find the conditions anywhere in a status, with the listener or parent that they belong to."""
    found: list[tuple[str, dict[str, object]]] = []
    if isinstance(value, dict):
        label = where
        for key in ("name", "parentRef", "ancestorRef"):
            held = value.get(key)
            name = held.get("name") if isinstance(held, dict) else held
            if isinstance(name, str):
                label = f"{where} › {name}"
        found += [(label, c) for c in value.get("conditions") or [] if isinstance(c, dict)]
        for key, held in value.items():
            if key != "conditions":
                found += _conditions(held, label)
    elif isinstance(value, list):
        for held in value:
            found += _conditions(held, where)
    return found


def _print_explanation(console: Console, explanation: Explanation) -> None:
    for title, considered in (("listener", explanation.listeners), ("match", explanation.matches)):
        for one in considered:
            mark, style = ("→", "bold green") if not one.reason else (" ", "dim")
            console.print(Text(f"{mark} {title}: {one.what}" + (f" — {one.reason}" if one.reason else ""), style=style))
    if explanation.omitted:
        console.print(f"  … and {explanation.omitted} more matches that do not apply")
    console.print(f"[bold]{explanation.outcome}[/bold]")
    if explanation.forwarded_path is not None:
        console.print(f"  path sent on: {explanation.forwarded_path}")
    for share in explanation.backends:
        endpoints = ", ".join(share.endpoints) or "no endpoints"
        console.print(f"  {100 * share.share:g} % → {share.ref}: {share.answer or endpoints}")
        if share.model:
            console.print(f"      model asked of the server: {share.model}")
    for mirror in explanation.mirrors:
        console.print(f"  mirrored: {mirror}")


def _plain(explanation: Explanation) -> object:
    return dataclasses.asdict(explanation)


def _problem(problem: Problem) -> dict[str, object]:
    return {
        "severity": problem.severity.value,
        "file": problem.file,
        "line": problem.line,
        "path": problem.path,
        "message": problem.message,
        "hint": problem.hint,
    }
