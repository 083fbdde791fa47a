"""`mirrorgate replay`: captured traffic sent to a candidate, and the same verdict as live."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from ..errors import ConfigProblems
from ..replay.asking import Prepared, prepared
from ..replay.captured import Skip
from ..replay.playing import Player
from ..replay.progress import Progress, status_line
from ..replay.tallying import Tally
from . import reporting

__all__ = ["add_parser", "replay"]

_SWITCH_SECONDS: Final = 0.001
"""How long the judging thread may keep the interpreter while an answer's piece waits for its time stamp."""


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "replay",
        help="send captured traffic to a candidate and judge it",
        description="Sends captured traffic to a candidate, compares with the recorded answers or a fresh primary, and "
        "ends with the verdict: exit code 0 PROMOTE, 10 HOLD, 20 REJECT, 2 usage, 1 failure. docs/replay.md has more.",
    )
    parser.add_argument(
        "source", nargs="+", help="mitmproxy flows, a journal's folder, HAR, GoReplay, or an OpenAI batch's requests"
    )
    where = parser.add_argument_group("where to")
    where.add_argument(
        "--to", required=True, metavar="URL|route:PATH|mirror:PATH",
        help="the candidate: a server, or where manifests lead (their backends, or their mirrors)",
    )  # fmt: skip
    where.add_argument("--against", metavar="URL|route:PATH", help="ask this primary anew (default: recorded answers)")
    where.add_argument("--repeat", type=int, default=1, metavar="N", help="times each request is asked, for noise")
    where.add_argument("--set-model", action="append", default=[], metavar="[OLD=]NEW", help="ask the candidate for it")
    where.add_argument("--set-header", action="append", default=[], metavar="'NAME: VALUE'", help="for the candidate")
    where.add_argument("--remove-header", action="append", default=[], metavar="NAME")
    where.add_argument("--against-model", action="append", default=[], metavar="[OLD=]NEW", help="for the primary")
    where.add_argument("--against-header", action="append", default=[], metavar="'NAME: VALUE'", help="for the primary")
    where.add_argument("--keep-credentials", action="store_true", help="send captured credentials again")
    what = parser.add_argument_group("what (repeat an option for alternatives)")
    what.add_argument("--path", action="append", default=[], metavar="GLOB")
    what.add_argument("--model", action="append", default=[], metavar="GLOB")
    what.add_argument("--header", action="append", default=[], metavar="'NAME: GLOB'", help="all of them must fit")
    what.add_argument("--since", metavar="TIME", help="ISO 8601 or Unix seconds")
    what.add_argument("--until", metavar="TIME")
    what.add_argument("--status", action="append", default=[], metavar="200|5xx", help="of the recorded answer")
    what.add_argument("--sample", default="100%", metavar="PERCENT", help="by hash: 5%% is a part of 10%%")
    what.add_argument("--sample-by", default="request", metavar="request|conversation|HEADER")
    what.add_argument("--shard", default="1/1", metavar="I/N", help="part I of N, for several machines")
    what.add_argument("--limit", type=int, metavar="N", help="send at most N requests")
    what.add_argument("--all-methods", action="store_true", help="also POST, PUT, DELETE... outside inference APIs")
    what.add_argument("--server-tools", action="store_true", help="also requests whose tools the server executes")
    pace = parser.add_argument_group("pace (default: the capture's own)")
    exclusive = pace.add_mutually_exclusive_group()
    exclusive.add_argument("--speed", type=float, metavar="FACTOR", help="the capture's timing, so much faster")
    exclusive.add_argument("--rate", metavar="N/s", help="evenly, such as 50/s or 600/m")
    pace.add_argument("--concurrency", type=int, metavar="N", help="at most N at once; alone: as fast as that allows")
    judged = parser.add_argument_group("judgement")
    judged.add_argument("--policy", metavar="FILE", help="a ShadowPolicy: guardrails, SLOs, error rates, timeouts")
    judged.add_argument("--mode", choices=("equivalence", "replacement"))
    judged.add_argument("--min-pairs", type=int, metavar="N")
    judged.add_argument("--content", choices=("none", "redacted", "full"), help="what the journal keeps of texts")
    kept = parser.add_argument_group("results")
    kept.add_argument("--journal", metavar="FOLDER", help="where records go (default: replay-TIME in this folder)")
    kept.add_argument("--resume", action="store_true", help="go on with --journal: what it has compared is not sent")
    kept.add_argument("--html", metavar="FILE", help="write the report as one HTML file")
    kept.add_argument("--json", action="store_true", help="print the report as JSON")
    kept.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(handler=replay)


