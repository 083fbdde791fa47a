"""`mirrorgate report`: what journals say, as text, JSON or one HTML file, with an exit code for pipelines."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console

from ..comparison.verdict import Decision
from ..reporting.reading import UnknownGuardrails, report_of
from ..reporting.report import Report
from ..reporting.terms import Selection, Terms
from ..reporting.text import text_of

__all__ = ["EXIT_CODES", "add_parser", "report"]

EXIT_CODES: Final = {Decision.PROMOTE: 0, Decision.HOLD: 10, Decision.REJECT: 20}
_FAILED: Final = 1
_USAGE: Final = 2

_FILE_WIDTH: Final = 132
"""Columns of a text that goes into a file or a log."""

_AGE: Final = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)([smhd])")
_AGE_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_EPILOG: Final = """\
Exit codes: 0 PROMOTE, 10 HOLD, 20 REJECT (over several candidates the worst of theirs), 1 failed, 2 usage.

Without options that choose or change, the verdict is the one that was shown live, from the same journal to the last
digit. Pairs that are chosen and terms that are changed after results were seen void the stated chances of error."""


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "report",
        help="say what journals prove, as text, JSON or HTML",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "journal",
        nargs="+",
        type=Path,
        metavar="JOURNAL",
        help="folders or files of journals, compressed or not; the evidence of several replicas is added up",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print JSON (mirrorgate.report/v1) instead of text")
    output.add_argument("--html", type=Path, metavar="FILE", help="also write one self-contained HTML file")
    output.add_argument("--quiet", action="store_true", help="print nothing: for the exit code, or the HTML file")
    choice = parser.add_argument_group("which pairs")
    choice.add_argument("--cluster", action="append", default=[], metavar="NAME", help="of a mirror; may be repeated")
    moment = "RFC 3339 time such as 2026-11-22T08:00:00Z, or how long ago, such as 90m, 24h, 7d"
    choice.add_argument("--since", type=_moment, metavar="TIME", help=f"requests from then on: {moment}")
    choice.add_argument("--until", type=_moment, metavar="TIME", help="requests before then")
    terms = parser.add_argument_group("other terms than the ShadowPolicy's")
    terms.add_argument(
        "--margin",
        action="append",
        default=[],
        type=_margin,
        metavar="NAME=X",
        help="of a guardrail, such as errors=0.01",
    )
    terms.add_argument("--alpha-promote", type=_share, metavar="P", help="the chance to promote a worse candidate")
    terms.add_argument("--alpha-reject", type=_share, metavar="P", help="the chance to reject one that is not worse")
    terms.add_argument("--min-pairs", type=_positive, metavar="N", help="observations before PROMOTE")
    terms.add_argument("--min-coverage", type=_coverage, metavar="SHARE", help="of the mirrored traffic before PROMOTE")
    parser.set_defaults(handler=report)


def report(arguments: argparse.Namespace) -> int:
    """Print and write the report. Returns the exit code of its verdict, 1 when there is none, 2 for a wrong use."""
    selection = Selection(frozenset(arguments.cluster), arguments.since, arguments.until)
    terms = Terms(
        dict(arguments.margin),
        arguments.alpha_promote,
        arguments.alpha_reject,
        arguments.min_pairs,
        arguments.min_coverage,
    )
    for path in arguments.journal:
        if not os.access(path, os.R_OK):
            return _failure(f"{path} cannot be read", _FAILED)
    try:
        found = report_of(arguments.journal, time.time(), selection, terms)
    except UnknownGuardrails as error:
        return _failure(str(error), _USAGE)
    except OSError as error:
        return _failure(str(error), _FAILED)
    if arguments.cluster and not found.shadows:
        return _failure(f"the journal has no evidence of {', '.join(arguments.cluster)}", _FAILED)
    try:
        _write(found, arguments)
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        return _failure(str(error), _FAILED)
    return EXIT_CODES[found.verdict]


def _write(found: Report, arguments: argparse.Namespace) -> None:
    if arguments.html is not None:
        # Here, since it takes the plotting library along, which nothing else needs.
        from ..reporting.page import page_of

        _replace(arguments.html, page_of(found))
    if arguments.quiet:
        return
    if arguments.json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
        sys.stdout.buffer.flush()
        return
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(highlight=False, width=_FILE_WIDTH)
    console.print(text_of(found))
    if arguments.html is not None:
        print(f"written: {arguments.html}")


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all, for its owner only: it may hold what users asked."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _failure(message: str, code: int) -> int:
    print(f"mirrorgate report: {message}", file=sys.stderr)
    return code


def _moment(text: str) -> float:
    """Return the Unix time of a moment or an age."""
    age = _AGE.fullmatch(text)
    if age is not None:
        return time.time() - float(age[1]) * _AGE_UNITS[age[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2026-11-22T08:00:00Z, 90m or 7d") from None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _margin(text: str) -> tuple[str, float]:
    name, equals, number = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=X, such as errors=0.01")
    return name, _share(number)


def _number(text: str, holds: Callable[[float], bool], what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not holds(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return value


def _share(text: str) -> float:
    return _number(text, lambda value: 0.0 < value < 1.0, "between 0 and 1")


def _coverage(text: str) -> float:
    return _number(text, lambda value: 0.0 <= value <= 1.0, "from 0 to 1")


def _positive(text: str) -> int:
    return int(_number(text, lambda value: value >= 1.0 and value.is_integer(), "a whole number from 1 on"))