def replay(arguments: argparse.Namespace) -> int:
    """Replay until everything is compared, or a signal ends it. Returns the verdict's exit code, 2 for wrong use."""
    console = Console(stderr=True)
    if arguments.resume and arguments.journal is None:
        return _refused("--resume needs the --journal to go on with")
    named = arguments.journal or f"replay-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    journal = Path(named).expanduser()
    try:
        ready = prepared(arguments, journal, random.Random())
    except (ValueError, OSError) as error:
        return _refused(str(error))
    except ConfigProblems as error:
        return _refused("\n".join(map(str, error.problems)))
    logging.basicConfig(level=logging.WARNING, format="mirrorgate replay: %(levelname)s %(message)s")
    sys.setswitchinterval(_SWITCH_SECONDS)
    if not arguments.quiet:
        for path, kind in ready.reading.sources:
            console.print(f"{path}: {kind.value}", highlight=False)
        console.print(f"journal: {journal}", highlight=False)
    began = time.monotonic()
    tally, interrupted = asyncio.run(_played(ready, None if arguments.quiet else console))
    if not arguments.quiet:
        _print_end(console, tally, time.monotonic() - began, interrupted, journal)
    if not tally.compared and not len(ready.play.done):
        return _nothing(tally)
    code = _reported(arguments, journal)
    if tally.journal_lost:
        print(f"mirrorgate replay: the disk did not take {tally.journal_lost} records", file=sys.stderr)
        return 1
    return code


async def _played(ready: Prepared, console: Console | None) -> tuple[Tally, bool]:
    loop = asyncio.get_running_loop()
    player = Player(ready.play)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, player.stop)
    if console is None:
        return await player.run(), player.interrupted
    with Progress(console, player, ready.reading).shown():
        return await player.run(), player.interrupted


def _reported(arguments: argparse.Namespace, journal: Path) -> int:
    """Do what `mirrorgate report` does with the journal."""
    parser = argparse.ArgumentParser()
    reporting.add_parser(parser.add_subparsers())
    words = ["report", *(["--json"] * arguments.json)]
    if arguments.html is not None:
        words += ["--html", arguments.html]
    parsed = parser.parse_args([*words, "--", str(journal)])
    code: int = parsed.handler(parsed)
    return code


def _print_end(console: Console, tally: Tally, seconds: float, interrupted: bool, journal: Path) -> None:
    console.print(status_line(tally, 0, seconds, verdicts=False), highlight=False, soft_wrap=True)
    for reason, count in tally.passed.most_common():
        console.print(f"  not sent: {count} {reason.value}", highlight=False)
    for word, count in tally.dropped.most_common():
        console.print(f"  not compared: {count} {word}", highlight=False)
    for detail in tally.details:
        console.print(f"  damaged: {detail}", highlight=False)
    late = tally.lateness
    if late.late:
        console.print(
            f"  the pace was not kept: {late.late} of {late.sent} requests were late, by up to {late.worst:.2f} s",
            style="yellow",
            highlight=False,
        )
    if interrupted:
        console.print(f"interrupted; go on with --resume --journal {journal}", style="yellow", highlight=False)


def _nothing(tally: Tally) -> int:
    """Say why there is nothing to judge."""
    print("mirrorgate replay: nothing was compared", file=sys.stderr)
    if tally.passed[Skip.NO_CONTENT]:
        print(
            "This journal was kept without content (a ShadowPolicy's journal.content is none), so there is nothing to "
            "send again: it cannot be replayed. Capture with `mirrorgate run --capture`, or keep full content.",
            file=sys.stderr,
        )
    elif tally.passed[Skip.REDACTED]:
        print("Redacted prompts have no recorded answer of their own: ask a primary with --against.", file=sys.stderr)
    elif tally.passed[Skip.NO_ANSWER]:
        print("The capture has no answers to compare with: ask a primary with --against.", file=sys.stderr)
    return 1


def _refused(message: str) -> int:
    print(f"mirrorgate replay: {message}", file=sys.stderr)
    return 2
